"""Locks against writes that begin in the same moment: nothing changes once the lock is committed.

Each shape runs 500 rounds of real sessions of the application's role, on an entry of its own each. What decides is not
the guard's word but the order of leaves: a lock, and the end of an override, say how many leaves the ledger had; a change
whose leaf is not among them came later. Where time decides, the database's clock is asked before the change.

The control of each shape is one round whose acts take turns: the change begins when the lock is in force, the deadline
over, the override ended, the release not yet given. With the guard it is refused; without it the shape reports it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Barrier, Condition
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from activity.services import record_many
from tests.attacks.locked_sql import COLUMNS, LAST_LEAF, LEDGER, amend, at, overridden, parts, remove
from tests.clusters import Database
from tests.locking.test_services import EVENT

ROUNDS = 500
PATIENCE = 60.0  # seconds that an act waits for its turn
Act = Callable[[], Any]
Shape = Callable[["Race", int], bool]


class Race:
    """Sessions that start at one moment, round after round."""

    def __init__(self, database: Database, pool: ThreadPoolExecutor) -> None:
        self.database = database
        self.lockers = [self._session(database.app(autocommit=False)) for _ in range(2)]
        self.writer = self._session(database.app(autocommit=False))
        self.approver = self._session(database.approver(autocommit=False))
        self.superuser = database.superuser()
        self._pool = pool
        self.turns: list[str] = []  # that are still to be taken, in this order; a race has none
        self._next = Condition()

    @staticmethod
    def _session(session: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
        session.execute("SET synchronous_commit = off")  # the order of commits is what counts here, not the disk
        session.commit()
        return session

    def start(self, *acts: Act) -> list[Any]:
        """Run acts side by side, from one moment on, and return what they return."""
        barrier = Barrier(len(acts))

        def run(act: Act) -> Any:
            barrier.wait()
            return act()

        return [each.result() for each in [self._pool.submit(run, act) for act in acts]]

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Do a part of an act at once in a race, and in a control when everything before it is done."""
        with self._next:
            assert self._next.wait_for(lambda: not self.turns or self.turns[0] == name, PATIENCE), self.turns
        yield
        with self._next:
            del self.turns[:1]
            self._next.notify_all()

    def lock(self, scope: dict[str, Any], *, locker: int = 0, chunk: int = 1_000) -> int:
        """Lock, a chunk at a time, and return how many leaves there were when the lock came into force."""
        with self.turn(f"lock {locker}"):
            return self._lock(scope, locker, chunk)

    def _lock(self, scope: dict[str, Any], locker: int, chunk: int) -> int:
        session = self.lockers[locker]
        (number,) = self.one(
            session,
            f"SELECT lock_start({LEDGER}::smallint, 'governance', %s::jsonb, 'r', '', NULL, 'olga', NULL)",
            json.dumps(scope),
        )
        session.commit()
        while True:
            (is_in_force,) = self.one(session, "SELECT now_in_force FROM lock_apply(%s, %s)", number, chunk)
            session.commit()
            if is_in_force:
                return int(self.one(session, "SELECT size FROM log_locks WHERE id = %s", number)[0])

    def write(self, statements: str) -> bool:
        """Change an entry, and tell whether it was done."""
        with self.turn("write"):
            try:
                self.writer.execute(statements.encode())
                self.writer.commit()
            except psycopg.Error as refused:
                self.writer.rollback()
                if refused.sqlstate != "AL002":
                    raise
                return False
            return True

    def leaf(self, entry: str) -> int:
        """Return the leaf at which an entry stands now."""
        return int(self.one(self.superuser, "SELECT leaf_index FROM activity_logs WHERE id = %s", entry)[0])

    def entry(self, leaf: int) -> str:
        return str(self.one(self.superuser, f"SELECT id FROM activity_logs WHERE {at(leaf)}")[0])

    def size(self, session: psycopg.Connection[Any] | None = None) -> int:
        query = f"SELECT size FROM ledger_heads WHERE ledger_id = {LEDGER}"
        return int(self.one(session or self.superuser, query)[0])

    def record(self, kind: str, subject: str) -> str:
        """Record a step of the approver, as the functions that weaken demand it, and return its id."""
        columns = ", ".join(name for name in COLUMNS if name not in {"id", "leaf_index", "type", "target", "actor"})
        source = "activity_logs WHERE signature IS NOT NULL AND revision = 1"
        self.superuser.execute(
            f"SELECT ledger_append(ledger_id, sha256('\\x00'::bytea || record), '{{}}') FROM {source} "
            "ORDER BY leaf_index LIMIT 1".encode()
        )
        return str(
            self.one(
                self.superuser,
                f"INSERT INTO activity_logs (id, leaf_index, type, target, actor, {columns}, locked) SELECT "
                f"gen_random_uuid(), {LAST_LEAF}, %s, %s, 'anton', {columns}, false FROM {source} "
                "ORDER BY leaf_index LIMIT 1 RETURNING id",
                kind,
                subject,
            )[0]
        )

    def approved(self, call: str, *parameters: Any) -> None:
        """Have the approver's role call a function."""
        self.approver.execute(f"SELECT {call}".encode(), parameters)
        self.approver.commit()

    @staticmethod
    def one(session: psycopg.Connection[Any], query: str, *parameters: Any) -> tuple[Any, ...]:
        row = session.execute(query.encode(), parameters or None).fetchone()
        assert row is not None
        return tuple(row)


