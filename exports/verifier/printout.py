"""Whether the pages of a report print what is embedded in it: footers, cover, and every entry of the table. Pure.

Compared are texts without spaces, for lines break where the renderer broke them, in which every character outside of
ASCII is spelled as its code point («U+202E»): the renderer draws it where its fonts can, and spells it where they
cannot, which nobody needs to know here. Text that runs from right to left is shown in another order than it is stored,
so of it the characters alone are compared. Charts are drawings: nobody reads them here.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from bisect import bisect_right
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from exports.errors import BadReportError
from exports.report.cells import VERDICT_WORDS, printed
from exports.report.columns import COLUMNS, LEFT, MONO_ADVANCE, ROW_FONT, SMALL_FONT, SMALL_LINE, STARTS
from exports.verifier.pages import Piece

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from exports.manifest import Claim
    from exports.rows import ExportedEntry

FOOTER_TOP = 780.0  # points from the top of a page
_NEAR = 0.25  # points: sizes are rounded on the way
_LONGEST_ORIGIN = 100  # characters that a footer shows
# A sign that text from right to left mirrors is read back as its image, in other text as well: both have one glyph.
_MIRRORED = str.maketrans(")]}>»", "([{<«")
_IMAGE = "«image«"  # of any other such sign: which of two it is cannot be read
_CODE_POINT = re.compile(r"«U\+([0-9A-F]{4,6})«")
_PIECE_OF_ONE = re.compile(r"«(?:U(?:\+[0-9A-F]{0,6})?)?")
_SPELLED = re.compile(rf"{_CODE_POINT.pattern}|{_IMAGE}|.", re.DOTALL)
_ELLIPSIS = "«U+2026«"
_CUT = re.compile(rf"{re.escape(_ELLIPSIS)}\+(?P<number>[\d,]+)")
_IN_MARKS = f"+,0123456789ABCDEF«U{_ELLIPSIS}" * 16  # more than all that say in one text how much was cut
_LEAST_KEPT = 20  # characters of a text that was cut


def plain(text: str) -> str:
    """Return what is compared of a text that was read off a page."""
    if text.isascii() and text.isprintable():
        return text.replace(" ", "").translate(_MIRRORED)
    return _CODE_POINT.sub(_image, "".join(map(_spelled, text)).translate(_MIRRORED))


def stored(text: str) -> str:
    """Return what is compared of a text as it is stored; a letter and its mark are one character where they can be."""
    return plain(unicodedata.normalize("NFC", text))


def _spelled(character: str) -> str:
    if character == " ":
        return ""
    if character in "«»" or (character.isascii() and character.isprintable()):
        return character
    return f"«U+{ord(character):04X}»"


def _image(spelled: re.Match[str]) -> str:
    number = int(spelled[1], 16)
    return _IMAGE if number <= sys.maxunicode and unicodedata.mirrored(chr(number)) else spelled[0]


def check_footers(pages: Sequence[Sequence[Piece]], claim: Claim) -> None:
    """Raise BadReportError unless every page has the claim's digest and checkpoint and its own number in the footer."""
    is_long = len(claim.origin) > _LONGEST_ORIGIN
    origin = claim.origin[: _LONGEST_ORIGIN - 1] + "…" if is_long else claim.origin
    checkpoint = f"Checkpoint root{claim.root} at {claim.ledger_size:,} leaves"
    expected = stored(f"Dataset SHA-256{claim.dataset_digest}{checkpoint}Ledger{origin}")
    for number, pieces in enumerate(pages, 1):
        footer = [piece for piece in pieces if piece.y >= FOOTER_TOP]
        page = plain(f"Page {number:,} of {len(pages):,}")
        texts = "".join(plain(piece.text) for piece in footer)
        if page not in texts or "".join(texts.split(page, 1)) != expected:
            raise BadReportError(f"the footer of page {number} is not that of this export")


def check_cover(pages: Sequence[Sequence[Piece]], claim: Claim) -> None:
    """Raise BadReportError unless the first pages print what the claim says, and warn if entries are marked."""
    text = plain("".join(piece.text for pieces in pages for piece in pieces if piece.y < FOOTER_TOP))
    said = {
        "purpose": claim.purpose,
        "case": claim.case,
        "person": claim.exported_by,
        "time": claim.exported_at.replace("T", " ").replace("Z", " UTC"),
        **{f"filter {name}": f"{name} = {value}" for name, value in claim.filters.items()},
    }
    for name, value in said.items():
        if not _runs_right_to_left(value) and stored(value) not in text:
            raise BadReportError(f"the cover does not show the {name} of the claim")
    if (plain("Warning: this export holds") in text) is not bool(claim.marked):
        raise BadReportError("the cover does not warn of marked entries, or warns without any")
    for verdict, number in claim.verdicts.items():
        if number and plain(f"{number:,}{VERDICT_WORDS.get(verdict, verdict).lower()}") not in text.lower():
            raise BadReportError(f"the cover does not count the entries that are {verdict}")


