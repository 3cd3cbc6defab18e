"""Reading locks, overrides and policies. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection
from django.db.models import BigIntegerField, BooleanField, F, Q, UUIDField
from django.db.models.expressions import RawSQL

from activity.errors import EntryLockedError
from activity.models import ActivityLog, ActivityRevision
from activity.services import SYSTEM_SOURCE
from activity.timestamps import timestamp
from locking.models import EXTENDED, LIFTED, LockOverride, LockPolicy, LogLock
from signing.models import LedgerHead
from signing.queries import ledger_named

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from signing.models import Ledger

_OVERDUE_OF = """
    FROM public.lock_policies p JOIN public.activity_logs a ON a.ledger_id = p.ledger_id AND a.leaf_index >= p.next_leaf
    WHERE p.enabled AND public.lock_deadline(p.rule, a.recorded_at) <= clock_timestamp()
      AND public.lock_matches(p.scope, a) AND public.lock_owed(p, a)"""
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
MAX_LOCK_ID = 2**63 - 1
LOCK_STEPS = (
    *("started", "in-force", "extended", "release-requested", "release-withdrawn", "release-declined", "released"),
    "expired",
)
OVERRIDE_STEPS = ("requested", "approved", "denied", "closed", "expired", "reviewed")
_STEPS = [
    *(f"auditlog.lock.{step}" for step in LOCK_STEPS),
    *(f"auditlog.override.{step}" for step in OVERRIDE_STEPS),
]
TO_REVIEW = Q(
    state__in=[LockOverride.State.CLOSED, LockOverride.State.EXPIRED], decided_by__isnull=False, reviewed_by=None
)


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
    return LogLock.objects.filter(ledger__in=rows_of(ledgers)).select_related("ledger").order_by("-pk")


def rows_of(ledgers: Iterable[str]) -> list[Ledger]:
    """Return the ledgers by their ids: of a name the planner does not know how many rows there are."""
    return [ledger_named(name) for name in ledgers]


def overdue() -> RawSQL:
    """Return the ids of all entries that a policy of time locks and has not come to yet."""
    return RawSQL(f"SELECT a.id {_OVERDUE_OF}", [], output_field=UUIDField())  # noqa: S611 ours


def locked_by_policy(entries: QuerySet[ActivityLog]) -> EntryLockedError | None:
    """Return the guard's refusal for the first of these entries that a policy of time locks and has not come to yet."""
    entry = entries.filter(pk__in=overdue()).order_by("pk").first()
    if entry is None:
        return None
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT p.name {_OVERDUE_OF} AND a.id = %s ORDER BY p.id LIMIT 1", [entry.pk])
        row = cursor.fetchone()
    reason = f"the retention policy {row[0]} locks it, and has not come to it yet"
    return EntryLockedError(str(entry.pk), [], reason)


def policies_over(entries: Iterable[str]) -> QuerySet[LockPolicy]:
    """Return the enabled policies of time past whose deadline any of these entries is and whose lock has not ended."""
    over = RawSQL(
        "SELECT p.id FROM public.lock_policies p JOIN public.activity_logs a ON a.ledger_id = p.ledger_id "
        "WHERE a.id = ANY (%s::uuid[]) AND p.enabled AND public.lock_matches(p.scope, a) AND public.lock_owed(p, a) "
        "AND public.lock_deadline(p.rule, a.recorded_at) <= clock_timestamp()",
        [list(entries)],
        output_field=BigIntegerField(),
    )
    return LockPolicy.objects.filter(pk__in=over).select_related("ledger").order_by("pk")


def policy_name(made: LogLock) -> str:
    """Return the name of the policy that made a lock, "" if a person did."""
    if made.policy_id is None:
        return ""
    return LockPolicy.objects.filter(pk=made.policy_id).values_list("name", flat=True).first() or ""