def amended(leaf: int) -> str:
    """Return an amendment in the order of our services: the entry first, then the ledger."""
    return f"SELECT FROM activity_logs WHERE {at(leaf)} FOR UPDATE; {amend(leaf)}"


def removed(leaf: int) -> str:
    return f"SELECT FROM activity_logs WHERE {at(leaf)} FOR UPDATE; {remove(leaf)}"


def explicit_entries(race: Race, leaf: int) -> bool:
    entry = race.entry(leaf)
    size, done = race.start(lambda: race.lock({"entries": [entry]}), lambda: race.write(amended(leaf)))
    return bool(done and race.leaf(entry) >= size)


def removal(race: Race, leaf: int) -> bool:
    entry = race.entry(leaf)
    size, done = race.start(lambda: race.lock({"entries": [entry]}), lambda: race.write(removed(leaf)))
    return bool(done and race.leaf(entry) >= size)


def chunked(race: Race, leaf: int) -> bool:
    entry = race.entry(leaf)
    scope = {"leaf_from": leaf - 3, "leaf_to": leaf + 1}
    size, done = race.start(lambda: race.lock(scope, chunk=leaf - 2), lambda: race.write(amended(leaf)))
    return bool(done and race.leaf(entry) >= size)


def filter_and_ingest(race: Race, leaf: int) -> bool:
    """Record an entry and amend it at once, while everything from there on is being locked."""
    first = race.size()
    columns = ", ".join(name for name in COLUMNS if name not in {"id", "leaf_index", "record"})
    made = uuid4()
    record = f"convert_to(replace(convert_from(record, 'UTF8'), id::text, '{made}'), 'UTF8')"
    recorded = (
        f"SELECT ledger_append(ledger_id, sha256('\\x00'::bytea || {record}), '{{}}') FROM activity_logs WHERE {at(leaf)}; "
        f"INSERT INTO activity_logs (id, leaf_index, record, {columns}, locked) SELECT '{made}', {LAST_LEAF}, {record}, "
        f"{columns}, false FROM activity_logs WHERE {at(leaf)}"
    )
    size, _ = race.start(
        lambda: race.lock({"leaf_from": first}), lambda: race.write(recorded) and race.write(amended(first))
    )
    query = f"SELECT held_by IS NOT NULL, leaf_index FROM activity_logs WHERE ledger_id = {LEDGER} AND leaf_index >= %s"
    is_held, at_leaf = race.one(race.superuser, query, first)
    return bool(size > first and not (is_held and at_leaf < size))


def deadline(race: Race, leaf: int) -> bool:
    """Amend while the deadline of a retention policy passes, in a transaction that is older."""
    entry = race.entry(leaf)
    append, update = parts(leaf)
    race.writer.execute("SELECT 1")
    race.superuser.execute(
        "UPDATE activity_logs SET locks_at = clock_timestamp() + (%s * interval '1 microsecond') WHERE id = %s",
        [leaf * 7 % 3_000, entry],
    )
    asked: list[Any] = []

    def write() -> bool:
        with race.turn("append"):
            race.writer.execute(f"SELECT FROM activity_logs WHERE {at(leaf)} FOR UPDATE; {append}".encode())
        with race.turn("ask"):
            asked.append(race.writer.execute("SELECT clock_timestamp()").fetchone())
        return race.write(update)

    def wait() -> None:
        with race.turn("deadline"):
            race.superuser.execute("SELECT pg_sleep_until(locks_at) FROM activity_logs WHERE id = %s", [entry])

    done, _ = race.start(write, wait)
    row = race.superuser.execute("SELECT locks_at FROM activity_logs WHERE id = %s", [entry]).fetchone()
    assert row is not None
    return bool(done and asked[0][0] > row[0])


