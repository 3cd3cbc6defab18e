"""The locks that policies begin, and what is due: past a deadline of a policy of time, and so as good as locked.

A beat locks what was due before today, once a day. What came due since is refused by the guard AL002 on account of the
policy alone, and has no lock of its own; whoever needs one, to set the policy anew for example, has it made at once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection, transaction

from activity.services import MAX_EXPLANATION, SYSTEM_SOURCE
from activity.timestamps import timestamp
from locking import services, steps
from locking.models import LockPolicy, LogLock

if TYPE_CHECKING:
    from django.db.models import QuerySet

_SETTLED = timedelta(minutes=10)  # what was recorded so long ago is committed: no transaction of a writer lasts longer
_JUST_NOW = timedelta(seconds=30)  # half of what the database leaves out when a policy is set


class _LeftOut(NamedTuple):
    """From when on something due is in no lock of its policy (None: nothing is; "": from the beginning), as of now."""

    since: str | None
    now: datetime


def lock_of_the_day(policy: LockPolicy) -> int:
    """Begin the lock of what was due before today, unless it was begun; return how many locks were."""
    today = timestamp(cut(policy.rule, datetime.now(UTC) - _SETTLED))
    return 0 if policy.done >= today else _lock_between(policy, policy.done, today, done=today)


def lock_due(policy: LockPolicy) -> None:
    """Lock all that is past a deadline of an enabled policy of time, and return when that is in force.

    What came past it while a large lock was being applied is locked after it, save within the last seconds.
    """
    of_policy = LogLock.objects.filter(policy_id=policy.pk)
    apply(of_policy)
    left_out = _left_out(policy, timedelta())
    while left_out.since is not None:
        policy.refresh_from_db()
        _lock_until(policy, left_out.since, left_out.now)
        apply(of_policy)
        left_out = _left_out(policy, _JUST_NOW)


def begin(policy: LockPolicy, scope: dict[str, Any], reason: str, case_reference: str = "") -> int:
    """Begin a lock of a policy and return 1."""
    until = None if policy.lock_days is None else datetime.now(UTC) + timedelta(days=policy.lock_days)
    services.start(
        ledger=policy.ledger,
        scope=scope,
        kind=policy.kind,
        reason=reason[:MAX_EXPLANATION],
        by=SYSTEM_SOURCE,
        case_reference=case_reference,
        until=until,
        policy=policy,
    )
    return 1


def advanced(policy: LockPolicy, to_leaf: int, done: str) -> bool:
    """Move the cursor of a policy; False if somebody else has moved it meanwhile."""
    with steps.named_refusals(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT public.policy_advance(%s, %s, %s, %s, %s)",
            [policy.pk, policy.next_leaf, to_leaf, policy.done, done],
        )
        return cursor.fetchone()[0] is not None


def apply(locks: QuerySet[LogLock]) -> None:
    """Go on with those that are being applied, until each is in force."""
    for number in locks.filter(state=LogLock.State.APPLYING).order_by("pk").values_list("pk", flat=True):
        while services.advance(lock_id=number, chunks=1).state == LogLock.State.APPLYING:
            pass


def cut(rule: dict[str, Any], now: datetime) -> datetime:
    """Return the moment before which everything recorded is due: the start of a day, a month or a quarter."""
    day = (now - timedelta(days=rule["days"])).replace(hour=0, minute=0, second=0, microsecond=0)
    if rule["kind"] == "age":
        return day
    months = 1 if rule["period"] == "month" else 3
    return day.replace(day=1, month=(day.month - 1) // months * months + 1)


def _left_out(policy: LockPolicy, before: timedelta) -> _LeftOut:
    asked: list[Any] = [policy.pk, before]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT public.policy_left_out(%s, m.moment - %s), m.moment FROM (SELECT clock_timestamp() AS moment) m",
            asked,
        )
        return _LeftOut(*cursor.fetchone())


def _lock_until(policy: LockPolicy, since: str, now: datetime) -> None:
    """Begin the lock of what has become due since; what a writer commits only afterwards is for the lock of the day."""
    end = now - timedelta(days=policy.rule["days"]) if policy.rule["kind"] == "age" else cut(policy.rule, now)
    _lock_between(policy, since, timestamp(end), done=max(policy.done, timestamp(end - _SETTLED)))


def _lock_between(policy: LockPolicy, since: str, end: str, *, done: str) -> int:
    """Begin the lock of what was recorded since then ("": ever) and before `end`, in the policy's scope."""
    scope = policy.scope | {"recorded_to": min(policy.scope.get("recorded_to", end), end)}
    if since:
        scope["recorded_from"] = max(policy.scope.get("recorded_from", since), since)
    with transaction.atomic():
        if not advanced(policy, policy.next_leaf, done):
            return 0
        return begin(policy, scope, reason=f"policy {policy.name}: recorded before {end}")
