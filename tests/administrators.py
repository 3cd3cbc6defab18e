"""People at the admin: an account with a role, signed in, and what its pages and its steps say."""

import html
import re
from typing import Any

import orjson
from django.contrib.auth.models import Group, User
from django.test import Client

from activity import authority
from activity.models import ActivityLog
from signing.models import KeyEvent

WHO = {"by": "setup", "reason": "a test"}


def administrator(name: str = "sam", role: str = "security admin", *ledgers: str) -> Client:
    """Return the client of somebody with a role and with granted ledgers."""
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return signed_in(user, *ledgers)


def superuser(name: str = "root", *ledgers: str) -> Client:
    """Return the client of a superuser."""
    return signed_in(User.objects.create_superuser(name), *ledgers)


def signed_in(user: User, *ledgers: str) -> Client:
    """Return the client of an account, with granted ledgers."""
    for ledger in ledgers:
        authority.grant_ledger(ledger=ledger, to=user, **WHO)
    client = Client()
    client.force_login(user)
    return client


def text_of(response: Any) -> str:
    """Return what a page says, without its markup."""
    assert response.status_code == 200, response
    said = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", html.unescape(said))


def last_step() -> dict[str, Any]:
    """Return the last system entry."""
    entry = ActivityLog.objects.filter(type__startswith="auditlog.").latest("leaf_index")
    said: dict[str, Any] = orjson.loads(bytes(entry.record))
    return said


def key_steps() -> list[tuple[str, str, str]]:
    """Return event, who and why of every record of the keys ledger that set-up did not make."""
    records = [orjson.loads(bytes(one.record)) for one in KeyEvent.objects.order_by("leaf_index")]
    return [(said["event"], said["by"], said["reason"]) for said in records if said["by"] != "setup"]