def progress(made: LogLock) -> int | None:
    """Return how many percent of its ledger a lock, its later end, or its lifting has come to; None if none goes on."""
    reached = made.lifted_to
    if made.state == LogLock.State.APPLYING:
        reached = made.next_leaf
    elif made.state == LogLock.State.IN_FORCE:
        reached = made.extended_to
    if reached in {LIFTED, EXTENDED}:
        return None
    size = LedgerHead.objects.values_list("size", flat=True).get(ledger=made.ledger_id)
    end = min(size, made.scope.get("leaf_to", size)) if made.state == LogLock.State.APPLYING else size
    return min(100 * reached // max(end, 1), 99)


def ended_locks_over(entry: ActivityLog, *, among: int | None = None) -> QuerySet[LogLock]:
    """Return the locks that have ended and whose scope the entry, as it is now, was in; the newest first.

    `among` so many of the newest locks of its ledger, so that little is read; all of them unless it is said.
    """
    fell_under = RawSQL(
        "EXISTS (SELECT FROM public.activity_logs a WHERE a.id = %s AND public.lock_matches(log_locks.scope, a))",
        [entry.pk],
        output_field=BooleanField(),
    )
    ended = LogLock.objects.filter(
        ledger=entry.ledger_id,
        state__in=[LogLock.State.RELEASED, LogLock.State.EXPIRED],
        in_force_at__gte=entry.recorded_at,
    )
    if among is not None:
        ended = ended.filter(pk__in=LogLock.objects.filter(ledger=entry.ledger_id).order_by("-pk").values("pk")[:among])
    return ended.filter(fell_under).order_by("-pk")


def steps_of(subject: str) -> QuerySet[ActivityLog]:
    """Return the system entries about `lock 7` or `override 7`, the first one first."""
    about = ActivityLog.objects.filter(target=subject, source=SYSTEM_SOURCE, type__in=_STEPS)
    return about.select_related("ledger", "key").order_by("id")


def overrides_in(ledgers: Iterable[str]) -> QuerySet[LockOverride]:
    """Return the overrides all of whose entries are in these ledgers, the newest first."""
    within = RawSQL(
        "NOT EXISTS (SELECT FROM public.activity_logs a JOIN public.ledgers l ON l.id = a.ledger_id "
        "WHERE a.id = ANY (lock_overrides.entries) AND l.name <> ALL (%s))",
        [sorted(ledgers)],
        output_field=BooleanField(),
    )
    return LockOverride.objects.filter(within).order_by("-pk")


def entries_of(made: LockOverride) -> QuerySet[ActivityLog]:
    """Return the entries that an override names, the first one first."""
    return ActivityLog.objects.filter(pk__in=made.entries).select_related("ledger", "key").order_by("id")


def versions_of(made: LockOverride) -> QuerySet[ActivityRevision]:
    """Return the superseded versions of the entries that an override names, in their order, without large data."""
    found = ActivityRevision.objects.filter(entry_id__in=made.entries)
    return found.defer("detached_data").order_by("superseded_at", "revision")


def ledgers_of(made: LockOverride) -> list[str]:
    """Return the ledgers of the entries that an override names."""
    named = ActivityLog.objects.filter(pk__in=made.entries)
    return list(named.order_by().values_list("ledger__name", flat=True).distinct())


def overrides_of(entry: ActivityLog) -> QuerySet[LockOverride]:
    """Return the overrides that name an entry, the newest first."""
    # By an expression: for the first few in the order of an index, PostgreSQL reads every override that there is.
    return LockOverride.objects.filter(entries__contains=[entry.pk]).order_by((F("pk") + 0).desc())


def policies_in(ledgers: Iterable[str]) -> QuerySet[LockPolicy]:
    """Return the policies of these ledgers by name."""
    return LockPolicy.objects.filter(ledger__in=rows_of(ledgers)).select_related("ledger").order_by("name")


def overrides_to_decide(ledgers: Iterable[str]) -> QuerySet[LockOverride]:
    """Return the overrides that wait for an approver, the oldest first."""
    return overrides_in(ledgers).filter(state=LockOverride.State.REQUESTED).order_by("pk")


def overrides_running(ledgers: Iterable[str]) -> QuerySet[LockOverride]:
    """Return the overrides that were approved and have not ended, the oldest first."""
    return overrides_in(ledgers).filter(state=LockOverride.State.APPROVED).order_by("pk")


def overrides_to_review(ledgers: Iterable[str]) -> QuerySet[LockOverride]:
    """Return the overrides that were approved, have ended, and wait for a review."""
    return overrides_in(ledgers).filter(TO_REVIEW).order_by("pk")


def releases_to_give(ledgers: Iterable[str]) -> QuerySet[LogLock]:
    """Return the locks whose release was asked for, the oldest first."""
    wanted = Q(state=LogLock.State.IN_FORCE, release_requested_by__isnull=False)
    return locks_in(ledgers).filter(wanted).order_by("pk")
