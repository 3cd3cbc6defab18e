"""Overrides for what is past the deadline of a policy and in no lock yet: its lock is made first."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from activity.errors import EntryLockedError
from activity.models import ActivityLog
from locking import overriding, policies, services
from locking.errors import LockRefusedError
from locking.models import LockOverride, LogLock
from tests.attacks.intruder import assert_clean
from tests.clusters import Database
from tests.locking.earlier import record_earlier
from tests.locking.people import officer
from tests.locking.test_policies import policy
from tests.locking.test_services import EVENT, Scene

AGE = {"kind": "age", "days": 0}


@pytest.fixture
def scene(fresh_database: Database) -> Scene:
    return Scene(fresh_database)


@pytest.mark.parametrize("is_marked", [False, True])
def test_it_is_locked_and_then_changed_under_the_override(scene: Scene, *, is_marked: bool) -> None:
    policy(scene, AGE)
    if is_marked:
        policies.run_all()
    made = scene.override(2)
    assert [scene.entry(2).locked, scene.entry(3).locked] == [True, True]
    with pytest.raises(EntryLockedError):
        scene.amend(2)
    scene.approve(made)
    scene.amend(2)
    with pytest.raises(EntryLockedError):
        scene.amend(3)
    policies.run_all()
    assert LockOverride.objects.get().used_count == 1
    assert_clean()


def test_in_mode_compliance_there_is_none_and_it_is_locked(scene: Scene) -> None:
    policy(scene, AGE, kind="compliance")
    with pytest.raises(LockRefusedError, match="under compliance, which no override lifts"):
        scene.override(2)
    assert scene.entry(2).compliance_until is not None


def test_an_override_of_another_lock_does_not_lift_a_compliance_that_is_due(scene: Scene) -> None:
    scene.lock(2)
    scene.approve(scene.override(2))
    scene.amend(2)
    policy(scene, AGE, kind="compliance")
    with pytest.raises(EntryLockedError, match="locks it in mode compliance, and has not come to it yet"):
        scene.amend(2)
    assert_clean()


def test_what_a_lock_of_the_policy_held_until_its_release_is_not_locked_again(scene: Scene) -> None:
    policy(scene, AGE)
    scene.override(2)
    made = LogLock.objects.get()
    services.request_release(lock_id=made.pk, by=scene.officer, reason="over")
    services.release(lock_id=made.pk, by=scene.approver)
    with pytest.raises(LockRefusedError, match="is not locked"):
        scene.override(2)
    assert not ActivityLog.objects.filter(locked=True).exists()


@pytest.mark.parametrize(
    ("rule", "scope"), [(AGE, {"type": "shop.*"}), ({"kind": "age", "days": 30}, {})], ids=["another filter", "later"]
)
def test_a_policy_that_is_not_due_for_it_locks_nothing(scene: Scene, rule: Any, scope: Any) -> None:
    other = record_earlier(replace(EVENT, type="shop.order", event_id="other"), timedelta(days=40))
    policy(scene, rule, scope=scope)
    scene.lock(2)
    scene.override(2)
    assert not ActivityLog.objects.get(pk=other.id).locked


@pytest.mark.parametrize("wrong", ["a stranger", "a blank reason"])
def test_a_request_that_is_refused_anyhow_locks_nothing(scene: Scene, wrong: str) -> None:
    policy(scene, AGE)
    asked: dict[str, Any] = {"entries": scene.ids(2), "hours": 1, "by": scene.officer, "reason": "r"}
    asked |= {"by": officer("otto", "meta")} if wrong == "a stranger" else {"reason": " "}
    with pytest.raises(LockRefusedError):
        overriding.request_override(**asked)
    assert not LogLock.objects.exists()
