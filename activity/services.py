"""Recording events and configuring log types: the only writers of entries. One function, one use case, one transaction.

What happens to an event: it is checked and composed into a record, hashed and, if its log type requires it, signed, all
before the ledger is locked; then leaf and row are written in one transaction; after its commit the head is signed as a
checkpoint, and only then the writer gets his receipt. A crash before the commit leaves nothing, a crash after it a
whole entry that a retry with the same `event_id` finds.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from uuid_utils import uuid7

from activity import entries, queries
from activity.entries import Draft
from activity.errors import BadEventsError, EventIdConflictError, LogTypeError, Problem, UnknownLogTypeError
from activity.models import ActivityLog, LogType, VerificationRun
from activity.policies import DEFAULT, require_pattern
from activity.queries import ACTIVITY_LEDGER
from activity.record import SYSTEM_PREFIX, Event, check, compose, shown, timestamp
from signing import jws
from signing import ledger as ledgers
from signing.algorithms import ALGORITHMS
from signing.errors import NoActiveKeyError
from signing.merkle import leaf_hash
from signing.models import Ledger, SigningKey
from signing.providers import PROVIDERS
from signing.queries import active_keys, ledger_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from activity.verification import Report
    from signing.algorithms import Signer
    from signing.ledger import Appended
    from signing.merkle import Frontier

SYSTEM_SOURCE = "auditlog"
MAX_EXPLANATION = 2_000  # characters of a description or a reason, so that their entry's data stays in its record
_SIGNING_ATTEMPTS = 5  # a lone entry holds no lock between two, and keys may rotate in quick succession
_WORTH_THREADS = 64  # drafts; below that, starting threads costs more than it brings
_RUN = 32  # drafts that one thread signs in one go
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Receipt:
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
    problems = [
        Problem("$.type", f"types {SYSTEM_PREFIX}* are written by this application alone", index)
        for index, event in enumerate(events)
        if str(event.type).startswith(SYSTEM_PREFIX)
    ]
    if problems:
        raise BadEventsError(problems)
    return _record(events, ledger=ledger)


def record_system(event: Event) -> Receipt:
    """Record what the application itself did, as a type `auditlog.*`, in the caller's transaction."""
    return _record([event], ledger=ACTIVITY_LEDGER)[0]


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
    record_system(
        Event(
            type=f"{SYSTEM_PREFIX}log-type.{step}",
            action=f"log type {step}",
            actor=by,
            occurred_at=datetime.now(UTC),
            source=SYSTEM_SOURCE,
            target=log_type.pattern,
            outcome="success",
            severity="notice",
            data=said,
        )
    )


def _record(events: Sequence[Event], *, ledger: str) -> list[Receipt]:
    opened = ledger_named(ledger)
    if opened.kind != Ledger.Kind.ACTIVITY:
        raise BadEventsError([Problem("$.ledger", f"the ledger {ledger} takes no events from writers")])
    drafts = _drafts(events)
    slots, repeats = _without_repeats(drafts)
    receipts: dict[int, Receipt] = {}
    frontier = written = None
    while waiting := [index for index in slots if index not in receipts]:
        try:
            # Leaf and row of one entry are one statement, which is a transaction by itself: two round trips less.
            alone = len(waiting) == 1 and not connection.in_atomic_block
            with nullcontext() if alone else transaction.atomic():
                first_leaf, frontier = _write(opened, [drafts[index] for index in waiting])
        except IntegrityError as error:
            known = _first_receipts(opened, drafts, waiting) if _is_known_event_id(error) else {}
            if not known:
                raise
            receipts |= known
        else:
            written = (waiting, first_leaf)
            break
    checkpoint = _sign_checkpoint(opened, frontier)
    if written:
        for leaf, index in enumerate(written[0], start=written[1]):
            receipts[index] = Receipt(str(drafts[index].id), ledger, leaf, drafts[index].leaf_hash, checkpoint)
    return [_receipt(receipts, repeats, index, checkpoint) for index in range(len(events))]


def _drafts(events: Sequence[Event]) -> list[Draft]:
    """Check every event and give it its id and time. Raises with every fault of every event."""
    policies = queries.policies()
    accept_unknown = settings.AUDITLOG_UNKNOWN_TYPES == "accept"
    drafts: list[Draft] = []
    problems: list[Problem] = []
    unknown_only = True
    for index, event in enumerate(events):
        try:
            claims = check(event, max_detached_bytes=settings.AUDITLOG_MAX_DETACHED_BYTES)
        except BadEventsError as error:
            problems += [replace(problem, index=index) for problem in error.problems]
            unknown_only = False
            continue
        policy = policies.match(event.type)
        if policy is None and not accept_unknown:
            problems.append(Problem("$.type", f"no log type matches {event.type}; an administrator adds it", index))
        entry_id, recorded_at = _identity()
        policy = policy or DEFAULT
        drafts.append(
            Draft(event, claims, entry_id, recorded_at, policy.algorithm if policy.requires_signature else None)
        )
    if problems:
        raise (UnknownLogTypeError if unknown_only else BadEventsError)(problems)
    return drafts


