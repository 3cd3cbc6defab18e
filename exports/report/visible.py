"""Log data as text that hides nothing: what nobody sees, or what could move other text, is shown as «U+202E». Pure.

Shown as they are: letters, digits, signs and the plain space, as far as the report's fonts have them. Everything else
(controls, line breaks, bidirectional controls, other spaces, unassigned and private characters, what no font of ours
can draw, marks that pile up on one letter) appears as its code point.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from exports.report.fonts import mono_characters, sans_characters

if TYPE_CHECKING:
    from collections.abc import Iterable

# Invisible in every font, although Unicode calls them letters, signs or marks.
_BLANK = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufe00\ufe0f" + "".join(map(chr, range(0xFE00, 0xFE10)))
)
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
_MARKS = frozenset({"Mn", "Me", "Mc"})
_MOST_MARKS = 2  # on one letter; more would run into the lines above and below


def visible(text: str) -> str:
    """Return the text as the report prints it, all of it drawable with the report's fonts."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(text))


def code_point(character: str) -> str:
    """Return «U+XXXX»."""
    return f"«U+{ord(character):04X}»"


def _shown(text: str) -> Iterable[str]:
    marks = _MOST_MARKS  # at the start of a text there is no letter to carry a mark
    for character in text:
        category = unicodedata.category(character)
        if category in _MARKS:
            marks += 1
            drawn = marks <= _MOST_MARKS
        else:
            marks = 0
            drawn = character == " " or category not in _HIDDEN
        yield character if drawn and _has_a_shape(character) else code_point(character)


def _has_a_shape(character: str) -> bool:
    return character not in _BLANK and (character in mono_characters() or character in sans_characters())


def runs_right_to_left(text: str) -> bool:
    """Tell whether some of the text is read from right to left, so drawn in another order than it is stored."""
    return not text.isascii() and any(unicodedata.bidirectional(character) in {"R", "AL", "AN"} for character in text)


def columns(text: str) -> int:
    """Return how many columns of the fixed pitch the text takes at most; what the wider font draws counts double."""
    if text.isascii():
        return len(text)
    return sum(_columns_of(character) for character in text)


def is_fixed_pitch(text: str) -> bool:
    """Tell whether every character fills exactly one column and stands in the order in which it is stored."""
    return text.isascii() or (
        not runs_right_to_left(text)
        and all(character in mono_characters() and unicodedata.category(character) not in _MARKS for character in text)
    )


def _columns_of(character: str) -> int:
    return 1 if character in mono_characters() else 2
