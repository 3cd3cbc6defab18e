"""Ways to free what is past a deadline of a policy and in no lock yet, by SQL as the approver's role; none succeeds.

The record of the step is there, as a crash of the application leaves it, or somebody who has the web process makes it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest

from activity.errors import EntryLockedError
from activity.recording import Receipt
from activity.services import record, record_step
from locking import due, policies, services
from locking.models import LockPolicy, LogLock
from tests.attacks.intruder import assert_clean
from tests.clusters import Database
from tests.locking.earlier import record_earlier
from tests.locking.test_policies import policy
from tests.locking.test_services import EVENT, Scene

AGE = {"kind": "age", "days": 0}
SCOPE = {"source": "vault"}
LATEST = "2999-01-01T00:00:00.000000Z"
CHANGES: dict[str, dict[str, Any]] = {
    "disable it": {"enabled": False},
    "move its deadline": {"rule": {"kind": "age", "days": 3000}},
    "have it wait for a month": {"rule": {"kind": "period", "period": "month", "days": 0}},
    "have it wait for an event": {"rule": {"kind": "event", "type": "x.y", "sources": ["grc"]}},
    "narrow it": {"scope": SCOPE | {"type": "x.y"}},
    "weaken its locks": {"kind": "governance"},
    "shorten its locks": {"lock_days": 1},
}
# Locks that the app role begins so that it looks as if everything was locked; and why they do not count: a condition in
# policy_left_out, and what stands for it when it is gone.
PRETENCES: dict[str, tuple[dict[str, Any], str, str]] = {
    "of another filter": (
        {"scope": SCOPE | {"actor": "nobody"}},
        "k.scope - times = p.scope - times",
        "true",
    ),
    "of a window that leaves it out": ({"scope": SCOPE | {"recorded_from": LATEST}}, "l.first <= reached", "true"),
    "of a window that has ended": (
        {"scope": SCOPE | {"recorded_to": "2020-01-01T00:00:00.000000Z"}},
        "least((k.scope ->> 'recorded_to')::timestamptz, k.created_at)",
        "k.created_at",
    ),
    "of another kind": ({"kind": "governance"}, "k.kind = p.kind", "true"),
    "that is over in a minute": (
        {"until": "now() + interval '1 minute'"},
        "k.until >= k.created_at + (p.lock_days * 24 - 1) * interval '1 hour'",
        "true",
    ),
    "that belongs to no policy": ({"policy": "NULL"}, "k.policy_id = p.id", "true"),
    "that is not applied": ({"applied": False}, "k.state <> 'applying'", "true"),
}
_SOURCE = "SELECT pg_get_functiondef('public.policy_left_out(bigint,timestamptz)'::regprocedure)"


class Set:
    """A policy that is enabled, an entry that is past its deadline for two minutes, and a session of the approver's role."""

    def __init__(self, database: Database) -> None:
        self.scene = Scene(database)
        self.policy = policy(self.scene, AGE, scope=SCOPE, kind="compliance", lock_days=2192)
        policies.run_all()
        self.record_due("due")
        self.session = database.approver(autocommit=False)

    def record_due(self, name: str) -> None:
        """Record an entry that is past the deadline."""
        self.due = record_earlier(replace(EVENT, source="vault", event_id=name), timedelta(minutes=2))

    def record_step(self) -> str:
        """Record that the policy is set."""
        return record_step(kind="lock-policy.set", target="yearly", by="anton", data={}).id

    def set(self, record: str | UUID, **changes: Any) -> None:
        """Set the policy as the approver's role, in SQL."""
        was = {name: getattr(self.policy, name) for name in ("rule", "scope", "kind", "lock_days")} | {"enabled": True}
        new = was | changes
        self.session.execute(
            "SELECT public.policy_set('yearly', %s::smallint, %s, %s::jsonb, %s::jsonb, %s, %s, 'anton', %s::uuid)",
            [
                self.policy.ledger_id,
                new["enabled"],
                orjson.dumps(new["rule"]).decode(),
                orjson.dumps(new["scope"]).decode(),
                new["kind"],
                new["lock_days"],
                record,
            ],
        )
        self.session.commit()

    def assert_refused(self, reason: str = "in no lock of it yet", **changes: Any) -> None:
        """Try it: the database refuses, and the entry stays as it was."""
        recorded = self.record_step()
        with pytest.raises(psycopg.Error, match=reason) as refused:
            self.set(recorded, **changes)
        self.session.rollback()
        assert refused.value.sqlstate == "AL006"
        with pytest.raises(EntryLockedError):
            self.amend()

    def pretend(
        self,
        scope: Any = SCOPE,
        kind: str = "compliance",
        until: str = "NULL",
        policy: str = "(SELECT id FROM lock_policies)",
        *,
        applied: bool = True,
    ) -> None:
        """Begin a lock as the app role."""
        with self.scene.database.app() as app:
            begin = f"SELECT lock_start(%s::smallint, %s, %s::jsonb, 'r', '', {until}, 'eve', {policy})"
            row = app.execute(begin.encode(), [self.policy.ledger_id, kind, orjson.dumps(scope).decode()]).fetchone()
            if applied:
                app.execute("SELECT lock_apply(%s, 1000000)", row)

    def weaken(self, condition: str, without: str) -> None:
        """Take a condition out of the function that says what is left out."""
        superuser = self.scene.database.superuser()
        (source,) = superuser.execute(_SOURCE).fetchone() or ("",)
        assert condition in source
        superuser.execute(source.replace(condition, without).encode())

    def amend(self) -> None:
        """Amend the entry that is due."""
        self.scene.receipts[0] = self.due
        self.scene.amend(0)


