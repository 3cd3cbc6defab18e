"""Lock policies: entries that lock by themselves. A beat runs them; what it misses, the next one does.

    {"kind": "age", "days": 90}                               so long after they were recorded
    {"kind": "period", "period": "month", "days": 10}         so long after the end of the month or quarter
    {"kind": "event", "type": "audit.completed", "sources": ["grc"]}     when such an entry arrives, of such a source
    {"kind": "count", "entries": 1000000}                     whenever the ledger has grown by so many

A policy lies in one ledger, and locks in it alone. It follows the ledger with a cursor (`next_leaf`), moved in the very
transaction that begins a lock, so that nothing is missed and nothing locked twice: two workers, a crash, a lost broker.

Policies of time write the deadline on each entry (`locks_at`), which the guard AL002 obeys even if no worker runs any
more; their locks are begun once a day, of all that was recorded before the day that is due (due.py). Set anew with
another filter, kind or length, a policy begins with one of all that is due.

An event may narrow what it locks by its data: `case` (becomes the case reference), `recorded_from`, `recorded_to`.
Without them everything is locked that the policy's filter matches up to the event.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from django.db import connection, transaction

from activity.errors import LogTypeError
from activity.models import ActivityLog
from activity.policies import require_pattern
from activity.search import data_of
from activity.services import record_step
from activity.timestamps import timestamp
from locking import due, overriding, scopes, services, steps
from locking.errors import LockRefusedError
from locking.models import LockPolicy, LogLock
from locking.previews import Preview, preview
from locking.queries import policy_facts
from locking.rights import SET_POLICY
from signing.queries import head, ledger_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.auth.models import User

MAX_NAME = 100
_EVENTS = 1_000  # entries that a cursor looks at in one step
MAX_DAYS = 36_500
_TIMED = frozenset({"age", "period"})  # rules that write deadlines


def set_policy(  # noqa: PLR0913 all that a policy is
    *,
    name: str,
    ledger: str,
    rule: dict[str, Any],
    scope: dict[str, Any],
    kind: str,
    by: User,
    reason: str,
    lock_days: int | None = None,
    enabled: bool = False,
) -> LockPolicy:
    """Create a policy or set it anew, with its record. Raises PermissionDenied, LockRefusedError.

    Enabled, it locks from the next beat on; look at `dry_run` first. What is past a deadline of the policy before stays
    locked: it is in a lock before that deadline can go.
    """
    steps.require_right(by=by, permission=SET_POLICY)
    steps.require_reason(reason=reason)
    if not 0 < len(name.strip()) <= MAX_NAME or "\0" in name:
        raise LockRefusedError(f"a policy has a name of 1 to {MAX_NAME} characters")
    if kind not in LogLock.Kind.values or (kind == LogLock.Kind.HOLD and lock_days is not None):
        raise LockRefusedError(f"its locks are of kind {', '.join(LogLock.Kind.values)}, a hold without an end")
    if lock_days is not None and not 1 <= lock_days <= MAX_DAYS:
        raise LockRefusedError(f"its locks last 1 to {MAX_DAYS:,} days, or for good")
    opened = steps.readable(by=by, name=ledger)
    policy = LockPolicy(
        name=name,
        ledger=opened,
        enabled=enabled,
        rule=checked_rule(rule),
        scope=scopes.filter_of(scope),
        kind=kind,
        lock_days=lock_days,
    )
    steps.require_no_transaction()
    _lock_before_change(policy)
    said = policy_facts(policy) | {"reason": reason}
    recorded = record_step(kind="lock-policy.set", target=name, by=by.get_username(), data=said).id
    steps.as_approver(
        call="policy_set(%s, %s::smallint, %s, %s::jsonb, %s::jsonb, %s, %s, %s, %s::uuid)",
        parameters=[
            name,
            opened.pk,
            enabled,
            orjson.dumps(policy.rule).decode(),
            orjson.dumps(policy.scope).decode(),
            kind,
            lock_days,
            by.get_username(),
            recorded,
        ],
    )
    return LockPolicy.objects.select_related("ledger").get(name=name)


def dry_run(*, ledger: str, rule: dict[str, Any], scope: dict[str, Any]) -> Preview:
    """Return how many entries such a policy would lock now, with the latest of them, and lock nothing."""
    opened = ledger_named(ledger)
    return preview(opened, scopes.filter_of(scope) | _due(checked_rule(rule), datetime.now(UTC), head(opened).size))


def run_all() -> int:
    """Run every policy, go on with what is being applied, extended or lifted, end what is over; return locks begun."""
    begun = 0
    for policy in LockPolicy.objects.select_related("ledger").order_by("pk"):
        begun += run(policy)
    due.apply(LogLock.objects.all())
    services.refresh_all()
    over = LogLock.objects.filter(state=LogLock.State.IN_FORCE, until__lte=datetime.now(UTC))
    for number in over.order_by("pk").values_list("pk", flat=True):
        services.expire(lock_id=number)
    services.lift_all()
    overriding.end_overrides()
    return begun


def run(policy: LockPolicy) -> int:
    """Do what a policy has to do now, and return how many locks were begun."""
    kind = policy.rule["kind"]
    if kind in _TIMED:
        _mark(policy)
        return due.lock_of_the_day(policy) if policy.enabled else 0
    if not policy.enabled:
        return 0
    return _follow_events(policy) if kind == "event" else _follow_count(policy)


def checked_rule(rule: Any) -> dict[str, Any]:
    """Return the rule of a policy as it is stored. Raises LockRefusedError naming what is wrong."""
    if not isinstance(rule, dict) or rule.get("kind") not in _RULES:
        raise LockRefusedError(f"a rule is of kind {', '.join(_RULES)}")
    names = _RULES[rule["kind"]]
    if set(rule) != {"kind", *names}:
        raise LockRefusedError(f"a rule of kind {rule['kind']} has {', '.join(names)}, and nothing else")
    for name in names:
        CHECKS[name](rule[name])
    return dict(rule)


def _days(value: Any) -> None:
    if type(value) is not int or not 0 <= value <= MAX_DAYS:
        raise LockRefusedError(f"days are a number from 0 to {MAX_DAYS:,}")


def _period(value: Any) -> None:
    if value not in {"month", "quarter"}:
        raise LockRefusedError("a period is a month or a quarter")


def _type(value: Any) -> None:
    try:
        require_pattern(str(value))
    except LogTypeError as error:
        raise LockRefusedError(str(error)) from error
    if "*" in str(value):
        raise LockRefusedError("an event is of one type")


def _sources(value: Any) -> None:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) and one for one in value):
        raise LockRefusedError("an event-based policy names the sources that it obeys")


def _entries(value: Any) -> None:
    if type(value) is not int or not 1 <= value <= 10**12:
        raise LockRefusedError("entries are a number from 1")


_RULES = {
    "age": ("days",),
    "period": ("period", "days"),
    "event": ("type", "sources"),
    "count": ("entries",),
}
CHECKS: dict[str, Any] = {
    "days": _days,
    "period": _period,
    "type": _type,
    "sources": _sources,
    "entries": _entries,
}


def _mark(policy: LockPolicy) -> None:
    """Write deadlines up to the end of the ledger."""
    done = False
    while not done:
        with steps.named_refusals(), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT done FROM public.policy_mark(%s, %s)", [policy.pk, services.CHUNK])
            row = cursor.fetchone()
        done = row is None or row[0]
    policy.refresh_from_db()


def _lock_before_change(wanted: LockPolicy) -> None:
    """Lock what is past a deadline of the enabled policy of time that `wanted` is to replace, if that changes anything.

    The guard refuses changes to it already, and who sets a policy shall free nothing, least of all what is to be under
    compliance; the lock of the day has not come to the last of it. The database sets no policy before that.
    """
    policy = LockPolicy.objects.select_related("ledger").filter(name=wanted.name, enabled=True).first()
    if policy is not None and policy.rule["kind"] in _TIMED and policy_facts(policy) != policy_facts(wanted):
        due.lock_due(policy)


def _due(rule: dict[str, Any], now: datetime, size: int) -> dict[str, Any]:
    if rule["kind"] in _TIMED:
        return {"recorded_to": timestamp(due.cut(rule, now))}
    if rule["kind"] == "count":
        return {"leaf_to": size - size % rule["entries"]}
    return {"leaf_to": size}


def _follow_events(policy: LockPolicy) -> int:
    """Look at what was recorded since the cursor, and begin a lock for each event of the rule."""
    begun = 0
    size = head(policy.ledger).size
    while policy.next_leaf < size:
        end = min(policy.next_leaf + _EVENTS, size)
        with transaction.atomic():
            if not due.advanced(policy, end, policy.done):
                return begun
            for event in _events(policy, policy.next_leaf, end):
                begun += due.begin(policy, *_asked(policy, event))
        policy.next_leaf = end
    return begun


def _events(policy: LockPolicy, first: int, end: int) -> Iterator[ActivityLog]:
    # An amendment repeats an event at a later leaf; it was obeyed when it arrived.
    yield from ActivityLog.objects.filter(
        ledger=policy.ledger,
        leaf_index__gte=first,
        leaf_index__lt=end,
        type=policy.rule["type"],
        source__in=policy.rule["sources"],
        revision=1,
    ).order_by("leaf_index")


def _asked(policy: LockPolicy, event: ActivityLog) -> tuple[dict[str, Any], str, str]:
    """Return scope, reason and case reference of the lock that an event asks for."""
    said = data_of(event)
    data = said if isinstance(said, dict) else {}
    scope = policy.scope | {"leaf_to": event.leaf_index}
    try:
        window = {name: data[name] for name in ("recorded_from", "recorded_to") if name in data}
        scope |= scopes.checked(window) if window else {}
    except LockRefusedError:
        pass  # not a window that one could obey: the whole of the policy's filter is locked, which is the stronger
    case = data.get("case")
    reference = case[: steps.MAX_CASE] if isinstance(case, str) and "\0" not in case else ""
    return scope, f"policy {policy.name}: {event.type} by {event.source}, leaf {event.leaf_index}", reference


def _follow_count(policy: LockPolicy) -> int:
    """Begin a lock of the leaves up to each multiple that the ledger has reached since the cursor."""
    step = policy.rule["entries"]
    reached = head(policy.ledger).size // step * step
    if reached <= policy.next_leaf:
        return 0
    scope = policy.scope | {"leaf_from": policy.next_leaf, "leaf_to": reached}
    with transaction.atomic():
        if not due.advanced(policy, reached, policy.done):
            return 0
        return due.begin(policy, scope, reason=f"policy {policy.name}: the ledger has {reached:,} entries")
