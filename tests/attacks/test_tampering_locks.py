"""Locked entries, locks and overrides changed by somebody who owns the database: verify names the leaf, or the lock."""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from locking.models import LockOverride, LogLock
from tests.attacks.conftest import Attacked
from tests.attacks.tampering import LATER, Locked, assert_caught


@pytest.fixture
def locked(attacked: Attacked) -> Locked:
    return Locked(attacked)


def test_a_locked_entry_amended_without_an_override_is_named(locked: Locked) -> None:
    locked.amend(50)
    assert_caught("no override that another person approved is recorded", 50)


def test_an_override_that_was_never_asked_for_helps_nothing(locked: Locked) -> None:
    locked.amend(50, 7)
    assert_caught("no override", 50)


def test_an_override_of_another_entry_helps_nothing(locked: Locked) -> None:
    locked.amend(50, locked.override.pk)
    assert_caught("was not approved for this entry", 50)


def test_an_override_that_has_ended_helps_nothing_though_its_time_is_claimed(locked: Locked) -> None:
    locked.amend(61, locked.override.pk)
    assert_caught("had ended by then", 61)


def test_an_override_that_is_approved_afterwards_helps_nothing(locked: Locked) -> None:
    asked = locked.ask(62)
    locked.amend(62, asked.pk)
    locked.approve(asked)
    assert_caught("was approved after that", 62)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (datetime.now(UTC) - timedelta(hours=1), "a time before that of what was recorded before it"),
        (LATER + timedelta(days=1), "a time after that of what was recorded after it"),
    ],
    ids=["before", "when the lock is over"],
)
def test_a_time_that_the_ledger_contradicts_helps_nothing(locked: Locked, at: datetime, reason: str) -> None:
    locked.amend(300, at=at)
    assert_caught(reason, 300)


def test_compliance_knows_no_override(locked: Locked) -> None:
    locked.amend(300, locked.override.pk)
    assert_caught("nobody may change it in mode compliance", 300)


