"""Locked entries, locks and overrides changed by somebody who owns the database: verify names the leaf, or the lock."""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from activity.amending import amend
from activity.models import ActivityLog
from locking import services
from locking.models import LockOverride, LogLock
from signing.ledger import sign_checkpoint
from signing.queries import ledger_named
from tests.attacks.conftest import Attacked
from tests.attacks.intruder import Intruder, amendment, assert_clean, of, verify
from tests.locking.people import approver, officer

ACTIVITY = of("activity")
LATER = datetime.now(UTC) + timedelta(days=30)
GUARDS = (
    ("activity_logs", "archived"),
    ("activity_logs", "lock_state"),
    ("activity_logs", "override_used"),
    ("activity_revisions", "kept"),
)


class Locked:
    """An attacked ledger: 50 under governance, 300 under compliance, 60 amended under an override; guards are off again."""

    def __init__(self, attacked: Attacked) -> None:
        self.intruder: Intruder = attacked.intruder
        self._guards(on=True)
        keeper, other = officer(), approver()
        ids = {entry.leaf_index: entry.pk for entry in ActivityLog.objects.filter(leaf_index__in=[50, 60, 300])}
        self.governance = services.lock(
            ledger="activity", scope={"entries": [str(ids[50]), str(ids[60])]}, kind="governance", reason="r", by=keeper
        )
        self.compliance = services.lock(
            ledger="activity",
            scope={"leaf_from": 300, "leaf_to": 301},
            kind="compliance",
            reason="r",
            by=keeper,
            until=LATER,
        )
        self.override = services.request_override(entries=[ids[60]], hours=1, by=keeper, reason="r")
        services.decide_override(override_id=self.override.pk, approve=True, by=other, reason="r")
        self.amended = amend(entry_id=ids[60], changes={"target": "x"}, by=keeper, reason="r").leaf_index
        services.end_override(override_id=self.override.pk, by="olga")
        services.review_override(override_id=self.override.pk, by=other, note="fine")
        sign_checkpoint(ledger_named("activity"), force_anchor=True)
        assert_clean()
        self._guards(on=False)

    def _guards(self, *, on: bool) -> None:
        for table, guard in GUARDS:
            self.intruder(f"ALTER TABLE {table} {'ENABLE ALWAYS' if on else 'DISABLE'} TRIGGER {guard}")

    def amend(self, leaf: int, override: str = "") -> None:
        """Amend as our services do, the archive included, but for the guard that is off."""
        self.intruder("ALTER TABLE activity_logs ENABLE ALWAYS TRIGGER archived")
        named = '"by":"eve",' + (f'"override":{override},' if override else "")
        size = verify().reports["activity"]["size"]
        self.intruder(
            amendment(
                leaf,
                next_leaf=size,
                record=f"replace({{record}}, '\"by\":\"eve\",', '{named}')",
                signature="NULL",
                key_id="NULL",
            )
        )
        sign_checkpoint(ledger_named("activity"))


@pytest.fixture
def locked(attacked: Attacked) -> Locked:
    return Locked(attacked)


def _caught(reason: str, leaf: int | None = None) -> None:
    found = verify()
    named = [each["leaf_index"] for each in found.findings() if reason in each["reason"]]
    assert (found.exit_code, found.outcome) == (1, "tampered")
    assert leaf in named, found.alarms()


def test_a_locked_entry_amended_without_an_override_is_named(locked: Locked) -> None:
    locked.amend(50)
    _caught("no override that another person approved is recorded", 50)


@pytest.mark.parametrize("number", ["7", "{own}"])
def test_an_override_that_was_never_asked_for_or_names_another_entry_helps_nothing(locked: Locked, number: str) -> None:
    locked.amend(50, number.format(own=locked.override.pk))
    _caught("no override" if number == "7" else "was not approved for this entry", 50)


def test_compliance_knows_no_override(locked: Locked) -> None:
    locked.amend(300, str(locked.override.pk))
    _caught("nobody may change it in mode compliance", 300)


def test_what_was_amended_under_an_override_is_covered_by_its_lock_still(locked: Locked) -> None:
    locked.intruder("UPDATE lock_overrides SET hours = 2")
    _caught("is not what its system entries say")


TABLES: dict[str, tuple[str, str, Callable[[Locked], int | None]]] = {
    "a lock is taken off its entry": (
        "UPDATE activity_logs SET locked = false, held_by = NULL, governance_until = NULL WHERE leaf_index = 50", "its row does not hold it so", lambda _: 50),
    "an amended entry is unlocked": (
        "UPDATE activity_logs SET locked = false, held_by = NULL, governance_until = NULL WHERE leaf_index = {amended}", "its row does not hold it so", lambda locked: locked.amended),
    "the time of a compliance lock is cut on the entry": (
        "UPDATE activity_logs SET compliance_until = now() WHERE leaf_index = 300", "its row does not hold it so", lambda _: 300),
    "a lock is shortened": ("UPDATE log_locks SET until = now() WHERE kind = 'compliance'", "is not what its system entries say", lambda _: None),
    "a lock is made weaker": ("UPDATE log_locks SET kind = 'governance'", "is not what its system entries say", lambda _: None),
    "a scope is narrowed": ("UPDATE log_locks SET scope = '{{\"leaf_from\": 301}}' WHERE kind = 'compliance'", "is not what its system entries say", lambda _: None),
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
    "somebody else asked": ("UPDATE lock_overrides SET requested_by = 'mallory'", "is not what its system entries say", lambda _: None),
    "it was for other entries": ("UPDATE lock_overrides SET entries = ARRAY[gen_random_uuid()]", "is not what its system entries say", lambda _: None),
}  # fmt: skip


@pytest.mark.parametrize("attack", TABLES)
def test_tables_are_compared_with_their_records_when(locked: Locked, attack: str) -> None:
    statement, reason, leaf = TABLES[attack]
    locked.intruder(statement.format(amended=locked.amended))
    _caught(reason, leaf(locked))
    assert LogLock.objects.count() + LockOverride.objects.count() >= 2
