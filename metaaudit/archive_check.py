"""Checking the archives of a ledger of accesses. Reads; writes nothing.

    a. the record of each is the leaf that the ledger holds, and its columns are what the tombstone in it says
    b. it carries the signature of the key that it names, inside the key's window
    c. the archives follow one another from leaf 0 on, each before its own tombstone
    d. the root that it names is that of the ledger's first leaves

An archive counts only if nothing is wrong with it and those before it: rows that lie under a forged one are missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from metaaudit.models import MetaArchive
from metaaudit.tombstone import ACTION, tombstone_of
from signing.merkle import HASH_SIZE, TILE_WIDTH, leaf_hash, root_at
from signing.queries import node_reader, tile
from signing.verdicts import ALARMS, Finding, Verdict

if TYPE_CHECKING:
    from activity.entry_check import EntryCheck
    from signing.models import Ledger


class _Signed(NamedTuple):
    leaf_index: int
    record: bytes
    signature: bytes
    key_id: str


def archived(ledger: Ledger, signatures: EntryCheck) -> tuple[int, list[Finding]]:
    """Return the first leaf that needs its row, and what is wrong with the archives of the leaves before it."""
    end, findings = 0, []
    for archive in MetaArchive.objects.filter(ledger=ledger).order_by("first_leaf", "leaf_index"):
        found = _finding(archive, ledger, end, signatures)
        if found is not None:
            findings.append(found)
            if found.verdict in ALARMS:
                break
        end = archive.end_leaf
    return end, findings


def _finding(archive: MetaArchive, ledger: Ledger, end: int, signatures: EntryCheck) -> Finding | None:
    reason = _misfit(archive, ledger, end)
    if reason is not None:
        return Finding(ledger.name, archive.leaf_index, Verdict.TAMPERED, reason)
    signed = _Signed(archive.leaf_index, bytes(archive.record), bytes(archive.signature), archive.key_id)
    return signatures.signature_finding(signed)  # b


def _misfit(archive: MetaArchive, ledger: Ledger, end: int) -> str | None:  # noqa: PLR0911 one return a reason
    record = bytes(archive.record)
    if _leaf(ledger, archive.leaf_index) != leaf_hash(record):  # a
        return "the tombstone of an archive is not the leaf that the ledger holds"
    try:
        said, tombstone = orjson.loads(record), tombstone_of(record)
        place = (said["id"], said["ledger"], said["action"])
    except (LookupError, ValueError):
        return "the record of an archive is not a tombstone as this application makes them"
    told = (*place, tombstone.kid, tombstone.first_leaf, tombstone.end_leaf)
    columns = (str(archive.pk), ledger.name, ACTION, archive.key_id, archive.first_leaf, archive.end_leaf)
    if told != columns or tombstone.count != tombstone.end_leaf - tombstone.first_leaf:
        return "the columns of an archive are not what its tombstone says"
    if archive.first_leaf != end or not end < archive.end_leaf <= archive.leaf_index:  # c
        return f"an archive of leaves {archive.first_leaf} to {archive.end_leaf - 1} does not follow leaf {end - 1}"
    try:
        root = root_at(archive.end_leaf, node_reader(ledger))
    except ValueError:
        return "the leaves of an archive are not in the ledger any more"
    if root.hex() != tombstone.root:  # d
        return f"the root of the first {archive.end_leaf} leaves is not the one that the tombstone names"
    return None


def _leaf(ledger: Ledger, leaf_index: int) -> bytes:
    index, place = divmod(leaf_index, TILE_WIDTH)
    return tile(ledger, 0, index)[place * HASH_SIZE : (place + 1) * HASH_SIZE]
