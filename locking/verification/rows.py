"""Comparing the tables of locks, overrides and policies with their system entries (step 1). Reads only.

A step that weakens is recorded before it is done, so a record without its effect, left by a crash, is no finding where
it leaves things as strong as they were; an effect without its record always is one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Count

from activity.models import ActivityRevision
from locking.models import LockOverride, LogLock
from locking.queries import lock_facts, override_facts, policy_facts
from locking.verification.times import SLACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from locking.models import LockPolicy
    from locking.verification.told import Step, Told, ToldLock, ToldOverride

_LATER = ("count", "size", "root")  # what a lock says once it is in force


def lock_findings(rows: Mapping[int, LogLock], told: Mapping[int, ToldLock]) -> Iterator[str]:
    """Give what is wrong with the locks of a ledger."""
    for number in sorted({*told, *rows}):
        row, said = rows.get(number), told.get(number)
        if said is None:
            yield f"the lock {number} is in its table, and in no system entry"
        elif row is None:
            yield f"the lock {number} is gone from its table"
        else:
            for misfit in _lock_misfits(row, said):
                yield f"the lock {number} {misfit}"


def _lock_misfits(row: LogLock, said: ToldLock) -> Iterator[str]:
    facts = {name: value for name, value in lock_facts(row).items() if said.in_force or name not in _LATER}
    if any(said.facts.get(name) != value for name, value in facts.items()) or (
        row.reason != said.started.data.get("reason")
    ):
        yield "is not what its system entries say"
    state = said.ended or (LogLock.State.IN_FORCE if said.in_force else LogLock.State.APPLYING)
    if row.state != state and (state, row.state) != (LogLock.State.RELEASED, LogLock.State.IN_FORCE):
        yield f"is {row.get_state_display()}, and no system entry says so"
    in_force_at = None if said.in_force is None else said.in_force.at
    if not _fits(row.created_at, said.started.at) or not _fits(row.in_force_at, in_force_at):
        yield "did not begin, or come into force, when its table says"
    yield from _request_misfits(row, said)
    if row.released_by is not None and not _is_taken(said.releases, row.released_record, row.released_by):
        yield f"was not released by {row.released_by}, as its system entries say"


def _request_misfits(row: LogLock, said: ToldLock) -> Iterator[str]:
    asked_by, standing = row.release_requested_by, _standing(row, said)
    if asked_by is None and said.asked is not None:
        yield f"is to be released, as {said.asked.by} asked, and its table does not say so"
    elif asked_by is not None and (
        standing is None or (asked_by, row.release_reason) != (standing.by, standing.data.get("reason"))
    ):
        yield f"is to be released, and no system entry says that {asked_by} asked for it so"
    if row.declined_by is not None and not _is_taken(said.declines, row.declined_record, row.declined_by):
        yield f"had its release declined by {row.declined_by}, and no system entry says so"


def _standing(row: LogLock, said: ToldLock) -> Step | None:
    """Return the request for a release that stands; one that was declined stands until the row names that record."""
    is_done = bool(said.declines) and str(row.declined_record) == said.declines[-1].entry
    return said.asked or (None if is_done else said.refused)


def override_findings(rows: Mapping[int, LockOverride], told: Told) -> Iterator[str]:
    """Give what is wrong with the overrides."""
    used = dict(
        ActivityRevision.objects.filter(override_id__isnull=False)
        .values_list("override_id")
        .annotate(times=Count("pk"))
        .order_by()
    )
    for number in sorted({*told.overrides, *rows}):
        row, said = rows.get(number), told.overrides.get(number)
        if row is None or said is None:
            yield f"the override {number} is {'gone from its table' if row is None else 'in no system entry'}"
            continue
        for misfit in _override_misfits(row, said):
            yield f"the override {number} {misfit}"
        if row.used_count < used.get(number, 0):
            yield f"the override {number} was used {used[number]} times, and its table says {row.used_count}"


def _override_misfits(row: LockOverride, said: ToldOverride) -> Iterator[str]:
    asked = said.requested
    if any(asked.data.get(name) != value for name, value in override_facts(row).items()) or (
        (row.requested_by, row.reason) != (asked.by, asked.data.get("reason"))
    ):
        yield "is not what its system entries say"
    if row.state == LockOverride.State.DENIED and not _is_taken(said.denials, row.decided_record, row.decided_by):
        yield "was denied, and no system entry says so"
    if row.runs_until is not None or row.state == LockOverride.State.APPROVED:
        if not _is_taken(said.approvals, row.decided_record, row.decided_by):
            yield "was approved, and no system entry says so"
        elif row.runs_until is None or row.runs_until > ends(said) + SLACK:
            yield "runs longer than was approved"
    ended = row.state in {LockOverride.State.CLOSED, LockOverride.State.EXPIRED}
    if said.ended is None and ended:
        yield f"is {row.state}, and no system entry says so"
    elif said.ended is not None and said.ended.kind != f"override.{row.state}":
        yield f"has ended, and is {row.state} in its table"
    if row.reviewed_by is not None and not _is_taken(said.reviews, row.reviewed_record, row.reviewed_by):
        yield "was reviewed, and no system entry says so"


def ends(override: ToldOverride) -> datetime:
    """Return when an override that was approved runs out."""
    last = max(step.at for step in override.approvals)
    return last + timedelta(hours=hours(override))


def hours(override: ToldOverride) -> int:
    """Return how long an override was asked for."""
    said = override.requested.data.get("hours")
    return said if isinstance(said, int) else 0


def policy_findings(rows: Mapping[str, LockPolicy], told: Told) -> Iterator[str]:
    """Give what is wrong with the policies; the effect of a step of this very moment may not be there yet."""
    for name in sorted({*rows, *told.policies}):
        row, steps = rows.get(name), told.policies.get(name, [])
        possible: list[Step | None] = [*steps[-1:]]
        if steps and steps[-1].at > datetime.now(UTC) - SLACK:
            possible.append(steps[-2] if len(steps) > 1 else None)
        if not any(_is_so(row, step) for step in possible):
            if row is None:
                yield f"the lock policy {name} is gone from its table"
            else:
                yield f"the lock policy {name} is not what its last system entry says"


def _is_so(row: LockPolicy | None, step: Step | None) -> bool:
    if row is None or step is None:
        return row is None and step is None
    facts = policy_facts(row)
    return (str(row.set_record), row.set_by) == (step.entry, step.by) and all(
        step.data.get(key) == value for key, value in facts.items()
    )


def _is_taken(steps: list[Step], record: Any, by: str | None) -> bool:
    """Tell whether a row names one of these steps, and who took it."""
    return any((step.entry, step.by) == (str(record), by) for step in steps)


def _fits(at: datetime | None, recorded_at: datetime | None) -> bool:
    if at is None or recorded_at is None:
        return at is None and recorded_at is None
    return abs(at - recorded_at) <= SLACK
