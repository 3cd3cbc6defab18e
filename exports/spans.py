"""Where the records stand in the NDJSON of a part, so that whoever joins the parts need not look for them. Pure.

8 bytes an entry, little-endian: length of its line with the newline, length of the record in it; 0 for base64
"""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING

from exports import render_ndjson
from exports.errors import BadRowError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from exports.rows import ExportedEntry

_SPAN = struct.Struct("<II")
_PIECE = 1 << 20  # bytes of lines that are read at once
_Span = tuple[int, int]


def of(lines: Iterable[bytes], entries: Iterable[ExportedEntry]) -> bytes:
    """Return the spans of these lines, which are without their newlines."""
    return b"".join(
        _SPAN.pack(len(line) + 1, len(entry.record) if line.startswith(render_ndjson.RECORD) else 0)
        for line, entry in zip(lines, entries, strict=True)
    )


def read(spans: bytes, source: IO[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the lines of a part in pieces, and with each its records, a newline after every one.

    Raises BadRowError if the lines are not those of the spans.
    """
    for batch in _batches(spans):
        size = sum(line for line, _ in batch)
        lines = source.read(size)
        if len(lines) != size or lines[-1:] != b"\n":
            raise BadRowError("the rows of a part are not those that were made")
        yield lines, b"\n".join([*_records(lines, batch), b""])
    if source.read(1):
        raise BadRowError("the rows of a part are not those that were made")


def _records(lines: bytes, batch: list[_Span]) -> Iterator[bytes]:
    at = 0
    for line, record in batch:
        begin = at + len(render_ndjson.RECORD)
        at += line
        yield lines[begin : begin + record] if record else render_ndjson.record_of(lines[at - line : at - 1])


def _batches(spans: bytes) -> Iterator[list[_Span]]:
    """Yield the spans in batches of at most _PIECE bytes of lines, or of one line."""
    batch: list[_Span] = []
    size = 0
    for span in _SPAN.iter_unpack(spans):
        if batch and size + span[0] > _PIECE:
            yield batch
            batch, size = [], 0
        batch.append(span)
        size += span[0]
    if batch:
        yield batch
