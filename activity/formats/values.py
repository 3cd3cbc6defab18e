"""Reading values out of other people's events. Pure.

A text that says nothing ("", "-", null, a GUID of zeros) counts as absent. A text that is longer than the field may be
is cut and ends in "…": the whole of it stands in `data`, which is the original event.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from activity.errors import BadEventsError, Problem
from activity.event import MAX_CHARACTERS, canonical_ip
from activity.timestamps import parse_timestamp

_NOTHING = frozenset({"", "-", "N/A", "{00000000-0000-0000-0000-000000000000}"})
_NO_TYPE_CHARACTER = re.compile(r"[^a-z0-9_-]+")
_FINE_FRACTION = re.compile(r"(\.\d{6})\d{1,3}(?=[Zz+-])", re.ASCII)


def text_of(value: object) -> str:
    """Return a text or number as text without white space around it, and "" for anything that says nothing."""
    if isinstance(value, str):
        text = value.strip()
        return "" if text in _NOTHING else text
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return ""


def first_text(value: dict[str, Any], keys: Iterable[str]) -> str:
    """Return the text of the first of these keys that says something, else ""."""
    for key in keys:
        if key in value and (text := text_of(value[key])):
            return text
    return ""


def member(value: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the object under a key, and an empty one where there is none."""
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def fitted(field: str, text: str) -> str:
    """Return the text cut to what the field of an event may hold."""
    limit = MAX_CHARACTERS[field]
    return text if len(text) <= limit else text[: limit - 1] + "…"


def type_word(text: str) -> str:
    """Return a text as one word of a type: lower case, everything else than a-z, 0-9 and _ a dash."""
    return _NO_TYPE_CHARACTER.sub("-", text.lower()).strip("-_")


def moment(text: str, path: str) -> datetime:
    """Return the moment of an RFC 3339 text; digits finer than a microsecond (Windows has them) are cut.

    Raises BadEventsError naming `path`.
    """
    try:
        return parse_timestamp(_FINE_FRACTION.sub(r"\1", text))
    except ValueError as error:
        raise BadEventsError([Problem(path, str(error))]) from error


def unix_moment(number: float, path: str) -> datetime:
    """Return the moment of a count of seconds, or of milliseconds when it is too large for seconds, since 1970."""
    try:
        return datetime.fromtimestamp(number / 1000 if abs(number) > _LAST_SECOND else number, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise BadEventsError([Problem(path, f"no such moment: {number}")]) from error


_LAST_SECOND = 100_000_000_000  # the year 5138; in milliseconds that is March 1973


def ip_of(value: object) -> str | None:
    """Return an address in its shortest form, or None for a host name or the unspecified address."""
    if not (text := text_of(value)):
        return None
    try:
        address = canonical_ip(text.partition("%")[0])
    except ValueError:
        return None
    return None if ip_address(address).is_unspecified else address
