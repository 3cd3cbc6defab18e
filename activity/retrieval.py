"""Entries as they are served: each with what can be said of it now. Reads; writes nothing.

    1. keys: what the keys ledger tells, verified anew whenever its head or the trust file changes
    2. tree: the entry's tile of leaves is proved under the newest checkpoint that a believed key signed
    3. leaf: SHA-256(0x00 || record) is the leaf that this tile holds
    4. row: columns, data, signature and key at this leaf, as entry_check.py checks them

Remembered between requests is only what cannot become wrong: leaves of a whole tile that was proved once, and that one
signature fits one record under one key. The row itself, and what its key is worth, is looked at every time. So whoever
changes the database under a running server changes nothing that was proved; he can hide a change from it only where
nothing was asked for since the server started, and then the proof fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection

from activity.entry_check import EntryCheck, Row
from activity.errors import UncoveredEntryError
from activity.record import timestamp
from activity.verification import hmac_verifier
from signing import trust
from signing.errors import BadCheckpointError, BadProofError, DistrustedCheckpointError
from signing.merkle import HASH_SIZE, TILE_WIDTH, inclusion_proof, verify_inclusion
from signing.models import LedgerHead
from signing.queries import latest_checkpoint, node_reader, prove_inclusion, tile
from signing.verdicts import ALARMS, Finding, Verdict
from signing.verification import KEYS_LEDGER, verify_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from activity.models import ActivityLog
    from signing.checkpoint import Checkpoint
    from signing.models import Ledger
    from signing.verification import Trust

_KEPT_TILES = 512  # of 8 KiB
_KEPT_SIGNATURES = 65_536  # of 32 bytes
UNCOVERED = "it is under no signed checkpoint yet; the next append or beat signs one"


@dataclass(frozen=True, slots=True)
class Checked:
    """An entry with what can be said of it now; `reasons` says why it is not `valid`, or not `unsigned` and right."""

    entry: ActivityLog
    verdict: Verdict
    reasons: tuple[str, ...] = ()


def check_entries(entries: Sequence[ActivityLog]) -> list[Checked]:
    """Return each entry with its verdict, in the given order; they may be of several ledgers."""
    if not entries:
        return []
    ground = _ground()
    # After the entries were read: a checkpoint that covers them is signed a moment after they are committed.
    trees = {ledger.pk: _Tree(ledger, ground) for ledger in {entry.ledger for entry in entries}}
    return [_checked(entry, trees[entry.ledger_id], ground) for entry in entries]


@dataclass(frozen=True, slots=True)
class Proof:
    """That an entry is in its ledger: the sibling hashes of its leaf, leaf first, and the checkpoint's note."""

    hashes: list[bytes]
    checkpoint: str


def prove(entry: ActivityLog) -> Proof:
    """Return the proof of an entry under the newest checkpoint of its ledger. Raises UncoveredEntryError."""
    newest = latest_checkpoint(entry.ledger)
    if newest is None or entry.leaf_index >= newest.size:
        raise UncoveredEntryError(f"the entry {entry.pk}: {UNCOVERED}")
    return Proof(prove_inclusion(entry.ledger, entry.leaf_index, newest.size), newest.note)


def _checked(entry: ActivityLog, tree: _Tree, ground: _Ground) -> Checked:
    row = _row(entry)
    finding = tree.finding(row) or ground.entry_check(tree.ledger).finding(row)
    if finding is not None:
        return Checked(entry, finding.verdict, (finding.reason,))
    if ground.doubt is not None:
        return Checked(entry, Verdict.CANNOT_TELL, (ground.doubt,))
    return Checked(entry, Verdict.UNSIGNED if row.key_id is None else Verdict.VALID)


def _row(entry: ActivityLog) -> Row:
    return Row(
        leaf_index=entry.leaf_index,
        record=bytes(entry.record),
        detached_data=None if entry.detached_data is None else bytes(entry.detached_data),
        event_digest=bytes(entry.event_digest),
        signature=None if entry.signature is None else bytes(entry.signature),
        key_id=entry.key_id,
        event_id=entry.event_id,
        id=str(entry.id),
        ip=entry.ip,
        occurred_at=timestamp(entry.occurred_at),
        outcome=entry.outcome,
        recorded_at=timestamp(entry.recorded_at),
        revision=entry.revision,
        severity=entry.severity,
        source=entry.source,
        target=entry.target,
        type=entry.type,
        action=entry.action,
        actor=entry.actor,
    )


