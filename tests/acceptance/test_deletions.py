"""People and what else the log names can be deleted: nothing blocks that, nothing of the log goes with them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from activity import authority
from activity.models import ActivityLog, ApiKey, LedgerGrant, LogType
from activity.services import remove_log_type, set_log_type
from locking import overriding, policies, services
from locking.models import LockOverride, LockPolicy, LogLock
from signing.errors import ImmutableRowError
from signing.models import Ledger
from tests.attacks.intruder import assert_clean
from tests.clusters import Database
from tests.locking.people import officer
from tests.locking.test_services import Scene

BY = {"by": "ada", "reason": "a test"}
_TO_USERS = """
    SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'f'
       AND confrelid IN ('auth_user'::regclass, 'auth_group'::regclass, 'log_types'::regclass, 'api_keys'::regclass)"""
# Whose rows are a user's own, and go with him.
OWN = {"auth_user_groups", "auth_user_user_permissions", "auth_group_permissions", "django_admin_log", "ledger_grants"}


def everything(*models: Any) -> list[Any]:
    return [list(model.objects.order_by("pk").values()) for model in models]


@pytest.fixture
def scene(fresh_database: Database) -> Scene:
    """Lock, release, override and set a policy by two people; and name a log type, an API key and a grant."""
    scene = Scene(fresh_database)
    set_log_type(pattern="auth.*", requires_signature=True, algorithm="Ed25519", description="", **BY)
    authority.create_api_key(
        name="shop", scopes=["logs:write"], ledger="activity", source="shop", by="olga", reason="r"
    )
    released = scene.lock(1, kind="hold")
    services.request_release(lock_id=released.pk, by=scene.officer, reason="over")
    services.release(lock_id=released.pk, by=scene.approver)
    scene.lock(2)
    made = scene.approve(scene.override(2))
    scene.amend(2)
    overriding.end_override(override_id=made.pk, by="olga")
    policies.set_policy(
        name="yearly",
        ledger="activity",
        rule={"kind": "age", "days": 0},
        scope={},
        kind="governance",
        by=scene.approver,
        reason="the rules",
        enabled=True,
    )
    return scene


def test_whoever_locked_released_approved_or_set_a_policy_can_be_deleted(scene: Scene) -> None:
    kept = (LogLock, LockOverride, LockPolicy, ActivityLog)
    before = everything(*kept)
    LedgerGrant.objects.filter(user=scene.officer).delete()
    scene.officer.delete()
    User.objects.filter(username="anton").delete()
    assert everything(*kept) == before
    assert not User.objects.filter(username__in=["olga", "anton"]).exists()
    assert LogLock.objects.filter(locked_by="olga").count() == 2
    policies.run_all()  # a policy needs nobody to be there
    assert scene.entry(3).locks_at is not None
    assert_clean()


def test_the_log_stays_readable(scene: Scene, client: Client) -> None:
    entry = scene.ids(2)[0]
    scene.officer.delete()
    client.force_login(officer("rita"))
    for address in (f"/api/v1/logs/{entry}", "/api/v1/logs", "/api/v1/locks", "/admin/activity/activitylog/"):
        answer = client.get(address)
        assert answer.status_code == 200, address
    said = client.get(f"/api/v1/logs/{entry}").json()
    assert said["verdict"] == "valid"
    assert {one["locked_by"] for one in client.get("/api/v1/locks").json()["locks"]} == {"olga"}


def test_groups_log_types_api_keys_and_grants_can_be_deleted(scene: Scene) -> None:
    kept = (LogLock, LockOverride, LockPolicy)
    before = everything(*kept)
    remove_log_type(pattern="auth.*", **BY)
    (key,) = ApiKey.objects.all()
    authority.revoke_api_key(prefix=key.pk, **BY)
    scene.database.owner().execute("DELETE FROM api_keys")  # the application itself only revokes one
    authority.revoke_grant(ledger="activity", of=scene.officer, **BY)
    Group.objects.all().delete()
    assert everything(*kept) == before
    assert not LogType.objects.filter(pattern="auth.*").exists()
    assert scene.entry(2).locked
    assert_clean()


def test_a_ledger_that_is_named_stays(scene: Scene) -> None:
    assert scene.entry(2).locked
    with pytest.raises(ImmutableRowError):
        Ledger.objects.get(name="activity").delete()


def test_no_evidence_has_a_foreign_key_to_what_may_be_deleted(fresh_database: Database) -> None:
    referring = {table for table, _ in fresh_database.superuser().execute(_TO_USERS).fetchall()}
    assert referring
    assert referring <= OWN, referring
