"""Nothing that may happen to a policy of time, to its locks and to entries under it is an alarm of `verify`."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from activity.amending import remove
from locking import due, policies, services
from locking.models import LockPolicy, LogLock
from tests.attacks.intruder import assert_clean
from tests.clusters import Database
from tests.locking.earlier import record_earlier, run_on
from tests.locking.test_policies import policy
from tests.locking.test_services import EVENT, Scene

AGE = {"kind": "age", "days": 0}


@pytest.fixture
def scene(fresh_database: Database) -> Scene:
    return Scene(fresh_database)


def record_one(name: str, days_ago: int = 0) -> None:
    record_earlier(replace(EVENT, event_id=name), timedelta(days=days_ago))


def release(scene: Scene) -> None:
    made = LogLock.objects.latest("pk")
    services.request_release(lock_id=made.pk, by=scene.officer, reason="over")
    services.release(lock_id=made.pk, by=scene.approver)


def test_what_waits_for_the_lock_of_the_day_and_what_was_released_is_no_finding(scene: Scene) -> None:
    remove(entry_id=scene.entry(3).pk, by=scene.officer, rule="r", reason="r")
    record_one("first", days_ago=10)
    policy(scene, AGE, scope={})
    assert_clean()
    for number, days_ago in enumerate((8, 5, 2)):
        assert run_on(-days_ago) == 1
        assert_clean()
        record_one(f"day {number}", days_ago=days_ago - 1)
        assert_clean()
    release(scene)
    assert_clean()
    due.lock_due(LockPolicy.objects.get())
    assert_clean()
    release(scene)
    assert_clean()
    assert [made.count for made in LogLock.objects.order_by("pk")][:3] == [1, 1, 1]


@pytest.mark.parametrize(
    "changes",
    [
        [{"kind": "compliance"}, {"kind": "governance"}],
        [{"scope": {"type": "shop.*"}}, {"scope": {}}, {"scope": {"type": "auth.*"}}],
        [{"lock_days": 365}, {"lock_days": 2192}, {"lock_days": 365}],
        [{"rule": {"kind": "age", "days": 30}}, {}, {"rule": {"kind": "period", "period": "month", "days": 0}}],
        [{"enabled": False}, {}, {"enabled": False}],
    ],
    ids=str,
)
def test_a_policy_that_is_set_anew_between_its_locks_is_no_finding(scene: Scene, changes: list[Any]) -> None:
    policy(scene, AGE)
    policies.run_all()
    for number, change in enumerate(changes):
        record_one(f"before {number}")
        policy(scene, **{"rule": AGE} | change)
        assert_clean()
        record_one(f"after {number}")
        policies.run_all()
        assert_clean()
