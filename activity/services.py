"""Recording events and configuring log types: the only writers of entries. One function, one use case, one transaction.

How an event becomes an entry stands in recording.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction

from activity import queries, recording
from activity.errors import LogTypeError
from activity.event import SYSTEM_PREFIX, Event
from activity.models import ActivityLog, LogType, VerificationRun
from activity.policies import require_pattern
from activity.queries import ACTIVITY_LEDGER
from signing.algorithms import ALGORITHMS
from signing.models import SigningKey
from signing.queries import active_keys, ledger_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from activity.recording import Receipt
    from activity.report import Report

SYSTEM_SOURCE = "auditlog"
MAX_EXPLANATION = 2_000  # characters of a description or a reason, so that their entry's data stays in its record


def record(event: Event, *, ledger: str = ACTIVITY_LEDGER) -> Receipt:
    """Record one event and return its receipt. Errors as `record_many`."""
    return record_many([event], ledger=ledger)[0]


def record_many(events: Sequence[Event], *, ledger: str = ACTIVITY_LEDGER) -> list[Receipt]:
    """Record a batch, all or nothing, and return the receipts in its order.

    Raises BadEventsError naming every faulty event, EventIdConflictError for an event id that was used for other
    content, LedgerNotFoundError, NoActiveKeyError.
    """
    return recording.record_many(events, ledger=ledger)


def record_system(event: Event) -> Receipt:
    """Record what the application itself did, as a type `auditlog.*`, in the caller's transaction."""
    return recording.record_own(event)


def record_step(*, kind: str, target: str, by: str, data: dict[str, Any], outcome: str = "success") -> Receipt:
    """Record a step that somebody took in this application, as a system entry of type `auditlog.<kind>`."""
    return record_system(
        Event(
            type=f"{SYSTEM_PREFIX}{kind}",
            action=kind.replace("-", " ").replace(".", " "),
            actor=by,
            occurred_at=datetime.now(UTC),
            source=SYSTEM_SOURCE,
            target=target,
            outcome=outcome,
            severity="notice",
            data=data,
        )
    )


@transaction.atomic
def set_log_type(
    *, pattern: str, requires_signature: bool, algorithm: str, description: str, by: str, reason: str
) -> LogType:
    """Create or change a log type and return it; the change is a system entry. Raises LogTypeError."""
    require_log_type(
        pattern=pattern, requires_signature=requires_signature, algorithm=algorithm, description=description
    )
    _require_reason(reason)
    log_type, _ = LogType.objects.update_or_create(
        pattern=pattern,
        defaults={
            "requires_signature": requires_signature,
            "algorithm": algorithm,
            "description": description,
            "updated_at": datetime.now(UTC),
        },
    )
    _record_log_type(log_type, "set", by=by, reason=reason)
    return log_type


def require_log_type(*, pattern: str, requires_signature: bool, algorithm: str, description: str) -> None:
    """Raise LogTypeError, saying why, if `set_log_type` would refuse such a log type now."""
    require_pattern(pattern)
    if algorithm not in ALGORITHMS:
        raise LogTypeError(f"no algorithm {algorithm!r}; there are: {', '.join(ALGORITHMS)}")
    if _is_system(pattern) and not requires_signature:
        raise LogTypeError("what the application itself records is always signed")
    if len(description) > MAX_EXPLANATION:
        raise LogTypeError(f"the description has {len(description):,} characters; at most {MAX_EXPLANATION:,} are kept")
    slots = {key.algorithm for key in active_keys(SigningKey.Purpose.ENTRY, refresh=True)}
    if requires_signature and algorithm not in slots:
        raise LogTypeError(
            f"there is no active {algorithm} entry key; run ./auditlog keys rotate --algorithm {algorithm}"
        )


@transaction.atomic
def remove_log_type(*, pattern: str, by: str, reason: str) -> None:
    """Remove a log type, so that a shorter pattern or the default takes over. Raises LogTypeError."""
    require_removable(pattern=pattern)
    _require_reason(reason)
    # The row before the entry, as `set_log_type` has it: two orders of locking would wait for each other.
    log_type = LogType.objects.select_for_update().filter(pattern=pattern).first()
    if log_type is None:
        raise LogTypeError(f"there is no log type {pattern!r}")
    LogType.objects.filter(pattern=pattern).delete()
    _record_log_type(log_type, "removed", by=by, reason=reason)


def require_removable(*, pattern: str) -> None:
    """Raise LogTypeError if a log type of this pattern cannot be removed."""
    if _is_system(pattern):
        raise LogTypeError("the type of the application's own entries stays")


def record_verification(report: Report, *, started_at: datetime) -> VerificationRun:
    """Keep what a verification found; the next one with `--since-last` starts where a run without alarm ended."""
    run = VerificationRun(
        ledger=ledger_named(report.ledger),
        started_at=started_at,
        since=report.since,
        size=report.size,
        root=report.root,
        outcome=report.outcome,
        findings=report.as_json()["findings"],
    )
    run.save()
    return run


def bootstrap(*, by: str = "setup") -> list[str]:
    """Record the log types that no system entry describes yet; return a line for each."""
    described = set(
        ActivityLog.objects.filter(type=f"{SYSTEM_PREFIX}log-type.set").values_list("target", flat=True).distinct()
    )
    done = []
    for log_type in LogType.objects.exclude(pattern__in=described):
        _record_log_type(log_type, "set", by=by, reason="set-up")
        done.append(f"log type {log_type.pattern}: recorded")
    return done


def _is_system(pattern: str) -> bool:
    return f"{pattern}.".startswith(SYSTEM_PREFIX)


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise LogTypeError("a change of a log type needs a reason")
    if len(reason) > MAX_EXPLANATION:
        raise LogTypeError(f"the reason has {len(reason):,} characters; at most {MAX_EXPLANATION:,} are kept")


def _record_log_type(log_type: LogType, step: str, *, by: str, reason: str) -> None:
    said: dict[str, object] = {"pattern": log_type.pattern, "reason": reason}
    if step == "set":
        said |= queries.log_type_facts(log_type)
    record_step(kind=f"log-type.{step}", target=log_type.pattern, by=by, data=said)
