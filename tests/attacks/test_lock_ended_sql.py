"""Ways to free an entry of the deadline of a policy that has not locked it; none succeeds.

What frees it is that a lock of the policy has held it and has ended (tests/locking/test_lock_ended.py). The app role begins
locks in the name of any policy, and ends what is over. Those here are over, too: but they were shorter than the policy asks,
of another kind or filter, or from before the entry was past its deadline.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import psycopg
import pytest

from activity.errors import EntryLockedError
from activity.timestamps import timestamp
from locking import policies
from locking.models import LogLock
from tests.clusters import Database
from tests.locking.earlier import record_earlier
from tests.locking.test_policies import policy
from tests.locking.test_services import EVENT, Scene

SCOPE = {"source": "vault"}
FILTER = "k.scope - ARRAY['recorded_from', 'recorded_to'] = p.scope - ARRAY['recorded_from', 'recorded_to']"
LENGTH = "k.created_at + (p.lock_days * 24 - 1) * interval '1 hour'"
# What is wrong with a lock, the condition of lock_owed that it does not meet, and what stands for that when it is gone.
PRETENCES: dict[str, tuple[dict[str, Any], str, str]] = {
    "of another filter": ({"scope": SCOPE | {"action": "sign in"}}, FILTER, "true"),
    "of another kind": ({"kind": "hold", "until": "NULL"}, "k.kind = p.kind", "true"),
    "of a minute": ({"until": "now() + interval '1 minute'"}, f"k.until >= {LENGTH}", "true"),
    "with an end, of a policy without one": ({"lock_days": None}, LENGTH, "k.created_at"),
    "of another policy": ({"of": "other"}, "k.policy_id = p.id", "true"),
    "from before it was recorded": ({"is_recorded_after": True}, "entry.recorded_at < k.created_at", "true"),
}


class Attack:
    """A policy that locks for thirty days, and an entry that is past its deadline and in no lock of it."""

    def __init__(self, database: Database, lock_days: int | None = 30, days: int = 0) -> None:
        self.scene, self.superuser = Scene(database), database.superuser()
        policy(self.scene, {"kind": "age", "days": days}, scope=SCOPE, lock_days=lock_days)
        self.record("due", timedelta(days=days, minutes=2))

    def record(self, name: str, ago: timedelta = timedelta()) -> None:
        """Record an entry, and have the policy come to it."""
        self.scene.receipts[0] = record_earlier(replace(EVENT, source="vault", event_id=name), ago)
        policies.run_all()

    def begin(
        self,
        scope: Any = SCOPE,
        kind: str = "governance",
        until: str = "now() + interval '30 days'",
        of: str = "yearly",
    ) -> int:
        """Begin a lock in the name of a policy, as the app role."""
        number: int = self.app(
            f"SELECT lock_start(l.id, %s, %s::jsonb, 'r', '', {until}, 'eve', (SELECT id FROM lock_policies WHERE name = %s)) "
            "FROM ledgers l WHERE l.name = 'activity'",
            [kind, orjson.dumps(scope).decode(), of],
        )
        return number

    def end(self, lock: int) -> None:
        """Apply a lock and lift it as the app role; in between its time passes."""
        self.app("SELECT lock_apply(%s, 1000000)", [lock])
        assert self.scene.entry(0).held_by == [lock]
        self.superuser.execute("ALTER TABLE log_locks DISABLE TRIGGER stronger_only")
        self.superuser.execute("UPDATE log_locks SET state = 'expired' WHERE id = %s", [lock])
        self.app("SELECT lock_lift(%s, 1000000)", [lock])
        self.superuser.execute("ALTER TABLE log_locks ENABLE ALWAYS TRIGGER stronger_only")
        assert self.scene.entry(0).held_by is None

    def app(self, statement: str, parameters: list[Any]) -> Any:
        """Run a statement as the app role and return what it gives."""
        with self.scene.database.app() as app:
            row = app.execute(statement.encode(), parameters).fetchone()
        return None if row is None else row[0]

    def weaken(self, function: str, condition: str, without: str) -> None:
        """Take a condition out of a function."""
        row = self.superuser.execute(
            "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = %s", [function]
        ).fetchone()
        assert row is not None
        assert condition in row[0]
        self.superuser.execute(row[0].replace(condition, without).encode())

    def assert_refused(self) -> None:
        """Try to amend the entry."""
        with pytest.raises(EntryLockedError, match="a retention policy locks it since"):
            self.scene.amend(0)


@pytest.mark.parametrize("pretence", PRETENCES)
def test_a_lock_that_has_ended_frees_nothing(fresh_database: Database, pretence: str) -> None:
    how, condition, without = PRETENCES[pretence]
    lock = {name: value for name, value in how.items() if name in {"scope", "kind", "until", "of"}}
    made = Attack(fresh_database, how.get("lock_days", 30))
    policies.set_policy(
        name="other",
        ledger="activity",
        rule={"kind": "age", "days": 0},
        scope=SCOPE,
        kind="governance",
        lock_days=30,
        by=made.scene.approver,
        reason="the rules",
    )
    number = made.begin(**lock)
    if "is_recorded_after" in how:
        made.record("after")
    made.end(number)
    assert made.scene.entry(0).was_held_by == [number]
    made.assert_refused()
    made.weaken("lock_owed", condition, without)
    made.superuser.execute("UPDATE activity_logs SET locks_at = '2999-01-01' WHERE locks_at IS NOT NULL")
    made.scene.amend(0)


def test_a_lock_of_the_policy_does(fresh_database: Database) -> None:
    made = Attack(fresh_database)
    made.end(made.begin())
    made.scene.amend(0)


@pytest.mark.parametrize("recorded_to", [None, timedelta(), timedelta(days=-29), timedelta(days=40)], ids=str)
def test_a_policy_locks_nothing_before_its_deadline(fresh_database: Database, recorded_to: timedelta | None) -> None:
    """A lock that ends when the deadline comes would leave what the policy locks from then on."""
    made = Attack(fresh_database, days=30)
    made.record("young")
    now = datetime.now(UTC)
    scope = SCOPE if recorded_to is None else SCOPE | {"recorded_to": timestamp(now + recorded_to)}
    with pytest.raises(psycopg.Error, match="locks what is past its deadline") as refused:
        made.begin(scope)
    assert refused.value.sqlstate == "AL006"
    assert not LogLock.objects.filter(locked_by="eve").exists()
    made.begin(SCOPE | {"recorded_to": timestamp(now - timedelta(days=30))})
    made.weaken("lock_start", "> clock_timestamp()) IS NOT TRUE", "IS NOT NULL)")
    made.begin(scope)


def test_the_owner_does_not_write_what_has_held_an_entry(fresh_database: Database) -> None:
    made = Attack(fresh_database)
    made.end(made.begin())
    made.record("later", timedelta(minutes=1))
    write = "UPDATE activity_logs SET locks_at = NULL, was_held_by = ARRAY(SELECT id FROM log_locks) WHERE id = %s"
    for session in (fresh_database.owner(), made.superuser):
        session.execute(write.encode(), [made.scene.entry(0).pk])
    assert made.scene.entry(0).was_held_by is None
    made.assert_refused()
    made.weaken("entry_lock_state", "NEW.was_held_by := OLD.was_held_by;", "")
    made.superuser.execute(write.encode(), [made.scene.entry(0).pk])
    made.scene.amend(0)