def _identity() -> tuple[UUID, datetime]:
    """Return a UUIDv7 and the time that its milliseconds name, in microseconds as the clock has them."""
    entry_id = UUID(int=uuid7().int)
    milliseconds = entry_id.int >> 80
    microseconds = min(max(time.time_ns() // 1000, milliseconds * 1000), milliseconds * 1000 + 999)
    return entry_id, _EPOCH + timedelta(microseconds=microseconds)


def _without_repeats(drafts: Sequence[Draft]) -> tuple[list[int], dict[int, int]]:
    """Return the indexes to write, and for an event that a batch holds twice the index of its first occurrence."""
    first: dict[tuple[str, str], int] = {}
    slots: list[int] = []
    repeats: dict[int, int] = {}
    conflicts: list[Problem] = []
    for index, draft in enumerate(drafts):
        event_id = draft.event.event_id
        place = (shown(draft.event.source), shown(event_id or ""))  # as the database compares them
        earlier = index if event_id is None else first.setdefault(place, index)
        if earlier == index:
            slots.append(index)
        elif drafts[earlier].claims.digest == draft.claims.digest:
            repeats[index] = earlier
        else:
            conflicts.append(
                Problem("$.event_id", f"{event_id!r} is also event {earlier} of this batch, with other content", index)
            )
    if conflicts:
        raise EventIdConflictError(conflicts)
    return slots, repeats


def _write(ledger: Ledger, drafts: Sequence[Draft]) -> tuple[int, Frontier]:
    """Seal the drafts, append their leaves and store their rows, in the caller's transaction if there are several."""
    for attempt in range(_SIGNING_ATTEMPTS):
        # None: a rotation came between signing and locking. In a transaction the head is ours then, so its keys hold.
        appended = _append(ledger, drafts, _seal(ledger, drafts, refresh=attempt > 0))
        if appended is not None:
            break
    else:
        raise NoActiveKeyError("the entry keys changed again and again while events were signed; try again")
    if len(drafts) > 1:
        entries.copy(ledger, drafts, appended.first_leaf)
    return appended.first_leaf, appended.frontier


def _append(ledger: Ledger, drafts: Sequence[Draft], key_ids: list[str]) -> Appended | None:
    """Append the leaves; a single entry's row goes with its leaf."""
    if len(drafts) == 1:
        return entries.append_and_insert(ledger, drafts[0], key_ids)
    return ledgers.append(ledger, [draft.leaf_hash for draft in drafts], key_ids=key_ids)


def _seal(ledger: Ledger, drafts: Sequence[Draft], *, refresh: bool = False) -> list[str]:
    """Compose, hash and sign each draft's record with the active key of its algorithm; return the keys used."""
    algorithms = {draft.algorithm for draft in drafts if draft.algorithm is not None}
    signers = {algorithm: _signer(algorithm, refresh=refresh) for algorithm in algorithms}
    for draft in drafts:
        draft.key_id = None if draft.algorithm is None else signers[draft.algorithm][0]
        draft.record = compose(
            draft.event,
            draft.claims,
            entry_id=draft.id,
            ledger=ledger.name,
            recorded_at=timestamp(draft.recorded_at),
            kid=draft.key_id,
        )
        draft.leaf_hash = leaf_hash(draft.record)

    def sign(run: Sequence[Draft]) -> None:
        for draft in run:
            if draft.algorithm is not None:
                _, header, signer = signers[draft.algorithm]
                draft.signature = signer(jws.signing_input(header, draft.record))

    if signers and len(drafts) >= _WORTH_THREADS:
        # Signing lets other threads run, so it takes as many processors as there are.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            runs = (drafts[first : first + _RUN] for first in range(0, len(drafts), _RUN))
            list(threads.map(sign, runs))
    else:
        sign(drafts)
    return [key_id for key_id, _, _ in signers.values()]


def _signer(algorithm: str, *, refresh: bool) -> tuple[str, bytes, Signer]:
    for fresh in (False, True):
        for key in active_keys(SigningKey.Purpose.ENTRY, refresh=refresh or fresh):
            if key.algorithm == algorithm:
                return key.id, jws.protected(algorithm, key.id), PROVIDERS[key.provider].signer(key)
    raise NoActiveKeyError(f"no active {algorithm} entry key; run ./auditlog keys rotate --algorithm {algorithm}")


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
        if bytes(entry.event_digest) != drafts[index].claims.digest
    ]
    if conflicts:
        raise EventIdConflictError(conflicts)
    return {
        index: Receipt(
            str(entry.id), ledger.name, entry.leaf_index, leaf_hash(bytes(entry.record)), None, duplicate=True
        )
        for index, entry in found.items()
    }


def _sign_checkpoint(ledger: Ledger, frontier: Frontier | None) -> str | None:
    if connection.in_atomic_block:
        transaction.on_commit(partial(ledgers.sign_checkpoint, ledger))
        return None
    return ledgers.sign_checkpoint(ledger, frontier)


def _receipt(receipts: dict[int, Receipt], repeats: dict[int, int], index: int, checkpoint: str | None) -> Receipt:
    if index in repeats:
        return replace(receipts[repeats[index]], checkpoint=checkpoint, duplicate=True)
    receipt = receipts[index]
    return replace(receipt, checkpoint=checkpoint) if receipt.duplicate else receipt
