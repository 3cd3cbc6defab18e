"""The PDF report against one WeasyPrint call on one plain table with the same texts, each in a process of its own.

Both are measured from the start of the process to the file, with the most memory of all that took part. The peer
is what one would write first: a row a line, a cell a text, no styling but the font's size.

    python -m tests.bench.reports ours|table|small ENTRIES FILE       prints {"seconds": …, "peak_bytes": …} on one line
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from activity.record import check, compose
from exports import render_ndjson
from exports.manifest import Claim
from exports.render_pdf import render_pdf
from exports.report.cells import printed
from exports.report.processes import PROCESSES
from exports.report.rows import MOST_SMALL_LINES, SMALL_WIDTH
from exports.rows import ExportedEntry
from tests.bench import events
from tests.bench.figures import Figure, Measurement, Scale, at_most, percentile

if TYPE_CHECKING:
    from tests.clusters import Database

_PROJECT = Path(__file__).resolve().parents[2]
_SMALL = 100
_SMALL_ROUNDS = 20


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Make both, one after the other, and then small ones again and again in one process. Needs no database."""
    del database
    with tempfile.TemporaryDirectory() as directory:
        ours, table, small = (
            _child(task, entries, Path(directory) / f"{task}.pdf")
            for task, entries in (("ours", scale.report_entries), ("table", scale.report_entries), ("small", _SMALL))
        )
    return {
        "report_time_ratio": ours["seconds"] / table["seconds"],
        "report_memory_ratio": ours["peak_bytes"] / table["peak_bytes"],
        "report_seconds": ours["seconds"],
        "report_peak_memory_mb": ours["peak_bytes"] / 1e6,
        "report_small_p95_seconds": small["seconds"],
    }


MEASUREMENT = Measurement(
    (
        Figure("report_time_ratio", "PDF report of 10,000 entries ÷ WeasyPrint on one plain table", at_most(0.35)),
        Figure("report_memory_ratio", "the most memory of all their processes, the same", at_most(0.2)),
        Figure("report_seconds", "the report alone, seconds"),
        Figure("report_peak_memory_mb", "the report alone, MB"),
        Figure("report_small_p95_seconds", "a report of 100 entries in a process that made one before, p95, seconds"),
    ),
    measure,
)


def _child(task: str, entries: int, file: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.reports", task, str(entries), str(file)]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=_PROJECT, check=True, capture_output=True, text=True)
    took = time.perf_counter() - started
    told: dict[str, Any] = json.loads(done.stdout)
    return {"seconds": took} | told


def _entries(number: int) -> list[ExportedEntry]:
    made = []
    for leaf, event in enumerate(events.fresh(number)):
        claims = check(event, max_detached_bytes=1 << 20)
        record = compose(
            event, claims, entry_id=str(UUID(int=leaf)), ledger="activity", recorded_at=claims.occurred_at, kid=None
        )
        made.append(ExportedEntry(leaf, record, claims.detached, None, None, "unsigned", ""))
    return made


def _ours(entries: list[ExportedEntry], file: Path) -> None:
    claim = Claim(
        export_id="bench",
        exported_at="2026-11-23T05:40:00.000000Z",
        exported_by="bench",
        purpose="bench",
        case="",
        filters={},
        ledger="activity",
        origin="auditlog.bench/activity",
        ledger_size=len(entries),
        root="00" * 32,
        entries=len(entries),
        first_leaf=0,
        last_leaf=len(entries) - 1,
        complete_range=None,
        withheld=None,
        dataset_digest=sha256(b"".join(entry.record + b"\n" for entry in entries)).hexdigest(),
        verdicts=dict(Counter(entry.verdict for entry in entries)),
        software="auditlog",
        signer_certificate_sha256="00" * 32,
        time_stamp_authority=None,
    )
    render_pdf(claim, entries, ndjson=render_ndjson.rows(entries), to=file)


def _table(entries: list[ExportedEntry], file: Path) -> None:
    import weasyprint  # noqa: PLC0415 the peer; ours loads it late as well

    rows = []
    for entry in entries:
        texts = printed(entry)
        # As much of the data as the report prints.
        cells = [*(" ".join(cell) for cell in texts.cells), texts.facts, texts.data[: MOST_SMALL_LINES * SMALL_WIDTH]]
        rows.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
    table = "".join(f"<tr>{row}</tr>" for row in rows)
    html = f"<style>@page{{size:A4}}table{{font-size:6pt}}</style><table>{table}</table>"
    weasyprint.HTML(string=html).write_pdf(file)


def _small(entries: list[ExportedEntry], file: Path) -> dict[str, float]:
    _ours(entries, file)
    seconds = []
    for _ in range(_SMALL_ROUNDS):
        started = time.perf_counter()
        _ours(entries, file)
        seconds.append(time.perf_counter() - started)
    return {"seconds": percentile(seconds, 95)}


def main(task: str, number: str, file: str) -> None:
    """Make one PDF and tell what it took."""
    told = {"ours": _ours, "table": _table, "small": _small}[task](_entries(int(number)), Path(file)) or {}
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    peak = (own + (PROCESSES * children if task == "ours" else 0)) * 1024
    sys.stdout.write(json.dumps({"peak_bytes": peak} | told) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
