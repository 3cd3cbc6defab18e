"""Rights are given and taken with a reason, and each step is an entry."""

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command

from activity import access, authority
from activity.errors import AuthorityError
from activity.models import ActivityLog, ApiKey

pytestmark = pytest.mark.django_db

WHO = {"by": "ada", "reason": "go-live"}


def new_key(**changes: Any) -> tuple[ApiKey, str]:
    asked = {"name": "shop", "scopes": ["logs:write"], "ledger": "activity", "source": "shop-eu", **WHO, **changes}
    return authority.create_api_key(**asked)


def last_step() -> dict[str, Any]:
    said: dict[str, Any] = json.loads(bytes(ActivityLog.objects.latest("leaf_index").record))
    return said


def test_a_key_opens_its_ledger_for_its_source() -> None:
    row, key = new_key()
    assert access.key_of(key) == row
    assert access.of_key(row) == access.Access(writable=frozenset({"activity"}), source="shop-eu")
    assert key not in row.hashed_key
    step = last_step()
    assert (step["type"], step["actor"], step["target"]) == ("auditlog.api-key.created", "ada", row.prefix)
    assert key.partition(".")[2] not in json.dumps(step)


def test_a_revoked_key_opens_nothing() -> None:
    row, key = new_key()
    authority.revoke_api_key(prefix=row.prefix, **WHO)
    assert access.key_of(key) is None
    assert last_step()["type"] == "auditlog.api-key.revoked"
    with pytest.raises(AuthorityError):
        authority.revoke_api_key(prefix=row.prefix, **WHO)


def test_an_expired_key_opens_nothing() -> None:
    row, key = new_key(expires_at=datetime.now(UTC) + timedelta(days=1))
    assert access.key_of(key) == row
    row.expires_at = datetime.now(UTC) - timedelta(seconds=1)
    row.hashed_key, row.prefix = row.hashed_key, "expired0"
    row.save(force_insert=True)
    assert access.key_of(f"expired0.{key.partition('.')[2]}") is None


@pytest.mark.parametrize("wrong", ["", "x", "nothing.here", "\0.x"])
def test_what_is_no_key_opens_nothing(wrong: str) -> None:
    assert access.key_of(wrong) is None


def test_a_wrong_secret_opens_nothing() -> None:
    row, key = new_key()
    assert access.key_of(key) is not None
    assert access.key_of(f"{row.prefix}.{'x' * 32}") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"scopes": []},
        {"scopes": ["logs:delete"]},
        {"name": " "},
        {"source": ""},
        {"reason": " "},
        {"ledger": "keys"},
        {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AuthorityError):
        new_key(**changes)
    assert not ApiKey.objects.exists()


def test_people_read_what_is_granted_to_them_or_their_group() -> None:
    ada, auditors = User.objects.create_user("ada"), Group.objects.create(name="auditors")
    ada.user_permissions.add(Permission.objects.get(codename="view_activitylog"))
    ada = User.objects.get(pk=ada.pk)
    assert access.of_user(ada).readable == frozenset()
    authority.grant_ledger(ledger="activity", to=ada, **WHO)
    assert access.of_user(ada) == access.Access(readable=frozenset({"activity"}))
    authority.revoke_grant(ledger="activity", of=ada, **WHO)
    assert last_step()["type"] == "auditlog.ledger-grant.taken"
    ada.groups.add(auditors)
    authority.grant_ledger(ledger="meta", to=auditors, **WHO)
    assert access.of_user(ada).readable == frozenset({"meta"})


def test_a_grant_is_given_and_taken_once() -> None:
    ada = User.objects.create_user("ada")
    authority.grant_ledger(ledger="activity", to=ada, **WHO)
    with pytest.raises(AuthorityError):
        authority.grant_ledger(ledger="activity", to=ada, **WHO)
    authority.revoke_grant(ledger="activity", of=ada, **WHO)
    with pytest.raises(AuthorityError):
        authority.revoke_grant(ledger="activity", of=ada, **WHO)


def test_a_superuser_needs_a_grant_too() -> None:
    assert access.of_user(User.objects.create_superuser("root")) == access.Access()


def test_the_commands_do_it() -> None:
    out = StringIO()
    call_command(
        "api_keys", "create", "shop", "--scope", "logs:read", "--source", "s", "--reason", "go-live", stdout=out
    )
    key = out.getvalue().split()[-1]
    assert access.key_of(key) is not None
    call_command("api_keys", "revoke", key.partition(".")[0], "--reason", "gone", stdout=out)
    assert access.key_of(key) is None
    call_command("api_keys", "list", stdout=out)
    assert "revoked" in out.getvalue()
    User.objects.create_user("ada")
    call_command("grants", "give", "activity", "--user", "ada", "--reason", "on duty", stdout=out)
    call_command("grants", "list", stdout=out)
    assert "activity: ada" in out.getvalue()
    call_command("grants", "take", "activity", "--user", "ada", "--reason", "left", stdout=out)
    with pytest.raises(CommandError, match="no such user"):
        call_command("grants", "give", "activity", "--user", "eve", "--reason", "why", stdout=out)
