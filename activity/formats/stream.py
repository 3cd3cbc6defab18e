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
        cutter = _RecordCutter()
        try:
            while chunk := self._file.read1(_CHUNK_BYTES):
                for record in cutter.records(chunk):
                    self.number += 1
                    yield Unit(self.number, record, f"$.Records[{self.number - 1}]")
            cutter.end()
        except _BrokenFormError as error:
            raise BadStreamError(self._after(), str(error)) from error

    def _after(self) -> str:
        return f"after {self.unit} {self.number:,}"


_TOO_LONG = f"longer than {MAX_UNIT_BYTES:,} bytes"
_RECORDS_HEAD = re.compile(rb'\s*\{\s*"Records"\s*:\s*\[')


class _BrokenFormError(Exception):
    """The bytes are not of the form {"Records": […]}."""


class _RecordCutter:
    """Finds the records in a file that comes in chunks; only counts brackets, strict_json.py reads what is between."""

    def __init__(self) -> None:
        self._rest = b""  # what follows the last piece that was dealt with
        self._looked = 0  # how far the rest was looked at
        self._depth = 0
        self._after_record = False

    def records(self, chunk: bytes) -> Iterator[bytes]:
        """Give the records that end in this chunk."""
        self._rest += chunk
        start = 0
        while token := _TOKEN.search(self._rest, self._looked):
            bracket = token.group()
            if bracket == b'"':  # a string that goes on in the next chunk
                self._looked = token.start()
                break
            self._looked = token.end()
            if bracket not in _STEPS:
                continue
            if self._depth <= _INSIDE_RECORDS:
                self._check_gap(self._rest[start : token.start()], bracket)
                start = token.start() if (self._depth, bracket) == (_INSIDE_RECORDS, b"{") else token.end()
            self._depth += _STEPS[bracket]
            self._after_record = (self._depth, bracket) == (_INSIDE_RECORDS, b"}")
            if self._after_record:
                yield self._rest[start : token.end()]
                start = token.end()
        else:
            self._looked = len(self._rest)
        self._rest, self._looked = self._rest[start:], self._looked - start
        if len(self._rest) > MAX_UNIT_BYTES:
            raise _BrokenFormError(f"the next record is {_TOO_LONG}")

    def end(self) -> None:
        """Raise _BrokenFormError unless the file is complete."""
        if self._depth or self._rest.strip():
            raise _BrokenFormError("the file breaks off")

    def _check_gap(self, gap: bytes, bracket: bytes) -> None:
        if b"".join(gap.split()) != _GAPS.get((self._depth, bracket, self._after_record)):
            raise _BrokenFormError('the form {"Records": [{…}, {…}]} is broken')


_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\]]', re.DOTALL)
_STEPS = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_INSIDE_RECORDS = 2
# What stands before a bracket outside the records, without white space: by depth, bracket, a record before or not.
_GAPS = {
    (0, b"{", False): b"",
    (1, b"[", False): b'"Records":',
    (2, b"{", False): b"",
    (2, b"{", True): b",",
    (2, b"]", False): b"",
    (2, b"]", True): b"",
    (1, b"}", False): b"",
}
