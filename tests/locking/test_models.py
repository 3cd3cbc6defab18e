"""What the model refuses of a locked entry carries its entry, its locks and why, whatever the row in memory says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from activity.errors import EntryLockedError
from activity.models import ActivityLog
from locking import policies, services
from signing.errors import ImmutableRowError
from tests.awaiting import awaited
from tests.clusters import Database
from tests.locking.test_services import LATER, Scene

CHANGES: dict[str, Callable[[ActivityLog], object]] = {
    "save": lambda entry: entry.save(),
    "save of one field": lambda entry: entry.save(update_fields=["actor"]),
    "asave": lambda entry: awaited(entry.asave),
    "delete": lambda entry: entry.delete(),
    "update": lambda entry: ActivityLog.objects.filter(pk=entry.pk).update(actor="eve"),
    "update of a slice of values": lambda entry: ActivityLog.objects.filter(pk=entry.pk).values("actor")[:1].update(),
    "bulk_update": lambda entry: ActivityLog.objects.bulk_update([entry], ["actor"]),
    "update_or_create": lambda entry: ActivityLog.objects.update_or_create(pk=entry.pk, defaults={"actor": "eve"}),
    "delete of a query set": lambda entry: ActivityLog.objects.filter(pk=entry.pk).delete(),
    "update of all": lambda _: ActivityLog.objects.update(actor="eve"),
}


@pytest.fixture
def scene(fresh_database: Database) -> Scene:
    return Scene(fresh_database)


def refused(change: Callable[[ActivityLog], object], entry: ActivityLog) -> EntryLockedError:
    before = ActivityLog.objects.filter(pk=entry.pk).values().get()
    entry.actor = "eve"
    with pytest.raises(EntryLockedError) as error:
        change(entry)
    assert ActivityLog.objects.filter(pk=entry.pk).values().get() == before
    return error.value


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_a_locked_entry_names_entry_lock_and_reason_though_memory_is_stale(
    scene: Scene, change: str
) -> None:
    stale: Any = scene.entry(2)
    made = scene.lock(2, kind="hold")
    assert not stale.locked
    error = refused(CHANGES[change], stale)
    assert (error.entry, error.locks, error.reason) == (scene.ids(2)[0], (made.pk,), "legal hold")


def test_the_reason_is_that_of_the_guard(scene: Scene) -> None:
    for kind in ("governance", "compliance", "hold"):
        scene.lock(3, kind=kind, until=None if kind == "hold" else LATER)
        with pytest.raises(EntryLockedError) as guard:
            scene.amend(3)
        error = refused(CHANGES["save"], scene.entry(3))
        assert (error.entry, error.locks) == (guard.value.entry, guard.value.locks)
        assert error.reason.split(",")[0] == guard.value.reason.split(",")[0]


def test_the_deadline_of_a_policy_is_a_reason_without_a_lock(scene: Scene) -> None:
    policies.set_policy(
        name="now",
        ledger="activity",
        rule={"kind": "age", "days": 0},
        scope={},
        kind="governance",
        by=scene.approver,
        reason="the rules",
        enabled=True,
    )
    policies.run_all()
    for change in ("save", "update", "delete of a query set"):
        error = refused(CHANGES[change], scene.entry(2))
        assert (error.locks, error.reason.split(" since")[0]) == ((), "a retention policy locks it")


@pytest.mark.parametrize("change", CHANGES)
def test_a_policy_that_no_worker_has_come_to_yet_is_a_reason_in_the_words_of_the_guard(
    scene: Scene, change: str
) -> None:
    with pytest.raises(ImmutableRowError):
        CHANGES[change](scene.entry(0))
    policies.set_policy(
        name="of logins",
        ledger="activity",
        rule={"kind": "age", "days": 0},
        scope={"type": "auth.*"},
        kind="governance",
        by=scene.approver,
        reason="the rules",
        enabled=True,
    )
    error = refused(CHANGES[change], scene.entry(0))
    with pytest.raises(EntryLockedError) as guard:
        scene.amend(0)
    assert (error.entry, error.locks, error.reason) == (guard.value.entry, guard.value.locks, guard.value.reason)
    assert error.reason == "the retention policy of logins locks it, and has not come to it yet"


@pytest.mark.parametrize("change", CHANGES)
def test_without_a_lock_the_refusal_is_that_rows_stay(scene: Scene, change: str) -> None:
    made = scene.lock(2)
    entry = scene.entry(2)
    services.request_release(lock_id=made.pk, by=scene.officer, reason="over")
    services.release(lock_id=made.pk, by=scene.approver)
    assert entry.locked, "as memory has it"
    with pytest.raises(ImmutableRowError):
        CHANGES[change](entry)


def test_a_lock_whose_time_is_over_is_no_reason_any_more(scene: Scene) -> None:
    made = scene.lock(2, until=LATER)
    scene.age("log_locks", "until", made, by="60 days")
    with pytest.raises(ImmutableRowError):
        scene.entry(2).delete()
