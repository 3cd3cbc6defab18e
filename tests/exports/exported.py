"""Entries as an export gets them, made by the real composer, and a small ledger around them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from activity.amendment import Amendment
from activity.event import Event
from activity.record import check, compose
from activity.timestamps import timestamp
from exports.rows import ExportedEntry
from metaaudit.record import Access, Who, draft
from metaaudit.vocabulary import Auth
from signing import jws
from signing.algorithms import ALGORITHMS
from signing.merkle import Frontier, leaf_hash, root_at
from signing.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

START = datetime(2026, 11, 23, 5, 40, tzinfo=UTC)
KEY_ID = "entry-ed25519-0123456789ab"
SEED = bytes(range(32))
PUBLIC_KEY = bytes.fromhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")
AMENDMENT = Amendment(
    at="2026-11-24T08:00:00.000000Z",
    by="grace",
    reason='=typo; =1+1 ,"data":{',
    leaf_index=1,
    leaf_hash="5e" * 32,
    override=3,
)


def event(number: int = 0, **changes: Any) -> Event:
    """Return an event; every third one has an event id, every other one an address."""
    said: dict[str, Any] = {
        "type": "auth.login",
        "action": "login",
        "actor": f"user-{number}",
        "occurred_at": START + timedelta(seconds=number),
        "source": "shop",
        "target": "till" if number % 4 else "",
        "outcome": "success",
        "ip": "10.0.0.7" if number % 2 else None,
        "event_id": None if number % 3 else f"e-{number}",
        "data": {"event_id": "inner", "id": number, "note": 'semi; =1+1 | -2 "quoted", Ärger'},
    }
    return Event(**said | changes)


def record(
    event: Event,
    number: int = 0,
    *,
    kid: str | None = KEY_ID,
    max_detached: int = 1 << 20,
    amendment: Amendment | None = None,
) -> tuple[bytes, bytes | None]:
    """Return record and detached data of an event, or of its second revision."""
    claims = check(event, max_detached_bytes=max_detached)
    recorded_at = timestamp(START + timedelta(seconds=number, microseconds=7))
    entry_id = str(UUID(int=(0x01932F6E00007000 << 64) | (0x8 << 60) | number))
    made = compose(
        event,
        claims,
        entry_id=entry_id,
        ledger="activity",
        recorded_at=recorded_at,
        kid=kid,
        revision=1 if amendment is None else 2,
        amendment=amendment,
    )
    return made, claims.detached


def entry(number: int = 0, *, signed: bool = True, amendment: Amendment | None = None, **changes: Any) -> ExportedEntry:
    """Return an entry of such an event as it is exported, valid."""
    kid = KEY_ID if signed else None
    made, detached = record(event(number, **changes), number, kid=kid, amendment=amendment)
    signature = None
    if signed:
        signature = ALGORITHMS["Ed25519"].load_private(SEED)(jws.signing_input(jws.protected("Ed25519", KEY_ID), made))
    verdict = Verdict.VALID if signed else Verdict.UNSIGNED
    return ExportedEntry(number, made, detached, kid, signature, verdict, "")


def access(number: int = 0, **changes: Any) -> ExportedEntry:
    """Return an access as it is exported, right unless `changes` says otherwise."""
    said: dict[str, Any] = {
        "who": Who(f"user:{number}", f"user-{number}", Auth.SESSION),
        "action": "search",
        "method": "GET",
        "path": "/api/v1/logs",
        "route": "api/v1/logs",
        "query": [("actor", "bob"), ("action", "=1+1")],
        "sizes": {"activity": 7},
        "result_count": 2,
        "status": 200,
        "agent": "curl" if number % 2 else None,
    }
    made = draft(Access(**said | changes), "activity").record
    return ExportedEntry(number, made, None, None, None, Verdict.UNSIGNED, "")


@dataclass(slots=True)
class Tree:
    """A ledger's tree in memory, of these leaf hashes."""

    leaves: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, entries: Sequence[ExportedEntry]) -> Tree:
        """Return the tree in which each entry is the leaf of its index; they are without gaps."""
        return cls([leaf_hash(one.record) for one in entries])

    def node_at(self, height: int, index: int) -> bytes:
        """Read a perfect subtree (merkle.NodeReader)."""
        tree = Frontier()
        tree.extend(self.leaves[index << height : (index + 1) << height])
        return tree.root()

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves."""
        reader: Callable[[int, int], bytes] = self.node_at
        return root_at(len(self.leaves) if size is None else size, reader)
