r"""Cells that no spreadsheet takes for a formula, and the way back to the text. Pure.

A cell that begins with an apostrophe is escaped; every other cell is the text itself. It is escaped if the text

    begins, after spaces and quotation marks, with = + - @, their full-width or small forms, or an apostrophe
    has one of these after a semicolon or bar, where a spreadsheet of another country ends a cell
    holds a control or bidirectional character, such as TAB, CR, LF or NUL

Then it is an apostrophe and the text, in which \\ stands for a backslash and \uXXXX for a character. `restore` undoes
it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from exports.errors import BadRowError

if TYPE_CHECKING:
    from collections.abc import Iterable

_START = r"=+\-@−＝＋－＠﹦﹢﹣﹫"  # noqa: RUF001 the look-alikes are the point
_SPACE = " \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\"'"
_CONTROL = "\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
_AT_START = re.compile(f"[{_SPACE}]*[{_START}']")
_AFTER_SEPARATOR = re.compile(f"[{_SPACE}]*[{_START}]")
_HAS_CONTROL = re.compile(f"[{_CONTROL}]")
_TO_ESCAPE = re.compile(f"[\\\\{_CONTROL}]|[;|](?=[{_SPACE}]*[{_START}])")
_ESCAPE = re.compile(r"\\(\\|u[0-9a-f]{4}|)")
# Of bytes: texts of printable ASCII that are their own cell, neither escaped nor quoted.
PLAIN = rb"(?:[!#-&(-*.-:<>?A-{}~][ !#-+\--:<-{}~]*)?"
# One expression for each separator: it is looked for as fast as a single character is.
_AFTER_SEMICOLON, _AFTER_BAR = re.compile(rb";[ \"']*[=+\-@]"), re.compile(rb"\|[ \"']*[=+\-@]")
_MAYBE_START = frozenset("=+-@−＝＋－＠﹦﹢﹣﹫\"' ")  # noqa: RUF001 the same


def neutralise(text: str) -> str:
    """Return the cell of a text."""
    # Nothing of _CONTROL is printable, in any version of Unicode; a text that passes here is looked at no further.
    if text.isprintable() and text[:1] not in _MAYBE_START and ";" not in text and "|" not in text:
        return text
    if not _is_unsafe(text):
        return text
    return "'" + _TO_ESCAPE.sub(_escaped, text)


def neutral_json(text: bytes) -> bytes:
    """Return the cell of a JSON object of one line. It begins with a brace, and has no control character below U+0020.

    The same as `neutralise` does, in a fifth of the time.
    """
    is_safe = (
        text.isascii()
        and b"\x7f" not in text
        and not (b";" in text and _AFTER_SEMICOLON.search(text))
        and not (b"|" in text and _AFTER_BAR.search(text))
    )
    return text if is_safe else neutralise(text.decode()).encode()


def quoted(cell: bytes) -> bytes:
    """Return a cell as it stands in a line."""
    # Cells hold no CR or LF, so two characters decide about the quotation marks.
    return b'"%b"' % cell.replace(b'"', b'""') if b'"' in cell or b"," in cell else cell


def _is_unsafe(text: str) -> bool:
    # Cutting and matching is a tenth of the time of an expression that is tried at every character of a long text.
    return (
        _AT_START.match(text) is not None
        or any(map(_AFTER_SEPARATOR.match, text.replace("|", ";").split(";")[1:]))
        or (not text.isprintable() and _HAS_CONTROL.search(text) is not None)
    )


def restore(cell: str) -> str:
    """Return the text of a cell. Raises BadRowError for a cell that `neutralise` never writes."""
    if not cell.startswith("'"):
        return cell
    text = _ESCAPE.sub(_unescaped, cell[1:])
    if neutralise(text) != cell:
        raise BadRowError("a cell is not escaped as this format does it")
    return text


def lines_of(rows: Iterable[Iterable[str]]) -> bytes:
    """Return rows of cells as lines, with quotation marks only where needed."""
    # Half the time of csv.writer.
    lines = [b",".join([quoted(cell.encode()) for cell in row]) for row in rows]
    return b"\r\n".join([*lines, b""])


def _escaped(match: re.Match[str]) -> str:
    return "\\\\" if match[0] == "\\" else f"\\u{ord(match[0]):04x}"


def _unescaped(match: re.Match[str]) -> str:
    if not match[1]:
        raise BadRowError("a cell has a backslash that escapes nothing")
    return "\\" if match[1] == "\\" else chr(int(match[1][1:], 16))
