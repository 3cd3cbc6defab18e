"""Where the records stand in the NDJSON of a part, so that whoever joins the parts need not look for them. Pure.

8 bytes an entry, little-endian: length of its line with the newline, length of the record in it; 0 for base64
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from itertools import accumulate
from operator import add
from typing import IO, TYPE_CHECKING

from exports import render_ndjson
from exports.errors import BadRowError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from exports.rows import ExportedEntry

_SPAN = struct.Struct("<II")
_PIECE = 1 << 20  # bytes of lines that are read at once


def of(lines: Iterable[bytes], entries: Iterable[ExportedEntry]) -> bytes:
    """Return the spans of these lines, which are without their newlines."""
    return b"".join(
        _SPAN.pack(len(line) + 1, len(entry.record) if line.startswith(render_ndjson.RECORD) else 0)
        for line, entry in zip(lines, entries, strict=True)
    )


def read(spans: bytes, source: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the lines of a part in pieces of whole lines, and with each its records, a newline after every one.

    A piece has at most _PIECE bytes, or one line. Raises BadRowError if the lines are not those of the spans.
    """
    numbers = struct.unpack(f"<{len(spans) // 4}I", spans)
    lines, records = numbers[::2], numbers[1::2]
    ends = list(accumulate(lines))
    first, begin = 0, 0
    while first < len(ends):
        after = max(bisect_right(ends, begin + _PIECE), first + 1)
        size = ends[after - 1] - begin
        piece = source.read(size)
        if len(piece) != size or piece[-1:] != b"\n":
            raise BadRowError("the rows of a part are not those that were made")
        yield piece, b"\n".join([*_records(piece, lines[first:after], records[first:after]), b""])
        first, begin = after, ends[after - 1]
    if source.read(1):
        raise BadRowError("the rows of a part are not those that were made")


def _records(piece: bytes, lines: Sequence[int], records: Sequence[int]) -> Iterator[bytes]:
    if not all(records):
        return map(render_ndjson.record_of, piece[:-1].split(b"\n"))
    begins = list(accumulate(lines[:-1], initial=len(render_ndjson.RECORD)))
    return map(piece.__getitem__, map(slice, begins, map(add, begins, records)))