class Table:
    """The printed table, entry by entry, to be compared with the embedded ones in the same order."""

    def __init__(self, pages: Iterable[Sequence[Piece]]) -> None:
        self._printed = _entries(pages)

    def check(self, entry: ExportedEntry) -> None:
        """Raise BadReportError unless this entry is what the table prints next."""
        found = next(self._printed, None)
        if found is None:
            raise BadReportError(f"leaf {entry.leaf_index} is not in the table")
        row, small = found
        expected = printed(entry)
        rows_fit = all(_are_shown(cell, parts) for cell, parts in zip(row, expected.cells, strict=True))
        if not rows_fit or not _are_shown(small, (expected.remark, expected.facts, expected.data)):
            raise BadReportError(f"the table prints leaf {entry.leaf_index} in other words than its record")

    def check_end(self) -> None:
        """Raise BadReportError if the table prints more entries."""
        if next(self._printed, None) is not None:
            raise BadReportError("the table prints entries that are not embedded")


def is_table(pieces: Sequence[Piece]) -> bool:
    """Tell whether a page is one of the table: it begins with the table's head."""
    return [plain("".join(piece.text for piece in line)) for line in _lines(pieces)[:2]] == _HEADS


_HEADS = [plain("".join(titles)) for titles in zip(*((each.title, each.second_title) for each in COLUMNS), strict=True)]


def _lines(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return what stands above the footer, line by line; what is drawn in a box of its own comes late in the file."""
    lines: list[list[Piece]] = []
    for piece in sorted((piece for piece in pieces if piece.y < FOOTER_TOP), key=lambda piece: piece.y):
        if lines and piece.y - lines[-1][0].y < SMALL_LINE / 2:
            lines[-1].append(piece)
        else:
            lines.append([piece])
    return [sorted(line, key=lambda piece: piece.x) for line in lines]


def _entries(pages: Iterable[Sequence[Piece]]) -> Iterator[tuple[list[str], str]]:
    """Give the columns of each entry and the small lines below, both without white space."""
    for pieces in pages:
        row, small = [""] * len(COLUMNS), ""
        for piece in (piece for line in _lines(pieces)[2:] for piece in line):
            if abs(piece.size - SMALL_FONT) < _NEAR:
                small += piece.text
                continue
            if abs(piece.size - ROW_FONT) >= _NEAR:
                raise BadReportError("the table has text of a size of its own")
            if small:
                yield row, small
                row, small = [""] * len(COLUMNS), ""
            _add(row, piece)
        if any(row):
            yield row, small


def _add(row: list[str], piece: Piece) -> None:
    """Add a line's text to the columns: a whole line of fixed pitch, or the piece that stands in one column."""
    start = (piece.x - LEFT) / (MONO_ADVANCE * ROW_FONT) + _NEAR
    number = bisect_right(STARTS, start) - 1
    if number < 0:
        raise BadReportError("the table has text beside its columns")
    if number > 0:
        row[number] += piece.text
        return
    for each, (first, end) in enumerate(pairwise([*STARTS, None])):
        row[each] += piece.text[first:end]


def _are_shown(found: str, parts: Sequence[str]) -> bool:
    """Tell whether a text is the parts, one after the other, each of them whole or cut with the mark that counts."""
    if any(map(_runs_right_to_left, parts)):
        return _are_the_characters(found, parts)
    rests = {plain(found)}
    for part in map(stored, parts):
        rests = {after for rest in rests for after in _rests(rest, part)}
    return "" in rests


def _rests(text: str, part: str) -> Iterator[str]:
    """Give what may follow a part at the beginning of a text. More than one: digits may be the mark's or the next's."""
    if text.startswith(part):
        yield text[len(part) :]
    differs = (place for place, (one, other) in enumerate(zip(text, part, strict=False)) if one != other)
    same = next(differs, min(len(text), len(part)))
    for mark in _CUT.finditer(text, _LEAST_KEPT, len(text)):
        if mark.start() <= same or _is_cut_in_a_sign(text, part, mark.start()):
            for end in range(mark.start("number") + 1, mark.end() + 1):
                yield text[end:]


def _is_cut_in_a_sign(text: str, part: str, end: int) -> bool:
    at = max(text.rfind("«", 0, end), 0)
    is_piece = _PIECE_OF_ONE.fullmatch(text, at, end) is not None
    return is_piece and text[:at] == part[:at] and part.startswith(_IMAGE, at)


def _are_the_characters(found: str, parts: Sequence[str]) -> bool:
    text, expected = plain(found), "".join(map(stored, parts))
    is_cut = _ELLIPSIS in text
    has_marks = any(mark in part for part in parts for mark in "«»")
    # A code point is one character, but for where a cut, or the text itself, may hold a piece of one.
    whole = not (is_cut or has_marks)
    shown, said = (Counter(_characters(one) if whole else one) for one in (text, expected))
    return not shown - said - Counter(_IN_MARKS) if is_cut else shown == said


def _characters(text: str) -> Iterator[str]:
    return (match[0] for match in _SPELLED.finditer(text))


def _runs_right_to_left(text: str) -> bool:
    return not text.isascii() and any(unicodedata.bidirectional(character) in {"R", "AL", "AN"} for character in text)
