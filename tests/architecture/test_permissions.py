"""Every URL has a row in permissions.yaml, and every cell of the table is what really happens."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.test import Client, override_settings
from django.urls import URLResolver, get_resolver

from activity import authority, notices, services
from activity.models import ActivityLog, ApiKey, OpenFinding
from activity.report import Report
from auditlog_project.roles import (
    APPROVER,
    AUDITOR,
    AUDITOR_OF_AUDITORS,
    COMPLIANCE_OFFICER,
    INGEST,
    READER,
    SECURITY_ADMIN,
)
from exports.models import Export
from locking import overriding
from locking import services as locks
from locking.models import LockOverride, LockPolicy, LogLock
from metaaudit.models import MetaArchive
from metaaudit.record import Access, Who
from metaaudit.services import record as record_access
from signing.models import Ledger

Row = dict[str, frozenset[str]]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ROLES = {"ing": INGEST, "rdr": READER, "aud": AUDITOR, "com": COMPLIANCE_OFFICER, "sec": SECURITY_ADMIN}
ROLES |= {"app": APPROVER, "aoa": AUDITOR_OF_AUDITORS}
KEYS = {"wkey": ApiKey.Scope.WRITE, "rkey": ApiKey.Scope.READ}
WHO = ("anon", *KEYS, *ROLES, "root")
REFUSED = {401, 403, 404, 405}
ADMITTED = {200, 201, 202, 204, 302, 304, 400, 409, 415, 422}
TABLE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("permissions.yaml").read_text())


def who(said: str | list[str]) -> frozenset[str]:
    named = frozenset(TABLE["names"][said] if isinstance(said, str) else said)
    assert named <= set(WHO), f"nobody is called {sorted(named - set(WHO))}"
    return named


def rows() -> dict[str, Row]:
    """Return who may do what with each address of the table, the short form of the admin written out."""
    written = TABLE["urls"] | TABLE["files"]
    table = {address: {method: who(said) for method, said in row.items()} for address, row in written.items()}
    for model, rights in TABLE["admin"].items():
        view, add, change, delete = (who(rights.get(right, "nobody")) for right in ("view", "add", "change", "delete"))
        page = f"/admin/{model.replace('.', '/')}/"
        one = f"{page}<path:object_id>/"
        seen = view | change
        shown = who(rights["one"]) if "one" in rights else seen
        table[page] = {"GET": seen, "POST": seen}
        table[f"{page}add/"] = {"GET": add, "POST": add}
        table[one] = {"GET": who("staff"), "POST": who("staff")}  # only leads to the page below
        table[f"{one}history/"] = {"GET": shown, "POST": shown}
        table[f"{one}change/"] = {"GET": shown, "POST": change}
        table[f"{one}delete/"] = {"GET": delete, "POST": delete}
    for row in table.values():
        if "GET" in row:
            row.setdefault("HEAD", row["GET"])
    return table


def served(patterns: list[Any], prefix: str = "/") -> Iterator[str]:
    for one in patterns:
        address = prefix + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from served(one.url_patterns, address)
        else:
            # Which apps there are, and in which order, is not written into the table.
            yield re.sub(r"\^\(\?P<app_label>[^)]*\)/\$", "<app_label>/", address)


def test_every_url_has_a_row() -> None:
    assert set(served(get_resolver().url_patterns)) | set(TABLE["files"]) == set(rows())


def test_every_model_of_the_admin_has_a_row() -> None:
    assert {model._meta.label_lower for model in admin.site._registry} == set(TABLE["admin"])


class Asking:
    """Everybody of the table, and addresses of rows that are there."""

    def __init__(self) -> None:
        self.target = User.objects.create_user("target")
        entry = ActivityLog.objects.latest("leaf_index")
        authority.grant_ledger(ledger="meta", to=self.target, by="ada", reason="test")
        authority.create_api_key(
            name="target", scopes=["logs:write"], ledger="activity", source="test", by="ada", reason="test"
        )
        services.record_verification(Report("activity", 0, 0, b""), started_at=datetime.now(UTC))
        notices.announce(
            [OpenFinding.objects.create(ledger="*", verdict="cannot_tell", reason="test", found_at=datetime.now(UTC))]
        )
        user_type = ContentType.objects.get_for_model(User).pk
        self._rows = {
            "entry": entry.pk,
            "export": self._export().pk,
            "lock": self._lock().pk,
            "override": self._override().pk,
            "meta": record_access(access=Access(Who(f"user:{self.target.pk}", "target"), "list", "GET", "/", "")),
            "user": self.target.pk,
            "user_type": user_type,
        }

    def _lock(self) -> LogLock:
        """Return a lock that holds nothing, in the ledger that everybody with a role reads."""
        return locks.start(
            ledger=Ledger.objects.get(name="activity"), scope={"leaf_from": 2**40}, kind="hold", reason="r", by="target"
        )

    def _override(self) -> LockOverride:
        """Return an override that waits, of an entry that nothing else here is about."""
        first = ActivityLog.objects.order_by("leaf_index").first()
        assert first is not None
        lock = locks.start(
            ledger=first.ledger, scope={"entries": [str(first.pk)]}, kind="governance", reason="r", by="target"
        )
        locks.advance(lock_id=lock.pk, chunks=1)
        self.target.groups.add(Group.objects.get(name=COMPLIANCE_OFFICER))
        authority.grant_ledger(ledger="activity", to=self.target, by="ada", reason="test")
        return overriding.request_override(entries=[first.pk], hours=1, by=self.target, reason="r")

    def _export(self) -> Export:
        """Return an export of `target`'s, of the ledger that everybody with a role reads."""
        export = Export(
            id=UUID(int=7),
            ordered_by="target",
            ordered_by_id=self.target.pk,
            ledger=Ledger.objects.get(name="activity"),
            formats=["csv"],
            purpose="test",
            size=1,
            first_leaf=0,
            end_leaf=1,
            is_complete=True,
        )
        export.save(force_insert=True)
        return export

    def client(self, one: str) -> Client:
        client = Client(raise_request_exception=False)
        if scope := KEYS.get(one):
            _, key = authority.create_api_key(
                name=one, scopes=[scope], ledger="activity", source="test", by="ada", reason="test"
            )
            return Client(raise_request_exception=False, headers={"Authorization": f"Api-Key {key}"})
        if role := ROLES.get(one):
            user = User.objects.create_user(one, is_staff=one != "ing")
            user.groups.add(Group.objects.get(name=role))
            authority.grant_ledger(ledger="activity", to=user, by="ada", reason="test")
            client.force_login(user)
        if one == "root":
            client.force_login(User.objects.create_superuser(one))
        return client

    def address(self, pattern: str) -> str:
        """Return the pattern with examples in place of its parameters."""
        address = pattern
        if pattern.startswith("/admin/") and "/<path:object_id>/" in pattern and "content_type" not in pattern:
            app, model = pattern.split("/")[2:4]
            address = address.replace("<path:object_id>", quote(self._object(app, model)))
        for parameter, example in TABLE["examples"].items():
            address = address.replace(parameter, example.format(**self._rows))
        assert not set(address) & set("<>()"), f"give an example for the parameter of {pattern}"
        return address

    def _object(self, app: str, model: str) -> str:
        kind = ContentType.objects.get_by_natural_key(app, model).model_class()
        assert kind is not None
        if kind is User:
            return str(self.target.pk)
        if kind in {LockPolicy, MetaArchive}:
            return "1"  # none is there: another role makes one, the approver's or the owner's
        found = kind._default_manager.first()
        assert found is not None, f"the template has no {app}.{model}: make one in Asking"
        return str(found.pk)


