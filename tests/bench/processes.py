"""What needs a second process: writing while a verification runs, and memory over a long run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from activity.services import record, record_many
from tests.bench import events
from tests.bench.figures import Figure, Measurement, Scale, at_least, at_most, median_ratio
from tests.bench.policies import require_signatures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clusters import Database

_PROJECT = Path(__file__).resolve().parents[2]
_BATCH = 1_000


def measure_contention(database: Database, scale: Scale) -> dict[str, float]:
    """Record single events alone and beside a process that verifies the whole ledger over and over, in turns."""
    require_signatures(required=True)
    for _ in range(scale.verified_events // _BATCH):
        record_many(events.fresh(_BATCH))
    alone, beside = [], []
    for _ in range(scale.rounds):
        alone.append(_rate(scale.contended_seconds))
        with child(database, "verify", "endless") as verifier:
            next(verifier)  # it has begun to read
            beside.append(_rate(scale.contended_seconds))
    return {"record_during_verify_ratio": median_ratio(beside, alone)}


def measure_memory(database: Database, scale: Scale) -> dict[str, float]:
    """Ingest, then verify as `manage.py verify` does; each tells after every step what its processes hold together."""
    require_signatures(required=True)
    values: dict[str, float] = {}
    for task, options in (("ingest", (str(scale.memory_events),)), ("verify", ())):
        with child(database, task, *options) as steps:
            told = list(steps)
        early = next(step for step in told if step["done"] >= scale.memory_events // 10)
        values[f"{task}_peak_memory_mb"] = max(step["resident_bytes"] for step in told) / 1e6
        values[f"{task}_memory_growth"] = told[-1]["resident_bytes"] / early["resident_bytes"]
    return values


CONTENTION = Measurement(
    (
        Figure(
            "record_during_verify_ratio", "record() while a process verifies the ledger ÷ alone (rates)", at_least(0.5)
        ),
    ),
    measure_contention,
)
MEMORY = Measurement(
    (
        Figure(
            "ingest_peak_memory_mb", "memory of all processes while ingesting 1,000,000 events, most, MB", at_most(200)
        ),
        Figure("ingest_memory_growth", "the same, at the end ÷ after a tenth", at_most(1.1)),
        Figure("verify_peak_memory_mb", "memory of all processes while verifying them, most, MB", at_most(200)),
        Figure("verify_memory_growth", "the same, at the end ÷ after a tenth", at_most(1.1)),
    ),
    measure_memory,
)


@contextmanager
def child(database: Database, *arguments: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Give the steps that a child tells, and end the child."""
    command = [sys.executable, "-m", "tests.bench.children", *arguments]
    with subprocess.Popen(
        command, cwd=_PROJECT, env=database.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield _steps(process)
        finally:
            process.terminate()


def _steps(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Give what the child tells. Raises CalledProcessError if it comes to its end by failing."""
    yield from map(json.loads, process.stdout or ())
    if code := process.wait():
        raise subprocess.CalledProcessError(code, process.args)


def _rate(seconds: float) -> float:
    """Return how many events a second record() takes, over that long."""
    done = 0
    started = time.perf_counter()
    while (took := time.perf_counter() - started) < seconds:
        record(events.fresh(1)[0])
        done += 1
    return done / took
