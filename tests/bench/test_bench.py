"""The bench as a command: its names, its bounds, its JSON. What it measures is not judged here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import lists
from tests.bench.figures import Figure, Measurement, Scale, at_least, at_most, chosen, median_ratio, percentile
from tests.clusters import Database

PROJECT = Path(__file__).resolve().parents[2]
# Names that scripts and docs/performance.md rely on, with the bounds that the project promises.
PROMISED = {
    "record_many_signed_ratio": "≥ 3",
    "record_many_unsigned_ratio": "≥ 6",
    "record_ratio": "≥ 1",
    "verify_unsigned_ratio": "≥ 0.5",
    "append_batch_growth": "≤ 1.3",
    "append_single_growth": "≤ 1.3",
    "page_verdicts_ratio": "≤ 1.3",
    "bulk_http_ratio": "≥ 0.6",
    "single_http_ratio": "≥ 0.6",
    "record_during_verify_ratio": "≥ 0.5",
    "ingest_peak_memory_mb": "≤ 200",
    "ingest_memory_growth": "≤ 1.1",
    "verify_peak_memory_mb": "≤ 200",
    "verify_memory_growth": "≤ 1.1",
    **{f"list_growth_{name}": "≤ 1.5" for name in (*lists.FILTERS, "occurred_at")},
    "meta_overhead_p50_ratio": "≤ 1.25",
    "meta_overhead_p95_ratio": "≤ 1.4",
    "meta_mixed_wrong": "≤ 0",
    "meta_ledger_findings": "≤ 0",
    "meta_page_growth": "≤ 1.3",
    "meta_group_per_second": "≥ 1000",
    "export_to_copy_ratio": "≤ 4",
    "export_memory_growth": "≤ 1.2",
    "export_two_workers_ratio": "≤ 0.6",
    "export_verify_ratio": "≤ 1.5",
    "export_pdf_request_p95_seconds": "≤ 3",
    "report_time_ratio": "≤ 0.35",
    "report_memory_ratio": "≤ 0.2",
    "lock_filter_ratio": "≤ 2",
    "lock_memory_growth": "≤ 1.1",
    "record_p95_during_lock_ratio": "≤ 2",
    "amend_guard_ratio": "≤ 1.2",
}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "bench", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)


def nothing_measured(database: Database, scale: Scale) -> dict[str, float]:
    return {"a": 1.0}


def test_list_names_every_promised_figure_with_its_bound() -> None:
    listed = bench("--list")
    assert listed.returncode == 0, listed.stderr
    lines = [line.split() for line in listed.stdout.splitlines()]
    assert {words[0]: " ".join(words[1:3]) for words in lines if words[1] in "≥≤"} == PROMISED


def test_an_unknown_name_is_refused() -> None:
    refused = bench("record_many_signed_ration")
    assert refused.returncode == 2
    assert "record_many_signed_ration" in refused.stderr


@pytest.mark.slow
def test_json_is_one_array_of_the_figures_asked_for() -> None:
    measured = bench("--json", "--quick", "record_ratio", "record_p95_ms")
    assert measured.returncode == 0, measured.stderr
    figures = json.loads(measured.stdout)
    assert [figure["name"] for figure in figures] == ["record_ratio", "record_p95_ms"]
    assert all(figure.keys() == {"name", "value", "bound", "holds"} for figure in figures)
    ratio, p95 = figures
    assert ratio["bound"] == {"at_least": 1.0}
    assert ratio["holds"] is (ratio["value"] >= 1.0)
    assert (p95["bound"], p95["holds"]) == (None, None)


@pytest.mark.parametrize(
    ("figure", "value", "bound", "holds"),
    [
        (Figure("a", "", at_least(3)), 3.0, {"at_least": 3}, True),
        (Figure("a", "", at_least(3)), 2.99, {"at_least": 3}, False),
        (Figure("a", "", at_most(1.3)), 1.3, {"at_most": 1.3}, True),
        (Figure("a", "", at_most(1.3)), 1.31, {"at_most": 1.3}, False),
        (Figure("a", ""), 7.0, None, None),
    ],
)
def test_a_bound_is_held_or_not(figure: Figure, value: float, bound: object, *, holds: bool | None) -> None:
    assert figure.judged(value) == {"name": "a", "value": value, "bound": bound, "holds": holds}


def test_rounding_for_print_does_not_decide() -> None:
    assert Figure("a", "", at_least(3)).judged(2.99999)["holds"] is False


def test_names_choose_the_measurements_that_give_them() -> None:
    first = Measurement((Figure("a", ""), Figure("b", "")), nothing_measured)
    second = Measurement((Figure("c", ""),), nothing_measured)
    assert chosen((first, second), []) == [first, second]
    assert chosen((first, second), ["b"]) == [first]
    with pytest.raises(ValueError, match="no figure is named d"):
        chosen((first, second), ["b", "d"])


def test_quick_leaves_out_what_takes_too_long() -> None:
    told = bench("--quick", "--json", "list_p50_ms")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == []
    assert "left out by --quick: list_p50_ms" in told.stderr


def test_a_slow_round_does_not_move_the_ratio() -> None:
    assert median_ratio([2, 20, 2], [1, 10, 1]) == 2
    assert median_ratio([2, 200, 2], [1, 1, 1]) == 2


def test_a_percentile_is_passed_by_the_rest() -> None:
    values = [float(value) for value in range(1, 102)]
    assert percentile(values, 50) == 51
    assert percentile(values, 95) == 96
