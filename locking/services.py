"""Locks and their releases: the only caller of the functions that write them. One function, one use case.

What strengthens happens in one transaction with its system entry. What a second person does (he releases, or declines)
is recorded and committed first, and then done by the approver's role, whose function demands the record: a crash in
between leaves a record that protects nobody less, and the step is repeated.

    auditlog.lock.started, .in-force, .extended, .expired
    auditlog.lock.release-requested, .release-withdrawn, .release-declined, .released

Their `target` is `lock 7`, their `data` all there is to say of it. For overrides see overriding.py.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from django.db import connection, transaction

from activity import access
from activity.models import ActivityLog
from activity.services import SYSTEM_SOURCE, record_step
from locking import notices, rights, scopes, steps
from locking.errors import BadLockError, LockNotFoundError, LockRefusedError
from locking.models import EXTENDED, LIFTED, LogLock
from locking.queries import lock_facts

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from locking.models import LockPolicy
    from signing.models import Ledger

CHUNK = 5_000  # leaves that one transaction locks; appends go on between two of them
AT_ONCE = 4  # chunks that a request applies itself; a worker does the rest


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
    steps.require_right(by=by, permission=rights.LOCK)
    opened = steps.readable(by=by, name=ledger)
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
    steps.require_reason(reason=reason)
    steps.require_case(case_reference=case_reference)
    if kind not in LogLock.Kind.values:
        raise BadLockError(f"a lock is of kind {', '.join(LogLock.Kind.values)}")
    if kind == LogLock.Kind.HOLD and until is not None:
        raise BadLockError("a legal hold lasts until it is released")
    if until is not None and until <= datetime.now(UTC):
        raise BadLockError("a lock ends in the future")
    with steps.named_refusals(), transaction.atomic():
        number = steps.value_of(
            "lock_start(%s::smallint, %s, %s::jsonb, %s, %s, %s, %s, %s)",
            [ledger.pk, kind, orjson.dumps(scope).decode(), reason, case_reference, until, by, policy and policy.pk],
        )
        made = LogLock.objects.select_related("ledger").get(pk=number)
        _record("lock.started", made, by=by)
    return made


def advance(*, lock_id: int, chunks: int) -> LogLock:
    """Apply up to so many chunks of a lock and return it. Whoever else does so at the same time goes on, too."""
    for _ in range(chunks):
        with steps.named_refusals(), transaction.atomic():
            applied = steps.row_of("lock_apply(%s, %s)", [lock_id, CHUNK])
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
    steps.require_right(by=by, permission=rights.LOCK)
    steps.require_reason(reason=reason)
    made = _of(by, lock_id)
    if made.until is None and until is None:
        raise LockRefusedError("it lasts for good already, or until it is released")
    if made.state != LogLock.State.IN_FORCE or (made.until is not None and made.until <= datetime.now(UTC)):
        raise LockRefusedError("only a lock that is in force is extended, and its time is not over")
    with steps.named_refusals(), transaction.atomic():
        steps.value_of("lock_extend(%s, %s)", [lock_id, until])
        made = _lock(lock_id)
        _record("lock.extended", made, by=by.get_username(), reason=reason)
    return refresh(lock_id=lock_id, chunks=AT_ONCE)


def refresh(*, lock_id: int, chunks: int) -> LogLock:
    """Give up to so many chunks of an extended lock its later end and return it."""
    for _ in range(chunks):
        with steps.named_refusals(), transaction.atomic():
            refreshed = steps.row_of("lock_refresh(%s, %s)", [lock_id, CHUNK])
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
    steps.require_right(by=by, permission=rights.ASK_RELEASE)
    steps.require_reason(reason=reason)
    made = _of(by, lock_id)
    if made.kind == LogLock.Kind.COMPLIANCE:
        raise LockRefusedError("a lock in mode compliance is never released; it ends when its time is over")
    with steps.named_refusals(), transaction.atomic():
        steps.value_of("lock_request_release(%s, %s, %s)", [lock_id, by.get_username(), reason])
        made = _lock(lock_id)
        _record("lock.release-requested", made, by=by.get_username(), reason=reason)
    notices.release_requested(made)
    return made


def withdraw_release(*, lock_id: int, by: User) -> LogLock:
    """Take back a request for a release; only whoever asked does so. Raises as `extend`."""
    steps.require_right(by=by, permission=rights.ASK_RELEASE)
    made = _of(by, lock_id)
    if made.release_requested_by != by.get_username():
        raise LockRefusedError("whoever asked for a release withdraws the request, and nobody else")
    with steps.named_refusals(), transaction.atomic():
        steps.value_of("lock_withdraw_release(%s, %s)", [lock_id, by.get_username()])
        made = _lock(lock_id)
        _record("lock.release-withdrawn", made, by=by.get_username(), reason="")
    notices.release_withdrawn(made, asked_by=by.get_username())
    return made


def decline_release(*, lock_id: int, by: User, reason: str) -> LogLock:
    """Refuse a release that another person asked for; the lock holds as before. Raises as `extend`."""
    steps.require_right(by=by, permission=rights.RELEASE)
    steps.require_reason(reason=reason)
    made = _of(by, lock_id)
    asked_by = made.release_requested_by
    if asked_by is None or made.state != LogLock.State.IN_FORCE:
        raise LockRefusedError("nobody asks for the release of this lock, or it is not in force")
    if asked_by == by.get_username():
        raise LockRefusedError("whoever asked for a release withdraws the request; another person declines it")
    recorded = _record_first("lock.release-declined", made, by=by.get_username(), reason=reason)
    steps.as_approver(
        call="lock_decline_release(%s, %s, %s, %s::uuid)", parameters=[lock_id, by.get_username(), reason, recorded]
    )
    made = _lock(lock_id)
    notices.release_declined(made, asked_by=asked_by)
    return made


def release(*, lock_id: int, by: User) -> LogLock:
    """Release a lock that another person asked to release; entries that other locks hold stay locked."""
    steps.require_right(by=by, permission=rights.RELEASE)
    made = _of(by, lock_id)
    if made.release_requested_by is None or made.state != LogLock.State.IN_FORCE:
        raise LockRefusedError("nobody asked for the release of this lock, or it is not in force")
    if made.release_requested_by == by.get_username():
        raise LockRefusedError("a release takes two people: whoever asked for it does not give it")
    recorded = _record_first("lock.released", made, by=by.get_username(), reason=made.release_reason or "")
    steps.as_approver(call="lock_release(%s, %s, %s::uuid)", parameters=[lock_id, by.get_username(), recorded])
    notices.released(_lock(lock_id))
    return lift(lock_id=lock_id, chunks=AT_ONCE)


def expire(*, lock_id: int) -> LogLock:
    """End a lock whose time is over, with its record."""
    with steps.named_refusals(), transaction.atomic():
        steps.value_of("lock_expire(%s)", [lock_id])
        made = _lock(lock_id)
        _record("lock.expired", made, by=SYSTEM_SOURCE)
    return made


def lift(*, lock_id: int, chunks: int) -> LogLock:
    """Free the entries of a lock that has ended, up to so many chunks."""
    for _ in range(chunks):
        with steps.named_refusals(), transaction.atomic():
            lifted = steps.row_of("lock_lift(%s, %s)", [lock_id, CHUNK])
        if lifted is None or lifted[0]:
            break
    return _lock(lock_id)


def lift_all() -> None:
    """Free what is still held by locks that have ended."""
    ended = LogLock.objects.filter(state__in=[LogLock.State.RELEASED, LogLock.State.EXPIRED], lifted_to__lt=LIFTED)
    for number in ended.order_by("pk").values_list("pk", flat=True):
        lift(lock_id=number, chunks=sys.maxsize)


def _record(kind: str, made: LogLock, *, by: str, reason: str | None = None) -> str:
    said = lock_facts(made) | {"reason": made.reason if reason is None else reason}
    return record_step(kind=kind, target=str(made), by=by, data=said).id


def _record_first(kind: str, made: LogLock, *, by: str, reason: str) -> str:
    steps.require_no_transaction()
    said = lock_facts(made) | {"reason": reason, "at_size": _size(made.ledger)}
    return record_step(kind=kind, target=str(made), by=by, data=said).id


def _require_entries(ledger: Ledger, scope: dict[str, Any]) -> None:
    named = scope.get("entries")
    if named is not None and ActivityLog.objects.filter(ledger=ledger, pk__in=named).count() != len(named):
        raise LockRefusedError(f"not all of these entries are in the ledger {ledger.name}")


def _of(by: User, lock_id: int) -> LogLock:
    made = LogLock.objects.select_related("ledger").filter(pk=lock_id).first()
    if made is None or made.ledger.name not in access.of_user(by).readable:
        raise LockNotFoundError(f"there is no lock {lock_id} in a ledger that {by.get_username()} may read")
    return made


def _lock(lock_id: int) -> LogLock:
    return LogLock.objects.select_related("ledger").get(pk=lock_id)


def _size(ledger: Ledger) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT size FROM public.ledger_heads WHERE ledger_id = %s", [ledger.pk])
        return int(cursor.fetchone()[0])
