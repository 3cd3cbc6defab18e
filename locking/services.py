"""Locks, releases and overrides: the only callers of the functions that write them. One function, one use case.

What strengthens happens in one transaction with its system entry. What weakens (a release, an approval) is recorded and
committed first, and then done by the approver's role, whose function demands the record: a crash in between leaves a
record that protects nobody less, and the step is repeated.

    auditlog.lock.started, .in-force, .extended, .release-requested, .released, .expired
    auditlog.override.requested, .approved, .denied, .closed, .expired, .reviewed

Their `target` is `lock 7` or `override 7`, their `data` all there is to say of it.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.db.models import Q

from activity import access
from activity.models import ActivityLog
from activity.services import MAX_EXPLANATION, SYSTEM_SOURCE, record_step
from locking import notices, scopes
from locking.errors import BadLockError, LockNotFoundError, LockRefusedError
from locking.models import EXTENDED, LIFTED, LockOverride, LogLock
from locking.queries import lock_facts, override_facts, overrides_in
from signing.queries import ledger_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from django.contrib.auth.models import User

    from locking.models import LockPolicy
    from signing.models import Ledger

CHUNK = 5_000  # leaves that one transaction locks; appends go on between two of them
AT_ONCE = 4  # chunks that a request applies itself; a worker does the rest
MAX_CASE = 200
MAX_OVERRIDDEN = 100
REQUEST_STANDS = timedelta(days=7)  # then an override that nobody decided expires
SEE, LOCK, RELEASE = "locking.view_loglock", "locking.add_loglock", "locking.release_loglock"
ASK_RELEASE = "locking.change_loglock"
ASK_OVERRIDE, DECIDE_OVERRIDE = "locking.add_lockoverride", "locking.decide_lockoverride"
SEE_OVERRIDES = "locking.view_lockoverride"
REVIEW_OVERRIDE, OVERRIDE_HOLD = "locking.review_lockoverride", "locking.override_hold"


def lock(
    *,
    ledger: str,
    scope: dict[str, Any],
    kind: str,
    reason: str,
    by: User,
    case_reference: str = "",
    until: datetime | None = None,
) -> LogLock:
    """Make entries read-only and return the lock; entries that are locked already keep what is stronger.

    A large one is returned while it is being applied, and in force only when its state says so. Raises
    PermissionDenied, LockNotFoundError, LockRefusedError.
    """
    require_right(by=by, permission=LOCK)
    opened = readable(by=by, name=ledger)
    said = scopes.checked(scope)
    _require_entries(opened, said)
    made = start(
        ledger=opened,
        scope=said,
        kind=kind,
        reason=reason,
        by=by.get_username(),
        case_reference=case_reference,
        until=until,
    )
    return advance(lock_id=made.pk, chunks=AT_ONCE)


def start(
    *,
    ledger: Ledger,
    scope: dict[str, Any],
    kind: str,
    reason: str,
    by: str,
    case_reference: str = "",
    until: datetime | None = None,
    policy: LockPolicy | None = None,
) -> LogLock:
    """Begin a lock of a scope that was checked, with its record, and apply nothing yet."""
    require_reason(reason=reason)
    _require_text("a case reference", case_reference, MAX_CASE, may_be_empty=True)
    if kind not in LogLock.Kind.values:
        raise BadLockError(f"a lock is of kind {', '.join(LogLock.Kind.values)}")
    if kind == LogLock.Kind.HOLD and until is not None:
        raise BadLockError("a legal hold lasts until it is released")
    if until is not None and until <= datetime.now(UTC):
        raise BadLockError("a lock ends in the future")
    with named_refusals(), transaction.atomic():
        number = _call(
            "lock_start(%s::smallint, %s, %s::jsonb, %s, %s, %s, %s, %s)",
            [ledger.pk, kind, orjson.dumps(scope).decode(), reason, case_reference, until, by, policy and policy.pk],
        )
        made = LogLock.objects.select_related("ledger").get(pk=number)
        _record("lock.started", made, by=by)
    return made


def advance(*, lock_id: int, chunks: int) -> LogLock:
    """Apply up to so many chunks of a lock and return it. Whoever else does so at the same time goes on, too."""
    for _ in range(chunks):
        with named_refusals(), transaction.atomic():
            applied = _row("lock_apply(%s, %s)", [lock_id, CHUNK])
            if applied is None:
                break
            if applied[0]:
                made = _lock(lock_id)
                _record("lock.in-force", made, by=made.locked_by)
                break
    return _lock(lock_id)


def extend(*, lock_id: int, until: datetime | None, by: User, reason: str) -> LogLock:
    """Make a retention last longer, None for good; nobody makes it shorter. Raises as `lock`, LockNotFoundError.

    The entries of a large one follow in chunks; `is_being_extended` tells whether some still wait for a worker.
    """
    require_right(by=by, permission=LOCK)
    require_reason(reason=reason)
    made = _of(by, lock_id)
    if made.until is None and until is None:
        raise LockRefusedError("it lasts for good already, or until it is released")
    with named_refusals(), transaction.atomic():
        _call("lock_extend(%s, %s)", [lock_id, until])
        made = _lock(lock_id)
        _record("lock.extended", made, by=by.get_username(), reason=reason)
    return refresh(lock_id=lock_id, chunks=AT_ONCE)


def refresh(*, lock_id: int, chunks: int) -> LogLock:
    """Give up to so many chunks of an extended lock its later end and return it."""
    for _ in range(chunks):
        with named_refusals(), transaction.atomic():
            refreshed = _row("lock_refresh(%s, %s)", [lock_id, CHUNK])
        if refreshed is None or refreshed[0]:
            break
    return _lock(lock_id)


def refresh_all() -> None:
    """Go on with the extensions that a crash has cut off, or that are too large for a request."""
    waiting = LogLock.objects.filter(state=LogLock.State.IN_FORCE, extended_to__lt=EXTENDED)
    for number in waiting.order_by("pk").values_list("pk", flat=True):
        refresh(lock_id=number, chunks=sys.maxsize)


def request_release(*, lock_id: int, by: User, reason: str) -> LogLock:
    """Ask for the release of a governance lock or a hold; another person releases it. Raises as `extend`."""
    require_right(by=by, permission=ASK_RELEASE)
    require_reason(reason=reason)
    made = _of(by, lock_id)
    if made.kind == LogLock.Kind.COMPLIANCE:
        raise LockRefusedError("a lock in mode compliance is never released; it ends when its time is over")
    with named_refusals(), transaction.atomic():
        _call("lock_request_release(%s, %s, %s)", [lock_id, by.get_username(), reason])
        made = _lock(lock_id)
        _record("lock.release-requested", made, by=by.get_username(), reason=reason)
    notices.release_requested(made)
    return made


def release(*, lock_id: int, by: User) -> LogLock:
    """Release a lock that another person asked to release; entries that other locks hold stay locked."""
    require_right(by=by, permission=RELEASE)
    made = _of(by, lock_id)
    if made.release_requested_by is None or made.state != LogLock.State.IN_FORCE:
        raise LockRefusedError("nobody asked for the release of this lock, or it is not in force")
    if made.release_requested_by == by.get_username():
        raise LockRefusedError("a release takes two people: whoever asked for it does not give it")
    recorded = _record_first("lock.released", made, by=by.get_username(), reason=made.release_reason or "")
    as_approver(call="lock_release(%s, %s, %s::uuid)", parameters=[lock_id, by.get_username(), recorded])
    notices.released(_lock(lock_id))
    return lift(lock_id=lock_id, chunks=AT_ONCE)


def expire(*, lock_id: int) -> LogLock:
    """End a lock whose time is over, with its record."""
    with named_refusals(), transaction.atomic():
        _call("lock_expire(%s)", [lock_id])
        made = _lock(lock_id)
        _record("lock.expired", made, by=SYSTEM_SOURCE)
    return made


def lift(*, lock_id: int, chunks: int) -> LogLock:
    """Free the entries of a lock that has ended, up to so many chunks."""
    for _ in range(chunks):
        with named_refusals(), transaction.atomic():
            lifted = _row("lock_lift(%s, %s)", [lock_id, CHUNK])
        if lifted is None or lifted[0]:
            break
    return _lock(lock_id)


def lift_all() -> None:
    """Free what is still held by locks that have ended."""
    ended = LogLock.objects.filter(state__in=[LogLock.State.RELEASED, LogLock.State.EXPIRED], lifted_to__lt=LIFTED)
    for number in ended.order_by("pk").values_list("pk", flat=True):
        lift(lock_id=number, chunks=sys.maxsize)


def end_overrides() -> None:
    """End the overrides whose time is over, and requests that nobody decided within a week."""
    now = datetime.now(UTC)
    over = Q(state=LockOverride.State.APPROVED, runs_until__lte=now)
    stale = Q(state=LockOverride.State.REQUESTED, requested_at__lte=now - REQUEST_STANDS)
    for number in LockOverride.objects.filter(over | stale).order_by("pk").values_list("pk", flat=True):
        end_override(override_id=number, by=SYSTEM_SOURCE)


def request_override(
    *, entries: Sequence[UUID], hours: int, by: User, reason: str, case_reference: str = "", lifts_holds: bool = False
) -> LockOverride:
    """Ask to change exactly these locked entries for some hours. Raises PermissionDenied, LockRefusedError."""
    require_right(by=by, permission=ASK_OVERRIDE)
    if lifts_holds:
        require_right(by=by, permission=OVERRIDE_HOLD)
    require_reason(reason=reason)
    _require_text("a case reference", case_reference, MAX_CASE, may_be_empty=True)
    if not 1 <= hours <= 24:  # noqa: PLR2004 a day at most, as the constraint has it
        raise BadLockError("an override runs 1 to 24 hours")
    named = sorted({str(entry) for entry in entries})
    if not 1 <= len(named) <= MAX_OVERRIDDEN:
        raise LockRefusedError(f"an override names 1 to {MAX_OVERRIDDEN} locked entries that you may read")
    _require_overridable(named, by, lifts_holds=lifts_holds)
    with named_refusals(), transaction.atomic():
        number = _call(
            "override_request(%s, %s, %s, %s::uuid[], %s, %s)",
            [by.get_username(), reason, case_reference, named, hours, lifts_holds],
        )
        made = LockOverride.objects.get(pk=number)
        _record_override("requested", made, by=by.get_username(), reason=reason)
    notices.override_requested(made)
    return made


def decide_override(*, override_id: int, approve: bool, by: User, reason: str) -> LockOverride:
    """Approve or deny what another person asked for. Raises PermissionDenied, LockNotFoundError, LockRefusedError."""
    require_right(by=by, permission=DECIDE_OVERRIDE)
    require_reason(reason=reason)
    made = _override_of(by, override_id)
    if made.state != LockOverride.State.REQUESTED:
        raise LockRefusedError(f"it is {made.state} already")
    if made.requested_by == by.get_username():
        raise LockRefusedError("an override takes two people: whoever asked for it does not decide it")
    step = "approved" if approve else "denied"
    require_no_transaction()
    recorded = _record_override(step, made, by=by.get_username(), reason=reason)
    as_approver(
        call="override_decide(%s, %s, %s, %s::uuid)", parameters=[override_id, by.get_username(), approve, recorded]
    )
    made = _override(override_id)
    notices.override_decided(made, reason=reason)
    return made


def close_override(*, override_id: int, by: User) -> LockOverride:
    """End a running override early, as whoever may ask for one or decide one. Raises as `decide_override`."""
    if not by.has_perm(DECIDE_OVERRIDE):
        require_right(by=by, permission=ASK_OVERRIDE)
    made = _override_of(by, override_id)
    if made.state != LockOverride.State.APPROVED:
        raise LockRefusedError(f"it does not run: it is {made.state}")
    return end_override(override_id=override_id, by=by.get_username())


def end_override(*, override_id: int, by: str) -> LockOverride:
    """Close an override before its time, or end one whose time is over; afterwards a review is open."""
    with named_refusals(), transaction.atomic():
        ended = _call("override_end(%s)", [override_id])
        made = _override(override_id)
        if ended is not None:
            _record_override(str(ended), made, by=by, reason="")
    if ended is not None and made.decided_by is not None:
        notices.review_open(made)
    return made


def review_override(*, override_id: int, by: User, note: str) -> LockOverride:
    """Sign off what was done under an override; not by whoever asked for it."""
    require_right(by=by, permission=REVIEW_OVERRIDE)
    _require_text("a note", note, MAX_EXPLANATION)
    made = _override_of(by, override_id)
    if made.requested_by == by.get_username():
        raise LockRefusedError("whoever asked for an override does not review it")
    if not made.waits_for_review:
        raise LockRefusedError("nothing waits for a review: it was not approved, still runs, or was reviewed")
    require_no_transaction()
    recorded = _record_override("reviewed", made, by=by.get_username(), reason=note)
    as_approver(call="override_review(%s, %s, %s::uuid)", parameters=[override_id, by.get_username(), recorded])
    return _override(override_id)


def _record(kind: str, made: LogLock, *, by: str, reason: str | None = None) -> str:
    said = lock_facts(made) | {"reason": made.reason if reason is None else reason}
    return record_step(kind=kind, target=str(made), by=by, data=said).id


def _record_first(kind: str, made: LogLock, *, by: str, reason: str) -> str:
    require_no_transaction()
    said = lock_facts(made) | {"reason": reason, "at_size": _size(made.ledger)}
    return record_step(kind=kind, target=str(made), by=by, data=said).id


def _record_override(step: str, made: LockOverride, *, by: str, reason: str) -> str:
    # Where the ledgers of its entries stand: a change under it has its leaf between those of approval and end.
    said = override_facts(made) | {"reason": reason, "at_sizes": _sizes(made.entries)}
    return record_step(kind=f"override.{step}", target=str(made), by=by, data=said).id


def require_no_transaction() -> None:
    """Raise RuntimeError inside a transaction, which could take back the record of what is then done."""
    if connection.in_atomic_block:
        message = "what the approver's role does is recorded first, in a transaction of its own"
        raise RuntimeError(message)


def require_right(*, by: User, permission: str) -> None:
    """Raise PermissionDenied unless somebody has a permission."""
    if not by.has_perm(permission):
        raise PermissionDenied(f"{by.get_username()} lacks the permission {permission}")


def require_reason(*, reason: str) -> None:
    """Raise BadLockError unless a reason says something, and not too much."""
    _require_text("a reason", reason, MAX_EXPLANATION)


def _require_text(what: str, text: str, limit: int, *, may_be_empty: bool = False) -> None:
    if (not text.strip() and not may_be_empty) or "\0" in text:
        raise BadLockError(f"it needs {what}, in plain text")
    if len(text) > limit:
        raise BadLockError(f"{what} has {len(text):,} characters; at most {limit:,} are kept")


def _require_entries(ledger: Ledger, scope: dict[str, Any]) -> None:
    named = scope.get("entries")
    if named is not None and ActivityLog.objects.filter(ledger=ledger, pk__in=named).count() != len(named):
        raise LockRefusedError(f"not all of these entries are in the ledger {ledger.name}")


def _require_overridable(named: Sequence[str], by: User, *, lifts_holds: bool) -> None:
    """Raise LockRefusedError naming each entry that no override could be for; the database looks again."""
    now = datetime.now(UTC)
    found = ActivityLog.objects.filter(pk__in=named, ledger__name__in=access.of_user(by).readable)
    entries = {str(entry.pk): entry for entry in found}
    faults = []
    for name in named:
        entry = entries.get(name)
        if entry is None:
            faults.append(f"there is no entry {name} that you may read")
        elif not entry.locked:
            faults.append(f"{name} is not locked")
        elif entry.compliance_until is not None and entry.compliance_until > now:
            faults.append(f"{name} is under compliance, which no override lifts")
        elif entry.hold_count and not lifts_holds:
            faults.append(f"{name} is under a legal hold, and the override does not say that it lifts holds")
    if faults:
        raise LockRefusedError("; ".join(faults))


def readable(*, by: User, name: str) -> Ledger:
    """Return a ledger that somebody may read. Raises LockNotFoundError."""
    if name not in access.of_user(by).readable:
        raise LockNotFoundError(f"there is no ledger {name} that {by.get_username()} may read")
    return ledger_named(name)


def _of(by: User, lock_id: int) -> LogLock:
    made = LogLock.objects.select_related("ledger").filter(pk=lock_id).first()
    if made is None or made.ledger.name not in access.of_user(by).readable:
        raise LockNotFoundError(f"there is no lock {lock_id} in a ledger that {by.get_username()} may read")
    return made


def _lock(lock_id: int) -> LogLock:
    return LogLock.objects.select_related("ledger").get(pk=lock_id)


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


def _size(ledger: Ledger) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT size FROM public.ledger_heads WHERE ledger_id = %s", [ledger.pk])
        return int(cursor.fetchone()[0])


def _sizes(entries: Sequence[UUID]) -> dict[str, int]:
    """Return the sizes of the ledgers of these entries."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT l.name, h.size FROM public.ledger_heads h JOIN public.ledgers l ON l.id = h.ledger_id "
            "WHERE h.ledger_id IN (SELECT a.ledger_id FROM public.activity_logs a WHERE a.id = ANY(%s::uuid[]))",
            [list(entries)],
        )
        return dict(cursor.fetchall())