@pytest.mark.django_db(databases=["default", "approver"])
@pytest.mark.parametrize("one", WHO)
@override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}})  # no throttles
def test_everybody_may_what_the_table_says(one: str, broker: str) -> None:
    asking = Asking()
    client = asking.client(one)
    cookies = client.cookies.output()
    wrong = []
    for pattern, row in rows().items():
        address = asking.address(pattern)
        for method in METHODS:
            status = ask(client, method, address)
            client.cookies.load(cookies.replace("Set-Cookie: ", ""))
            may = one in row.get(method, frozenset())
            if odd_method(pattern, method) and one in row.get("GET", frozenset()):
                continue
            if status not in (ADMITTED if may else REFUSED):
                wrong.append(f"{one} {'may' if may else 'may not'} {method} {pattern}: {status}")
    assert not wrong, "\n".join(wrong)


def odd_method(pattern: str, method: str) -> bool:
    """Tell whether Django's admin answers as to a GET, or with 405, as it likes: who may GET learns nothing new."""
    return pattern.startswith("/admin/") and method in {"PUT", "PATCH", "DELETE"}


def ask(client: Client, method: str, address: str) -> int:
    """Return the status, 401 if one is sent to the login or the start page; what the request wrote is taken back."""
    # A savepoint and no atomic(): the meta log refuses to be written inside of what could be rolled back.
    before = transaction.savepoint()
    response = client.generic(method, address, b"{}", content_type="application/json")
    if response.streaming:
        b"".join(response)  # to its end, so that the file is closed
    transaction.savepoint_rollback(before)
    transaction.set_rollback(False)
    sent_to = response.get("Location", "")
    sent_away = sent_to.startswith(("/admin/login/", "/login/")) or (sent_to == "/admin/" and address != "/")
    return 401 if sent_away else response.status_code
