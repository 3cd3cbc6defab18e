r"""Strict JSON: bytes in, values out that come back equal, or a refusal that names the place. Pure.

RFC 8259 in UTF-8 without BOM, and refused besides: duplicate keys, NaN and Infinity, integers outside -2^63 … 2^64-1,
numbers that a double turns into infinity or zero, unpaired surrogates (raw or as \ud800), nesting over MAX_LEVELS.

    $.data.user["odd key"][3]: the key stands twice in this object

`parse` lets the C decoder of the standard library do the work and only notices that something is wrong;
`_Scanner` then reads the text again, slowly, to say what and where. What the fields of an event may hold stands in
event_faults.py.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TypeAlias

import orjson

from activity.errors import BadJsonError

MAX_LEVELS = 32

JsonValue: TypeAlias = "dict[str, JsonValue] | list[JsonValue] | str | int | float | bool | None"

_INT_MIN, _INT_MAX, _INT_MAX_CHARACTERS = -(2**63), 2**64 - 1, 20


def parse(raw: bytes, *, max_levels: int = MAX_LEVELS) -> JsonValue:
    """Return the JSON value that `raw` says; integers are int, all other numbers float.

    `max_levels` counts nested objects and arrays, the outermost included. Raises BadJsonError.
    """
    try:
        value: JsonValue = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError):
        _refuse(raw, max_levels)
    if raw.count(b"{") + raw.count(b"[") > max_levels and _levels(value) > max_levels:
        _refuse(raw, max_levels)
    if (b"\\ud" in raw or b"\\uD" in raw) and not _is_unicode(value):
        _refuse(raw, max_levels)
    return value


def member_path(path: str, key: str) -> str:
    """Return the path of an object's member; an odd key stands quoted and escaped, a very long one shortened."""
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}"
    return f"{path}[{json.dumps(key if len(key) <= _SHOWN else key[:_SHOWN] + '…')}]"


_SHOWN = 80
_PLAIN_KEY = re.compile(rf"[A-Za-z_][A-Za-z0-9_]{{0,{_SHOWN}}}")