def _row(call: str, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM public.{call}", parameters)  # noqa: S608 a name of ours
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row


def _call(call: str, parameters: Sequence[Any]) -> Any:
    row = _row(call, parameters)
    return None if row is None else row[0]


def as_approver(*, call: str, parameters: Sequence[Any]) -> None:
    """Call a function as the approver's role, which the web process alone has."""
    if "approver" not in connections.databases:
        raise LockRefusedError("this process has no approver's role (DATABASE_APPROVER_URL)")
    with named_refusals(), connections["approver"].cursor() as cursor:
        cursor.execute(f"SELECT public.{call}", parameters)


@contextmanager
def named_refusals() -> Iterator[None]:
    """Raise LockRefusedError where the database refused by rule AL006 or a constraint, with its words."""
    try:
        yield
    except IntegrityError as error:
        cause: Any = error.__cause__
        raise LockRefusedError(f"the database refuses: {cause.diag.constraint_name}") from error
    except DatabaseError as error:
        refusal: Any = error.__cause__
        if getattr(refusal, "sqlstate", None) != "AL006":
            raise
        # "AL006: UPDATE on log_locks is refused: a lock is never shortened": what it was on, people need not know.
        said = refusal.diag.message_primary.partition(": ")[2]
        raise LockRefusedError(said.partition(" is refused: ")[2] or said) from error
