"""Log data as text that hides nothing: what nobody sees, or what could move other text, is shown as «U+202E». Pure.

Shown as they are: letters, digits, signs and the plain space, as far as the report's fonts have them. Everything else
(controls, line breaks, bidirectional controls, other spaces, unassigned and private characters, what no font of ours
can draw, marks that no letter takes in) appears as its code point. Letters with marks that can be one character are
one: a mark that stays alone would run into the lines around it, and WeasyPrint loses what its glyph stands for.
"""

from __future__ import annotations

import unicodedata

from exports.report.fonts import mono_characters, sans_characters

# Invisible in every font, although Unicode calls them letters, signs or marks.
_BLANK = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\ufe00\ufe0f" + "".join(map(chr, range(0xFE00, 0xFE10)))
)
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs", "Mn", "Me", "Mc"})


def visible(text: str) -> str:
    """Return the text as the report prints it, all of it drawable with the report's fonts."""
    if text.isascii() and text.isprintable():
        return text
    composed = unicodedata.normalize("NFC", text)
    return "".join(character if _has_a_shape(character) else code_point(character) for character in composed)


def code_point(character: str) -> str:
    """Return «U+XXXX»."""
    return f"«U+{ord(character):04X}»"


def _has_a_shape(character: str) -> bool:
    if character == " ":
        return True
    is_drawn = unicodedata.category(character) not in _HIDDEN and character not in _BLANK
    return is_drawn and (character in mono_characters() or character in sans_characters())


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
        not runs_right_to_left(text) and all(character in mono_characters() for character in text)
    )


def _columns_of(character: str) -> int:
    return 1 if character in mono_characters() else 2
