"""What an event may not hold, each fault with its place. Pure.

Nearly every event is right, and is told so by a quick look; what that doubts is looked at in full.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from activity.errors import Problem
from activity.event import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    OUTCOMES,
    RESERVED_KEYS,
    SEVERITIES,
    TYPE_PATTERN,
    canonical_ip,
    kind_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from activity.event import Event

_TYPE = re.compile(TYPE_PATTERN)
_PLAIN = frozenset({str, int, bool, type(None)})  # kinds of members with nothing inside, and no NaN
_RESERVED = re.compile(rb'"(?:_sd|\.\.\.")')  # any key or text that begins like one of RESERVED_KEYS
_MAY_BE_EMPTY = frozenset({"target"})
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


def field_problems(event: Event) -> list[Problem]:
    """Return what is wrong with the members of an event besides its data."""
    return [] if _is_plain(event) else list(_field_problems(event))


def data_problems(data: object, written: bytes | None) -> list[Problem]:
    """Return what is wrong with the data of an event; `written` is its JSON, or None if there can be none."""
    if written is not None and (_is_flat(data) or (type(data) is dict and not _needs_a_walk(written))):
        return []
    if not isinstance(data, dict):
        return [Problem("$.data", f"must be an object, not {kind_of(data)}")]
    return list(_walk(data, "$.data", 1))


def _is_plain(event: Event) -> bool:
    """Tell quickly that no field is faulty, as in nearly every event; one that it doubts is looked at in full."""
    return (
        _is_short_ascii(event.action, MAX_CHARACTERS["action"])
        and _is_short_ascii(event.actor, MAX_CHARACTERS["actor"])
        and _is_short_ascii(event.source, MAX_CHARACTERS["source"])
        and (event.event_id is None or _is_short_ascii(event.event_id, MAX_CHARACTERS["event_id"]))
        and (event.target == "" or _is_short_ascii(event.target, MAX_CHARACTERS["target"]))
        and type(event.type) is str
        and _is_type(event.type)
        and event.outcome in OUTCOMES
        and event.severity in SEVERITIES
        and (event.ip is None or (type(event.ip) is str and _is_canonical_ip(event.ip)))
        and type(event.occurred_at) is datetime
        and event.occurred_at.tzinfo is UTC
    )


def _is_short_ascii(value: object, limit: int) -> bool:
    return type(value) is str and 0 < len(value) <= limit and value.isascii()


@lru_cache(maxsize=4096)
def _is_type(text: str) -> bool:
    return len(text) <= MAX_CHARACTERS["type"] and _TYPE.fullmatch(text) is not None


def _field_problems(event: Event) -> Iterator[Problem]:
    for name, limit in MAX_CHARACTERS.items():
        value = getattr(event, name)
        if value is not None or name != "event_id":
            reason = _text_fault(value, limit, may_be_empty=name in _MAY_BE_EMPTY)
            if reason is not None:
                yield Problem(f"$.{name}", reason)
    if type(event.type) is str and event.type and not _TYPE.fullmatch(event.type):
        yield Problem("$.type", "must be lower-case words of a-z, 0-9, _ and -, joined by dots, such as auth.login")
    if event.outcome not in OUTCOMES:
        yield Problem("$.outcome", f"must be one of {', '.join(OUTCOMES)}")
    if event.severity not in SEVERITIES:
        yield Problem("$.severity", f"must be one of {', '.join(SEVERITIES)}")
    if event.ip is not None and not (type(event.ip) is str and _is_canonical_ip(event.ip)):
        yield Problem("$.ip", "must be an IPv4 or IPv6 address in its shortest form")
    yield from _moment_problems(event.occurred_at)


def _text_fault(value: object, limit: int, *, may_be_empty: bool) -> str | None:
    if type(value) is not str:
        return f"must be a string, not {kind_of(value)}"
    if len(value) > limit:
        return f"{len(value):,} characters; at most {limit} are taken"
    if not value and not may_be_empty:
        return "must not be empty"
    if not value.isascii() and _has_surrogate(value):
        return "holds an unpaired surrogate, which is not Unicode text"
    return None


def _moment_problems(moment: object) -> Iterator[Problem]:
    if not isinstance(moment, datetime):
        yield Problem("$.occurred_at", "must be a date and time")
    elif moment.tzinfo is None:
        yield Problem("$.occurred_at", "must carry its offset from UTC")
    elif moment.tzinfo is not UTC:
        try:
            moment.astimezone(UTC)
        except OverflowError:
            yield Problem("$.occurred_at", "lies outside the years 1 to 9999 in UTC")


def _has_surrogate(value: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in value)


def _is_canonical_ip(value: str) -> bool:
    try:
        return canonical_ip(value) == value
    except ValueError:
        return False


def _is_flat(data: object) -> bool:
    """Tell quickly that a walk finds nothing: data that could be written, all members plain and no key reserved."""
    return type(data) is dict and _PLAIN.issuperset(map(type, data.values())) and RESERVED_KEYS.isdisjoint(data)


def _needs_a_walk(data: bytes) -> bool:
    """Tell whether the bytes could hide what only a walk finds: NaN (written as null), reserved keys, deep nesting."""
    # Searches for one byte or a rare one first, and one pass for both brackets: this sees every byte of every event.
    may_be_reserved = b"_" in data or b'..."' in data
    return (
        b"null" in data
        or (may_be_reserved and _RESERVED.search(data) is not None)
        or len(data) - len(data.translate(None, b"{[")) > MAX_DEPTH
    )


def _walk(value: object, path: str, depth: int) -> Iterator[Problem]:  # noqa: C901 one branch a kind of JSON value
    if isinstance(value, dict | list | tuple):
        if depth > MAX_DEPTH:
            yield Problem(path, f"nesting deeper than {MAX_DEPTH} levels")
            return
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(value, dict):
                place = f"{path}.{key}" if isinstance(key, str) and key.isidentifier() else f"{path}[{key!r}]"
                yield from _key_problems(key, place)
            else:
                place = f"{path}[{key}]"
            yield from _walk(item, place, depth + 1)
    elif isinstance(value, str):
        if _has_surrogate(value):
            yield Problem(path, "holds an unpaired surrogate, which is not Unicode text")
    elif isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            yield Problem(path, "an integer beyond 64 bits would not come back equal")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield Problem(path, "NaN and Infinity are not JSON")
    elif value is not None:
        yield Problem(path, f"{type(value).__name__} is not a JSON value")


def _key_problems(key: object, path: str) -> Iterator[Problem]:
    if not isinstance(key, str):
        yield Problem(path, "a key must be a string")
    elif key in RESERVED_KEYS:
        yield Problem(path, "this key is reserved for selective disclosure (RFC 9901)")
    elif _has_surrogate(key):
        yield Problem(path, "the key holds an unpaired surrogate, which is not Unicode text")
