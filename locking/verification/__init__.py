"""Verification of locks: their tables against their ledger records, and what was done to locked entries. Reads only.

    1. locks, overrides and policies are what their system entries say; none is without one
    2. every entry that a lock covers holds it, as strongly as the lock is
    3. whatever superseded a version that a lock covered names an override, which was recorded as asked for by one
       person and approved by another, after the lock, for this very entry and this time; compliance knows none

A lock covers the entries whose version in its scope was the newest one when it came into force, at `size` leaves, until
the leaf at which its release was recorded. That system entries are what was signed, the ledger's own check has shown.
Step 2 asks every entry, so it is left to verifications of the whole ledger. While an extension is being applied, it
demands the end that the lock had before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from django.db import connection

from activity.models import ActivityLog
from activity.queries import ACTIVITY_LEDGER
from activity.record import amendment_of, parse_timestamp
from activity.search import data_of
from locking.models import LockOverride, LockPolicy, LogLock
from locking.queries import lock_facts, override_facts, policy_facts
from signing.verdicts import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signing.models import Ledger

_ENDLESS = 2**63 - 1
_SLACK = timedelta(minutes=5)  # between the record of an approval and the approval itself
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
_SUPERSEDED = f"""
    SELECT v.entry_id::text, v.leaf_index, v.override_id, s.record
      FROM public.activity_revisions v, LATERAL (
        SELECT a.leaf_index, a.record FROM public.activity_logs a
         WHERE a.id = v.entry_id AND a.revision = v.revision + 1
        UNION ALL
        SELECT n.leaf_index, n.record FROM public.activity_revisions n
         WHERE n.entry_id = v.entry_id AND n.revision = v.revision + 1) s
     WHERE v.ledger_id = %(ledger)s AND s.leaf_index >= %(size)s AND s.leaf_index < %(released)s
       AND {_ORIGIN.format(entry="v.entry_id")} ORDER BY v.leaf_index LIMIT {_MAX}"""  # noqa: S608 names only
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


@dataclass(slots=True)
class _Step:
    """A system entry: its kind, leaf and time, who took the step, and what it says."""

    kind: str
    leaf_index: int
    at: datetime
    by: str
    data: dict[str, Any]


@dataclass(slots=True)
class _ToldLock:
    """A lock as the ledger tells it."""

    leaf_index: int  # of the record of its coming into force
    facts: dict[str, Any]
    until_before: str | None = None  # its last extension
    release_asked_by: str | None = None
    released: int = _ENDLESS  # size of its ledger when its release was recorded
    ended: str = ""


@dataclass(slots=True)
class _ToldOverride:
    """An override as the ledger tells it."""

    facts: dict[str, Any]
    approved: _Step | None = None
    reviewed: bool = False


class _Told:
    """What the system entries say of locks, overrides and policies."""

    def __init__(self) -> None:
        self.locks: dict[int, _ToldLock] = {}
        self.overrides: dict[int, _ToldOverride] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        for step in _steps():
            try:
                self._take(step)
            except (LookupError, TypeError, AttributeError):
                continue  # not as our services write it; the comparison with the tables shows what it hides

    def _take(self, step: _Step) -> None:
        subject, _, what = step.kind.partition(".")
        if subject == "lock":
            self._take_lock(what, step)
        elif subject == "override":
            self._take_override(what, step)
        else:
            self.policies[step.data["name"]] = step.data

    def _take_lock(self, what: str, step: _Step) -> None:
        said = step.data
        if what == "in-force":
            self.locks[said["lock"]] = _ToldLock(step.leaf_index, said)
            return
        lock = self.locks[said["lock"]]
        if what == "extended":
            lock.until_before, lock.facts["until"] = lock.facts["until"], said["until"]
        elif what == "release-requested":
            lock.release_asked_by = step.by
        elif what == "expired":
            lock.ended = "expired"
        elif lock.release_asked_by not in {None, step.by}:
            lock.released, lock.ended = said["at_size"], "released"

    def _take_override(self, what: str, step: _Step) -> None:
        said = step.data
        if what == "requested":
            self.overrides[said["override"]] = _ToldOverride(said)
        elif what == "reviewed":
            self.overrides[said["override"]].reviewed = True
        elif said["requested_by"] != step.by:
            self.overrides[said["override"]].approved = step


def verify_locks(ledger: Ledger, *, whole: bool) -> list[Finding]:
    """Return what is wrong with the locks of a ledger of entries, and with what they cover."""
    told = _Told()
    own = {number: lock for number, lock in told.locks.items() if lock.facts.get("ledger") == ledger.name}
    findings = list(_lock_rows(ledger, own))
    extending = {row.pk for row in LogLock.objects.filter(ledger=ledger) if row.is_being_extended}
    for number, lock in sorted(own.items()):
        if whole and not lock.ended:
            until = lock.until_before if number in extending else lock.facts.get("until")
            findings += _unheld(ledger, number, lock, until)
        findings += _superseded(ledger, number, lock, told)
    if ledger.name == ACTIVITY_LEDGER:
        findings += _override_rows(told)
        findings += _policy_rows(told)
    return findings


def _steps() -> Iterator[_Step]:
    prefix = "auditlog."
    kinds = ("lock.", "override.", "lock-policy.")
    for entry in (
        ActivityLog.objects.filter(
            ledger__name=ACTIVITY_LEDGER, type__in=[f"{prefix}{kind}" for kind in _KINDS], key__isnull=False
        )
        .order_by("leaf_index")
        .iterator(chunk_size=500)
    ):
        data = data_of(entry)
        if isinstance(data, dict) and entry.type.removeprefix(prefix).startswith(kinds):
            yield _Step(entry.type.removeprefix(prefix), entry.leaf_index, entry.recorded_at, entry.actor, data)


_KINDS = (
    "lock.in-force",
    "lock.extended",
    "lock.release-requested",
    "lock.released",
    "lock.expired",
    "override.requested",
    "override.approved",
    "override.reviewed",
    "lock-policy.set",
)


def _lock_rows(ledger: Ledger, told: dict[int, _ToldLock]) -> Iterator[Finding]:
    """Compare the locks of a ledger with their records (step 1)."""
    rows = {row.pk: row for row in LogLock.objects.filter(ledger=ledger).select_related("ledger")}
    for number in sorted({*told, *(pk for pk, row in rows.items() if row.state != LogLock.State.APPLYING)}):
        row, said = rows.get(number), told.get(number)
        if said is None:
            yield _finding(ledger, None, f"the lock {number} is in force in its table, and in no system entry")
        elif row is None:
            yield _finding(ledger, None, f"the lock {number} is gone from its table")
        else:
            facts = lock_facts(row)
            if any(said.facts.get(name) != value for name, value in facts.items()):
                yield _finding(ledger, None, f"the lock {number} is not what its system entries say")
            if row.state in {LogLock.State.RELEASED, LogLock.State.EXPIRED} and row.state != said.ended:
                yield _finding(ledger, None, f"the lock {number} is {row.state}, and no system entry says so")


def _unheld(ledger: Ledger, number: int, lock: _ToldLock, until: str | None) -> Iterator[Finding]:
    """Look for entries that the lock covers and that do not hold it until then (step 2)."""
    ends = until or "9999-12-31T23:59:59.999999Z"
    asked = _scope(ledger, lock) | {"lock": number, "kind": lock.facts.get("kind"), "until": ends}
    with connection.cursor() as cursor:
        cursor.execute(_UNHELD, asked)
        leaves = [row[0] for row in cursor.fetchall()]
    for leaf_index in leaves:
        yield _finding(ledger, leaf_index, f"the lock {number} covers it, and its row does not hold it so")


def _superseded(ledger: Ledger, number: int, lock: _ToldLock, told: _Told) -> Iterator[Finding]:
    """Look at what superseded versions that the lock covered (step 3)."""
    with connection.cursor() as cursor:
        cursor.execute(_SUPERSEDED, _scope(ledger, lock) | {"released": lock.released})
        rows = cursor.fetchall()
    for entry, leaf_index, archived_override, record in rows:
        amendment = amendment_of(bytes(record))
        override = archived_override if amendment is None else amendment.override
        at = None if amendment is None else _moment(amendment.at)
        reason = _refusal(lock, entry, override, at, told)
        if reason is not None:
            text = f"it was locked by the lock {number} when it was amended or removed, and {reason}"
            yield _finding(ledger, leaf_index, text)


def _refusal(lock: _ToldLock, entry: str, number: int | None, at: datetime | None, told: _Told) -> str | None:
    """Say why a version that the lock covered may not have been superseded then, or None."""
    until = _moment(lock.facts.get("until"))
    if until is not None and at is not None and at > until:
        return None
    if lock.facts.get("kind") == LogLock.Kind.COMPLIANCE:
        return "nobody may change it in mode compliance"
    override = None if number is None else told.overrides.get(number)
    if override is None or override.approved is None:
        return "no override that another person approved is recorded"
    return _misfit(override.approved, lock, entry, at)


def _misfit(approved: _Step, lock: _ToldLock, entry: str, at: datetime | None) -> str | None:
    """Say why an approved override does not permit the change, or None."""
    number = approved.data.get("override")
    if entry not in approved.data.get("entries", ()) or approved.leaf_index < lock.leaf_index:
        return f"the override {number} was not approved for this entry under this lock"
    if lock.facts.get("kind") == LogLock.Kind.HOLD and not approved.data.get("lifts_holds"):
        return f"the override {number} does not lift legal holds"
    ends = approved.at + timedelta(hours=int(approved.data.get("hours", 0))) + _SLACK
    if at is not None and not approved.at - _SLACK <= at <= ends:
        return f"the override {number} did not run then"
    return None


def _override_rows(told: _Told) -> Iterator[Finding]:
    """Compare overrides with their records (step 1)."""
    rows = {row.pk: row for row in LockOverride.objects.all()}
    for number in sorted({*told.overrides, *rows}):
        row, said = rows.get(number), told.overrides.get(number)
        if row is None or said is None:
            where = "gone from its table" if row is None else "in no system entry"
            yield _finding(None, None, f"the override {number} is {where}")
            continue
        if any(said.facts.get(name) != value for name, value in override_facts(row).items()):
            yield _finding(None, None, f"the override {number} is not what its system entries say")
        if row.runs_until is not None and said.approved is None:
            yield _finding(None, None, f"the override {number} was approved, and no system entry says so")
        if row.reviewed_by is not None and not said.reviewed:
            yield _finding(None, None, f"the override {number} was reviewed, and no system entry says so")


def _policy_rows(told: _Told) -> Iterator[Finding]:
    """Compare policies with their records (step 1)."""
    rows = {row.name: policy_facts(row) for row in LockPolicy.objects.select_related("ledger")}
    for name in sorted(rows):
        said = told.policies.get(name)
        if said is None or any(said.get(key) != value for key, value in rows[name].items()):
            yield _finding(None, None, f"the lock policy {name} is not what its last system entry says")


def _scope(ledger: Ledger, lock: _ToldLock) -> dict[str, Any]:
    return {
        "ledger": ledger.pk,
        "size": lock.facts.get("size") or 0,
        "scope": orjson.dumps(lock.facts.get("scope") or {}).decode(),
    }


def _moment(text: object) -> datetime | None:
    try:
        return parse_timestamp(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _finding(ledger: Ledger | None, leaf_index: int | None, reason: str) -> Finding:
    return Finding(ACTIVITY_LEDGER if ledger is None else ledger.name, leaf_index, Verdict.TAMPERED, reason)
