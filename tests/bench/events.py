"""The events that the bench records: real Windows events, mapped once, each time with event ids of their own."""

from __future__ import annotations

import gzip
import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from activity.formats import FORMATS
from activity.formats.options import Options
from activity.strict_json import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from activity.event import Event

_PROJECT = Path(__file__).resolve().parents[2]
WINDOWS = _PROJECT.parent / "shared" / "data" / "windows_security_auditpol.jsonl.gz"
SAMPLE = _PROJECT / "samples" / "cloudtrail_sample.jsonl"


def source_file() -> Path:
    """Return the file of 13,645 Windows events, or without it the sample that comes with the project."""
    return WINDOWS if WINDOWS.exists() else SAMPLE


def fresh(number: int, *, source: str | None = None) -> list[Event]:
    """Return the next `number` events, which this process has not given before; all from one source, if it is named."""
    taken = list(itertools.islice(_endless(), number))
    return taken if source is None else [replace(event, source=source) for event in taken]


@cache
def _endless() -> Iterator[Event]:
    return stream()


def stream() -> Iterator[Event]:
    """Give the events of the file over and over, with event ids that never repeat."""
    parsed = _parsed()
    for number in itertools.count():
        yield replace(parsed[number % len(parsed)], event_id=f"bench-{number}")


@cache
def _parsed() -> list[Event]:
    file = source_file()
    lines = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    form = FORMATS["windows" if file == WINDOWS else "cloudtrail"]
    values: list[Any] = [parse(line) for line in lines.splitlines()]
    return [form.to_event(value, options=Options()) for value in values]
