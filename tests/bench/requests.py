"""What the way through HTTP costs: many events in one request, and single ones from eight clients.

bulk      NDJSON of 1,000 signed events a request, against record_many of the same events in this process
single    eight clients, each with an API key of its own, one signed event a request, against the same view writing
          one plain row (peers/views.py), in turns; the product's limits of how often one may ask are on
"""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from activity.services import record_many
from tests.bench import clocks, web
from tests.bench.figures import Figure, Measurement, Scale, at_least, median_ratio, percentile
from tests.bench.policies import require_signatures

if TYPE_CHECKING:
    from tests.bench.web import Client
    from tests.clusters import Database

_BATCH = 1_000
_CLIENTS = 8
_MOST_A_SECOND = 200  # events of one client: the product's limit, and more bodies than are sent
_NDJSON = "application/x-ndjson"
_LOGS, _BULK, _PLAIN = "/api/v1/logs", "/api/v1/logs/bulk", "/bench/plain"


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Start the server once and ask it everything."""
    require_signatures(required=True)
    with web.server(database) as port:
        return _bulk(port, scale) | _singles(port, scale)


MEASUREMENT = Measurement(
    (
        Figure("bulk_http_ratio", "POST /logs/bulk through the server ÷ record_many in process (rates)", at_least(0.6)),
        Figure("bulk_http_per_second", "POST /logs/bulk, 1,000 signed events a request, events/s"),
        Figure("single_http_ratio", "POST /logs from 8 clients ÷ the same view writing one plain row", at_least(0.6)),
        Figure("single_http_per_second", "POST /logs, one signed event, 8 clients, events/s"),
        Figure("single_http_p95_ms", "POST /logs, one signed event, 8 clients, 95th percentile, ms"),
        Figure("single_http_plain_per_second", "the view that writes one plain row, 8 clients, rows/s"),
    ),
    measure,
)


def _bulk(port: int, scale: Scale) -> dict[str, float]:
    client = web.Client(port)
    requests = scale.batch_events // _BATCH
    sent, recorded = [], []
    for _ in range(scale.rounds):
        bodies = [web.lines(web.fresh_events(_BATCH)) for _ in range(requests)]
        sent.append(sum(clocks.each_seconds([partial(client.post, _BULK, one, _NDJSON) for one in bodies])))
        batches = [web.fresh_events(_BATCH) for _ in range(requests)]
        recorded.append(sum(clocks.each_seconds([partial(record_many, one) for one in batches])))
    return {
        "bulk_http_ratio": median_ratio(recorded, sent),
        "bulk_http_per_second": requests * _BATCH / median(sent),
    }


def _singles(port: int, scale: Scale) -> dict[str, float]:
    clients = [web.Client(port) for _ in range(_CLIENTS)]
    ours: list[float] = []
    rates: dict[str, list[float]] = {_LOGS: [], _PLAIN: []}
    for _ in range(scale.rounds):
        for path, rate in rates.items():
            started = time.perf_counter()
            took = _from_all(clients, path, scale.single_http_seconds / scale.rounds)
            rate.append(len(took) / (time.perf_counter() - started))
            if path == _LOGS:
                ours += took
    return {
        "single_http_ratio": median_ratio(rates[_LOGS], rates[_PLAIN]),
        "single_http_per_second": median(rates[_LOGS]),
        "single_http_p95_ms": 1000 * percentile(ours, 95),
        "single_http_plain_per_second": median(rates[_PLAIN]),
    }


def _from_all(clients: list[Client], path: str, seconds: float) -> list[float]:
    """Have every client send one event after the other for so long; return how long each event took."""
    enough = int(seconds * _MOST_A_SECOND)
    bodies = [[web.body(event) for event in web.fresh_events(enough)] for _ in clients]
    end = time.perf_counter() + seconds
    with ThreadPoolExecutor(len(clients)) as threads:
        taken = threads.map(lambda client, mine: _until(client, path, mine, end), clients, bodies)
        return list(itertools.chain.from_iterable(taken))


def _until(client: Client, path: str, bodies: list[bytes], end: float) -> list[float]:
    took = []
    for one in bodies:
        started = time.perf_counter()
        if started >= end:
            break
        client.post(path, one)
        took.append(time.perf_counter() - started)
    return took
