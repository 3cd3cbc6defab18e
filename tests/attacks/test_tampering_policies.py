"""Lock policies that somebody who owns the database edits, removes or leads past what they lock: verify says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest

from activity.services import record
from activity.timestamps import timestamp
from locking import due, policies, services
from locking.models import LockPolicy, LogLock
from signing.ledger import sign_checkpoint
from signing.queries import ledger_named
from tests.attacks.conftest import Attacked, another_event
from tests.attacks.intruder import assert_clean, verify
from tests.attacks.tampering import Locked, assert_caught
from tests.locking.earlier import clock_of

RULES: dict[str, dict[str, Any]] = {
    "aged": {"kind": "age", "days": 9000},
    "grown": {"kind": "count", "entries": 100},
    "asked": {"kind": "event", "type": "audit.completed", "sources": ["grc"]},
}
AUDITED = replace(another_event(1), type="audit.completed", source="grc", event_id="audit-1")


class Policed(Locked):
    """With three policies of an empty effect: they lock entries of a type that nobody recorded."""

    def __init__(self, attacked: Attacked, **scopes: dict[str, Any]) -> None:
        super().__init__(attacked)
        self._guards(on=True)
        for name, rule in RULES.items():
            self.set_policy(name, rule, scopes.get(name, {"type": "nobody.recorded-it"}))
        self._guards(on=False)

    def set_policy(self, name: str, rule: dict[str, Any], scope: dict[str, Any], kind: str = "governance") -> None:
        policies.set_policy(
            name=name,
            ledger="activity",
            rule=rule,
            scope=scope,
            kind=kind,
            by=self.approver,
            reason="the rules",
            enabled=True,
        )

    def run(self) -> None:
        self._guards(on=True)
        policies.run_all()
        self._guards(on=False)
        sign_checkpoint(ledger_named("activity"))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge what came right after a policy was set, too."""
    for module in ("locking.verification.policies", "locking.verification", "locking.verification.rows"):
        monkeypatch.setattr(f"{module}.SLACK", timedelta(seconds=1) if module.endswith("rows") else timedelta())


