"""What the charts count: bars over time that hold every entry, and the most frequent values first."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from exports.report.cells import printed
from exports.report.charts import activity_chart, counts_chart, step_words, verdicts_chart
from exports.report.summary import MOST_BARS, Summary
from tests.exports.exported import entry

START = datetime(2026, 11, 23, tzinfo=UTC)


def summary_of(moments: list[datetime]) -> Summary:
    made = Summary()
    for number, moment in enumerate(moments):
        made.add(printed(entry(number, occurred_at=moment)), "valid")
    return made


@pytest.mark.parametrize("days", [0, 1e-5, 0.01, 0.3, 1, 2.5, 10, 40, 400, 4_000, 300_000])
def test_bars_hold_every_entry_and_are_never_too_many(days: float) -> None:
    moments = [START + timedelta(days=days * share / 7) for share in range(8)]
    step, bars = summary_of(moments).activity()
    assert sum(number for _, number in bars) == 8
    assert 1 <= len(bars) <= MOST_BARS
    assert bars[0][0] <= moments[0] < bars[0][0] + step
    assert bars[-1][0] <= moments[-1] < bars[-1][0] + step


def test_a_time_that_cannot_be_read_is_in_no_bar_but_counted() -> None:
    made = Summary()
    made.add(printed(entry(0)._replace(record=b'{"occurred_at":"yesterday","type":"a"}')), "tampered")
    assert (made.entries, made.period, made.activity()[1]) == (1, None, [])
    assert "No entries" in activity_chart(made)


def test_the_rest_is_summed_up_and_nothing_is_left_out() -> None:
    counts = Counter({f"type-{number}": 30 - number for number in range(20)})
    chart = counts_chart(counts, others="other types")
    assert "12 other types" in chart
    shown = [int(number.replace(",", "")) for number in re.findall(r">([\d,]+)  \(", chart)]
    assert sum(shown) == counts.total()
    assert shown[:-1] == sorted(shown[:-1], reverse=True)


def test_verdicts_stand_in_the_order_of_the_vocabulary_with_their_colour() -> None:
    chart = verdicts_chart(Counter({"tampered": 2, "valid": 90, "cannot_tell": 1}))
    assert re.findall(r">([A-Za-z ]+)</text>", chart) == ["valid", "TAMPERED", "cannot tell"]
    assert chart.index("#176139") < chart.index("#a81a1d") < chart.index("#d9af5c")


def test_widths_of_bars_are_words() -> None:
    assert [step_words(timedelta(seconds=seconds)) for seconds in (1, 300, 3600, 86400 * 28)] == [
        "1 second",
        "5 minutes",
        "1 hour",
        "4 weeks",
    ]
