"""Locking by filter against a plain UPDATE of the same rows, ingest meanwhile, and what the guards cost an amendment.

filter      `services.advance` as a worker calls it, chunk after chunk, each a transaction with its guards. The peer is
            one statement, `UPDATE … SET locked = NOT locked` by the same filter, on a table that is made LIKE
            activity_logs: the same rows, columns and indexes, without triggers and check constraints. Neither finds
            room on the pages of its rows, so both enter every new version into every index (nothing is HOT); both
            tables are vacuumed before each round
ingest      record() by itself, and while a worker in a process of its own locks the whole ledger
amendment   `amend` of entries that are not locked, with every guard of the table and without, in turns. The trigger
            that archives stays: it is what an amendment does
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from activity.amending import amend
from activity.services import record, record_many
from locking import services
from locking.models import LogLock
from tests.bench import clocks, events, generated
from tests.bench.figures import Figure, Measurement, Scale, at_most, median_ratio, percentile
from tests.bench.policies import require_signatures
from tests.bench.processes import child
from tests.locking.people import officer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.auth.models import User

    from signing.models import Ledger
    from tests.clusters import Database

_NAME = "bench-locks"
_ALL = {"type": "kind.*"}  # every generated entry
_ROUNDS = 3
_COPY = """
    CREATE TABLE plain_entries (LIKE activity_logs INCLUDING ALL EXCLUDING CONSTRAINTS);
    INSERT INTO plain_entries SELECT * FROM activity_logs WHERE ledger_id = %s ORDER BY leaf_index"""
_PLAIN = "UPDATE plain_entries SET locked = NOT locked WHERE ledger_id = %s AND starts_with(type, 'kind.')"
_TRIGGERS = """
    SELECT tgname FROM pg_trigger
    WHERE tgrelid = 'activity_logs'::regclass AND NOT tgisinternal AND tgname <> 'archived'"""


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Lock and update all of a large ledger in turns; then lock it again while events are recorded in another one."""
    ledger = generated.fill(database, _NAME, scale.locked_entries)
    plain = database.superuser()
    for statement in _COPY.split(";"):
        plain.execute(statement.encode(), [ledger.pk] if "%s" in statement else None)
    locked, updated = [], []
    for _ in range(_ROUNDS):
        for table in ("activity_logs", "plain_entries"):
            generated.settle(database, table)
        locked.append(clocks.seconds(partial(_lock, ledger, scale.locked_entries)))
        updated.append(clocks.seconds(lambda: plain.execute(_PLAIN, [ledger.pk])))
    generated.settle(database, "activity_logs")
    return {
        "lock_filter_ratio": median_ratio(locked, updated),
        "lock_entries_per_second": scale.locked_entries / sorted(locked)[_ROUNDS // 2],
        "plain_update_rows_per_second": scale.locked_entries / sorted(updated)[_ROUNDS // 2],
        **_beside(database, ledger, scale),
    }


def measure_amendments(database: Database, scale: Scale) -> dict[str, float]:
    """Amend fresh entries with the guards and without, in turns."""
    require_signatures(required=True)
    by, owner = officer(), database.owner()
    seconds: dict[bool, list[float]] = {True: [], False: []}
    triggers = [name for (name,) in owner.execute(_TRIGGERS).fetchall()]
    for _ in range(scale.rounds):
        for guarded, taken in seconds.items():
            entries = [receipt.id for receipt in record_many(events.fresh(scale.single_events))]
            for name in triggers:
                state = "ENABLE ALWAYS" if guarded else "DISABLE"
                owner.execute(f"ALTER TABLE activity_logs {state} TRIGGER {name}".encode())
            taken.append(sum(clocks.each_seconds([partial(_amend, entry, by) for entry in entries])))
    return {
        "amend_guard_ratio": median_ratio(seconds[True], seconds[False]),
        "amend_per_second": scale.single_events * scale.rounds / sum(seconds[True]),
    }


LOCKING = Measurement(
    (
        Figure("lock_filter_ratio", "locking 1,000,000 entries by filter ÷ a plain UPDATE of them (time)", at_most(2)),
        Figure("lock_memory_growth", "memory of worker and session at the end ÷ after a tenth", at_most(1.1)),
        Figure("record_p95_during_lock_ratio", "record() while they are locked ÷ alone, 95th percentile", at_most(2)),
        Figure("lock_entries_per_second", "locking by filter, entries/s"),
        Figure("plain_update_rows_per_second", "a plain UPDATE of the same rows, rows/s"),
        Figure("record_p95_during_lock_ms", "record() while they are locked, 95th percentile, ms"),
    ),
    measure,
)
AMENDING = Measurement(
    (
        Figure("amend_guard_ratio", "amend of an unlocked entry, with guards ÷ without (time)", at_most(1.2)),
        Figure("amend_per_second", "amend, signed, one after the other, amendments/s"),
    ),
    measure_amendments,
)


def _start(ledger: Ledger) -> LogLock:
    return services.start(ledger=ledger, scope=_ALL, kind=LogLock.Kind.GOVERNANCE, reason="measured", by="bench")


def _lock(ledger: Ledger, entries: int) -> None:
    made = _start(ledger)
    while made.state == LogLock.State.APPLYING:
        made = services.advance(lock_id=made.pk, chunks=1)
    if made.count != entries:
        raise RuntimeError(f"{made.count} entries were locked")


def _beside(database: Database, ledger: Ledger, scale: Scale) -> dict[str, float]:
    """Record alone, and while a worker locks; the worker tells its memory after every chunk."""
    require_signatures(required=True)
    list(_recorded(20))  # whoever is first pays for caches
    alone = list(_recorded(2 * scale.single_events))
    made = _start(ledger)
    beside: list[float] = []
    with child(database, "lock", str(made.pk)) as steps, ThreadPoolExecutor(1) as thread:
        next(steps)  # it has begun
        rest = thread.submit(list, steps)
        while not rest.done():
            beside += _recorded(1)
    sizes = [(step["done"], step["resident_bytes"] + step["session_bytes"]) for step in rest.result()]
    early = next(size for done, size in sizes if done >= scale.locked_entries // 10)
    during = percentile(beside, 95)
    return {
        "lock_memory_growth": sizes[-1][1] / early,
        "record_p95_during_lock_ratio": during / percentile(alone, 95),
        "record_p95_during_lock_ms": 1000 * during,
    }


def _recorded(number: int) -> Iterator[float]:
    for event in events.fresh(number):
        began = time.perf_counter()
        record(event)
        yield time.perf_counter() - began


def _amend(entry: str, by: User) -> None:
    amend(entry_id=UUID(entry), changes={"target": "amended"}, by=by, reason="measured")
