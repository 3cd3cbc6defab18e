"""The table's measures: what stands in which column and in what size. Pure, and without the fonts themselves.

Shared by the renderer and by the verifier, which reads the pages back.
"""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

LEFT = 46.0  # points: the left margin, as in report.css
ROW_FONT, ROW_LINE = 6.6, 9.0
SMALL_FONT, SMALL_LINE = 5.8, 7.6
GAP = 2  # characters between columns
MONO_ADVANCE = 1233 / 2048  # width of a character of DejaVu Sans Mono, in units of the font's size


class Column(NamedTuple):
    """A column of the table: its two titles and its width in characters."""

    title: str
    second_title: str
    width: int


COLUMNS = (
    Column("Leaf", "", 8),
    Column("Occurred", "UTC", 15),
    Column("Type", "Action", 25),
    Column("Actor", "Address", 26),
    Column("Target", "Source", 24),
    Column("Outcome", "Severity", 8),
    Column("Verdict", "", 9),
)
STARTS = tuple(accumulate((column.width + GAP for column in COLUMNS[:-1]), initial=0))  # in characters