@dataclass(slots=True)
class _Ground:
    """What is believed while keys and trust file stay as they are; `doubt` says why nothing is `valid`, or is None."""

    trust: Trust
    doubt: str | None
    tiles: dict[tuple[int, int], bytes] = field(default_factory=dict)  # proved, whole, by ledger and index
    _checks: dict[int, EntryCheck] = field(default_factory=dict)
    _heads: dict[int, tuple[str, Checkpoint | Finding]] = field(default_factory=dict)

    def entry_check(self, ledger: Ledger) -> EntryCheck:
        """Return what checks the entries of a ledger (step 4)."""
        if ledger.pk not in self._checks:
            check = EntryCheck(ledger.name, self.trust.ring, hmac_verifier, kept_signatures=_KEPT_SIGNATURES)
            self._checks[ledger.pk] = check
        return self._checks[ledger.pk]

    def head(self, ledger: Ledger) -> Checkpoint | Finding:
        """Return the newest checkpoint of a ledger, or what is wrong with it."""
        newest = latest_checkpoint(ledger)
        if newest is None:
            return Finding(ledger.name, None, Verdict.TAMPERED, "every signed checkpoint of its ledger is gone")
        known = self._heads.get(ledger.pk)
        if known is None or known[0] != newest.note:
            known = self._heads[ledger.pk] = (newest.note, self._believed(ledger, newest.note))
        return known[1]

    def _believed(self, ledger: Ledger, note: str) -> Checkpoint | Finding:
        told = self.trust.ring.ledgers.get(ledger.name)
        try:
            return self.trust.checked(note, ledger.name, told.origin if told else ledger.origin)
        except BadCheckpointError as error:
            is_stolen = isinstance(error, DistrustedCheckpointError)
            verdict = Verdict.UNTRUSTED_KEY if is_stolen else Verdict.TAMPERED
            return Finding(ledger.name, None, verdict, f"the newest checkpoint cannot be believed: {error}")


def _ground() -> _Ground:
    """Return the present ground (step 1)."""
    global _last_ground  # noqa: PLW0603 one for the process, replaced as a whole
    file = Path(settings.AUDITLOG_TRUST_FILE) if settings.AUDITLOG_TRUST_FILE else None
    pins = file.read_text() if file is not None and file.exists() else ""
    head = LedgerHead.objects.filter(ledger__name=KEYS_LEDGER).values_list("size", "frontier").first()
    place = (str(connection.settings_dict["NAME"]), pins, head)
    if _last_ground is None or _last_ground[0] != place:
        _last_ground = (place, _new_ground(pins))
    return _last_ground[1]


_last_ground: tuple[object, _Ground] | None = None


def _new_ground(pins: str) -> _Ground:
    told = verify_keys(trust.parse(pins) if pins else [], anchors=())
    if not pins:
        return _Ground(told, "no checkpoint key is pinned (AUDITLOG_TRUST_FILE): everything could have been rebuilt")
    alarm = next((finding for finding in told.findings if finding.verdict in ALARMS), None)
    return _Ground(told, None if alarm is None else f"the keys ledger is not to be relied on: {alarm.reason}")


class _Tree:
    """The leaves of one ledger as its newest checkpoint has them (steps 2 and 3)."""

    def __init__(self, ledger: Ledger, ground: _Ground) -> None:
        self.ledger = ledger
        self._ground = ground
        self._head = ground.head(ledger)
        self._read: dict[tuple[int, int], bytes] = {}
        self._tiles: dict[int, bytes | None] = {}

    def finding(self, row: Row) -> Finding | None:
        """Return what is wrong with the place of an entry in its ledger, or None."""
        if isinstance(self._head, Finding):
            return self._head
        if row.leaf_index >= self._head.size:
            return Finding(self.ledger.name, row.leaf_index, Verdict.CANNOT_TELL, UNCOVERED)
        index, place = divmod(row.leaf_index, TILE_WIDTH)
        if index not in self._tiles:
            self._tiles[index] = self._ground.tiles.get((self.ledger.pk, index)) or self._proved(index, self._head)
        tile_hashes = self._tiles[index]
        if tile_hashes is None:
            return self._tampered(row, "the stored tree around its leaf is not the one whose root was signed")
        leaf = sha256(b"\0" + row.record).digest()
        if tile_hashes[place * HASH_SIZE : (place + 1) * HASH_SIZE] != leaf:
            return self._tampered(row, "its record is not the leaf that the ledger holds")
        return None

    def _tampered(self, row: Row, reason: str) -> Finding:
        return Finding(self.ledger.name, row.leaf_index, Verdict.TAMPERED, reason)

    def _proved(self, index: int, head: Checkpoint) -> bytes | None:
        """Return the leaf hashes of a tile if all of them are under the checkpoint's root, or None."""
        first = index * TILE_WIDTH
        width = min(TILE_WIDTH, head.size - first) * HASH_SIZE
        hashes = tile(self.ledger, 0, index)[:width]
        self._read[0, index] = hashes
        try:
            # Every other leaf of the tile goes into a sibling in the proof of its first one.
            proof = inclusion_proof(first, head.size, node_reader(self.ledger, self._read))
            verify_inclusion(hashes[:HASH_SIZE], first, head.size, proof, head.root)
        except (BadProofError, IndexError, ValueError):
            return None
        if width == TILE_WIDTH * HASH_SIZE:
            if len(self._ground.tiles) >= _KEPT_TILES:
                self._ground.tiles.clear()
            self._ground.tiles[self.ledger.pk, index] = hashes
        return hashes