class _RefusedError(ValueError):
    """What is wrong with one number, before its place is known."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _RefusedError
    return members


def _integer(text: str) -> int:
    # The length is looked at first: int() takes quadratic time.
    if len(text) > _INT_MAX_CHARACTERS or not _INT_MIN <= (value := int(text)) <= _INT_MAX:
        raise _RefusedError("an integer beyond 64 bits would not come back equal")
    return value


def _real(text: str) -> float:
    value = float(text)
    if value in (_INFINITY, -_INFINITY):
        raise _RefusedError("the number is too large: it would come back as infinity")
    if value == 0.0 and _NON_ZERO.match(text):
        raise _RefusedError("the number is too small: it would come back as zero")
    return value


def _constant(text: str) -> NoReturn:
    raise _RefusedError(f"{text} is not JSON")


_INFINITY = float("inf")
_NON_ZERO = re.compile(r"-?[0.]*[1-9]")
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant)


def _levels(value: JsonValue) -> int:
    levels, row = 0, [value]
    while containers := [item for item in row if isinstance(item, dict | list)]:
        levels += 1
        row = [item for inner in containers for item in (inner.values() if isinstance(inner, dict) else inner)]
    return levels


def _is_unicode(value: JsonValue) -> bool:
    try:
        orjson.dumps(value)  # refuses exactly the surrogates here: numbers and depth were looked at before
    except TypeError:
        return False
    return True


def _refuse(raw: bytes, max_levels: int) -> NoReturn:
    for mark, name in _BYTE_ORDER_MARKS.items():
        if raw.startswith(mark):
            raise BadJsonError("$", f"starts with the byte order mark of {name}; send UTF-8 without one")
    # Undecodable bytes become surrogates, which decoded UTF-8 never holds: the scanner meets them at their place.
    _Scanner(raw.decode(errors="surrogateescape"), max_levels).document()
    raise BadJsonError("$", "not acceptable JSON")


_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class _Scanner:
    """Reads a text from left to right and raises BadJsonError at the first fault."""

    def __init__(self, text: str, max_levels: int) -> None:
        self.text = text
        self.max_levels = max_levels
        self.position = 0

    def document(self) -> None:
        if not self.text.strip(_SPACES):
            raise BadJsonError("$", "empty; a JSON value is expected")
        self.value("$", 1)
        if self.next_character():
            self.fail("$", "there is more after the end of the JSON value")

    def value(self, path: str, level: int) -> None:
        character = self.next_character()
        if character in ("{", "["):
            if level > self.max_levels:
                raise BadJsonError(path, f"nesting deeper than {self.max_levels} levels")
            self.position += 1
            (self.members if character == "{" else self.items)(path, level)
        elif character == '"':
            self.string(path, "the string")
        elif number := _NUMBER.match(self.text, self.position):
            self.number(path, number)
        elif word := _WORD.match(self.text, self.position):
            self.word(path, word)
        elif not character:
            raise BadJsonError(path, "the text ends where a value is expected")
        else:
            self.fail(path, f"a value is expected, not {_shown(character)}")

    def members(self, path: str, level: int) -> None:
        if self.next_character() == "}":
            self.position += 1
            return
        keys: set[str] = set()
        while True:
            inner = self.key(path, keys)
            self.value(inner, level + 1)
            if not self.goes_on(path, "}"):
                return

    def key(self, path: str, keys: set[str]) -> str:
        """Read a key and its colon; return the path of the member and put the key to the others."""
        if self.next_character() != '"':
            self.fail(path, "a key in double quotes is expected")
        key = self.string(path, "a key")
        inner = member_path(path, key)
        if key in keys:
            raise BadJsonError(inner, "the key stands twice in this object")
        keys.add(key)
        if self.next_character() != ":":
            self.fail(inner, "a colon is expected after the key")
        self.position += 1
        return inner

    def items(self, path: str, level: int) -> None:
        if self.next_character() == "]":
            self.position += 1
            return
        index = 0
        self.value(f"{path}[{index}]", level + 1)
        while self.goes_on(path, "]"):
            index += 1
            self.value(f"{path}[{index}]", level + 1)

    def goes_on(self, path: str, end: str) -> bool:
        character = self.next_character()
        if character not in (",", end):
            self.fail(path, f"a comma or {end} is expected")
        self.position += 1
        return character == ","

    def string(self, path: str, what: str) -> str:
        match = _STRING.match(self.text, self.position)
        if match is None:
            self.torn_string(path, what)
        value: str = json.loads(match.group())
        if surrogate := _SURROGATE.search(value):
            if byte := _UNDECODABLE.search(match.group()):
                raise BadJsonError(path, _not_utf8(byte.group()))
            if what == "a key":
                path = member_path(path, value)
            raise BadJsonError(path, f"{what} holds an unpaired surrogate, U+{ord(surrogate.group()):04X}")
        self.position = match.end()
        return value

    def torn_string(self, path: str, what: str) -> NoReturn:
        part = _STRING_PART.match(self.text, self.position)
        self.position = part.end() if part else self.position
        rest = self.text[self.position : self.position + 2]
        if not rest or rest == "\\":
            raise BadJsonError(path, f"{what} does not end")
        if rest.startswith("\\"):
            self.fail(path, f"{what} holds the unknown escape {_shown(rest)}")
        self.fail(path, f"{what} holds a control character that is not escaped, U+{ord(rest[0]):04X}")

    def number(self, path: str, match: re.Match[str]) -> None:
        self.position = match.end()
        if _NUMBER_GOES_ON.match(self.text, self.position):
            self.fail(path, "not a JSON number")
        try:
            (_real if match["real"] else _integer)(match.group())
        except _RefusedError as error:
            raise BadJsonError(path, str(error)) from None

    def word(self, path: str, match: re.Match[str]) -> None:
        if match.group() not in ("true", "false", "null"):
            self.fail(path, f"{_shown(match.group())} is not JSON")
        self.position = match.end()

    def next_character(self) -> str:
        """Return the character after white space, or "" at the end, and stay before it."""
        match = _SPACE.match(self.text, self.position)
        self.position = match.end() if match else self.position
        return self.text[self.position : self.position + 1]

    def fail(self, path: str, reason: str) -> NoReturn:
        character = self.text[self.position : self.position + 1]
        if character and _UNDECODABLE.match(character):
            reason = _not_utf8(character)
        raise BadJsonError(path, f"{reason} (character {self.position + 1:,})")


def _shown(text: str) -> str:
    return json.dumps(text[:20])


def _not_utf8(escaped: str) -> str:
    return f"not UTF-8: the byte 0x{ord(escaped) - 0xDC00:02X} stands where it cannot"


_SPACES = " \t\n\r"
_SPACE = re.compile(r"[ \t\n\r]*")
_STRING_PART = re.compile(r'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*')
_STRING = re.compile(_STRING_PART.pattern + '"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<real>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_NUMBER_GOES_ON = re.compile(r"[0-9A-Za-z.+-]")
_WORD = re.compile(r"-?[A-Za-z]{1,20}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNDECODABLE = re.compile("[\udc80-\udcff]")
