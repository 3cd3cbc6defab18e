"""How events become entries.

An event is checked and composed into a record, hashed and, if its log type requires it, signed, all before the ledger
is locked; then leaf and row are written in one transaction; after its commit the head is signed as a checkpoint, and
only then the writer gets his receipt. A large batch that nobody signs is stored while it is prepared (decision 0011). A
crash before the commit leaves nothing, a crash after it whole entries that a retry with the same `event_id` finds.
Single events of several threads share transaction and checkpoint (decision 0009).
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.db import DataError, IntegrityError, connection, transaction

from activity import entries, queries, streams
from activity.drafts import EntryKey, decide_anew, draft, in_runs, seal, without_repeats
from activity.errors import BadEventsError, EventIdConflictError, Problem, UnknownLogTypeError
from activity.event import SYSTEM_PREFIX
from activity.policies import DEFAULT
from activity.queries import ACTIVITY_LEDGER
from activity.record import shown
from signing import jws
from signing import ledger as ledgers
from signing.errors import NoActiveKeyError
from signing.groups import GroupCommit
from signing.models import Ledger, SigningKey
from signing.providers import PROVIDERS
from signing.queries import active_keys, ledger_named
from signing.statements import database_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from activity.drafts import Draft
    from activity.event import Event
    from activity.policies import Policies
    from signing.ledger import Appended
    from signing.merkle import Frontier

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


def record_many(events: Sequence[Event], *, ledger: str) -> list[Receipt]:
    """Record a batch of writers, all or nothing, and return the receipts in its order; errors as in services.py."""
    opened = _taking_events(ledger)
    if len(events) == 1:
        # The database confirms with the leaf that the log types are those last seen here: a round trip less.
        with suppress(UnknownLogTypeError):
            return _store_with_others(opened, _prepare(opened, events, _ground(refresh=False)))
        return _store_with_others(opened, _prepare(opened, events, _ground()))
    ground = _ground()
    return _stream(opened, events, ground) or _store(opened, _prepare(opened, events, ground))


def record_own(event: Event) -> Receipt:
    """Record an event of the application itself, in the caller's transaction."""
    opened = _taking_events(ACTIVITY_LEDGER)
    return _store(opened, _prepare(opened, [event], _ground(), system=True))[0]


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


def _refuse_system_types(events: Sequence[Event]) -> None:
    problems = [
        Problem("$.type", f"types {SYSTEM_PREFIX}* are written by this application alone", index)
        for index, event in enumerate(events)
        if str(event.type).startswith(SYSTEM_PREFIX)
    ]
    if problems:
        raise BadEventsError(problems)


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
