"""Earlier versions of what is locked, or past a deadline and in no lock yet, are not purged, by the owner neither."""

from threading import Timer
from typing import Any

import psycopg
import pytest

from activity.management.commands.purge_archive import purge
from activity.models import ActivityRevision
from activity.services import record_step
from locking import due, policies, services
from locking.models import LockPolicy, LogLock
from tests.attacks.intruder import assert_clean
from tests.clusters import Database
from tests.locking.test_policies import policy
from tests.locking.test_services import Scene

AGE = {"kind": "age", "days": 0}
PURGE = """
    UPDATE activity_revisions SET record = '', detached_data = NULL, signature = NULL, key_id = NULL, actor = '',
        action = '', target = '', ip = NULL, purged_by = (SELECT id FROM activity_logs
            WHERE type = 'auditlog.archive.purged' LIMIT 1)"""


@pytest.fixture
def scene(fresh_database: Database) -> Scene:
    """Give an archive with one version."""
    scene = Scene(fresh_database)
    scene.amend(2)
    record_step(kind="archive.purged", target="activity", by="ada", data={"ledger": "activity", "leaves": []})
    return scene


def purged() -> int:
    return purge(ledger="activity", older_than_days=0, by="ada", reason="the rules")


def assert_kept(scene: Scene, reason: str) -> None:
    """Try to purge, with the command and in SQL as the owner."""
    assert purged() == 0
    with pytest.raises(psycopg.Error) as refused:
        scene.database.owner().execute(PURGE.encode())
    assert refused.value.sqlstate == "AL002"
    assert reason in str(refused.value.diag.message_detail)
    assert bytes(ActivityRevision.objects.get().record) != b""


def test_what_a_policy_keeps_is_purged_only_after_its_lock_was_released(scene: Scene) -> None:
    policy(scene, AGE)
    assert_kept(scene, "the retention policy yearly locks its entry, and has not come to it yet")
    policies.run_all()
    assert not scene.entry(2).locked
    assert_kept(scene, "a retention policy locks its entry since")
    due.lock_due(LockPolicy.objects.get())
    assert_kept(scene, "its entry is locked")
    policy(scene, AGE, enabled=False)
    policies.run_all()
    assert_kept(scene, "its entry is locked")
    made = LogLock.objects.latest("pk")
    services.request_release(lock_id=made.pk, by=scene.officer, reason="over")
    services.release(lock_id=made.pk, by=scene.approver)
    assert purged() == 1
    assert_clean()


def test_what_no_policy_is_for_is_purged(scene: Scene) -> None:
    policy(scene, AGE, scope={"type": "shop.*"})
    policy_of_later: dict[str, Any] = {"kind": "age", "days": 30}
    policies.run_all()
    policy(scene, policy_of_later)
    policies.run_all()
    assert purged() == 1


def test_a_lock_that_is_made_meanwhile_is_waited_for(scene: Scene) -> None:
    with scene.database.superuser(autocommit=False) as locking:
        row = locking.execute(
            "SELECT lock_start(%s::smallint, 'hold', %s::jsonb, 'r', '', NULL, 'olga', NULL)",
            [scene.entry(2).ledger_id, f'{{"entries": ["{scene.entry(2).pk}"]}}'],
        ).fetchone()
        locking.execute("SELECT lock_apply(%s, 5000)", row)
        Timer(0.5, locking.commit).start()
        with pytest.raises(psycopg.Error) as refused:
            scene.database.owner().execute(PURGE.encode())
    assert refused.value.sqlstate == "AL002"
