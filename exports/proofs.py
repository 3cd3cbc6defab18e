"""One proof for all entries of an export: that each is a leaf of the ledger's tree, and what lies between them. Pure.

    auditlog-multiproof/1
    auditlog.local/activity          origin
    1000                             leaves of the tree
    10 30                            complete range: first leaf, end (exclusive); or -
                                     blank line; then the leaves 0 … 999 in order, each under exactly one line:
    s 3 base64                       a perfect subtree of 2^3 leaves, none of them exported
    w base64                         a leaf that was left out
    e 2                              two exported entries; their hashes come from their records
    x base64                         an exported entry, marked in the data, whose record is not this leaf
    end

Hashed as in RFC 9162 the lines give the root that the checkpoint signs, so no leaf can be left out or moved. Inside the
complete range there is no line `s`: each leaf that the filter left out is there as its own hash, for whoever is shown
the record later. The file is `proofs/entries.multiproof`; parts made by several workers are concatenated.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exports.errors import BadMultiproofError
from signing.merkle import HASH_SIZE, Frontier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from signing.merkle import NodeReader

NAME = "proofs/entries.multiproof"
MEDIA_TYPE = "text/plain"
VERSION = "auditlog-multiproof/1"
FOOTER = b"end\n"
MAX_LINE = 400
_BATCH = 4096  # leaf hashes that are folded at once
_MAX_HEIGHT = 62
_NUMBER = "(0|[1-9][0-9]{0,18})"
_RANGE = re.compile(f"{_NUMBER} {_NUMBER}", re.ASCII)
_LINE = re.compile(rb"(?:s (0|[1-9][0-9]?)|([wx])) ([A-Za-z0-9+/]{43}=)|e ([1-9][0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Head:
    """What a multi-proof is about. `complete_range` is [first, end), or None."""

    origin: str
    size: int
    complete_range: tuple[int, int] | None

    def to_bytes(self) -> bytes:
        """Return the lines before the first leaf."""
        span = "-" if self.complete_range is None else f"{self.complete_range[0]} {self.complete_range[1]}"
        return f"{VERSION}\n{self.origin}\n{self.size}\n{span}\n\n".encode()


def part(
    exported: Iterable[tuple[int, bool]], *, head: Head, begin: int, end: int, node_at: NodeReader
) -> Iterator[bytes]:
    """Yield the lines of the leaves [begin, end), of which `exported` are in the export.

    Each of those is its leaf index, in order, and whether its record is the leaf. Reads of the tree go from left to
    right, so a reader that keeps a few tiles is enough. Parts are cheapest that begin at multiples of 256.
    """
    at, run = begin, 0
    for leaf_index, fits in exported:
        if not at <= leaf_index < end:
            raise ValueError(f"leaf {leaf_index} is out of order or not within {begin} to {end}")
        if leaf_index > at or not fits:
            if run:
                yield b"e %d\n" % run
                run = 0
            yield from _gap(at, leaf_index, head, node_at)
        if fits:
            run += 1
        else:
            yield b"x %b\n" % _base64(node_at(0, leaf_index))
        at = leaf_index + 1
    if run:
        yield b"e %d\n" % run
    yield from _gap(at, end, head, node_at)


def _gap(begin: int, end: int, head: Head, node_at: NodeReader) -> Iterator[bytes]:
    """Yield the lines of leaves that are not exported: each in the complete range, and outside it as few as can be."""
    first, after = head.complete_range or (end, end)
    while begin < end:
        if first <= begin < after:
            yield b"w %b\n" % _base64(node_at(0, begin))
            begin += 1
            continue
        limit = min(first, end) if begin < first else end
        height = (limit - begin).bit_length() - 1
        if begin:
            height = min(height, (begin & -begin).bit_length() - 1)
        yield b"s %d %b\n" % (height, _base64(node_at(height, begin >> height)))
        begin += 1 << height


@dataclass(frozen=True, slots=True)
class Proved:
    """What a multi-proof shows: the root that it leads to, and how many leaves are what."""

    head: Head
    root: bytes
    exported: int
    mismatched: int
    withheld: int  # within the complete range


def verify(lines: Iterable[bytes], entries: Iterable[tuple[int, bytes, bool]]) -> Proved:
    """Return what the lines of a multi-proof show of these entries: leaf index, leaf hash, whether that may differ.

    1. the lines cover every leaf of the tree once, and inside the complete range leaf by leaf
    2. the exported leaves are those of the entries, in number and place
    3. a mismatched one is really not the leaf, and marked as one that may not be
    The caller compares root, origin and size with the checkpoint. Raises BadMultiproofError.
    """
    reader = iter(lines)
    head = _head(reader)
    return _Walk(head, iter(entries)).run(reader)


class _Walk:
    """One pass over the lines, with log2(size) hashes and a batch in memory."""

    def __init__(self, head: Head, entries: Iterator[tuple[int, bytes, bool]]) -> None:
        self._head = head
        self._entries = entries
        self._tree = Frontier()
        self._batch: list[bytes] = []
        self._exported = self._mismatched = self._withheld = 0
        self._first, self._after = head.complete_range or (head.size, head.size)

    def run(self, lines: Iterator[bytes]) -> Proved:
        for line in lines:
            if line == FOOTER:
                break
            match = _LINE.fullmatch(line, 0, len(line) - 1)
            if match is None or not line.endswith(b"\n"):
                raise BadMultiproofError("a line of the proof is malformed")
            self._line(match)
        else:
            raise BadMultiproofError("the proof is cut off: its last line is missing")
        if next(lines, None) is not None:
            raise BadMultiproofError("something follows the last line of the proof")
        self._fold()
        if self._tree.size != self._head.size:
            raise BadMultiproofError(f"the proof covers {self._tree.size} leaves, not {self._head.size}")
        surplus = next(self._entries, None)
        if surplus is not None:
            raise BadMultiproofError(f"the entry of leaf {surplus[0]} is not one that the proof has")
        return Proved(self._head, self._tree.root(), self._exported, self._mismatched, self._withheld)

    def _line(self, match: re.Match[bytes]) -> None:
        height, kind, encoded, run = match.groups()
        if run is not None:
            self._take(int(run))
            return
        node = a2b_base64(encoded)
        if len(node) != HASH_SIZE or b2a_base64(node, newline=False) != encoded:
            raise BadMultiproofError("a hash of the proof is not base64 of 32 bytes")
        if height is not None:
            self._subtree(int(height), node)
            return
        at = self._tree.size + len(self._batch)
        if kind == b"x":
            leaf_index, record_hash, is_marked = self._next_entry()
            if leaf_index != at or record_hash == node:
                raise BadMultiproofError(f"leaf {at} is not the mismatched entry that the proof says it is")
            if not is_marked:
                text = f"the record of leaf {at} is not the leaf, and it is not marked as tampered or missing"
                raise BadMultiproofError(text)
            self._exported += 1
            self._mismatched += 1
        else:
            self._withheld += self._first <= at < self._after
        self._add([node])

    def _take(self, count: int) -> None:
        """Take the next entries as leaves, which must follow one another."""
        if self._tree.size + len(self._batch) + count > self._head.size:
            raise BadMultiproofError("the proof covers more leaves than the tree has")
        at = self._tree.size + len(self._batch)
        for place in range(at, at + count):
            leaf_index, record_hash, _ = self._next_entry()
            if leaf_index != place:
                raise BadMultiproofError(f"where the proof has the exported leaf {place}, the data has {leaf_index}")
            self._batch.append(record_hash)
            if len(self._batch) >= _BATCH:
                self._fold()
        self._exported += count

    def _next_entry(self) -> tuple[int, bytes, bool]:
        entry = next(self._entries, None)
        if entry is None:
            raise BadMultiproofError("the proof has more exported entries than there are")
        return entry

    def _subtree(self, height: int, node: bytes) -> None:
        self._fold()
        begin = self._tree.size
        end = begin + (1 << height)
        if height > _MAX_HEIGHT or end > self._head.size:
            raise BadMultiproofError("the proof covers more leaves than the tree has")
        if begin < self._after and end > self._first:
            raise BadMultiproofError(f"leaves {begin} to {end - 1} of the complete range are not there one by one")
        try:
            self._tree.append_subtree(height, node)
        except ValueError as error:
            raise BadMultiproofError(str(error)) from error

    def _add(self, hashes: list[bytes]) -> None:
        self._batch += hashes
        if len(self._batch) >= _BATCH:
            self._fold()

    def _fold(self) -> None:
        if self._batch:
            self._tree.extend(self._batch)
            self._batch.clear()


def _head(lines: Iterator[bytes]) -> Head:
    raw = [next(lines, b"") for _ in range(5)]
    try:
        version, origin, size, span, blank = (line.decode() for line in raw)
        complete_range = None
        if span != "-\n":
            match = _RANGE.fullmatch(span.rstrip("\n"))
            if match is None:
                raise BadMultiproofError("the range of the proof is no range")
            complete_range = int(match[1]), int(match[2])
        head = Head(origin.rstrip("\n"), int(size), complete_range)
    except ValueError as error:
        raise BadMultiproofError(f"not a proof of the format {VERSION}") from error
    if (version, blank) != (f"{VERSION}\n", "\n") or head.to_bytes() != b"".join(raw):
        raise BadMultiproofError(f"not a proof of the format {VERSION}")
    first, end = complete_range or (0, 0)
    if not 0 <= first <= end <= head.size:
        raise BadMultiproofError("the range of the proof does not lie within the tree")
    return head


def _base64(raw: bytes) -> bytes:
    return b2a_base64(raw, newline=False)