def release(race: Race, leaf: int) -> bool:
    """Release a lock while its entry is amended: the change comes after that, or is refused."""
    entry = race.entry(leaf)
    race.lock({"entries": [entry]})
    (number,) = race.one(race.superuser, "SELECT held_by[1] FROM activity_logs WHERE id = %s", entry)
    race.superuser.execute("SELECT lock_request_release(%s, 'olga', 'r')", [number])
    recorded = race.record("auditlog.lock.released", f"lock {number}")

    def give() -> None:
        with race.turn("release"):
            race.approved("lock_release(%s, 'anton', %s::uuid)", number, recorded)
            race.lockers[0].execute("SELECT lock_lift(%s, 100000)", [number])
            race.lockers[0].commit()

    def write() -> Any:
        done = race.write(amended(leaf))
        with race.turn("ask"):
            (now,) = race.one(race.superuser, "SELECT clock_timestamp()")
        return now if done else None

    _, changed_at = race.start(give, write)
    (released_at,) = race.one(race.superuser, "SELECT released_at FROM log_locks WHERE id = %s", number)
    return changed_at is not None and bool(changed_at < released_at)


def override_end(race: Race, leaf: int) -> bool:
    """End an override while its entry is amended under it."""
    entry = race.entry(leaf)
    race.lock({"entries": [entry]})
    query = "SELECT override_request('olga', 'r', '', ARRAY[%s]::uuid[], 1, false)"
    (number,) = race.one(race.superuser, query, entry)
    recorded = race.record("auditlog.override.approved", f"override {number}")
    race.approved("override_decide(%s, 'anton', true, %s::uuid)", number, recorded)

    def end() -> int:
        with race.turn("end"):
            race.lockers[0].execute("SELECT override_end(%s)", [number])
            size = race.size(race.lockers[0])
            race.lockers[0].commit()
            return size

    under = f"SELECT FROM activity_logs WHERE {at(leaf)} FOR UPDATE; {overridden(str(number))(leaf)}"
    size, done = race.start(end, lambda: race.write(under))
    return bool(done and race.leaf(entry) >= size)


def two_lockers(race: Race, leaf: int) -> bool:
    entry = race.entry(leaf)
    scope = {"entries": [entry]}
    one, other, done = race.start(
        lambda: race.lock(scope), lambda: race.lock(scope, locker=1), lambda: race.write(amended(leaf))
    )
    (held,) = race.one(race.superuser, "SELECT cardinality(held_by) FROM activity_logs WHERE id = %s", entry)
    return bool(held != 2 or (done and race.leaf(entry) >= min(one, other)))


# Each shape, and the turns of its control.
SHAPES: dict[str, tuple[Shape, tuple[str, ...]]] = {
    "explicit entries": (explicit_entries, ("lock 0", "write")),
    "removal": (removal, ("lock 0", "write")),
    "chunks": (chunked, ("lock 0", "write")),
    "filter, with ingest": (filter_and_ingest, ("write", "lock 0", "write")),
    "deadline of a policy": (deadline, ("append", "deadline", "ask", "write")),
    "release": (release, ("lock 0", "write", "ask", "release")),
    "end of an override": (override_end, ("lock 0", "end", "write")),
    "two lockers": (two_lockers, ("lock 0", "lock 1", "write")),
}


@pytest.fixture
def race(fresh_database: Database) -> Iterator[Race]:
    record_many([replace(EVENT, event_id=f"race-{number}") for number in range(ROUNDS + 20)])
    with ThreadPoolExecutor(3) as pool:
        yield Race(fresh_database, pool)


def leaves(race: Race) -> list[int]:
    rows = race.superuser.execute(
        f"SELECT leaf_index FROM activity_logs WHERE ledger_id = {LEDGER} AND leaf_index >= 20 "
        "AND signature IS NOT NULL AND NOT starts_with(type, 'auditlog.') ORDER BY 1".encode()
    ).fetchall()
    return [leaf for (leaf,) in rows][:ROUNDS]


def test_there_are_8_shapes() -> None:
    assert len(SHAPES) == 8


def without(race: Race, *guards: str) -> None:
    for guard in guards:
        race.superuser.execute(f"ALTER TABLE activity_logs DISABLE TRIGGER {guard}".encode())


def prepare(race: Race, shape: str) -> None:
    if shape == "deadline of a policy":  # which a round sets behind the back of the policies; the guard stays
        without(race, "lock_state")


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_changes_once_a_lock_is_committed(race: Race, shape: str) -> None:
    prepare(race, shape)
    tried = leaves(race)
    assert len(tried) == ROUNDS
    assert sum(SHAPES[shape][0](race, leaf) for leaf in tried) == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_without_the_guard_a_change_that_came_later_is_seen(race: Race, shape: str) -> None:
    prepare(race, shape)
    play, turns = SHAPES[shape]
    seen = []
    for leaf, guards in zip(leaves(race), ((), ("a_locked_by_rule",)), strict=False):
        without(race, *guards)
        race.turns = list(turns)
        seen.append(play(race, leaf))
        assert race.turns == []
    assert seen == [False, True]
