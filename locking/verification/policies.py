"""Whether lock policies passed over anything, and what was changed past their deadlines (step 4). Reads only.

    a. what a policy of time has come to carries its deadline, or an earlier one; and the lock up to the day that its
       table says was begun is recorded
    b. for every event that a policy has come to, and for all that the ledger had grown by, a lock is recorded
    c. whatever superseded a version past the deadline of a policy of time that was enabled names an override

A policy is looked at as it was set last, and only for what came SLACK after that: what was recorded while it was being
set may have been before it or after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from django.db import connection

from locking.verification.times import SLACK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from locking.models import LockPolicy
    from locking.verification.told import Step, Told, ToldLock
    from signing.models import Ledger

_MAX = 100  # findings a policy; more of them say nothing new
# Only where the policy still is the one that was read: set anew, it marks anew.
_UNMARKED = """
    SELECT a.leaf_index FROM public.activity_logs a
     WHERE a.ledger_id = %(ledger)s AND a.leaf_index < %(to)s AND public.lock_matches(%(scope)s::jsonb, a)
       AND (a.locks_at <= public.lock_deadline(%(rule)s::jsonb, a.recorded_at)) IS NOT TRUE
       AND EXISTS (SELECT FROM public.lock_policies p
                    WHERE p.id = %(policy)s AND p.set_record = %(record)s AND p.enabled)
     ORDER BY 1 LIMIT %(max)s"""
_EVENTS = """
    SELECT e.leaf_index FROM (
        SELECT a.leaf_index, a.ledger_id, a.type, a.source, a.recorded_at FROM public.activity_logs a
         WHERE a.revision = 1
        UNION ALL
        SELECT r.leaf_index, r.ledger_id, r.type, r.source, r.recorded_at FROM public.activity_revisions r
         WHERE r.revision = 1) e
     WHERE e.ledger_id = %(ledger)s AND e.leaf_index < %(to)s AND e.type = %(type)s AND e.source = ANY(%(sources)s)
       AND e.recorded_at > %(since)s ORDER BY 1"""


def passed_over(ledger: Ledger, rows: Iterable[LockPolicy], told: Told) -> Iterator[tuple[int | None, str]]:
    """Give the leaves that the policies of a ledger passed over, and why one thinks so (a, b)."""
    for row in rows:
        steps = told.policies.get(row.name, [])
        if row.ledger_id != ledger.pk or not row.enabled or not steps or steps[-1].entry != str(row.set_record):
            continue
        locks = [lock for lock in told.locks.values() if lock.started.data.get("policy") == row.pk]
        kind = row.rule.get("kind")
        if kind == "event":
            yield from _events(row, steps[-1], locks)
        elif kind == "count":
            yield from _growth(row, locks)
        else:
            yield from _deadlines(row, locks)


def deadlines(told: Told, ledger: Ledger) -> Iterator[tuple[Step, Step | None]]:
    """Give each step that enabled a policy of time in a ledger, and the one that set it anew, if one did."""
    for steps in told.policies.values():
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            rule = step.data.get("rule")
            is_of_time = isinstance(rule, dict) and rule.get("kind") in {"age", "period"}
            if is_of_time and step.data.get("enabled") is True and step.data.get("ledger") == ledger.name:
                yield step, following


def _deadlines(row: LockPolicy, locks: list[ToldLock]) -> Iterator[tuple[int | None, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            _UNMARKED,
            {
                "ledger": row.ledger_id,
                "to": row.next_leaf,
                "scope": orjson.dumps(row.scope).decode(),
                "rule": orjson.dumps(row.rule).decode(),
                "policy": row.pk,
                "record": row.set_record,
                "max": _MAX,
            },
        )
        leaves = [leaf for (leaf,) in cursor.fetchall()]
    for leaf in leaves:
        yield leaf, f"the lock policy {row.name} has passed it, and its row does not carry the deadline"
    # The scope of the policy may end before the day.
    begun = {min(str(_scope(lock).get("recorded_to")), row.done) for lock in locks}
    if row.done and min(row.scope.get("recorded_to", row.done), row.done) not in begun:
        yield None, f"the lock policy {row.name} is said to have locked up to {row.done}, and no system entry says so"


def _events(row: LockPolicy, step: Step, locks: list[ToldLock]) -> Iterator[tuple[int | None, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            _EVENTS,
            {
                "ledger": row.ledger_id,
                "to": row.next_leaf,
                "type": row.rule.get("type"),
                "sources": row.rule.get("sources"),
                "since": step.at + SLACK,
            },
        )
        leaves = [leaf for (leaf,) in cursor.fetchall()]
    obeyed = {_scope(lock).get("leaf_to") for lock in locks}
    for leaf in [leaf for leaf in leaves if leaf not in obeyed][:_MAX]:
        yield leaf, f"the lock policy {row.name} has passed this event, and began no lock for it"


def _growth(row: LockPolicy, locks: list[ToldLock]) -> Iterator[tuple[int | None, str]]:
    covered = 0
    for first, end in sorted(_span(lock) for lock in locks):
        if first <= covered:
            covered = max(covered, end)
    if covered < row.next_leaf:
        yield covered, f"the lock policy {row.name} has passed it, and began no lock for it"


def _scope(lock: ToldLock) -> dict[str, Any]:
    said = lock.started.data.get("scope")
    return said if isinstance(said, dict) else {}


def _span(lock: ToldLock) -> tuple[int, int]:
    scope = _scope(lock)
    return int(scope.get("leaf_from", 0)), int(scope.get("leaf_to", 0))
