"""Whether lock policies passed over anything, and what was changed past their deadlines (step 4). Reads only.

    a. what a policy of time has come to carries its deadline, or an earlier one, unless a lock of the policy has held
       it and has ended; the lock up to the day that its table says was begun is recorded; and so is one for everything
       that was due before that
    b. for every event that a policy has come to, and for all that the ledger had grown by, a lock is recorded
    c. whatever superseded a version past the deadline of a policy of time that was enabled names an override, and in
       mode compliance nothing did, unless a lock of the policy had held it and had ended

What is due and in no lock because none was begun since is no finding: the guard obeys the deadline, and a beat that was
missed is made good. A policy is looked at as it was set last, and only for what came SLACK after that: what was
recorded while it was being set may have been before it or after it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from django.db import connection

from locking.models import LogLock
from locking.queries import policy_facts
from locking.verification.times import SLACK, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from locking.models import LockPolicy
    from locking.verification.told import Step, Told, ToldLock
    from signing.models import Ledger

_MAX = 100  # findings a policy; more of them say nothing new
_EVER = datetime.min.replace(tzinfo=UTC)
_TIMES = (("recorded_from", _EVER), ("recorded_to", datetime.max.replace(tzinfo=UTC)))
# Only where the policy still is the one that was read: set anew, it marks anew.
_UNMARKED = """
    SELECT a.leaf_index FROM public.activity_logs a
     WHERE a.ledger_id = %(ledger)s AND a.leaf_index < %(to)s AND public.lock_matches(%(scope)s::jsonb, a)
       AND (a.locks_at <= public.lock_deadline(%(rule)s::jsonb, a.recorded_at)) IS NOT TRUE
       AND EXISTS (SELECT FROM public.lock_policies p
                    WHERE p.id = %(policy)s AND p.set_record = %(record)s AND p.enabled)
       AND NOT EXISTS (SELECT FROM public.log_locks k
                        WHERE k.id = ANY(a.was_held_by) AND k.id::text = ANY(%(ended)s)
                          AND a.recorded_at < k.created_at AND public.lock_matches(k.scope, a)
                          AND (a.leaf_index < k.size
                               OR EXISTS (SELECT FROM public.activity_revisions r
                                           WHERE r.entry_id = a.id AND r.leaf_index < k.size)))
     ORDER BY 1 LIMIT %(max)s"""
_LEFT_OUT = """
    SELECT a.leaf_index FROM public.activity_logs a
     WHERE a.ledger_id = %(ledger)s AND public.lock_matches(%(scope)s::jsonb, a)
       AND EXISTS (SELECT FROM unnest(%(from)s::timestamptz[], %(to)s::timestamptz[]) gap (first, last)
                    WHERE a.recorded_at >= gap.first AND a.recorded_at < gap.last)
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


def ended_locks(step: Step, rows: Mapping[str, LockPolicy], told: Told) -> list[ToldLock]:
    """Return the locks that hold what a policy, as a step set it, would have them hold, and that have ended."""
    row = rows.get(str(step.data.get("name")))
    own = [lock for lock in told.locks.values() if row is not None and lock.started.data.get("policy") == row.pk]
    return [lock for lock in own if _is_of(step.data, lock) and _has_ended(lock)]


def had_ended(lock: ToldLock, version: tuple[datetime, int], next_leaf: int, made: datetime) -> bool:
    """Tell whether a lock that has ended had held an entry, and had ended when a version of it was superseded.

    `version` is when the entry was recorded, and its first leaf.
    """
    recorded_at, first_leaf = version
    window, until = _window(lock), moment(lock.facts.get("until"))
    was_held = (
        window is not None and window[0] <= recorded_at < window[1] and first_leaf < (lock.facts.get("size") or 0)
    )
    return was_held and (next_leaf >= lock.released or (until is not None and until <= made))


def _has_ended(lock: ToldLock) -> bool:
    until = moment(lock.facts.get("until"))
    return lock.ended == LogLock.State.RELEASED or (
        bool(lock.ended) and until is not None and until <= datetime.now(UTC)
    )


def _deadlines(row: LockPolicy, locks: list[ToldLock]) -> Iterator[tuple[int | None, str]]:
    facts = policy_facts(row)
    own = [lock for lock in locks if _is_of(facts, lock)]
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
                "ended": [str(lock.started.data["lock"]) for lock in own if _has_ended(lock)],
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
    windows = [_window(lock) for lock in own]
    gaps = list(_gaps(row, [window for window in windows if window is not None]))
    yield from _left_out(row, gaps) if gaps else ()


def _left_out(row: LockPolicy, gaps: list[tuple[datetime, datetime]]) -> Iterator[tuple[int | None, str]]:
    """Look for what is due and was recorded between the locks of a policy, which follow on each other."""
    asked: dict[str, Any] = {
        "ledger": row.ledger_id,
        "scope": orjson.dumps(row.scope).decode(),
        "from": [first for first, _ in gaps],
        "to": [end for _, end in gaps],
        "max": _MAX,
    }
    with connection.cursor() as cursor:
        cursor.execute(_LEFT_OUT, asked)
        leaves = [leaf for (leaf,) in cursor.fetchall()]
    for leaf in leaves:
        yield leaf, f"it is past the deadline of the lock policy {row.name}, which has passed it, and in no lock of it"


def _gaps(row: LockPolicy, windows: list[tuple[datetime, datetime]]) -> Iterator[tuple[datetime, datetime]]:
    """Give the times up to the day that a policy has locked, or the last lock, that are in none of these."""
    reached, done = _EVER, moment(row.done)
    for first, end in [*sorted(windows), *([] if done is None else [(done, done)])]:
        if first > reached:
            yield reached, first
        reached = max(reached, end)


def _is_of(policy: Mapping[str, Any], lock: ToldLock) -> bool:
    """Tell whether a lock holds what its policy, with these facts, would have it hold, and for as long."""
    said, scope = lock.started.data, policy.get("scope")
    lasts, until = policy.get("lock_days"), moment(said.get("until"))
    return (
        (said.get("ledger"), said.get("kind")) == (policy.get("ledger"), policy.get("kind"))
        and isinstance(scope, dict)
        and _filter(_scope(lock)) == _filter(scope)
        and (until is None or (isinstance(lasts, int) and until >= lock.started.at + timedelta(days=lasts, hours=-1)))
    )


def _filter(scope: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scope.items() if name not in dict(_TIMES)}


def _window(lock: ToldLock) -> tuple[datetime, datetime] | None:
    """Return from when and before when something was recorded that a lock of time holds: nothing after it began."""
    scope, began = _scope(lock), lock.started.at + SLACK
    first, end = (moment(scope[name]) if name in scope else ever for name, ever in _TIMES)
    return None if first is None or end is None else (first, min(end, began))


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
