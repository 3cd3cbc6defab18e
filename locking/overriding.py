"""Overrides: asked for, decided by another person, used, ended, reviewed by somebody other than who asked.

    auditlog.override.requested, .approved, .denied, .closed, .expired, .reviewed

Their `target` is `override 7`, their `data` all there is to say of it. What the approver's role writes (a decision, a
review) is recorded and committed first; steps.py says why.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django.db import connection, transaction
from django.db.models import Q

from activity import access
from activity.models import ActivityLog
from activity.services import MAX_EXPLANATION, SYSTEM_SOURCE, record_step
from locking import due, notices, rights, steps
from locking.errors import BadLockError, LockNotFoundError, LockRefusedError
from locking.models import LockOverride
from locking.queries import locked_by_policy, override_facts, overrides_in, policies_over

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from django.contrib.auth.models import User

MAX_OVERRIDDEN = 100
_DUE = "is past the deadline of a retention policy, whose lock over it has ended: no override is for it"
REQUEST_STANDS = timedelta(days=7)  # then an override that nobody decided expires


def request_override(
    *, entries: Sequence[UUID], hours: int, by: User, reason: str, case_reference: str = "", lifts_holds: bool = False
) -> LockOverride:
    """Ask to change exactly these locked entries for some hours. Raises PermissionDenied, LockRefusedError.

    What is past a policy's deadline and in no lock of it yet is locked first: an override is for what a lock holds.
    """
    steps.require_right(by=by, permission=rights.ASK_OVERRIDE)
    if lifts_holds:
        steps.require_right(by=by, permission=rights.OVERRIDE_HOLD)
    steps.require_reason(reason=reason)
    steps.require_case(case_reference=case_reference)
    if not 1 <= hours <= 24:  # noqa: PLR2004 a day at most, as the constraint has it
        raise BadLockError("an override runs 1 to 24 hours")
    named = sorted({str(entry) for entry in entries})
    if not 1 <= len(named) <= MAX_OVERRIDDEN:
        raise LockRefusedError(f"an override names 1 to {MAX_OVERRIDDEN} locked entries that you may read")
    found = ActivityLog.objects.filter(pk__in=named, ledger__name__in=access.of_user(by).readable)
    for policy in policies_over([str(entry) for entry in found.values_list("pk", flat=True)]):
        due.lock_due(policy)
    _require_overridable(named, {str(entry.pk): entry for entry in found}, lifts_holds=lifts_holds)
    with steps.named_refusals(), transaction.atomic():
        number = steps.value_of(
            "override_request(%s, %s, %s, %s::uuid[], %s, %s)",
            [by.get_username(), reason, case_reference, named, hours, lifts_holds],
        )
        made = LockOverride.objects.get(pk=number)
        _record_override("requested", made, by=by.get_username(), reason=reason)
    notices.override_requested(made)
    return made


def decide_override(*, override_id: int, approve: bool, by: User, reason: str) -> LockOverride:
    """Approve or deny what another person asked for. Raises PermissionDenied, LockNotFoundError, LockRefusedError."""
    steps.require_right(by=by, permission=rights.DECIDE_OVERRIDE)
    steps.require_reason(reason=reason)
    made = _override_of(by, override_id)
    if made.state != LockOverride.State.REQUESTED:
        raise LockRefusedError(f"it is {made.state} already")
    if made.requested_by == by.get_username():
        raise LockRefusedError("an override takes two people: whoever asked for it does not decide it")
    step = "approved" if approve else "denied"
    steps.require_no_transaction()
    recorded = _record_override(step, made, by=by.get_username(), reason=reason)
    steps.as_approver(
        call="override_decide(%s, %s, %s, %s::uuid)", parameters=[override_id, by.get_username(), approve, recorded]
    )
    made = _override(override_id)
    notices.override_decided(made, reason=reason)
    return made


def close_override(*, override_id: int, by: User) -> LockOverride:
    """End a running override early, as whoever may ask for one or decide one. Raises as `decide_override`."""
    if not by.has_perm(rights.DECIDE_OVERRIDE):
        steps.require_right(by=by, permission=rights.ASK_OVERRIDE)
    made = _override_of(by, override_id)
    if made.state != LockOverride.State.APPROVED:
        raise LockRefusedError(f"it does not run: it is {made.state}")
    return end_override(override_id=override_id, by=by.get_username())


def end_override(*, override_id: int, by: str) -> LockOverride:
    """Close an override before its time, or end one whose time is over; afterwards a review is open."""
    with steps.named_refusals(), transaction.atomic():
        ended = steps.value_of("override_end(%s)", [override_id])
        made = _override(override_id)
        if ended is not None:
            _record_override(str(ended), made, by=by, reason="")
    if ended is not None and made.decided_by is not None:
        notices.review_open(made)
    return made


def end_overrides() -> None:
    """End the overrides whose time is over, and requests that nobody decided within a week."""
    now = datetime.now(UTC)
    over = Q(state=LockOverride.State.APPROVED, runs_until__lte=now)
    stale = Q(state=LockOverride.State.REQUESTED, requested_at__lte=now - REQUEST_STANDS)
    for number in LockOverride.objects.filter(over | stale).order_by("pk").values_list("pk", flat=True):
        end_override(override_id=number, by=SYSTEM_SOURCE)


def review_override(*, override_id: int, by: User, note: str) -> LockOverride:
    """Sign off what was done under an override; not by whoever asked for it."""
    steps.require_right(by=by, permission=rights.REVIEW_OVERRIDE)
    steps.require_text("a note", note, MAX_EXPLANATION)
    made = _override_of(by, override_id)
    if made.requested_by == by.get_username():
        raise LockRefusedError("whoever asked for an override does not review it")
    if not made.waits_for_review:
        raise LockRefusedError("nothing waits for a review: it was not approved, still runs, or was reviewed")
    steps.require_no_transaction()
    recorded = _record_override("reviewed", made, by=by.get_username(), reason=note)
    steps.as_approver(call="override_review(%s, %s, %s::uuid)", parameters=[override_id, by.get_username(), recorded])
    return _override(override_id)


def _record_override(step: str, made: LockOverride, *, by: str, reason: str) -> str:
    # Where the ledgers of its entries stand: a change under it has its leaf between those of approval and end.
    said = override_facts(made) | {"reason": reason, "at_sizes": _sizes(made.entries)}
    return record_step(kind=f"override.{step}", target=str(made), by=by, data=said).id


def _require_overridable(named: Sequence[str], entries: Mapping[str, ActivityLog], *, lifts_holds: bool) -> None:
    """Raise LockRefusedError naming each entry that no override could be for; the database looks again."""
    now = datetime.now(UTC)
    faults = []
    for name in named:
        entry = entries.get(name)
        if entry is None:
            faults.append(f"there is no entry {name} that you may read")
        elif not entry.locked:
            is_due = entry.locked_error() or locked_by_policy(ActivityLog.objects.filter(pk=entry.pk))
            faults.append(f"{name} {_DUE if is_due else 'is not locked'}")
        elif entry.compliance_until is not None and entry.compliance_until > now:
            faults.append(f"{name} is under compliance, which no override lifts")
        elif entry.hold_count and not lifts_holds:
            faults.append(f"{name} is under a legal hold, and the override does not say that it lifts holds")
    if faults:
        raise LockRefusedError("; ".join(faults))


def _override_of(by: User, override_id: int) -> LockOverride:
    made = overrides_in(access.of_user(by).readable).filter(pk=override_id).first()
    if made is None:
        raise LockNotFoundError(f"there is no override {override_id} of entries that {by.get_username()} may read")
    return made


def _override(override_id: int) -> LockOverride:
    made = LockOverride.objects.filter(pk=override_id).first()
    if made is None:
        raise LockNotFoundError(f"there is no override {override_id}")
    return made


def _sizes(entries: Sequence[UUID]) -> dict[str, int]:
    """Return the sizes of the ledgers of these entries."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT l.name, h.size FROM public.ledger_heads h JOIN public.ledgers l ON l.id = h.ledger_id "
            "WHERE h.ledger_id IN (SELECT a.ledger_id FROM public.activity_logs a WHERE a.id = ANY(%s::uuid[]))",
            [list(entries)],
        )
        return dict(cursor.fetchall())
