"""Activity per user over time as a picture: SVG without script and style, so that it runs under any policy. Pure.

One strip a user, one bar a day; each bar says its number in a title, and the table around it has the sum of each strip.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_HIGH = 32  # units that the highest bar has
_GAP = 0.1  # of a day, on both sides of its bar
_MAX_USERS = 12


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


def highest_of(rows: Sequence[Row]) -> int:
    """Return the most that anybody did in a day: the scale that the strips of all rows have in common."""
    return max((number for row in rows for number in row.numbers), default=0)


def strip(row: Row, first: date, highest: int) -> str:
    """Return the picture of one row. It is as wide as there is room: a unit is a day, and nothing in it is text."""
    label = escape(f"{row.name}: {row.total} in {len(row.numbers)} days")
    box = f'viewBox="0 0 {len(row.numbers)} {_HIGH}" preserveAspectRatio="none"'
    parts = [f'<svg class="strip" {box} role="img" aria-label="{label}">']
    for day, number in enumerate(row.numbers):
        if number:
            tall = max(1, round(_HIGH * number / highest))
            told = f"{escape(row.name)}, {first + timedelta(days=day)}: {number}"
            parts.append(
                f'<rect x="{day + _GAP}" y="{_HIGH - tall}" width="{1 - 2 * _GAP}" height="{tall}" '
                f'fill="currentColor"><title>{told}</title></rect>'
            )
    return "".join([*parts, "</svg>"])
