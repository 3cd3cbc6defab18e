"""A report of 100 entries for somebody who waits: ordered, made, signed and downloaded over HTTP, beside an ingest.

The real server, a person who is signed in, and a process that records batches without a pause all the while. The first
reports of each of the server's processes, which load the typesetter, are counted too.
"""

from __future__ import annotations

import json
import tempfile
import time
from statistics import median
from typing import TYPE_CHECKING

from activity.services import record_many
from exports.container import is_container
from tests.bench import events, web
from tests.bench.exporting import auditor_with_key
from tests.bench.figures import Figure, Measurement, Scale, at_most, percentile
from tests.bench.policies import require_signatures
from tests.bench.processes import child

if TYPE_CHECKING:
    from tests.clusters import Database

_EXPORTS = "/api/v1/exports"
_ENTRIES = 100
_ENDLESS = "100000000"  # events


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Ask for one report after the other while another process records."""
    require_signatures(required=True)
    first = record_many(events.fresh(_ENTRIES))[0].leaf_index
    leaves = {"leaf_from": str(first), "leaf_to": str(first + _ENTRIES)}
    order = {"ledger": "activity", "filters": leaves, "formats": ["pdf"], "purpose": "bench"}
    with tempfile.TemporaryDirectory() as directory, web.server(database, AUDITLOG_EXPORT_DIR=directory) as port:
        client = web.Client(port, person=auditor_with_key())
        with child(database, "ingest", _ENDLESS) as ingest:
            next(ingest)  # it has begun
            took = [_taken(client, json.dumps(order).encode()) for _ in range(scale.waited_reports)]
    return {
        "export_pdf_request_p95_seconds": percentile(took, 95),
        "export_pdf_request_median_seconds": median(took),
    }


MEASUREMENT = Measurement(
    (
        Figure(
            "export_pdf_request_p95_seconds", "PDF of 100 entries over HTTP beside an ingest, p95, seconds", at_most(3)
        ),
        Figure("export_pdf_request_median_seconds", "the same, median, seconds"),
    ),
    measure,
)


def _taken(client: web.Client, order: bytes) -> float:
    """Return how long it takes from the order to the last byte of the file."""
    started = time.perf_counter()
    export = json.loads(client.post(_EXPORTS, order))
    file = client.get(f"{_EXPORTS}/{export['id']}/download")
    took = time.perf_counter() - started
    if not is_container(file) or export["entries"] != _ENTRIES:
        raise RuntimeError(f"the export is {export['state']}: {export['failure']}")
    return took
