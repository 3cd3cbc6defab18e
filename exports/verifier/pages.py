"""The text of a report's pages, read back out of the file: where it stands and in what size. Pure.

Reads only what our renderer writes: text shown by TJ from strings in hexadecimal, each font with a ToUnicode table.
What is written in another way is refused, for it could show what nobody reads here.
"""

from __future__ import annotations

import re
import zlib
from typing import Any, NamedTuple

from exports.errors import BadReportError

A4_HEIGHT = 841.89
_MOST_CONTENT = 16 * 1024 * 1024
_TOKEN = re.compile(
    rb"\[(?P<array>[^\]]*)\]|/(?P<name>[^\s/<>\[\]()]+)|(?P<number>[-+.\d]+)|(?P<word>[A-Za-z*]+)|(?P<other>\S)"
)
_ARRAY = re.compile(rb"(?:\s*(?:<[0-9A-Fa-f]*>|[-+.\d]+))*\s*")
_STRING = re.compile(rb"<([0-9A-Fa-f]*)>")
_OPERATORS = frozenset(b"q Q cm m l c h re W W* n gs rg RG w J j M d f f* S B B* BT ET Tf Tm TJ".split())
_IN_DRAWINGS = frozenset({b"Do", b"Tr"})  # charts: groups, and text that is filled
_MAP = re.compile(rb"beginbfchar(.*?)endbfchar", re.DOTALL)
_MAP_ROW = re.compile(rb"<([0-9A-Fa-f]{4})>\s*<([0-9A-Fa-f]*)>")
_Matrix = tuple[float, float, float, float, float, float]
_IDENTITY: _Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


class Piece(NamedTuple):
    """Text that was shown from one place on: points from the page's upper left corner, and the size of its font."""

    x: float
    y: float
    size: float
    text: str


def inflated(stream: Any, limit: int) -> bytes:
    """Return the content of a PDF stream that is deflated, or not compressed. Raises BadReportError."""
    if "/DecodeParms" in stream:
        raise BadReportError("a stream is compressed in a way that a report does not use")
    raw: bytes = stream.encoded_data
    kind = stream.get("/Filter")
    if kind is not None and kind != "/FlateDecode" and list(kind) != ["/FlateDecode"]:
        raise BadReportError("a stream is compressed in a way that a report does not use")
    if kind is None:
        return raw
    machine = zlib.decompressobj()
    try:
        content = machine.decompress(raw, limit)
    except zlib.error as error:
        raise BadReportError("a stream cannot be decompressed") from error
    if not machine.eof or machine.unused_data.strip():
        raise BadReportError(f"a stream is larger than {limit:,} bytes, or does not end where it says")
    return content


class PageReader:
    """Reads the pages of one file; fonts that several pages share are read once."""

    def __init__(self) -> None:
        self._fonts: dict[Any, dict[int, str]] = {}

    def read(self, page: Any) -> tuple[list[Piece], bool]:
        """Return the text of a page (a PDF dictionary) in the order in which it is shown, and whether it has drawings.

        Raises BadReportError for a page that is not of our renderer.
        """
        try:
            content = inflated(page["/Contents"], _MOST_CONTENT)
            named = page["/Resources"]["/Font"]
            state = _State({name.encode()[1:]: self._font(named, name) for name in named})
            for match in _TOKEN.finditer(content):
                state.take(match)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise BadReportError("a page is not written as our renderer writes pages") from error
        return state.pieces, state.has_drawings

    def _font(self, fonts: Any, name: str) -> dict[int, str]:
        reference = fonts.raw_get(name)
        key = getattr(reference, "reference", None) or id(reference)
        if key not in self._fonts:
            self._fonts[key] = _characters(inflated(fonts[name]["/ToUnicode"], _MOST_CONTENT))
        return self._fonts[key]


def _characters(table: bytes) -> dict[int, str]:
    rows = [row for block in _MAP.findall(table) for row in _MAP_ROW.findall(block)]
    return {int(glyph, 16): bytes.fromhex(text.decode()).decode("utf-16-be") for glyph, text in rows}


class _State:
    """The state of a content stream while it is read: operands, graphics state, and the text so far."""

    def __init__(self, fonts: dict[bytes, dict[int, str]]) -> None:
        self.pieces: list[Piece] = []
        self.has_drawings = False
        self._fonts = fonts
        self._operands: list[Any] = []
        self._matrix = _IDENTITY
        self._font: dict[int, str] = {}
        self._size = 0.0
        self._kept: list[tuple[_Matrix, dict[int, str], float]] = []
        self._text_matrix: _Matrix | None = None

    def take(self, match: re.Match[bytes]) -> None:
        """Take the next token."""
        kind = match.lastgroup
        if kind == "number":
            self._operands.append(float(match["number"]))
        elif kind == "word":
            self._operate(match["word"])
            self._operands.clear()
        elif kind == "other" or kind is None:
            raise ValueError(f"unexpected {match[0]!r}")
        else:
            self._operands.append(match[kind])

    def _operate(self, operator: bytes) -> None:
        if operator in _IN_DRAWINGS:
            self.has_drawings = True
        elif operator not in _OPERATORS:
            raise ValueError(f"unexpected operator {operator!r}")
        elif operator == b"q":
            self._kept.append((self._matrix, self._font, self._size))
        elif operator == b"Q":
            self._matrix, self._font, self._size = self._kept.pop()
        elif operator == b"cm":
            self._matrix = _multiplied(self._six(), self._matrix)
        elif operator == b"Tf":
            name, self._size = self._operands
            self._font = self._fonts[name]
        elif operator == b"Tm":
            self._text_matrix = self._six()
            a, b, c, d, x, y = _multiplied(self._text_matrix, self._matrix)
            self.pieces.append(Piece(x, A4_HEIGHT - y, abs(d), ""))
            if b or c or a <= 0:
                raise ValueError("turned text")
        elif operator == b"TJ":
            self._show(*self._operands)

    def _six(self) -> _Matrix:
        a, b, c, d, e, f = self._operands
        return (a, b, c, d, e, f)

    def _show(self, array: bytes) -> None:
        if not _ARRAY.fullmatch(array):
            raise ValueError("unexpected text")
        glyphs = b"".join(_STRING.findall(array))
        shown = "".join(self._font[int(glyphs[at : at + 4], 16)] for at in range(0, len(glyphs), 4))
        piece = self.pieces.pop()
        self.pieces.append(piece._replace(size=self._scale() * self._size, text=piece.text + shown))

    def _scale(self) -> float:
        if self._text_matrix is None:
            raise ValueError("text outside of a text object")
        return abs(_multiplied(self._text_matrix, self._matrix)[3])


def _multiplied(one: _Matrix, other: _Matrix) -> _Matrix:
    a, b, c, d, e, f = one
    g, h, i, j, k, m = other
    return (a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m)
