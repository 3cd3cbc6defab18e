"""An installation with entries from before there were locks: they come through the migrations and can be locked."""

from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from activity.errors import EntryLockedError
from activity.models import ActivityLog
from auditlog_project.database import apply_grants
from auditlog_project.management.commands.setup_database import bootstrap
from locking import policies, services
from tests.attacks.intruder import assert_clean
from tests.clusters import ROLES, Database
from tests.locking.test_services import EVENT, Scene

BEFORE_LOCKS = {"locking": "zero", "activity": "0007_revision_guards"}
FACTS = "SELECT id, ledger_id, leaf_index, record, signature, key_id, revision, locked FROM activity_logs ORDER BY id"
LOCK_STATE = """
    SELECT count(*) FROM information_schema.columns
    WHERE table_name = 'activity_logs' AND column_name IN ('held_by', 'locks_at', 'override_id')"""


def migrate(database: Database) -> None:
    """Do what setup_database does to a database that is there."""
    call_command("migrate", database="owner", verbosity=0)
    apply_grants(database.owner(), ROLES)
    bootstrap()


def facts(database: Database) -> list[tuple[Any, ...]]:
    return database.superuser().execute(FACTS).fetchall()


@pytest.fixture
def scene(fresh_database: Database) -> Scene:
    return Scene(fresh_database)


@pytest.fixture
def old(fresh_database: Database) -> Scene:
    """Give a database as it was before there were locks, with entries of which one was amended."""
    scene = Scene(fresh_database)
    scene.amend(3)
    before = facts(fresh_database)
    for app, name in BEFORE_LOCKS.items():
        call_command("migrate", app, name, database="owner", verbosity=0)
    assert fresh_database.superuser().execute(LOCK_STATE).fetchone() == (0,)
    assert facts(fresh_database) == before, "the way back keeps the entries, too"
    return scene


def test_entries_from_before_there_were_locks_stay_as_they_are_and_unlocked(old: Scene) -> None:
    before = facts(old.database)
    migrate(old.database)
    assert facts(old.database) == before
    assert old.database.superuser().execute(LOCK_STATE).fetchone() == (3,)
    assert not ActivityLog.objects.filter(locked=True).exists()
    old.amend(3)
    assert_clean()


@pytest.mark.parametrize(("app", "target"), [("locking", "zero"), ("locking", "0009_declined"), *BEFORE_LOCKS.items()])
def test_there_is_no_way_back_while_something_is_locked(scene: Scene, app: str, target: str) -> None:
    made = scene.lock(3)
    before, applied = facts(scene.database), MigrationRecorder(connections["owner"]).applied_migrations()
    with pytest.raises(CommandError, match="Locks in force or being applied: 1; enabled lock policies: 0; locked ent"):
        call_command("migrate", app, target, database="owner", verbosity=0)
    assert facts(scene.database) == before
    of_locks = [name for name in applied if name[0] == "locking"]
    assert set(of_locks) <= set(MigrationRecorder(connections["owner"]).applied_migrations())
    with pytest.raises(EntryLockedError):
        scene.amend(3)
    services.request_release(lock_id=made.pk, by=scene.officer, reason="over")
    services.release(lock_id=made.pk, by=scene.approver)
    call_command("migrate", app, target, database="owner", verbosity=0)


def test_there_is_no_way_back_while_a_policy_locks(scene: Scene) -> None:
    policies.set_policy(
        name="old ones",
        ledger="activity",
        rule={"kind": "age", "days": 90},
        scope={},
        kind="governance",
        by=scene.approver,
        reason="the rules",
        enabled=True,
    )
    with pytest.raises(CommandError, match="enabled lock policies: 1"):
        call_command("migrate", "locking", "zero", database="owner", verbosity=0)


def test_they_are_locked_by_hand_and_by_policy(old: Scene) -> None:
    migrate(old.database)
    made = old.lock(3)
    assert (made.state, made.count) == ("in_force", 1)
    policies.set_policy(
        name="old ones",
        ledger="activity",
        rule={"kind": "age", "days": 0},
        scope={"type": EVENT.type},
        kind="governance",
        by=old.approver,
        reason="the rules",
        enabled=True,
    )
    policies.run_all()
    for number in (3, 4):
        with pytest.raises(EntryLockedError):
            old.amend(number)
    assert ActivityLog.objects.filter(type=EVENT.type, locks_at=None).count() == 0
    assert_clean()
