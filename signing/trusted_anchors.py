"""Up to which leaf a compromised key is still believed: the newest anchor that is older than the compromise.

Never by `recorded_at`, which a thief can choose. An anchor counts only if a checkpoint key of this installation signed
it and the ledger still has its tree; whether it is really older is the word of its file name, or of who names the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from signing import anchors, checkpoint
from signing.errors import BadCheckpointError
from signing.merkle import root_at
from signing.models import Ledger, SigningKey
from signing.queries import head, node_reader, note_keys

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class TrustedAnchor:
    """An anchor of this ledger's own tree. Leaves before `size` were signed before the compromise."""

    ledger: str
    size: int
    path: Path
    written_at: datetime | None


def older_than(since: datetime, directory: Path) -> dict[str, TrustedAnchor]:
    """Return, by ledger name, the largest anchor that was written before `since`; ledgers without one are left out."""
    older = (one for one in anchors.read_all(directory) if one.written_at is not None and one.written_at < since)
    return _largest(older)


def offered(ledger: Ledger, since: datetime, directory: Path, *, sizes: int = 25) -> list[TrustedAnchor]:
    """Return the last anchors of a ledger that were written before `since`, largest first, one for each tree size."""
    found = anchors.newest(directory, ledger.name, before=since, sizes=sizes)
    return [_require_own_tree(ledger, anchor) for anchor in found]


def of_files(paths: Iterable[Path]) -> dict[str, TrustedAnchor]:
    """Return the anchors in these files by ledger name. Raises BadCheckpointError for one that fits no ledger here."""
    return _largest(anchor for path in paths for anchor in anchors.read_all(path))


def _largest(found: Iterable[anchors.Anchor]) -> dict[str, TrustedAnchor]:
    by_origin = {ledger.origin: ledger for ledger in Ledger.objects.all()}
    largest: dict[str, tuple[int, anchors.Anchor]] = {}
    for anchor in found:
        said = checkpoint.parse(anchor.note).checkpoint
        if said.origin not in by_origin:
            raise BadCheckpointError(f"{anchor.path} is an anchor of {said.origin}, which is no ledger here")
        if said.origin not in largest or said.size > largest[said.origin][0]:
            largest[said.origin] = (said.size, anchor)
    return {
        by_origin[origin].name: _require_own_tree(by_origin[origin], anchor) for origin, (_, anchor) in largest.items()
    }


def _require_own_tree(ledger: Ledger, anchor: anchors.Anchor) -> TrustedAnchor:
    try:
        said = checkpoint.verify(anchor.note, note_keys(ledger, *SigningKey.State.values)).checkpoint
    except BadCheckpointError as error:
        raise BadCheckpointError(f"{anchor.path}: {error}") from error
    if said.size > head(ledger).size or said.root != root_at(said.size, node_reader(ledger)):
        raise BadCheckpointError(
            f"{anchor.path} is not of the tree that the ledger {ledger.name} holds: run ./auditlog verify first"
        )
    return TrustedAnchor(ledger.name, said.size, anchor.path, anchor.written_at)
