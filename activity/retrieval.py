"""Entries as they are served: each with what can be said of it now. Reads; writes nothing.

    1. keys: what the keys ledger tells, verified anew whenever its head or the trust file changes
    2. tree: the entry's tile of leaves is proved under the newest checkpoint that a believed key signed
    3. leaf: SHA-256(0x00 || record) is the leaf that this tile holds
    4. row: columns, data, signature and key at this leaf, as entry_check.py checks them

Remembered between requests is only what cannot become wrong: leaves that were proved once, and that one signature fits
one record under one key. The row itself, and what its key is worth, is looked at every time. So whoever
changes the database under a running server changes nothing that was proved; he can hide a change from it only where
nothing was asked for since the server started, and then the proof fails.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.conf import settings

from activity import disclosures
from activity.amendment import amendment_of
from activity.entry_check import Row
from activity.errors import TamperedEntryError, UncoveredEntryError
from activity.ground import Ground, present_ground
from activity.models import ActivityLog, ActivityRevision
from activity.queries import TOMBSTONE
from activity.timestamps import timestamp
from signing.errors import BadProofError
from signing.merkle import HASH_SIZE, TILE_WIDTH, inclusion_proof, leaf_hash, verify_inclusion
from signing.queries import latest_checkpoint, node_reader, prove_inclusion, tile
from signing.verdicts import ALARMS, Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from uuid import UUID

    from signing.checkpoint import Checkpoint
    from signing.models import Ledger

_KEPT_TILES = 512  # of 8 KiB
UNCOVERED = "it is under no signed checkpoint yet; the next append or beat signs one"


@dataclass(frozen=True, slots=True)
class Checked:
    """An entry with what can be said of it now; `reasons` says why it is not `valid`, or not `unsigned` and right."""

    entry: ActivityLog
    leaf_hash: bytes  # of its record as it stands in the row
    verdict: Verdict
    reasons: tuple[str, ...] = ()


def check_entries(entries: Sequence[ActivityLog]) -> list[Checked]:
    """Return each entry with its verdict, in the given order, and note that they are shown."""
    checked, trees = _judged(entries)
    for tree in trees:
        if not isinstance(tree.head, Finding):
            disclosures.note_size(tree.ledger.name, tree.head.size)
    for one in checked:
        disclosures.note_entry(one.entry.ledger.name, one.entry.leaf_index, one.leaf_hash)
    return checked


def judge_entries(entries: Sequence[ActivityLog]) -> list[Checked]:
    """Return each entry with its verdict, in the given order, to be shown to nobody; they may be of several ledgers."""
    return _judged(entries)[0]


def _judged(entries: Sequence[ActivityLog]) -> tuple[list[Checked], Collection[Tree]]:
    if not entries:
        return [], ()
    ground = present_ground()
    # After the entries were read: a checkpoint that covers them is signed a moment after they are committed.
    trees = {ledger.pk: Tree(ledger, ground) for ledger in {entry.ledger for entry in entries}}
    return [_checked(entry, trees[entry.ledger_id], ground) for entry in entries], trees.values()


def entry_for(readable: Collection[str], entry_id: UUID) -> Checked | None:
    """Return an entry of one of these ledgers, or None, whether there is such an entry or not.

    Raises TamperedEntryError if it is not to be served.
    """
    entry = ActivityLog.objects.select_related("ledger", "key").filter(pk=entry_id).first()
    if entry is None or entry.ledger.name not in readable:
        return None
    (checked,) = check_entries([entry])
    if is_blocked(checked):
        raise TamperedEntryError(f"the entry {entry_id} is {checked.verdict}: {'; '.join(checked.reasons)}")
    return checked


def archived_versions(entry: ActivityLog) -> list[ActivityRevision]:
    """Return the superseded versions of an entry, the first one first, and note that they are shown."""
    if entry.revision == 1:
        return []
    versions = list(ActivityRevision.objects.filter(entry_id=entry.pk).order_by("revision"))
    for version in versions:
        disclosures.note_entry(entry.ledger.name, version.leaf_index, bytes(version.leaf_hash))
    return versions


def is_blocked(checked: Checked) -> bool:
    """Tell whether of an entry only its place and verdict are served, as AUDITLOG_ON_TAMPERED has it."""
    return checked.verdict in ALARMS and settings.AUDITLOG_ON_TAMPERED == "block"


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


def _checked(entry: ActivityLog, tree: Tree, ground: Ground) -> Checked:
    row = _row(entry)
    leaf = leaf_hash(row.record)
    finding = tree.misfit(row.leaf_index, leaf) or ground.entry_check(tree.ledger).finding(row)
    if finding is not None:
        return Checked(entry, leaf, finding.verdict, (finding.reason,))
    if ground.doubt is not None:
        return Checked(entry, leaf, Verdict.CANNOT_TELL, (ground.doubt,))
    if entry.type == TOMBSTONE:
        return Checked(entry, leaf, Verdict.REMOVED, (said_of_removal(entry),))
    return Checked(entry, leaf, Verdict.UNSIGNED if row.key_id is None else Verdict.VALID)


def said_of_removal(tombstone: ActivityLog) -> str:
    """Return in one sentence what a tombstone says."""
    amendment = amendment_of(bytes(tombstone.record))
    why = "" if amendment is None else f": {amendment.reason}"
    return f"it was removed by {tombstone.actor} at {timestamp(tombstone.occurred_at)}{why}"


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


class Tree:
    """The leaves of one ledger as a believed checkpoint, by default its newest, has them (steps 2 and 3)."""

    def __init__(self, ledger: Ledger, ground: Ground, head: Checkpoint | None = None) -> None:
        self.ledger = ledger
        self._ground = ground
        self.head = head or ground.head(ledger)
        self._read: dict[tuple[int, int], bytes] = {}
        self._tiles: dict[int, bytes | None] = {}

    def misfit(self, leaf_index: int, leaf_hash: bytes) -> Finding | None:
        """Return why this hash is not proved to be that leaf of the ledger, or None."""
        if isinstance(self.head, Finding):
            return self.head
        if leaf_index >= self.head.size:
            return Finding(self.ledger.name, leaf_index, Verdict.CANNOT_TELL, UNCOVERED)
        index, place = divmod(leaf_index, TILE_WIDTH)
        hashes = self._ground.tiles.get((self.ledger.pk, index), b"")
        if len(hashes) <= place * HASH_SIZE:
            if index not in self._tiles:
                self._tiles[index] = self._proved(index, self.head)
            hashes = self._tiles[index] or b""
        if not hashes:
            reason = "the stored tree around its leaf is not the one whose root was signed"
            return Finding(self.ledger.name, leaf_index, Verdict.TAMPERED, reason)
        if hashes[place * HASH_SIZE : (place + 1) * HASH_SIZE] != leaf_hash:
            reason = "its record is not the leaf that the ledger holds"
            return Finding(self.ledger.name, leaf_index, Verdict.TAMPERED, reason)
        return None

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
        if len(self._ground.tiles) >= _KEPT_TILES:
            self._ground.tiles.clear()
        self._ground.tiles[self.ledger.pk, index] = hashes
        return hashes
