"""Reading the bodies of requests: strict JSON, and lines of it, never more than is taken.

    application/json        one event, or a list of up to MAX_EVENTS; up to MAX_JSON_BYTES
    application/x-ndjson    an event a line, up to MAX_LINES and MAX_BULK_BYTES; also with Content-Encoding: gzip

A zip bomb is noticed while it unfolds: no more than the limit is ever unpacked.
"""

from __future__ import annotations

import gzip
import zlib
from typing import IO, Any

from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.parsers import BaseParser

from activity import strict_json
from activity.errors import (
    BadEventsError,
    BadJsonError,
    BadStreamError,
    BadUnitsError,
    Problem,
    TooMuchError,
    UnitFault,
)
from activity.event import Event, event_from_json

MAX_EVENTS = 1_000
MAX_LINES = 10_000
MAX_JSON_BYTES = 16 * 1024 * 1024
MAX_BULK_BYTES = 32 * 1024 * 1024


class StrictJsonParser(BaseParser):
    """Bytes to JSON values by activity.strict_json."""

    media_type = "application/json"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the value. Raises BadJsonError, TooMuchError."""
        del media_type
        if _encoding(parser_context):
            raise UnsupportedMediaType("application/json", "a JSON body is sent without Content-Encoding")
        return strict_json.parse(_read(stream, MAX_JSON_BYTES))


class LinesParser(BaseParser):
    """Bytes to (line number, line) pairs, blank lines left out."""

    media_type = "application/x-ndjson"

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the lines. Raises BadStreamError, TooMuchError."""
        del media_type
        encoding = _encoding(parser_context)
        if encoding == "gzip":
            raw = _unzip(stream)
        elif encoding:
            raise UnsupportedMediaType("application/x-ndjson", "the only Content-Encoding that is read is gzip")
        else:
            raw = _read(stream, MAX_BULK_BYTES)
        lines = [(number, line) for number, line in enumerate(raw.split(b"\n"), start=1) if line.strip()]
        if len(lines) > MAX_LINES:
            raise TooMuchError(f"{len(lines):,} lines; at most {MAX_LINES:,} are taken at once")
        return lines


def events_of(value: object, *, source: str | None) -> list[Event]:
    """Return the events of a JSON body. Raises BadEventsError naming every faulty one, TooMuchError."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise BadEventsError([Problem("$", "there is no event in it")])
    if len(values) > MAX_EVENTS:
        raise TooMuchError(f"{len(values):,} events; at most {MAX_EVENTS:,} are taken at once")
    events, problems = [], []
    for index, one in enumerate(values):
        try:
            events.append(_event(one, source))
        except BadEventsError as error:
            problems += [Problem(problem.path, problem.reason, index) for problem in error.problems]
    if problems:
        raise BadEventsError(problems)
    return events


def events_of_lines(lines: list[tuple[int, bytes]], *, source: str | None) -> list[Event]:
    """Return the events of lines. Raises BadUnitsError naming every faulty line."""
    events, faults = [], []
    for number, line in lines:
        try:
            events.append(_event(strict_json.parse(line), source))
        except BadJsonError as error:
            faults.append(UnitFault(number, error.path, error.reason))
        except BadEventsError as error:
            faults += [UnitFault(number, problem.path, problem.reason) for problem in error.problems]
    if not lines:
        faults.append(UnitFault(1, "$", "there is no event in it"))
    if faults:
        raise BadUnitsError("line", faults)
    return events


def _event(value: object, source: str | None) -> Event:
    event = event_from_json(value, source=source)
    if source is not None and event.source != source:
        raise BadEventsError([Problem("$.source", f"this API key writes as {source} alone")])
    return event


def _encoding(parser_context: Any) -> str:
    encoding: str = parser_context["request"].headers.get("Content-Encoding", "").strip().lower()
    return "" if encoding == "identity" else encoding


def _read(stream: IO[Any], limit: int) -> bytes:
    raw: bytes = stream.read(limit + 1)
    if len(raw) > limit:
        raise TooMuchError(f"the body is larger than {limit:,} bytes")
    return raw


def _unzip(stream: IO[Any]) -> bytes:
    try:
        with gzip.GzipFile(fileobj=stream) as unzipped:
            raw = unzipped.read(MAX_BULK_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadStreamError("body", f"the gzip data breaks off or is damaged ({error})") from error
    if len(raw) > MAX_BULK_BYTES:
        raise TooMuchError(f"the body unpacks to more than {MAX_BULK_BYTES:,} bytes")
    return raw
