"""Entries in the making: events checked, given their id and time, composed, hashed and signed. Pure: nothing is stored.

Every signature is made before the ledger is locked, so that no slow key holds the lock; drafts that need none may be
made while those before are stored (streams.py).
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from uuid_utils import uuid7

from activity.errors import BadEventsError, EventIdConflictError, Problem, UnknownLogTypeError
from activity.policies import DEFAULT
from activity.record import check, compose, shown
from activity.timestamps import timestamp
from signing import jws
from signing.merkle import leaf_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from activity.amendment import Amendment
    from activity.event import Event
    from activity.policies import Policies, Policy
    from activity.record import Claims
    from signing.algorithms import Signer

_WORTH_THREADS = 64  # drafts; below that, starting threads costs more than it brings
_RUN = 32  # drafts that are worth a step of their own: signed in one go, or sent while the next ones are made
Item = TypeVar("Item")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class EntryKey(NamedTuple):
    """What signs the entries of one algorithm: the key's id, the protected header of its signatures, its signer."""

    id: str
    header: bytes
    signer: Signer


@dataclass(slots=True)
class Draft:
    """An entry in the making: the event, what the server adds, and the record that follows from both."""

    event: Event
    claims: Claims
    id: bytes  # 16 bytes of a UUIDv7
    id_text: str  # the same, as records and receipts write it
    recorded_at: datetime
    algorithm: str | None  # of the key that must sign, or None
    record: bytes = b""
    leaf_hash: bytes = b""
    key_id: str | None = None
    signature: bytes | None = None
    revision: int = 1
    amendment: Amendment | None = None  # from revision 2 on


def draft(
    events: Sequence[Event], *, policies: Policies, accept_unknown_types: bool, max_detached_bytes: int
) -> list[Draft]:
    """Check every event and give it its id and time. Raises BadEventsError with every fault of every event."""
    drafts: list[Draft] = []
    problems: list[Problem] = []
    unknown_only = True
    for index, event in enumerate(events):
        try:
            claims = check(event, max_detached_bytes=max_detached_bytes)
        except BadEventsError as error:
            problems += [replace(problem, index=index) for problem in error.problems]
            unknown_only = False
            continue
        policy = policies.match(event.type)
        if policy is None:
            if not accept_unknown_types:
                problems.append(_unknown(event, index))
            policy = DEFAULT
        drafts.append(Draft(event, claims, *_identity(), _algorithm(policy)))
    if problems:
        raise (UnknownLogTypeError if unknown_only else BadEventsError)(problems)
    return drafts


def decide_anew(drafts: Sequence[Draft], *, policies: Policies, accept_unknown_types: bool) -> None:
    """Say again which key signs each draft, after the log types have changed. Raises UnknownLogTypeError."""
    found = [policies.match(one.event.type) for one in drafts]
    if not accept_unknown_types and None in found:
        raise UnknownLogTypeError(
            [_unknown(one.event, index) for index, one in enumerate(drafts) if found[index] is None]
        )
    for one, policy in zip(drafts, found, strict=True):
        one.algorithm = _algorithm(policy or DEFAULT)


def _algorithm(policy: Policy) -> str | None:
    return policy.algorithm if policy.requires_signature else None


def _unknown(event: Event, index: int) -> Problem:
    return Problem("$.type", f"no log type matches {event.type}; an administrator adds it", index)


def _identity() -> tuple[bytes, str, datetime]:
    """Return a UUIDv7, its text, and the time that its milliseconds name, in microseconds as the clock has them."""
    entry_id = uuid7()
    milliseconds: int = entry_id.timestamp
    microseconds = min(max(time.time_ns() // 1000, milliseconds * 1000), milliseconds * 1000 + 999)
    return entry_id.bytes, str(entry_id), _EPOCH + timedelta(microseconds=microseconds)


def without_repeats(drafts: Sequence[Draft]) -> tuple[list[int], dict[int, int]]:
    """Return the indexes to write, and for an event that a batch holds twice the index of its first occurrence.

    Raises EventIdConflictError for an event id that stands for two contents.
    """
    first: dict[tuple[str, str], int] = {}
    slots: list[int] = []
    repeats: dict[int, int] = {}
    conflicts: list[Problem] = []
    for index, one in enumerate(drafts):
        event_id = one.event.event_id
        place = (shown(one.event.source), shown(event_id or ""))  # as the database compares them
        earlier = index if event_id is None else first.setdefault(place, index)
        if earlier == index:
            slots.append(index)
        elif drafts[earlier].claims.digest == one.claims.digest:
            repeats[index] = earlier
        else:
            conflicts.append(
                Problem("$.event_id", f"{event_id!r} is also event {earlier} of this batch, with other content", index)
            )
    if conflicts:
        raise EventIdConflictError(conflicts)
    return slots, repeats


def in_runs(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Give events or drafts in runs that are worth a step of their own."""
    return (items[first : first + _RUN] for first in range(0, len(items), _RUN))


def seal(drafts: Sequence[Draft], *, ledger: str, key_for: Callable[[str], EntryKey]) -> list[str]:
    """Compose, hash and sign each draft's record with the key of its algorithm; return the ids of the keys used."""
    used = {algorithm: key_for(algorithm) for algorithm in {one.algorithm for one in drafts} if algorithm is not None}
    for one in drafts:
        one.key_id = None if one.algorithm is None else used[one.algorithm].id
    compose_all(drafts, ledger=ledger)

    def sign(run: Sequence[Draft]) -> None:
        for one in run:
            if one.algorithm is not None:
                key = used[one.algorithm]
                one.signature = key.signer(jws.signing_input(key.header, one.record))

    if used and len(drafts) >= _WORTH_THREADS:
        # Signing lets other threads run, so it takes as many processors as there are.
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            list(threads.map(sign, in_runs(drafts)))
    else:
        sign(drafts)
    return [key.id for key in used.values()]


def compose_all(drafts: Sequence[Draft], *, ledger: str) -> None:
    """Compose and hash each draft's record, which names its key, if it has one; nothing is signed."""
    for one in drafts:
        one.record = compose(
            one.event,
            one.claims,
            entry_id=one.id_text,
            ledger=ledger,
            recorded_at=timestamp(one.recorded_at),
            kid=one.key_id,
            revision=one.revision,
            amendment=one.amendment,
        )
        one.leaf_hash, one.signature = leaf_hash(one.record), None
