"""Recording events and configuring log types: the only writers of entries. One function, one use case, one transaction.

What happens to an event: it is checked and composed into a record, hashed and, if its log type requires it, signed, all
before the ledger is locked; then leaf and row are written in one transaction; after its commit the head is signed as a
checkpoint, and only then the writer gets his receipt. A large batch that nobody signs is stored while it is prepared
(decision 0011). A crash before the commit leaves nothing, a crash after it whole entries that a retry with the same
`event_id` finds. Single events of several threads share transaction and checkpoint (decision 0009).
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.db import DataError, IntegrityError, connection, transaction

from activity import entries, queries, streams
from activity.drafts import EntryKey, decide_anew, draft, in_runs, seal, without_repeats
from activity.errors import BadEventsError, EventIdConflictError, LogTypeError, Problem, UnknownLogTypeError
from activity.event import SYSTEM_PREFIX, Event
from activity.models import ActivityLog, LogType, VerificationRun
from activity.policies import DEFAULT, require_pattern
from activity.queries import ACTIVITY_LEDGER
from activity.record import shown
from signing import jws
from signing import ledger as ledgers
from signing.algorithms import ALGORITHMS
from signing.errors import NoActiveKeyError
from signing.groups import GroupCommit
from signing.models import Ledger, SigningKey
from signing.providers import PROVIDERS
from signing.queries import active_keys, ledger_named
from signing.statements import database_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from activity.drafts import Draft
    from activity.policies import Policies
    from activity.verification import Report
    from signing.ledger import Appended
    from signing.merkle import Frontier

SYSTEM_SOURCE = "auditlog"
MAX_EXPLANATION = 2_000  # characters of a description or a reason, so that their entry's data stays in its record
_WORTH_A_STREAM = 64  # events; fewer are over before anything overlaps
_SIGNING_ATTEMPTS = 5  # a lone entry holds no lock between two, and keys may rotate in quick succession


class Receipt(NamedTuple):
    """What a writer gets back. `duplicate`: the event was there already, and this is its first receipt again.

    `checkpoint` covers the leaf; it is None inside a caller's transaction, after whose commit it is signed.
    """

    id: str
    ledger: str
    leaf_index: int
    leaf_hash: bytes
    checkpoint: str | None
    duplicate: bool = False


def record(event: Event, *, ledger: str = ACTIVITY_LEDGER) -> Receipt:
    """Record one event and return its receipt. Errors as `record_many`."""
    return record_many([event], ledger=ledger)[0]


def record_many(events: Sequence[Event], *, ledger: str = ACTIVITY_LEDGER) -> list[Receipt]:
    """Record a batch, all or nothing, and return the receipts in its order.

    Raises BadEventsError naming every faulty event, EventIdConflictError for an event id that was used for other
    content, LedgerNotFoundError, NoActiveKeyError.
    """
    opened = _taking_events(ledger)
    if len(events) == 1:
        # The database confirms with the leaf that the log types are those last seen here: a round trip less.
        with suppress(UnknownLogTypeError):
            return _store_with_others(opened, _prepare(opened, events, _ground(refresh=False)))
        return _store_with_others(opened, _prepare(opened, events, _ground()))
    ground = _ground()
    return _stream(opened, events, ground) or _store(opened, _prepare(opened, events, ground))


def record_system(event: Event) -> Receipt:
    """Record what the application itself did, as a type `auditlog.*`, in the caller's transaction."""
    opened = _taking_events(ACTIVITY_LEDGER)
    return _store(opened, _prepare(opened, [event], _ground(), system=True))[0]


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


def _refuse_system_types(events: Sequence[Event]) -> None:
    problems = [
        Problem("$.type", f"types {SYSTEM_PREFIX}* are written by this application alone", index)
        for index, event in enumerate(events)
        if str(event.type).startswith(SYSTEM_PREFIX)
    ]
    if problems:
        raise BadEventsError(problems)


class _Ground(NamedTuple):
    """What events are prepared with, as it stood when it was read: the log types, and the entry keys by algorithm."""

    policies: Policies
    keys: dict[str, SigningKey]


class _Prepared(NamedTuple):
    """A batch that waits for its ledger: sealed, but for repeats of an event within it, with the ids of its keys."""

    drafts: list[Draft]
    slots: list[int]
    repeats: dict[int, int]
    key_ids: list[str]
    log_types: str  # their digest


def _taking_events(name: str) -> Ledger:
    opened = ledger_named(name)
    if opened.kind != Ledger.Kind.ACTIVITY:
        raise BadEventsError([Problem("$.ledger", f"the ledger {name} takes no events from writers")])
    return opened


