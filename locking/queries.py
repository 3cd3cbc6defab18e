"""Reading locks, overrides and policies. Writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Q

from activity.record import timestamp
from locking.models import LockOverride, LogLock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from activity.models import ActivityLog
    from locking.models import LockPolicy


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