_RECORDS = "is not what its system entries say"
TABLES: dict[str, tuple[str, str, Callable[[Locked], int | None]]] = {
    "a lock is taken off its entry": (
        "UPDATE activity_logs SET locked = false, held_by = NULL, governance_until = NULL WHERE leaf_index = 50", "its row does not hold it so", lambda _: 50),
    "an amended entry is unlocked": (
        "UPDATE activity_logs SET locked = false, held_by = NULL, governance_until = NULL WHERE leaf_index = {amended}", "its row does not hold it so", lambda locked: locked.amended),
    "the time of a compliance lock is cut on the entry": (
        "UPDATE activity_logs SET compliance_until = now() WHERE leaf_index = 300", "its row does not hold it so", lambda _: 300),
    "a lock is shortened": ("UPDATE log_locks SET until = now() WHERE kind = 'compliance'", _RECORDS, lambda _: None),
    "a lock is made weaker": ("UPDATE log_locks SET kind = 'governance'", _RECORDS, lambda _: None),
    "a scope is narrowed": ("UPDATE log_locks SET scope = '{{\"leaf_from\": 301}}' WHERE kind = 'compliance'", _RECORDS, lambda _: None),
    "a lock is gone": ("DELETE FROM log_locks WHERE kind = 'compliance'", "is gone from its table", lambda _: None),
    "a lock is released": ("UPDATE log_locks SET state = 'released' WHERE kind = 'governance'", "is released, and no system entry says so", lambda _: None),
    "a lock has expired": ("UPDATE log_locks SET state = 'expired' WHERE kind = 'governance'", "is expired, and no system entry says so", lambda _: None),
    "a lock appears": (
        "INSERT INTO log_locks (ledger_id, kind, scope, reason, case_reference, locked_by, state, next_leaf, count, lifted_to) SELECT ledger_id, kind, "
        "scope, reason, case_reference, locked_by, 'in_force', 0, 0, 0 FROM log_locks LIMIT 1", "in no system entry", lambda _: None),
    "an override appears": (
        "INSERT INTO lock_overrides (requested_by, reason, case_reference, entries, hours, lifts_holds, state, used_count, decided_by, runs_until) SELECT "
        "requested_by, reason, case_reference, entries, 24, lifts_holds, 'approved', 0, 'mallory', now() + interval '1 day' FROM lock_overrides", "is in no system entry", lambda _: None),
    "an override is gone": ("DELETE FROM lock_overrides", "is gone from its table", lambda _: None),
    "somebody else asked": ("UPDATE lock_overrides SET requested_by = 'mallory'", _RECORDS, lambda _: None),
    "it was for other entries": ("UPDATE lock_overrides SET entries = ARRAY[gen_random_uuid()]", _RECORDS, lambda _: None),
    "an entry is open under an override that has ended": (
        "UPDATE activity_logs SET override_id = 1, override_until = now() + interval '1 minute' WHERE leaf_index = 61", "does not run for it", lambda _: 61),
    "an entry is open under an override that there is not": (
        "UPDATE activity_logs SET override_id = 7, override_until = now() + interval '1 minute' WHERE leaf_index = 50", "does not run for it", lambda _: 50),
    "an entry is held by a lock that there is not": (
        "UPDATE activity_logs SET held_by = array_append(held_by, 77) WHERE leaf_index = 50", "which no system entry tells of", lambda _: 50),
    "a lock is back-dated": ("UPDATE log_locks SET created_at = created_at - interval '1 year'", "did not begin, or come into force", lambda _: None),
    "a lock is in force earlier": ("UPDATE log_locks SET in_force_at = in_force_at - interval '1 year'", "did not begin, or come into force", lambda _: None),
    "a lock has another reason": ("UPDATE log_locks SET reason = 'another'", _RECORDS, lambda _: None),
    "a lock is being applied": ("UPDATE log_locks SET state = 'applying' WHERE kind = 'governance'", "is being applied, and no system entry", lambda _: None),
    "its release was asked for by another": ("UPDATE log_locks SET release_requested_by = 'mallory'", "no system entry says that mallory asked", lambda _: None),
    "its release was asked for otherwise": ("UPDATE log_locks SET release_reason = 'another'", "that olga asked for it so", lambda _: None),
    "its release was declined by another": ("UPDATE log_locks SET declined_by = 'mallory' WHERE state = 'released'", "declined by mallory, and no system entry", lambda _: None),
    "it was released by another": ("UPDATE log_locks SET released_by = 'mallory' WHERE state = 'released'", "was not released by mallory", lambda _: None),
    "an override has another reason": ("UPDATE lock_overrides SET reason = 'another'", _RECORDS, lambda _: None),
    "an override runs on": ("UPDATE lock_overrides SET state = 'approved'", "has ended, and is approved in its table", lambda _: None),
    "an override ran longer": ("UPDATE lock_overrides SET runs_until = runs_until + interval '1 day'", "runs longer than was approved", lambda _: None),
    "an override was decided by another": ("UPDATE lock_overrides SET decided_by = 'mallory'", "was approved, and no system entry says so", lambda _: None),
    "an override was denied": ("UPDATE lock_overrides SET state = 'denied', runs_until = NULL", "was denied, and no system entry says so", lambda _: None),
    "an override was reviewed by another": ("UPDATE lock_overrides SET reviewed_by = 'mallory'", "was reviewed, and no system entry says so", lambda _: None),
    "an override was never used": ("UPDATE lock_overrides SET used_count = 0", "was used 1 times, and its table says 0", lambda _: None),
}  # fmt: skip


@pytest.mark.parametrize("attack", TABLES)
def test_tables_are_compared_with_their_records_when(
    locked: Locked, attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("locking.verification.SLACK", timedelta())  # the override ended a moment ago
    statement, reason, leaf = TABLES[attack]
    locked.intruder("ALTER TABLE log_locks DROP CONSTRAINT release_by_two_people")
    locked.intruder(statement.format(amended=locked.amended))
    assert_caught(reason, leaf(locked))
    assert LogLock.objects.count() + LockOverride.objects.count() >= 3