def _ground(*, refresh: bool = True) -> _Ground:
    policies = queries.policies(refresh=refresh)
    keys = _entry_keys()
    complete = {*policies.signing_algorithms(), DEFAULT.algorithm} <= keys.keys()
    return _Ground(policies, keys if complete else _entry_keys(refresh=True))


def _entry_keys(*, refresh: bool = False) -> dict[str, SigningKey]:
    return {key.algorithm: key for key in active_keys(SigningKey.Purpose.ENTRY, refresh=refresh)}


def _entry_key(keys: dict[str, SigningKey], algorithm: str) -> EntryKey:
    key = keys.get(algorithm)
    if key is None:
        raise NoActiveKeyError(f"no active {algorithm} entry key; run ./auditlog keys rotate --algorithm {algorithm}")
    return EntryKey(key.id, jws.protected(algorithm, key.id), PROVIDERS[key.provider].signer(key))


def _prepare(ledger: Ledger, events: Sequence[Event], ground: _Ground, *, system: bool = False) -> _Prepared:
    """Do all that needs no database."""
    if not system:
        _refuse_system_types(events)
    drafts = _draft(events, ground)
    slots, repeats = without_repeats(drafts)
    key_ids = seal([drafts[index] for index in slots], ledger=ledger.name, key_for=partial(_entry_key, ground.keys))
    return _Prepared(drafts, slots, repeats, key_ids, ground.policies.digest)


def _draft(events: Sequence[Event], ground: _Ground) -> list[Draft]:
    return draft(
        events,
        policies=ground.policies,
        accept_unknown_types=settings.AUDITLOG_UNKNOWN_TYPES == "accept",
        max_detached_bytes=settings.AUDITLOG_MAX_DETACHED_BYTES,
    )


def _stream(ledger: Ledger, events: Sequence[Event], ground: _Ground) -> list[Receipt] | None:
    """Store a batch while it is prepared and return its receipts.

    Returns None, with nothing stored, for a batch that is small, that has anything to sign or that cannot be stored as
    it stands: it is to be prepared whole, which says what is wrong with it or stores what is new.
    """
    types = {str(event.type) for event in events}
    if len(events) < _WORTH_A_STREAM or any(
        name.startswith(SYSTEM_PREFIX) or (ground.policies.match(name) or DEFAULT).requires_signature for name in types
    ):
        return None
    streamed = streams.store(ledger, events, partial(_draft, ground=ground))
    if streamed is None:
        return None
    checkpoint = _sign_checkpoint(ledger, streamed.frontier)
    return [
        Receipt(one.id_text, ledger.name, leaf_index, one.leaf_hash, checkpoint)
        for leaf_index, one in enumerate(streamed.drafts, start=streamed.first_leaf)
    ]


class _NotTogetherError(Exception):
    """Nothing of a group is stored: one event in it cannot be, or keys or log types changed. Each is tried alone."""


def _store_with_others(ledger: Ledger, prepared: _Prepared) -> list[Receipt]:
    """Store one event as `_store` does, in one transaction and under one checkpoint with those of other threads.

    Whoever finds nobody storing goes at once. Inside a caller's transaction the event is stored in that, alone.
    """
    if connection.in_atomic_block:
        return _store(ledger, prepared)
    place = (database_name(), ledger.pk)
    if place not in _groups:
        group = GroupCommit(partial(_store_group, ledger), is_one_items_fault=_is_not_together, most=entries.AT_ONCE)
        _groups.setdefault(place, group)
    receipts, mine = _groups[place].add(prepared)
    return [receipts[mine]]


_groups: dict[tuple[str, int], GroupCommit[_Prepared, list[Receipt]]] = {}  # by database and ledger


def _is_not_together(error: Exception) -> bool:
    return isinstance(error, _NotTogetherError)


def _store_group(ledger: Ledger, group: Sequence[_Prepared]) -> list[Receipt]:
    """Store events of several threads and return a receipt each. Raises _NotTogetherError."""
    if len(group) == 1:
        return _store(ledger, group[0])
    drafts = [one.drafts[0] for one in group]
    key_ids = sorted({key_id for one in group for key_id in one.key_ids})
    log_types = {one.log_types for one in group}
    if len(log_types) > 1:
        raise _NotTogetherError
    try:
        appended = entries.append_and_insert(ledger, drafts, key_ids, log_types.pop())
    except (IntegrityError, DataError) as error:
        raise _NotTogetherError from error
    if appended is None:
        raise _NotTogetherError
    checkpoint = _sign_checkpoint(ledger, appended.frontier)
    return [
        Receipt(one.id_text, ledger.name, leaf_index, one.leaf_hash, checkpoint)
        for leaf_index, one in enumerate(drafts, start=appended.first_leaf)
    ]


