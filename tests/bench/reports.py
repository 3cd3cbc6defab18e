"""The PDF report against one WeasyPrint call on one plain table with the same texts, each in a process of its own.

Both are measured from the start of the process to the file, with the most memory that it and its own processes hold
together; the entries come line by line out of a file, as they do when an export is made. The peer is what one would
write first: a row a line, a cell a text, no styling but the font's size.

    python -m tests.bench.reports entries|ours|table|small NUMBER DIRECTORY      entries writes what the others read
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
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
from exports.report.rows import MOST_SMALL_LINES, SMALL_WIDTH
from exports.rows import ExportedEntry
from tests.bench import events
from tests.bench.figures import Figure, Measurement, Scale, at_most, percentile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clusters import Database

_PROJECT = Path(__file__).resolve().parents[2]
_SMALL = 100
_SMALL_ROUNDS = 20
_SAMPLED_SECONDS = 0.05


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Make both, one after the other, and then small ones again and again in one process. Needs no database."""
    del database
    with tempfile.TemporaryDirectory() as directory:
        _child("entries", scale.report_entries, directory)
        ours, table = (_child(task, scale.report_entries, directory) for task in ("ours", "table"))
        _child("entries", _SMALL, directory)
        small = json.loads(_child("small", _SMALL, directory)["said"])
    return {
        "report_time_ratio": ours["seconds"] / table["seconds"],
        "report_memory_ratio": ours["peak_bytes"] / table["peak_bytes"],
        "report_seconds": ours["seconds"],
        "report_peak_memory_mb": ours["peak_bytes"] / 1e6,
        "report_small_p95_seconds": small,
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


def _child(task: str, number: int, directory: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.reports", task, str(number), directory]
    started = time.perf_counter()
    peak = 0
    with subprocess.Popen(command, cwd=_PROJECT, stdout=subprocess.PIPE, text=True) as child:
        while child.poll() is None:
            peak = max(peak, _resident_bytes(child.pid))
            time.sleep(_SAMPLED_SECONDS)
        took = time.perf_counter() - started
        if child.returncode:
            raise subprocess.CalledProcessError(child.returncode, command)
        said = child.stdout.read() if child.stdout else ""
    return {"seconds": took, "peak_bytes": peak, "said": said}


def _resident_bytes(pid: int) -> int:
    """Return what a process and those that it started hold in memory now (Linux); 0 for one that has just ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(map(_resident_bytes, map(int, children)))


def _made(number: int) -> Iterator[ExportedEntry]:
    for leaf, event in enumerate(events.fresh(number)):
        claims = check(event, max_detached_bytes=1 << 20)
        record = compose(
            event, claims, entry_id=str(UUID(int=leaf)), ledger="activity", recorded_at=claims.occurred_at, kid=None
        )
        yield ExportedEntry(leaf, record, claims.detached, None, None, "unsigned", "")


def _read(directory: Path) -> Iterator[ExportedEntry]:
    with (directory / render_ndjson.NAME).open("rb") as lines:
        yield from (render_ndjson.parse_row(line[:-1]) for line in lines)


def _ours(number: int, directory: Path) -> None:
    digest = sha256()
    for entry in _read(directory):
        digest.update(entry.record + b"\n")
    claim = Claim(
        export_id="bench",
        exported_at="2026-11-23T05:40:00.000000Z",
        exported_by="bench",
        purpose="bench",
        case="",
        filters={},
        ledger="activity",
        origin="auditlog.bench/activity",
        ledger_size=number,
        root="00" * 32,
        entries=number,
        first_leaf=0,
        last_leaf=number - 1,
        complete_range=None,
        withheld=None,
        dataset_digest=digest.hexdigest(),
        verdicts={"unsigned": number},
        software="auditlog",
        signer_certificate_sha256="00" * 32,
        time_stamp_authority=None,
    )
    ndjson = (directory / render_ndjson.NAME).read_bytes()
    render_pdf(claim, _read(directory), ndjson=ndjson, to=directory / "report.pdf")


def _table(directory: Path) -> None:
    import weasyprint  # noqa: PLC0415 the peer; ours loads it late as well

    rows = []
    for entry in _read(directory):
        texts = printed(entry)
        # As much of the data as the report prints.
        cells = [*(" ".join(cell) for cell in texts.cells), texts.facts, texts.data[: MOST_SMALL_LINES * SMALL_WIDTH]]
        rows.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
    table = "".join(f"<tr>{row}</tr>" for row in rows)
    html = f"<style>@page{{size:A4}}table{{font-size:6pt}}</style><table>{table}</table>"
    weasyprint.HTML(string=html).write_pdf(directory / "table.pdf")


def _small(number: int, directory: Path) -> float:
    _ours(number, directory)
    seconds = []
    for _ in range(_SMALL_ROUNDS):
        started = time.perf_counter()
        _ours(number, directory)
        seconds.append(time.perf_counter() - started)
    return percentile(seconds, 95)


def main(task: str, number: str, directory: str) -> None:
    """Do one task; `small` tells its seconds."""
    place = Path(directory)
    if task == "entries":
        (place / render_ndjson.NAME).write_bytes(render_ndjson.rows(_made(int(number))))
    elif task == "ours":
        _ours(int(number), place)
    elif task == "table":
        _table(place)
    else:
        sys.stdout.write(json.dumps(_small(int(number), place)))


if __name__ == "__main__":
    main(*sys.argv[1:])
