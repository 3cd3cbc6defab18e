"""Verification of locks: their tables against their ledger records, and what was done to locked entries. Reads only.

    1. locks, overrides and policies are what their system entries say; none is without one (rows.py)
    2. every entry that a lock covers holds it, as strongly as the lock is; none holds another one, and none is open
       under an override that does not run
    3. whatever superseded a version that a lock covered names an override, which was recorded as asked for by one
       person and approved by another, after the lock, for this very entry; its leaf lies between those of approval and
       end, and the time that it claims is one that its place in the ledger allows (times.py); compliance knows none
    4. policies passed over nothing, so that what was due is in their locks, and what was changed past a deadline of
       theirs names an override (policies.py)

A lock covers the entries whose version in its scope was the newest one when it came into force, at `size` leaves, until
the leaf at which its release was recorded. That system entries are what was signed, the ledger's own check has shown.
Steps 2 and 4 ask every entry, so they are left to verifications of the whole ledger. While an
extension is being applied, step 2 demands the end that the lock had before.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from django.db import connection, transaction

from activity.amendment import amendment_of
from activity.queries import ACTIVITY_LEDGER
from locking.models import LockOverride, LockPolicy, LogLock
from locking.verification import policies, rows
from locking.verification.times import SLACK, contradicted, earliest, moment
from locking.verification.told import Told
from signing.verdicts import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from locking.verification.told import Step, ToldLock, ToldOverride
    from signing.models import Ledger

_MAX = 100  # findings a lock; more of them say nothing new
# An archived version as a row of entries, for lock_matches; bytes are left out, for no scope looks at them.
_AS_ENTRY = (
    "jsonb_populate_record(NULL::public.activity_logs, "
    "to_jsonb(o) - ARRAY['id', 'record', 'detached_data', 'signature'] || jsonb_build_object('id', o.entry_id))"
)
# Whether the version of an entry that was the newest one at %(size)s is archived, and in the scope.
_ORIGIN = f"""
    EXISTS (SELECT FROM public.activity_revisions o
             WHERE o.entry_id = {{entry}} AND o.ledger_id = %(ledger)s AND o.leaf_index < %(size)s
               AND o.revision = (SELECT max(n.revision) FROM public.activity_revisions n
                                  WHERE n.entry_id = o.entry_id AND n.leaf_index < %(size)s)
               AND public.lock_matches(%(scope)s::jsonb, {_AS_ENTRY}))"""  # noqa: S608 names only
# Every version in the archive with the one that superseded it.
_NEXT = """
      FROM public.activity_revisions v, LATERAL (
        SELECT a.leaf_index, a.record FROM public.activity_logs a
         WHERE a.id = v.entry_id AND a.revision = v.revision + 1
        UNION ALL
        SELECT n.leaf_index, n.record FROM public.activity_revisions n
         WHERE n.entry_id = v.entry_id AND n.revision = v.revision + 1) s"""
_SUPERSEDED = f"""
    SELECT v.entry_id::text, v.leaf_index, v.override_id, s.leaf_index, s.record {_NEXT}
     WHERE v.ledger_id = %(ledger)s AND s.leaf_index >= %(size)s AND s.leaf_index < %(released)s
       AND {_ORIGIN.format(entry="v.entry_id")} ORDER BY v.leaf_index LIMIT {_MAX}"""
_PAST_DEADLINE = f"""
    SELECT v.entry_id::text, v.leaf_index, v.override_id, s.leaf_index, s.record,
           public.lock_deadline(%(rule)s::jsonb, v.recorded_at), v.recorded_at,
           (SELECT min(o.leaf_index) FROM public.activity_revisions o WHERE o.entry_id = v.entry_id) {_NEXT}
     WHERE v.ledger_id = %(ledger)s AND public.lock_deadline(%(rule)s::jsonb, v.recorded_at) < clock_timestamp()
       AND EXISTS (SELECT FROM public.activity_revisions o WHERE o.id = v.id
                    AND public.lock_matches(%(scope)s::jsonb, {_AS_ENTRY})) ORDER BY v.leaf_index"""  # noqa: S608 names only
# Entries that are open under an override, or held by a lock.
_OPEN = """
    SELECT a.leaf_index, a.id::text, a.override_id, a.override_until FROM public.activity_logs a
     WHERE a.ledger_id = %s AND a.override_id IS NOT NULL AND a.override_until > clock_timestamp() ORDER BY 1"""
_HELD = "SELECT DISTINCT unnest(a.held_by) FROM public.activity_logs a WHERE a.ledger_id = %s AND a.locked"
_HELD_BY = """
    SELECT a.leaf_index FROM public.activity_logs a
     WHERE a.ledger_id = %s AND a.held_by @> ARRAY[%s::bigint] ORDER BY 1 LIMIT %s"""
_WEAKER = """
    (a.held_by @> ARRAY[%(lock)s::bigint] AND a.locked AND CASE %(kind)s WHEN 'hold' THEN a.hold_count > 0
     WHEN 'governance' THEN a.governance_until >= %(until)s ELSE a.compliance_until >= %(until)s END) IS NOT TRUE"""
_UNHELD = f"""
    (SELECT a.leaf_index FROM public.activity_logs a
      WHERE a.ledger_id = %(ledger)s AND a.leaf_index < %(size)s
        AND public.lock_matches(%(scope)s::jsonb, a) AND {_WEAKER} ORDER BY 1 LIMIT {_MAX})
    UNION ALL
    (SELECT a.leaf_index FROM public.activity_logs a
      WHERE a.ledger_id = %(ledger)s AND a.leaf_index >= %(size)s AND a.revision > 1
        AND {_WEAKER} AND {_ORIGIN.format(entry="a.id")} ORDER BY 1 LIMIT {_MAX})"""  # noqa: S608 names only


class _Change(NamedTuple):
    """A version that was superseded, and what its successor says of that."""

    entry: str
    leaf_index: int
    next_leaf: int
    override: int | None
    at: datetime | None


class _Moment(NamedTuple):
    """What is told, and what the tables say, at one moment."""

    told: Told
    locks: dict[int, LogLock]
    overrides: dict[int, LockOverride]
    policies: dict[str, LockPolicy]


def verify_locks(ledger: Ledger, *, whole: bool) -> list[Finding]:
    """Return what is wrong with the locks of a ledger of entries, and with what they cover."""
    # Entries first: what comes to hold or open one meanwhile is told by then.
    opened, held = _on_entries(ledger) if whole else ([], set())
    said = _moment()
    told = said.told
    own = {number: lock for number, lock in told.locks.items() if lock.facts.get("ledger") == ledger.name}
    findings = [_finding(ledger, None, reason) for reason in rows.lock_findings(_of(ledger, said.locks), own)]
    findings += _misplaced(ledger, opened, held, told)
    for number, lock in sorted(own.items()):
        if whole and lock.in_force is not None and not lock.ended:
            row = said.locks.get(number)
            is_being_extended = row is not None and row.is_being_extended
            until = lock.until_before if is_being_extended else lock.facts.get("until")
            findings += _unheld(ledger, number, lock, until)
        findings += _superseded(ledger, number, lock, told)
    findings += _past_deadlines(ledger, said)
    if whole:
        passed = policies.passed_over(ledger, said.policies.values(), told)
        findings += [_finding(ledger, leaf_index, reason) for leaf_index, reason in passed]
    if ledger.name == ACTIVITY_LEDGER:
        findings += [_finding(None, None, reason) for reason in rows.override_findings(said.overrides, told)]
        findings += [_finding(None, None, reason) for reason in rows.policy_findings(said.policies, told)]
    return findings


def _moment() -> _Moment:
    """Read what is told and what the tables say as of one moment; inside a transaction, the caller's."""
    is_own = not connection.in_atomic_block
    with transaction.atomic() if is_own else nullcontext(), connection.cursor() as cursor:
        if is_own:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        return _Moment(
            Told(),
            {row.pk: row for row in LogLock.objects.select_related("ledger")},
            {row.pk: row for row in LockOverride.objects.all()},
            {row.name: row for row in LockPolicy.objects.select_related("ledger")},
        )