def _store(ledger: Ledger, prepared: _Prepared) -> list[Receipt]:
    """Store what is new, sign the checkpoint, and return the receipts of all."""
    drafts, slots, repeats, key_ids, log_types = prepared
    receipts: dict[int, Receipt] = {}
    frontier = written = None
    while waiting := [index for index in slots if index not in receipts]:
        try:
            # Leaves and rows of few entries are one statement, which is a transaction by itself: two round trips less.
            by_itself = len(waiting) <= entries.AT_ONCE and not connection.in_atomic_block
            with nullcontext() if by_itself else transaction.atomic():
                first_leaf, frontier = _write(ledger, [drafts[index] for index in waiting], key_ids, log_types)
        except IntegrityError as error:
            known = _first_receipts(ledger, drafts, waiting) if _is_known_event_id(error) else {}
            if not known:
                raise
            receipts |= known
        else:
            written = (waiting, first_leaf)
            break
    checkpoint = _sign_checkpoint(ledger, frontier)
    if written:
        for leaf, index in enumerate(written[0], start=written[1]):
            receipts[index] = Receipt(drafts[index].id_text, ledger.name, leaf, drafts[index].leaf_hash, checkpoint)
    return [_receipt(receipts, repeats, index, checkpoint) for index in range(len(drafts))]


def _write(ledger: Ledger, drafts: Sequence[Draft], key_ids: list[str], log_types: str) -> tuple[int, Frontier]:
    """Append the drafts' leaves and store their rows, in the caller's transaction if there are many."""
    for _ in range(_SIGNING_ATTEMPTS):
        appended = _append(ledger, drafts, key_ids, log_types)
        if appended is not None:
            break
        # A rotation or another log type came between. In a transaction the head is ours now, so its keys hold.
        ground = _Ground(queries.policies(), _entry_keys(refresh=True))
        accept_unknown_types = settings.AUDITLOG_UNKNOWN_TYPES == "accept"
        decide_anew(drafts, policies=ground.policies, accept_unknown_types=accept_unknown_types)
        key_ids = seal(drafts, ledger=ledger.name, key_for=partial(_entry_key, ground.keys))
        log_types = ground.policies.digest
    else:
        raise NoActiveKeyError("keys or log types changed again and again while events were signed; try again")
    if len(drafts) > entries.AT_ONCE:
        entries.copy(ledger, in_runs(drafts), appended.first_leaf)
    return appended.first_leaf, appended.frontier


def _append(ledger: Ledger, drafts: Sequence[Draft], key_ids: list[str], log_types: str) -> Appended | None:
    """Append the leaves; the rows of few entries go with them."""
    if len(drafts) <= entries.AT_ONCE:
        return entries.append_and_insert(ledger, drafts, key_ids, log_types)
    return ledgers.append(ledger, [one.leaf_hash for one in drafts], key_ids=key_ids)


def _is_known_event_id(error: IntegrityError) -> bool:
    diagnostics: Any = getattr(error.__cause__, "diag", None)
    return getattr(diagnostics, "constraint_name", None) == "one_entry_per_event_id"


def _first_receipts(ledger: Ledger, drafts: Sequence[Draft], waiting: Iterable[int]) -> dict[int, Receipt]:
    """Return the first receipts of those events that were recorded before. Raises EventIdConflictError."""
    pairs = {
        index: (shown(event.source), shown(event.event_id))
        for index in waiting
        if (event := drafts[index].event).event_id is not None
    }
    known = queries.known_event_ids(ledger, pairs.values())
    found = {index: known[pair] for index, pair in pairs.items() if pair in known}
    conflicts = [
        Problem("$.event_id", f"{pairs[index][1]!r} was used for other content, in entry {entry.id}", index)
        for index, entry in found.items()
        if entry.event_digest != drafts[index].claims.digest
    ]
    if conflicts:
        raise EventIdConflictError(conflicts)
    return {
        index: Receipt(str(entry.id), ledger.name, entry.leaf_index, entry.leaf_hash, None, duplicate=True)
        for index, entry in found.items()
    }


def _sign_checkpoint(ledger: Ledger, frontier: Frontier | None) -> str | None:
    if connection.in_atomic_block:
        transaction.on_commit(partial(ledgers.sign_checkpoint, ledger))
        return None
    return ledgers.sign_checkpoint(ledger, frontier)


def _receipt(receipts: dict[int, Receipt], repeats: dict[int, int], index: int, checkpoint: str | None) -> Receipt:
    if index in repeats:
        return receipts[repeats[index]]._replace(checkpoint=checkpoint, duplicate=True)
    receipt = receipts[index]
    return receipt._replace(checkpoint=checkpoint) if receipt.duplicate else receipt
