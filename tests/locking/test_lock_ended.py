"""What a lock of a policy of time has held is free when the lock has ended: its time is over, or it was released."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activity.errors import EntryLockedError
from activity.management.commands.purge_archive import purge
from activity.models import ActivityLog
from locking import due, policies, services
from locking.models import LIFTED, LockPolicy, LogLock
from tests.attacks.intruder import assert_clean
from tests.clusters import Database
from tests.locking.earlier import beginning_earlier, record_earlier, recording_earlier, run_on
from tests.locking.test_policies import policy
from tests.locking.test_services import EVENT, Scene

AGE: dict[str, Any] = {"kind": "age", "days": 0}
MONTH: dict[str, Any] = {"kind": "period", "period": "month", "days": 0}


@pytest.fixture
def scene(fresh_database: Database) -> Scene:
    """Give entries of two months ago."""
    with recording_earlier(timedelta(days=62)):
        return Scene(fresh_database)


def lock_days_ago(scene: Scene, days: int = 2, **how: Any) -> LogLock:
    """Have a policy make its lock of the day some days ago; it lasts a day unless told otherwise."""
    asked: dict[str, Any] = {"rule": AGE, "lock_days": 1}
    with beginning_earlier(scene.database, days):
        policy(scene, **asked | how)
        made = LockPolicy.objects.get(name="yearly")
        policies._mark(made)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(services, "expire", lambda **_: None)
            run_on(-days)
    return LogLock.objects.latest("pk")


def release(scene: Scene, made: LogLock) -> None:
    services.request_release(lock_id=made.pk, by=scene.officer, reason="over")
    services.release(lock_id=made.pk, by=scene.approver)


def assert_free(scene: Scene, number: int) -> None:
    """Amend an entry twice, before and after a beat has come to where it stands then."""
    entry = scene.entry(number)
    assert (entry.lock_words, entry.locks_at, entry.held_by) == ("", None, None)
    assert entry not in ActivityLog.objects.all().kept()
    scene.amend(number)
    scene.amend(number)
    assert purge(ledger="activity", older_than_days=0, by="ada", reason="the rules") > 1
    policies.run_all()
    scene.amend(number)
    assert scene.entry(number).lock_words == ""
    assert_clean()


@pytest.mark.parametrize("rule", [AGE, MONTH], ids=["age", "period"])
@pytest.mark.parametrize("kind", ["governance", "compliance"])
def test_when_its_time_is_over(scene: Scene, rule: Any, kind: str) -> None:
    made = lock_days_ago(scene, rule=rule, kind=kind)
    assert made.until is not None
    assert made.until < datetime.now(UTC)
    assert scene.entry(2).held_by == [made.pk]
    with pytest.raises(EntryLockedError, match="a retention policy locks it since"):
        scene.amend(2)
    assert_clean()
    policies.run_all()
    assert LogLock.objects.get(pk=made.pk).state == "expired"
    assert_clean()
    assert_free(scene, 2)
    scene.lock(2)
    scene.approve(scene.override(2))
    scene.amend(2)


@pytest.mark.parametrize("kind", ["governance", "hold"])
def test_when_two_people_have_released_it(scene: Scene, kind: str) -> None:
    policy(scene, AGE, kind=kind)
    policies.run_all()
    assert scene.entry(2).held_by == [LogLock.objects.get().pk]
    release(scene, LogLock.objects.get())
    assert_clean()
    assert_free(scene, 2)
    late = record_earlier(replace(EVENT, event_id="late"), timedelta(minutes=2))
    scene.receipts[3] = late
    with pytest.raises(EntryLockedError, match="has not come to it yet"):
        scene.amend(3)
    policies.run_all()
    with pytest.raises(EntryLockedError, match="a retention policy locks it since"):
        scene.amend(3)
    assert_clean()


def test_while_it_is_in_force_it_is_not(scene: Scene) -> None:
    made = lock_days_ago(scene, lock_days=3)
    policies.run_all()
    with pytest.raises(EntryLockedError, match="mode governance"):
        scene.amend(2)
    services.extend(lock_id=made.pk, until=None, by=scene.officer, reason="longer")
    policies.run_all()
    assert (scene.entry(2).was_held_by, scene.entry(2).locks_at) == (None, scene.entry(2).recorded_at)
    release(scene, made)
    assert scene.entry(2).was_held_by == [made.pk]
    assert_free(scene, 2)


@pytest.mark.parametrize("is_marked", [False, True])
def test_another_policy_that_has_not_locked_it_still_refuses(scene: Scene, *, is_marked: bool) -> None:
    policy(scene, AGE)
    policies.run_all()
    policies.set_policy(
        name="other",
        ledger="activity",
        rule=MONTH,
        scope={},
        kind="governance",
        by=scene.approver,
        reason="the rules",
        enabled=True,
    )
    if is_marked:
        policies._mark(LockPolicy.objects.get(name="other"))
    release(scene, LogLock.objects.get())
    entry = scene.entry(2)
    assert entry.locks_at is not None
    assert entry.recorded_at < entry.locks_at <= datetime.now(UTC)
    with pytest.raises(EntryLockedError, match="a retention policy locks it since"):
        scene.amend(2)
    assert_clean()
    policies.run_all()
    release(scene, LogLock.objects.latest("pk"))
    assert_free(scene, 2)


def test_a_lock_of_a_person_frees_nothing_that_a_policy_has_not_locked(scene: Scene) -> None:
    policy(scene, AGE)
    policies._mark(LockPolicy.objects.get())
    release(scene, scene.lock(2))
    assert (scene.entry(2).was_held_by, scene.entry(2).locks_at) == (None, scene.entry(2).recorded_at)
    with pytest.raises(EntryLockedError, match="a retention policy locks it since"):
        scene.amend(2)


@pytest.mark.parametrize(
    "change", [{"lock_days": 365}, {"lock_days": None}, {"kind": "compliance"}, {"scope": {}}], ids=str
)
def test_set_anew_the_policy_locks_it_anew(scene: Scene, change: Any) -> None:
    policy(scene, AGE, lock_days=30)
    policies.run_all()
    release(scene, LogLock.objects.get())
    policy(scene, **{"rule": AGE, "lock_days": 30} | change)
    with pytest.raises(EntryLockedError, match="has not come to it yet"):
        scene.amend(2)
    policies.run_all()
    made = LogLock.objects.latest("pk")
    assert scene.entry(2).held_by == [made.pk]
    assert_clean()
    if made.kind == "governance":
        release(scene, made)
        assert_free(scene, 2)


@pytest.mark.parametrize("change", [{"enabled": False}, {"rule": {"kind": "age", "days": 3}}, {"rule": MONTH}], ids=str)
def test_set_anew_for_the_same_locks_the_policy_remembers(scene: Scene, change: Any) -> None:
    policy(scene, AGE)
    due.lock_due(LockPolicy.objects.get())
    release(scene, LogLock.objects.get())
    for how in ({"rule": AGE} | change, {"rule": AGE}):
        policy(scene, **how)
        scene.amend(2)
        policies.run_all()
        scene.amend(2)
    assert_clean()


def test_what_a_lock_held_that_was_made_again_under_an_override_is_free_too(scene: Scene) -> None:
    policy(scene, AGE)
    policies.run_all()
    scene.approve(scene.override(2))
    scene.amend(2)
    release(scene, LogLock.objects.get())
    assert_free(scene, 2)


def test_lifted_in_chunks_what_waits_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "CHUNK", scene.entry(4).leaf_index)
    monkeypatch.setattr(services, "AT_ONCE", 1)
    policy(scene, AGE)
    policies.run_all()
    release(scene, LogLock.objects.get())
    assert (scene.entry(3).lock_words, scene.entry(4).lock_words) == ("", "locked")
    scene.amend(3)
    with pytest.raises(EntryLockedError):
        scene.amend(4)
    policies.run_all()
    assert LogLock.objects.get().lifted_to == LIFTED
    assert_free(scene, 4)


@pytest.mark.parametrize("pretence", ["nothing", "the lock of others", "a lock of a person", "a lock that is in force"])
def test_a_deadline_that_is_taken_off_what_its_lock_has_not_held_is_noticed(scene: Scene, pretence: str) -> None:
    """Also where the row names a lock that has held it and has ended."""
    policy(scene, AGE)
    policies.run_all()
    made = LogLock.objects.get()
    if pretence != "a lock that is in force":
        release(scene, made)
        scene.receipts[2] = record_earlier(replace(EVENT, event_id="late"), timedelta(minutes=2))
        policies.run_all()
    if pretence == "a lock of a person":
        made = scene.lock(2)
        release(scene, made)
    assert_clean()
    superuser = scene.database.superuser()
    superuser.execute("ALTER TABLE activity_logs DISABLE TRIGGER lock_state")
    superuser.execute(
        "UPDATE activity_logs SET locks_at = NULL, was_held_by = %s WHERE id = %s",
        [None if pretence == "nothing" else [made.pk], scene.entry(2).pk],
    )
    with pytest.raises(AssertionError, match="its row does not carry the deadline"):
        assert_clean()


def test_a_change_that_the_guard_would_have_refused_is_noticed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("locking.verification.policies", "locking.verification"):
        monkeypatch.setattr(f"{module}.SLACK", timedelta())
    policy(scene, AGE)
    policies.run_all()
    release(scene, LogLock.objects.get())
    scene.receipts[3] = record_earlier(replace(EVENT, event_id="late"), timedelta(minutes=2))
    scene.amend(2)
    assert_clean()
    scene.database.superuser().execute("ALTER TABLE activity_logs DISABLE TRIGGER a_locked_by_rule")
    scene.amend(3)
    with pytest.raises(AssertionError, match="after the lock policy yearly had locked it"):
        assert_clean()