def _of(ledger: Ledger, locks: dict[int, LogLock]) -> dict[int, LogLock]:
    return {number: row for number, row in locks.items() if row.ledger_id == ledger.pk}


def _on_entries(ledger: Ledger) -> tuple[list[tuple[Any, ...]], set[int]]:
    """Return the entries that are open under an override, and the numbers of the locks that any entry says it holds."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, [ledger.pk])
        opened = cursor.fetchall()
        cursor.execute(_HELD, [ledger.pk])
        return opened, {number for (number,) in cursor.fetchall()}


def _misplaced(ledger: Ledger, opened: list[tuple[Any, ...]], held: set[int], told: Told) -> Iterator[Finding]:
    """Look for entries that say of locks and overrides what was not recorded (step 2)."""
    for leaf_index, entry, number, until in opened:
        override = told.overrides.get(number)
        if override is None or not _may_run(override, entry, until):
            yield _finding(ledger, leaf_index, f"the override {number} does not run for it, and its row says so")
    for number in sorted(held - set(told.locks)):
        with connection.cursor() as cursor:
            cursor.execute(_HELD_BY, [ledger.pk, number, _MAX])
            leaves = [leaf for (leaf,) in cursor.fetchall()]
        for leaf_index in leaves:
            yield _finding(ledger, leaf_index, f"it is held by the lock {number}, which no system entry tells of")


def _may_run(override: ToldOverride, entry: str, until: datetime) -> bool:
    ended = override.ended
    return (
        bool(override.approvals)
        and entry in override.requested.data.get("entries", ())
        and until <= rows.ends(override) + SLACK
        and (ended is None or ended.at > datetime.now(UTC) - SLACK)
    )


def _unheld(ledger: Ledger, number: int, lock: ToldLock, until: str | None) -> Iterator[Finding]:
    """Look for entries that the lock covers and that do not hold it until then (step 2)."""
    ends = until or "9999-12-31T23:59:59.999999Z"
    asked = _scope(ledger, lock) | {"lock": number, "kind": lock.facts.get("kind"), "until": ends}
    with connection.cursor() as cursor:
        cursor.execute(_UNHELD, asked)
        leaves = [row[0] for row in cursor.fetchall()]
    for leaf_index in leaves:
        yield _finding(ledger, leaf_index, f"the lock {number} covers it, and its row does not hold it so")


def _superseded(ledger: Ledger, number: int, lock: ToldLock, told: Told) -> Iterator[Finding]:
    """Look at what superseded versions that the lock covered (step 3)."""
    if lock.in_force is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(_SUPERSEDED, _scope(ledger, lock) | {"released": lock.released})
        changes = [_change(*row) for row in cursor.fetchall()]
    for change in changes:
        reason = _refusal(ledger, lock, change, told)
        if reason is not None:
            text = f"it was locked by the lock {number} when it was amended or removed, and {reason}"
            yield _finding(ledger, change.leaf_index, text)


def _change(entry: str, leaf_index: int, archived_override: int | None, next_leaf: int, record: bytes) -> _Change:
    amendment = amendment_of(bytes(record))
    override = archived_override if amendment is None else amendment.override
    return _Change(entry, leaf_index, next_leaf, override, None if amendment is None else moment(amendment.at))


def _refusal(ledger: Ledger, lock: ToldLock, change: _Change, told: Told) -> str | None:
    """Say why a version that the lock covered may not have been superseded then, or None."""
    lie = None if change.at is None else contradicted(ledger, change.next_leaf, change.at)
    if lie is not None:
        return lie
    until = moment(lock.facts.get("until"))
    made = change.at or earliest(ledger, change.next_leaf)  # what was purged says no time
    if until is not None and made is not None and made > until:
        return None
    if lock.facts.get("kind") == LogLock.Kind.COMPLIANCE:
        return "nobody may change it in mode compliance"
    override = None if change.override is None else told.overrides.get(change.override)
    if override is None or not override.approvals:
        return "no override that another person approved is recorded"
    if lock.facts.get("kind") == LogLock.Kind.HOLD and not override.requested.data.get("lifts_holds"):
        return f"the override {change.override} does not lift legal holds"
    return _misfit(ledger, override, change, lock)


def _misfit(ledger: Ledger, override: ToldOverride, change: _Change, lock: ToldLock | None = None) -> str | None:
    """Say why an override that was approved does not permit the change, or None."""
    number = change.override
    is_older = lock is not None and override.approvals[-1].leaf_index < (lock.in_force or lock.started).leaf_index
    if is_older or change.entry not in override.requested.data.get("entries", ()):
        return f"the override {number} was not approved for this entry under this lock"
    if not any(_comes_after(ledger, change.next_leaf, step) for step in override.approvals):
        return f"the override {number} was approved after that"
    if override.ended is not None and _comes_after(ledger, change.next_leaf, override.ended):
        return f"the override {number} had ended by then"
    lasts = timedelta(hours=rows.hours(override))
    if change.at is not None and not any(
        step.at - SLACK <= change.at <= step.at + lasts + SLACK for step in override.approvals
    ):
        return f"the override {number} did not run then"
    return None


def _comes_after(ledger: Ledger, leaf_index: int, step: Step) -> bool:
    """Tell whether a leaf of a ledger was made after a step of an override, as the order of leaves has it."""
    if ledger.name == ACTIVITY_LEDGER:
        return leaf_index > step.leaf_index
    size: int = step.data.get("at_sizes", {}).get(ledger.name, 0)
    return leaf_index >= size


def _past_deadlines(ledger: Ledger, said: _Moment) -> Iterator[Finding]:
    """Look at what superseded versions past the deadline of a policy of time that was enabled (step 4)."""
    told = said.told
    for step, following in policies.deadlines(told, ledger):
        ended = policies.ended_locks(step, said.policies, told)
        asked = {name: orjson.dumps(step.data.get(name)).decode() for name in ("rule", "scope")}
        with connection.cursor() as cursor:
            cursor.execute(_PAST_DEADLINE, asked | {"ledger": ledger.pk})
            found = cursor.fetchall()
        for *row, deadline, recorded_at, first_leaf in found:
            change = _change(*row)
            made = max(filter(None, (change.at, earliest(ledger, change.next_leaf))), default=None)
            since = max(deadline, step.at) + SLACK
            if made is None or made <= since or (following is not None and made > following.at - SLACK):
                continue
            if any(policies.had_ended(lock, (recorded_at, first_leaf), change.next_leaf, made) for lock in ended):
                continue
            override = None if change.override is None else told.overrides.get(change.override)
            is_fixed = step.data.get("kind") == LogLock.Kind.COMPLIANCE
            if is_fixed or override is None or not override.approvals or _misfit(ledger, override, change) is not None:
                text = f"it was amended or removed after the lock policy {step.data.get('name')} had locked it"
                yield _finding(ledger, change.leaf_index, text)


def _scope(ledger: Ledger, lock: ToldLock) -> dict[str, Any]:
    return {
        "ledger": ledger.pk,
        "size": lock.facts.get("size") or 0,
        "scope": orjson.dumps(lock.facts.get("scope") or {}).decode(),
    }


def _finding(ledger: Ledger | None, leaf_index: int | None, reason: str) -> Finding:
    return Finding(ACTIVITY_LEDGER if ledger is None else ledger.name, leaf_index, Verdict.TAMPERED, reason)
