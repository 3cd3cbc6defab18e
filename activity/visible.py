"""Texts of strangers, shown so that what is there is what is seen. Pure.

Control characters, bidirectional overrides, zero-width and other invisible characters stand as ⟨U+202E⟩: with them an
entry could look like another one. Line feed and tab stay where a text has lines.
"""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_SUSPECT = re.compile(r"[^\x20-\x7e\xa1-\xac\xae-\u02ff]")


def visible(text: str, *, keep: str = "") -> str:
    """Return the text with every character that is not seen written out, but for those in `keep`."""
    return _SUSPECT.sub(lambda found: _written(found[0], keep), text)


def _written(character: str, keep: str) -> str:
    if character in keep or unicodedata.category(character) not in _HIDDEN:
        return character
    return f"⟨U+{ord(character):04X}⟩"
