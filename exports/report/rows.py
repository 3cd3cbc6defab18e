"""An entry as lines of the table, in columns of fixed pitch, wrapped and cut here and not by the renderer. Pure.

      leaf  occurred         type, action    actor, address    target, source   outcome   verdict
            id 0192… · recorded … · event id … · key …
            {"data": …}

That WeasyPrint gets finished lines in <pre> blocks is what makes ten thousand entries affordable: a table cell costs it
many times a line. It also means that pages can be counted before they are drawn.
"""

from __future__ import annotations

from typing import NamedTuple

from exports.report.cells import ALARMING, DOUBTFUL, Printed
from exports.report.columns import COLUMNS, GAP, ROW_LINE, SMALL_LINE
from exports.report.markup import Markup, escaped
from exports.report.visible import columns, is_fixed_pitch, visible

PADDING = 4.0  # above and below an entry, together
INDENT = 10  # columns of the row font that the small lines are moved in
MOST_CELL_LINES = 12
MOST_SMALL_LINES = 4  # of facts, of the remark and of the data, each
SMALL_WIDTH = 133


_LONGEST_WORD = 40
_LINE_BREAK = "\n"
_BREAKS = frozenset(" /:.,;@-_&=?|\\+")


class Block(NamedTuple):
    """One entry, laid out: its markup but for the zebra, and its height in points."""

    kind: str  # "", "alarming" or "doubtful"
    inside: Markup
    height: float


def block(entry: Printed, verdict: str) -> Block:
    """Return an entry as its lines."""
    cells = [_cell(parts, column.width) for parts, column in zip(entry.cells, COLUMNS, strict=True)]
    row = [_row([cell[line] if line < len(cell) else "" for cell in cells]) for line in range(max(map(len, cells)))]
    remark = wrap(visible(entry.remark), SMALL_WIDTH, MOST_SMALL_LINES)
    small = [line for part in (entry.facts, entry.data) for line in wrap(visible(part), SMALL_WIDTH, MOST_SMALL_LINES)]
    inside = Markup(f"<pre>{_LINE_BREAK.join(row)}</pre>{_small('small remark', remark)}{_small('small', small)}")
    kind = "alarming" if verdict in ALARMING else "doubtful" if verdict in DOUBTFUL else ""
    return Block(kind, inside, len(row) * ROW_LINE + (len(remark) + len(small)) * SMALL_LINE + PADDING)


def _small(kind: str, lines: list[str]) -> Markup:
    return Markup(f'<pre class="{kind}">{escaped(_LINE_BREAK.join(lines))}</pre>' if lines else "")


def titles() -> Markup:
    """Return the head of the table, two lines."""
    lines = [[column.title for column in COLUMNS], [column.second_title for column in COLUMNS]]
    return Markup(_LINE_BREAK.join(map(_row, lines)))


def wrap(shown: str, width: int, most: int) -> list[str]:
    """Return a visible text as at most `most` lines of `width` columns; what is cut is counted: `… +431 characters`."""
    lines: list[str] = []
    start = 0
    while start < len(shown):
        end = _line_end(shown, start, width)
        if len(lines) == most - 1 and end < len(shown):
            return [*lines, _cut(shown[start:], width)]
        lines.append(shown[start:end])
        start = end + 1 if shown[end : end + 1] == " " else end
    return lines


def cut_mark(left_out: int) -> str:
    """Return what stands in place of characters that were left out."""
    return f"… +{left_out:,}"


def _cut(rest: str, width: int) -> str:
    room = width - len(cut_mark(len(rest)))
    end = _hard_end(rest, 0, room)
    return rest[:end] + cut_mark(len(rest) - end)


def _line_end(shown: str, start: int, width: int) -> int:
    end = _hard_end(shown, start, width)
    if end == len(shown):
        return end
    for place in range(end, max(start, end - min(width * 7 // 10, _LONGEST_WORD)), -1):
        if shown[place - 1] in _BREAKS:
            return place
    return end


def _hard_end(shown: str, start: int, width: int) -> int:
    """Return where a line ends that is filled to the last column; at least one character is taken."""
    end = min(start + width, len(shown))
    while end > start + 1 and columns(shown[start:end]) > width:
        end -= 1
    return end


def _cell(parts: tuple[str, ...], width: int) -> list[str]:
    return [line for part in parts for line in wrap(visible(part), width, MOST_CELL_LINES)]


def _row(pieces: list[str]) -> Markup:
    if all(is_fixed_pitch(piece) for piece in pieces):
        padded = [piece.ljust(column.width) for piece, column in zip(pieces, COLUMNS, strict=True)]
        padded[0] = pieces[0].rjust(COLUMNS[0].width)
        return escaped((" " * GAP).join(padded).rstrip())
    # A wider font or another direction: each piece in a box of its own, so that the columns beside it stay in place.
    boxes = [f"<span class=w{number}>{escaped(piece)}</span>" for number, piece in enumerate(pieces)]
    return Markup("".join(boxes))
