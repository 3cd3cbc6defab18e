r"""A file of events, cut into units: lines, or the records of CloudTrail's file form. Bytes in, bytes out; flat memory.

    one event a line                    {"eventName": …}\n{"eventName": …}\n      blank lines are skipped
    as CloudTrail delivers to S3        {"Records": [{"eventName": …}, …]}        several of them may follow one another

Gzip is known by its first two bytes. A unit is at most MAX_UNIT_BYTES long; a longer one is refused before it is read
whole.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from io import BufferedReader
from typing import NamedTuple

from activity.errors import BadStreamError

MAX_UNIT_BYTES = 2 * 1024 * 1024

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 64 * 1024


class Unit(NamedTuple):
    """The bytes of one event: position in the file (from 1) and its JSON path there."""

    number: int
    raw: bytes
    path: str


class EventStream:
    """The units of an open file, once. `unit` is "line" or "record"; `number` counts them, blank lines too."""

    def __init__(self, file: BufferedReader) -> None:
        zipped = file.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
        self._file = gzip.GzipFile(fileobj=file, mode="rb") if zipped else file
        self.unit = "line"
        self.number = 0

    def __iter__(self) -> Iterator[Unit]:
        """Give the units in order. Raises BadStreamError for one that is too long, and where the file breaks off."""
        try:
            if _RECORDS_HEAD.match(self._file.peek(_CHUNK_BYTES)):
                self.unit = "record"
                yield from self._records()
            else:
                yield from self._lines()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BadStreamError(self._after(), f"the gzip data breaks off or is damaged ({error})") from error

    def _lines(self) -> Iterator[Unit]:
        while line := self._file.readline(MAX_UNIT_BYTES + len(b"\r\n")):
            self.number += 1
            line = line.rstrip(b"\r\n")
            if len(line) > MAX_UNIT_BYTES:
                raise BadStreamError(f"line {self.number:,}", _TOO_LONG)
            if not line.isspace() and line:
                yield Unit(self.number, line, "$")

    def _records(self) -> Iterator[Unit]:
        # `start` is the end of the last piece that was dealt with, `position` how far the rest was looked at.
        buffer, start, position, depth, follows = b"", 0, 0, 0, False
        while chunk := self._file.read1(_CHUNK_BYTES):
            buffer, position, start = buffer[start:] + chunk, position - start, 0
            while token := _TOKEN.search(buffer, position):
                if token.group() == b'"':
                    position = token.start()  # a string that goes on in the next chunk
                    break
                position = token.end()
                if token.group() not in _STEPS:
                    continue
                if depth <= _INSIDE_RECORDS:
                    self._check_gap(buffer[start : token.start()], depth, token.group(), follows=follows)
                    start = token.start() if (depth, token.group()) == (_INSIDE_RECORDS, b"{") else position
                depth += _STEPS[token.group()]
                if follows := depth == _INSIDE_RECORDS and token.group() == b"}":
                    self.number += 1
                    yield Unit(self.number, buffer[start:position], f"$.Records[{self.number - 1}]")
                    start = position
            else:
                position = len(buffer)
            if len(buffer) - start > MAX_UNIT_BYTES:
                raise BadStreamError(self._after(), f"the next record: {_TOO_LONG}")
        if depth or buffer[start:].strip():
            raise BadStreamError(self._after(), "the file breaks off")

    def _check_gap(self, gap: bytes, depth: int, token: bytes, *, follows: bool) -> None:
        expected = _GAPS.get((depth, token))
        if (depth, token, follows) == (_INSIDE_RECORDS, b"{", True):
            expected = b","
        if expected is None or b"".join(gap.split()) != expected:
            raise BadStreamError(self._after(), 'the form {"Records": [{…}, {…}]} is broken')

    def _after(self) -> str:
        return f"after {self.unit} {self.number:,}"


_TOO_LONG = f"longer than {MAX_UNIT_BYTES:,} bytes"
_RECORDS_HEAD = re.compile(rb'\s*\{\s*"Records"\s*:\s*\[')
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|["{}\[\]]', re.DOTALL)
_STEPS = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_INSIDE_RECORDS = 2
# What stands before a bracket outside the records, without white space.
_GAPS = {(0, b"{"): b"", (1, b"["): b'"Records":', (2, b"{"): b"", (2, b"]"): b"", (1, b"}"): b""}
