"""The charts of the summary as SVG: activity over time, by type, by actor, verdicts. Pure.

Lengths are points of the page. Nothing but rectangles, lines and escaped text. WeasyPrint does not style SVG by the
page's stylesheet, so the colours stand here; they are those of static/auditlog/tokens.css.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from exports.report.cells import ALARMING, DOUBTFUL, VERDICT_WORDS
from exports.report.markup import Markup, escaped
from exports.report.visible import columns, visible

if TYPE_CHECKING:
    from collections import Counter

    from exports.report.summary import Summary

WIDTH = 506.0
MOST_ROWS = 8
_LABEL, _VALUE = 222.0, 46.0
_ROW = 15.0
_TIME_HEIGHT, _AXIS = 92.0, 16.0
_LABEL_CHARACTERS = 44
_TEXT = 'font-family="DejaVu Sans" font-size="7" fill="#1b2631"'
_COLOURS = {
    "accent": "#1d5276",
    "good": "#176139",
    "bad": "#a81a1d",
    "doubt": "#d9af5c",
    "rest": "#8b97a3",
    "axis": "#8b97a3",
    "grid": "#d5dce3",
}


def activity_chart(summary: Summary) -> Markup:
    """Return the number of entries over time, one bar a step."""
    step, bars = summary.activity()
    if not bars:
        return _nothing()
    highest = max(number for _, number in bars)
    left, bottom = 34.0, _TIME_HEIGHT
    slot = (WIDTH - left) / max(len(bars), 12)
    scale = (bottom - 14) / highest
    drawn = [
        _line(left, bottom - share * highest * scale, WIDTH, "grid")
        + _label(left - 5, bottom - share * highest * scale + 2.4, f"{share * highest:,.0f}", "end")
        for share in ((0.5, 1) if highest > 1 and highest % 2 == 0 else (1,))
    ]
    for number, (_, count) in enumerate(bars):
        height = max(count * scale, 0.8 if count else 0)
        drawn.append(_bar(left + number * slot + slot * 0.12, bottom - height, slot * 0.76, height, "accent"))
    drawn.append(_line(left, bottom, WIDTH, "axis"))
    every = max(1, round(len(bars) / 5))
    for number in range(0, len(bars), every):
        moment = bars[number][0]
        form = (
            "%Y-%m-%d" if step >= timedelta(days=1) else "%m-%d %H:%M" if step >= timedelta(minutes=1) else "%H:%M:%S"
        )
        place = left + number * slot
        if place < WIDTH - 40:
            drawn.append(_line(place + slot * 0.12, bottom, place + slot * 0.12, "axis", down=3))
            drawn.append(_label(place + slot * 0.12, bottom + 11, moment.strftime(form), "start"))
    return _svg(drawn, bottom + _AXIS)


def step_words(step: timedelta) -> str:
    """Return the width of a bar in words."""
    seconds = int(step.total_seconds())
    for unit, name in ((604800, "week"), (86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds % unit == 0:
            number = seconds // unit
            return f"{number} {name}s" if number > 1 else f"1 {name}"
    raise AssertionError("a second divides every step")


def counts_chart(counts: Counter[str], *, others: str) -> Markup:
    """Return the most frequent values as horizontal bars, the rest summed up in a last one."""
    if not counts:
        return _nothing()
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ranked if len(ranked) <= MOST_ROWS + 1 else ranked[:MOST_ROWS]
    rest = ranked[len(shown) :]
    rows = [(shortened(name, _LABEL_CHARACTERS), number, "accent") for name, number in shown]
    if rest:
        rows.append((f"{len(rest):,} {others}", sum(number for _, number in rest), "rest"))
    return _bars(rows)


def verdicts_chart(counts: Counter[str]) -> Markup:
    """Return the verdicts as horizontal bars, in the order of the vocabulary; those that did not occur are left out."""
    if not counts:
        return _nothing()
    return _bars(
        [
            (VERDICT_WORDS.get(name, visible(name)), counts[name], verdict_class(name))
            for name in sorted(counts, key=_rank)
        ]
    )


def verdict_class(verdict: str) -> str:
    """Return the name of the colour of a verdict."""
    if verdict in ALARMING:
        return "bad"
    return "good" if verdict == "valid" else "doubt" if verdict in DOUBTFUL else "rest"


def _rank(verdict: str) -> tuple[int, str]:
    order = list(VERDICT_WORDS)
    return (order.index(verdict) if verdict in order else len(order), verdict)


def _bars(rows: list[tuple[str, int, str]]) -> Markup:
    most = max(number for _, number, _ in rows)
    total = sum(number for _, number, _ in rows)
    room = WIDTH - _LABEL - _VALUE - 36
    drawn = []
    for line, (name, number, colour) in enumerate(rows):
        top = line * _ROW
        width = max(room * number / most, 0.8)
        drawn += [
            _label(_LABEL - 8, top + 9.2, name, "end"),
            _bar(_LABEL, top + 2, width, _ROW - 5, colour),
            _label(_LABEL + width + 5, top + 9.2, f"{number:,}  ({number / total:.1%})", "start"),
        ]
    drawn.append(_line(_LABEL, 0, _LABEL, "axis", down=len(rows) * _ROW))
    return _svg(drawn, len(rows) * _ROW)


def shortened(value: str, most: int) -> str:
    """Return a text, visible, in at most so many columns."""
    shown = visible(value)
    if columns(shown) <= most:
        return shown
    end = most - 1
    while columns(shown[:end]) > most - 1:
        end -= 1
    return shown[:end] + "…"


def _svg(drawn: list[str], height: float) -> Markup:
    size = f'width="{WIDTH:g}pt" height="{height:g}pt" viewBox="0 0 {WIDTH:g} {height:g}"'
    return Markup(f'<svg class="chart" xmlns="http://www.w3.org/2000/svg" {size}>{"".join(drawn)}</svg>')


def _nothing() -> Markup:
    return Markup("<p class=none>No entries.</p>")


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect fill="{_COLOURS[colour]}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"/>'


def _line(x: float, y: float, x2: float, colour: str, *, down: float = 0) -> str:
    ends = f'x1="{x:.2f}" y1="{y:.2f}" x2="{x2:.2f}" y2="{y + down:.2f}"'
    return f'<line stroke="{_COLOURS[colour]}" stroke-width="0.6" {ends}/>'


def _label(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.2f}" y="{y:.2f}" text-anchor="{anchor}" {_TEXT}>{escaped(words)}</text>'