@pytest.fixture
def made(fresh_database: Database) -> Set:
    return Set(fresh_database)


@pytest.mark.parametrize("change", CHANGES)
def test_the_approvers_role_frees_nothing_that_is_due(made: Set, change: str) -> None:
    made.assert_refused(**CHANGES[change])
    assert LockPolicy.objects.get().set_record == made.policy.set_record
    due.lock_due(LockPolicy.objects.get())
    made.set(made.record_step(), **CHANGES[change])
    policies.run_all()
    with pytest.raises(EntryLockedError, match="compliance"):
        made.amend()


def test_a_policy_that_stays_as_it_is_can_be_set_again(made: Set) -> None:
    made.set(made.record_step())
    with pytest.raises(EntryLockedError):
        made.amend()


@pytest.mark.parametrize("pretence", PRETENCES)
def test_a_lock_does_not_count(made: Set, pretence: str) -> None:
    how, condition, without = PRETENCES[pretence]
    made.pretend(**how)
    made.record_due("another")
    made.assert_refused(enabled=False)
    made.weaken(condition, without)
    made.set(made.record_step(), enabled=False)


def test_a_lock_does_not_count_for_what_is_recorded_after_it(made: Set) -> None:
    made.pretend(scope=SCOPE | {"recorded_to": LATEST})
    superuser = made.scene.database.superuser()
    superuser.execute("ALTER TABLE log_locks DISABLE TRIGGER USER")
    superuser.execute("UPDATE log_locks SET created_at = created_at - interval '2 hours'")
    superuser.execute("ALTER TABLE log_locks ENABLE TRIGGER USER")
    made.record_due("another")
    made.assert_refused(enabled=False)
    made.weaken(", k.created_at)", ")")
    made.set(made.record_step(), enabled=False)


def test_the_cursor_does_not_count(made: Set) -> None:
    with made.scene.database.app() as app:
        app.execute(b"SELECT policy_advance(id, next_leaf, next_leaf, done, '2999') FROM lock_policies")
    made.assert_refused(enabled=False)


def test_a_snapshot_from_before_the_entry_does_not_help(fresh_database: Database) -> None:
    made = Set(fresh_database)
    recorded = made.record_step()
    due.lock_due(LockPolicy.objects.get())
    made.session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    with pytest.raises(psycopg.Error, match="reads what is committed") as refused:
        made.set(recorded, enabled=False)
    assert refused.value.sqlstate == "AL006"


def test_the_service_locks_what_is_due_and_then_disables(made: Set) -> None:
    policy(made.scene, AGE, scope=SCOPE, kind="compliance", lock_days=2192, enabled=False)
    with pytest.raises(EntryLockedError, match="compliance"):
        made.amend()
    assert_clean()


def test_what_becomes_due_while_a_large_lock_is_applied_is_locked_after_it(
    made: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = services.advance

    def slowly(**how: Any) -> LogLock:
        applied = apply(**how)
        if applied.state == LogLock.State.IN_FORCE and not late:
            late.append(record(replace(EVENT, source="vault", event_id="late")))
        return applied

    late: list[Receipt] = []
    monkeypatch.setattr(services, "advance", slowly)
    monkeypatch.setattr(due, "_JUST_NOW", timedelta())
    due.lock_due(LockPolicy.objects.get())
    made.due = late[0]
    with pytest.raises(EntryLockedError, match="compliance"):
        made.amend()
