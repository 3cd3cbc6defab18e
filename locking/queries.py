"""Reading locks, overrides and policies. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Q

from activity.record import timestamp
from locking.models import LockOverride, LogLock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from activity.models import ActivityLog
    from locking.models import LockPolicy

DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
MAX_LOCK_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which locks of these ledgers, the newest first; `before` is the last one of the page before."""

    ledgers: frozenset[str]
    equal: dict[str, Any] = field(default_factory=dict)
    limit: int = DEFAULT_LIMIT
    before: int | None = None


class Page(NamedTuple):
    """Locks, and the cursor of the next page if there are more."""

    locks: list[LogLock]
    next: int | None


def find(wanted: Wanted) -> Page:
    """Return a page of locks."""
    found = locks_in(wanted.ledgers).filter(**wanted.equal)
    if wanted.before is not None:
        found = found.filter(pk__lt=wanted.before)
    locks = list(found[: wanted.limit + 1])
    more = len(locks) > wanted.limit
    return Page(locks[: wanted.limit], locks[wanted.limit - 1].pk if more else None)


def lock_for(ledgers: Iterable[str], lock_id: int) -> LogLock | None:
    """Return a lock of one of these ledgers, or None."""
    return locks_in(ledgers).filter(pk=lock_id).first() if lock_id <= MAX_LOCK_ID else None


def lock_facts(made: LogLock) -> dict[str, object]:
    """Return what the system entries of a lock say, so that its row can be compared with them."""
    return {
        "lock": made.pk,
        "ledger": made.ledger.name,
        "kind": made.kind,
        "scope": made.scope,
        "case_reference": made.case_reference,
        "until": made.until and timestamp(made.until),
        "locked_by": made.locked_by,
        "policy": made.policy_id,
        "count": made.count,
        "size": made.size,
        "root": made.root and bytes(made.root).hex(),
    }


def override_facts(made: LockOverride) -> dict[str, object]:
    """Return what the system entries of an override say."""
    return {
        "override": made.pk,
        "requested_by": made.requested_by,
        "case_reference": made.case_reference,
        "entries": [str(entry) for entry in made.entries],
        "hours": made.hours,
        "lifts_holds": made.lifts_holds,
    }


def policy_facts(policy: LockPolicy) -> dict[str, object]:
    """Return what the system entry of a policy says."""
    return {
        "name": policy.name,
        "ledger": policy.ledger.name,
        "enabled": policy.enabled,
        "rule": policy.rule,
        "scope": policy.scope,
        "kind": policy.kind,
        "lock_days": policy.lock_days,
    }


def locks_of(entry: ActivityLog) -> QuerySet[LogLock]:
    """Return the locks that hold an entry now, the newest first."""
    return LogLock.objects.filter(pk__in=entry.held_by or []).order_by("-pk")


def locks_in(ledgers: Iterable[str]) -> QuerySet[LogLock]:
    """Return the locks of these ledgers, the newest first."""
    return LogLock.objects.filter(ledger__name__in=ledgers).select_related("ledger").order_by("-pk")


def overrides_to_decide() -> QuerySet[LockOverride]:
    """Return the overrides that wait for an approver, the oldest first."""
    return LockOverride.objects.filter(state=LockOverride.State.REQUESTED).order_by("pk")


def overrides_to_review() -> QuerySet[LockOverride]:
    """Return the overrides that were approved, have ended, and wait for a review."""
    ended = [LockOverride.State.CLOSED, LockOverride.State.EXPIRED]
    return LockOverride.objects.filter(state__in=ended, decided_by__isnull=False, reviewed_by=None).order_by("pk")


def releases_to_give() -> QuerySet[LogLock]:
    """Return the locks whose release was asked for, the oldest first."""
    wanted = Q(state=LogLock.State.IN_FORCE, release_requested_by__isnull=False)
    return LogLock.objects.filter(wanted).select_related("ledger").order_by("pk")