ROWS = {
    "it is gone": ("DELETE FROM lock_policies WHERE name = 'aged'", "aged is gone from its table"),
    "it is disabled": ("UPDATE lock_policies SET enabled = false WHERE name = 'aged'", "aged is not what"),
    "it is late": ("UPDATE lock_policies SET rule = '{\"kind\": \"age\", \"days\": 9001}' WHERE name = 'aged'", "aged is not"),
    "it is narrowed": ("UPDATE lock_policies SET scope = '{\"type\": \"x\"}' WHERE name = 'grown'", "grown is not what"),
    "another set it": ("UPDATE lock_policies SET set_by = 'mallory' WHERE name = 'asked'", "asked is not what"),
    "its day is done": ("UPDATE lock_policies SET done = '9000-01-01' WHERE name = 'aged'", "is said to have locked up to"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ROWS)
def test_a_policy_is_compared_with_its_record_when(attacked: Attacked, attack: str) -> None:
    made = Policed(attacked)
    made.run()
    made.intruder("SELECT pg_sleep(1)")  # a policy may be a second younger than its record
    assert_clean()
    statement, reason = ROWS[attack]
    made.intruder(statement)
    assert_caught(reason)


def test_a_deadline_that_is_taken_off_an_entry_is_noticed(attacked: Attacked) -> None:
    made = Policed(attacked, aged={})
    made.run()
    assert_clean()
    made.intruder("UPDATE activity_logs SET locks_at = NULL WHERE leaf_index = 70")
    assert_caught("its row does not carry the deadline", 70)


def test_a_cursor_that_skipped_entries_is_noticed(attacked: Attacked) -> None:
    made = Policed(attacked, aged={"leaf_from": 70, "leaf_to": 75})
    assert_clean()
    made.intruder("UPDATE lock_policies SET next_leaf = 73 WHERE name = 'aged'")
    assert_caught("its row does not carry the deadline", 72)


def test_a_cursor_that_skipped_growth_is_noticed(attacked: Attacked) -> None:
    made = Policed(attacked)
    assert_clean()
    made.intruder("UPDATE lock_policies SET next_leaf = 1000 WHERE name = 'grown'")
    assert_caught("has passed it, and began no lock for it", 0)


def test_a_cursor_that_skipped_an_event_is_noticed(attacked: Attacked) -> None:
    made = Policed(attacked)
    made._guards(on=True)
    obeyed = record(AUDITED).leaf_index
    made.run()
    assert_clean()
    skipped = record(replace(AUDITED, event_id="audit-2")).leaf_index
    made.intruder("UPDATE lock_policies SET next_leaf = %s WHERE name = 'asked'", skipped + 1)
    assert_caught("has passed this event, and began no lock for it", skipped)
    assert obeyed < skipped


# Locks that somebody begins so that it looks as if nothing was left out.
PRETENCES: dict[str, dict[str, Any]] = {
    "": {},
    "of another filter": {"scope": {"leaf_from": 80, "leaf_to": 81}},
    "of another kind": {"kind": "hold"},
    "that is over in a minute": {"minutes": 1},
}


@pytest.mark.parametrize("pretence", PRETENCES)
@pytest.mark.parametrize("role", ["superuser", "auditlog_app"])
def test_what_is_due_and_was_passed_over_by_the_locks_of_two_days_is_named(
    attacked: Attacked, role: str, pretence: str
) -> None:
    made = Policed(attacked)
    for name, leaf in (("kept", 70), ("skipped", 80)):
        made._guards(on=True)
        made.set_policy(name, {"kind": "age", "days": 0}, {"leaf_from": leaf, "leaf_to": leaf + 2})
    made.run()
    assert_clean()
    made._guards(on=True)
    if pretence:
        how: dict[str, Any] = {"scope": {"leaf_from": 80, "leaf_to": 82}, "kind": "governance"} | PRETENCES[pretence]
        begin("skipped", **how)
    skip_a_day(attacked, role)
    assert_caught("past the deadline of the lock policy skipped, which has passed it, and in no lock of it", 80)
    assert {each["leaf_index"] for each in verify().findings()} == {80, 81}


def test_a_lock_that_ends_in_the_future_does_not_hide_what_is_recorded_after_it(attacked: Attacked) -> None:
    made = Policed(attacked)
    made._guards(on=True)
    made.set_policy("skipped", {"kind": "age", "days": 0}, {"source": "vault"})
    made.run()
    made._guards(on=True)
    begin("skipped", scope={"source": "vault", "recorded_to": "2999-01-01T00:00:00.000000Z"})
    left_out = record(replace(another_event(2), source="vault")).leaf_index
    skip_a_day(attacked, "auditlog_app")
    assert_caught("past the deadline of the lock policy skipped, which has passed it, and in no lock of it", left_out)


def begin(name: str, *, scope: dict[str, Any], kind: str = "governance", minutes: int | None = None) -> None:
    """Begin a lock of a policy, and apply it."""
    policy = LockPolicy.objects.select_related("ledger").get(name=name)
    until = None if minutes is None else datetime.now(UTC) + timedelta(minutes=minutes)
    lock = services.start(
        ledger=policy.ledger, scope=scope, kind=kind, reason="r", by="eve", until=until, policy=policy
    )
    services.advance(lock_id=lock.pk, chunks=1)


def skip_a_day(attacked: Attacked, role: str) -> None:
    """Lead a policy past a day, and let it lock what comes the day after."""
    tomorrow = timestamp((datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0))
    moved = "SELECT policy_advance(id, next_leaf, next_leaf, done, %s) FROM lock_policies WHERE name = 'skipped'"
    if role == "superuser":
        moved = "UPDATE lock_policies SET done = %s WHERE name = 'skipped'"
    with attacked.database.connect(role) as session:
        session.execute(moved.encode(), [tomorrow])
    for days in (1, 2):
        with patch("locking.due.datetime", clock_of(days)):
            for policy in LockPolicy.objects.filter(rule__days=0):  # of the others nothing is due before its day
                policies.run(policy)
            due.apply(LogLock.objects.all())
    sign_checkpoint(ledger_named("activity"))


def test_what_was_changed_past_a_deadline_is_named(attacked: Attacked) -> None:
    made = Policed(attacked)
    made.set_policy("now", {"kind": "age", "days": 0}, {"leaf_from": 70, "leaf_to": 71})
    made.amend(71)
    made.amend(70)
    assert_caught("after the lock policy now had locked it", 70)


@pytest.mark.parametrize("kind", ["governance", "compliance"])
def test_an_override_excuses_a_change_past_a_deadline_but_not_in_mode_compliance(attacked: Attacked, kind: str) -> None:
    made = Policed(attacked)
    asked = made.ask(61)
    made.approve(asked)
    made.set_policy("now", {"kind": "age", "days": 0}, {"leaf_from": 61, "leaf_to": 62}, kind)
    made.amend(61, asked.pk)
    if kind == "compliance":
        assert_caught("after the lock policy now had locked it", 61)
    else:
        assert not [reason for reason in verify().alarms() if "the lock policy" in reason]
