"""Making a part of an export: the entries of a range of leaves, in each format, and their piece of the proof.

    part-00007.ndjson   always: the dataset digest, and a report, are made from it
    part-00007.csv …    the other formats that were ordered
    part-00007.spans    where the records stand in the NDJSON
    part-00007.proof    the lines of proofs/entries.multiproof for these leaves

Each is a file of its own in the storage, so that several workers make one export, and a dead one costs its part.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from activity.extraction import CHUNK
from exports import files, proofs, render_ndjson, spans
from exports.behind import SyncedFile
from exports.models import Export
from exports.sources import source_of
from signing import checkpoint
from signing.merkle import leaf_hash
from signing.queries import node_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from _typeshed import SupportsWrite

    from exports.models import ExportPart
    from exports.rows import ExportedEntry
    from exports.sources import Reader
    from signing.merkle import NodeReader

PART_LEAVES = 4 * CHUNK
PROOF, SPANS = "proof", "spans"
_BATCH = 256  # entries that are rendered at once; few enough to stay in the cache of a processor


@dataclass(slots=True)
class Made:
    """What a part came to."""

    entries: int = 0
    first_entry: int | None = None
    last_entry: int | None = None
    leaves: list[list[int]] = field(default_factory=list)  # first and last of each run; an entry that is gone has none
    verdicts: Counter[str] = field(default_factory=Counter)
    files: dict[str, str] = field(default_factory=dict)


def renderers_of(export: Export) -> dict[str, ModuleType]:
    """Return what writes the formats that are made row by row; one of them is always made."""
    known = source_of(export.ledger).renderers
    return {name: known[name] for name in known if name == Export.Format.NDJSON or name in export.formats}


def reader_of(export: Export) -> Reader:
    """Return what reads the entries of an export."""
    ask = source_of(export.ledger).asked(export.ledger, export.filters)
    return ask(checkpoint.parse(export.checkpoint).checkpoint)


def proof_head(export: Export) -> proofs.Head:
    """Return the head of an export's proof."""
    return proofs.Head(checkpoint.parse(export.checkpoint).checkpoint.origin, export.size, export.complete_range)


def make_part(export: Export, part: ExportPart) -> Made:
    """Make and store the files of a part; a half-made one of a worker that died is replaced."""
    made = Made()
    step = CHUNK if part.end_leaf - part.first_leaf <= PART_LEAVES else part.end_leaf - part.first_leaf
    found = reader_of(export).read(part.first_leaf, part.end_leaf, export.complete_range, step=step)
    renderers, node_at = renderers_of(export), node_reader(export.ledger)
    with TemporaryDirectory(prefix="auditlog-export-") as directory:
        paths = {name: Path(directory) / name for name in (*renderers, SPANS, PROOF)}
        with ExitStack() as stack:
            written: dict[str, SupportsWrite[bytes]] = {
                name: stack.enter_context(SyncedFile(paths[name])) for name in renderers
            }
            written[SPANS] = stack.enter_context(paths[SPANS].open("wb"))
            proof = stack.enter_context(paths[PROOF].open("wb"))
            exported = _rendered(found, renderers, written, made, node_at)
            lines = proofs.part(
                exported, head=proof_head(export), begin=part.first_leaf, end=part.end_leaf, node_at=node_at
            )
            proof.writelines(lines)
        for name, path in paths.items():
            made.files[name] = files.store(f"{export.pk}/part-{part.number:05}.{name}", path)
    return made


def _rendered(
    found: Iterator[ExportedEntry],
    renderers: Mapping[str, ModuleType],
    written: Mapping[str, SupportsWrite[bytes]],
    made: Made,
    node_at: NodeReader,
) -> Iterator[tuple[int, bool]]:
    """Write the rows of all entries, and yield for the proof which leaves they are and whether they fit."""
    others = {name: renderer for name, renderer in renderers.items() if name != Export.Format.NDJSON}
    while entries := list(islice(found, _BATCH)):
        lines = [render_ndjson.row(entry) for entry in entries]
        written[Export.Format.NDJSON].write(b"\n".join([*lines, b""]))
        written[SPANS].write(spans.of(lines, entries))
        for name, renderer in others.items():
            if made.entries:
                written[name].write(renderer.SEPARATOR)
            written[name].write(renderer.rows(entries))
        made.entries += len(entries)
        made.first_entry = entries[0].leaf_index if made.first_entry is None else made.first_entry
        made.last_entry = entries[-1].leaf_index
        made.verdicts.update(entry.verdict for entry in entries)
        for entry in entries:
            if entry.record:
                _note_leaf(made.leaves, entry.leaf_index)
            fits = entry.verdict in render_ndjson.SOUND or leaf_hash(entry.record) == node_at(0, entry.leaf_index)
            yield entry.leaf_index, fits


def _note_leaf(runs: list[list[int]], leaf: int) -> None:
    if runs and runs[-1][1] == leaf - 1:
        runs[-1][1] = leaf
    else:
        runs.append([leaf, leaf])
