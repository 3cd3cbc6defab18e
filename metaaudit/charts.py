"""Activity per user over time as a picture: SVG without script and style, so that it runs under any policy. Pure.

One row a user, one bar a day; each bar says its number in a title, and the table beside it says the same in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DAY, _ROW, _LEFT, _TOP = 14, 44, 150, 24  # pixels
_MAX_USERS = 12
_MAX_NAME = 20


@dataclass(frozen=True, slots=True)
class Row:
    """The numbers of one user, day by day from the first day on."""

    name: str
    numbers: tuple[int, ...]

    @property
    def total(self) -> int:
        """All of them together."""
        return sum(self.numbers)


def rows_of(found: Sequence[tuple[date, str, int]], first: date, days: int) -> list[Row]:
    """Return a row a user, the busiest first; whoever comes after the first users is taken together."""
    by_name: dict[str, list[int]] = {}
    for day, name, number in found:
        place = (day - first).days
        if 0 <= place < days:
            by_name.setdefault(name, [0] * days)[place] += number
    rows = [Row(name, tuple(numbers)) for name, numbers in by_name.items()]
    rows.sort(key=lambda row: (-row.total, row.name))
    if len(rows) <= _MAX_USERS:
        return rows
    rest = rows[_MAX_USERS - 1 :]
    others = Row(f"{len(rest)} others", tuple(map(sum, zip(*(row.numbers for row in rest), strict=True))))
    return [*rows[: _MAX_USERS - 1], others]


def svg(rows: Sequence[Row], first: date, days: int) -> str:
    """Return the picture. Bars of all rows have one scale."""
    highest = max((number for row in rows for number in row.numbers), default=0) or 1
    width, height = _LEFT + days * _DAY + 10, _TOP + len(rows) * _ROW + 10
    last = first + timedelta(days=days - 1)
    label = f"Accesses per user and day, {first} to {last}"
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}" font-size="12">',
        f'<text x="{_LEFT}" y="14" fill="currentColor">{first}</text>',
        f'<text x="{width - 10}" y="14" text-anchor="end" fill="currentColor">{last}</text>',
    ]
    for place, row in enumerate(rows):
        base = _TOP + (place + 1) * _ROW - 6
        name = row.name if len(row.name) <= _MAX_NAME else f"{row.name[: _MAX_NAME - 1]}…"
        parts.append(f'<text x="{_LEFT - 8}" y="{base}" text-anchor="end" fill="currentColor">{escape(name)}</text>')
        ends = f'x1="{_LEFT}" y1="{base}" x2="{width - 10}" y2="{base}"'
        parts.append(f'<line {ends} stroke="currentColor" opacity="0.3"/>')
        for day, number in enumerate(row.numbers):
            if number:
                tall = max(1, round((_ROW - 12) * number / highest))
                told = f"{escape(row.name)}, {first + timedelta(days=day)}: {number}"
                parts.append(
                    f'<rect x="{_LEFT + day * _DAY + 1}" y="{base - tall}" width="{_DAY - 2}" height="{tall}" '
                    f'fill="currentColor" opacity="0.75"><title>{told}</title></rect>'
                )
    return "".join([*parts, "</svg>"])
