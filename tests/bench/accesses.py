"""What the recording of accesses costs a reader, how many accesses a second share their commits, and long meta logs.

overhead     GET /api/v1/logs of 100 entries through the whole stack, with and without the middleware, in turns
group        services.record from 16 threads, with every commit made 3 ms slow by a trigger at its end
page growth  the first page of the viewer at many meta logs and at 1,000, before anything else is recorded
mixed        requests of every kind; how many records are not those that the rules say, and how many findings the
             verification of their ledger has afterwards
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from threading import Barrier
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connections
from django.test import Client, override_settings

from activity import authority
from activity.services import record_many
from activity.watch import verify
from metaaudit import queries, services, store
from metaaudit.middleware import RecordAccess
from metaaudit.models import MetaLog
from metaaudit.record import Access, Who, draft
from signing import anchors, trust
from signing.ledger import sign_checkpoint
from signing.queries import ledger_named
from tests.bench import events
from tests.bench.figures import Figure, Measurement, Scale, at_least, at_most, percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.clusters import Database

_LOGS = "/api/v1/logs"
_MIDDLEWARE = f"{RecordAccess.__module__}.{RecordAccess.__qualname__}"
_READERS, _WRITERS = 8, 16
_ACCESS = Access(Who("user:7", "ada"), "search", "GET", _LOGS, "api/v1/logs", query=[("actor", "ann")], status=200)
_SLOW_COMMIT = """
    CREATE FUNCTION public.slow_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(0.003); RETURN NULL; END; $$;
    CREATE CONSTRAINT TRIGGER slow_commit AFTER UPDATE ON public.ledger_heads DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION public.slow_commit()"""


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Measure all four, each after the one before it."""
    record_many(events.fresh(1_000))
    _fill(1_000)
    few = _page_seconds(scale.pages)
    none = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
    with override_settings(CACHES={"default": none}), _request_lines_unseen():
        figures = _overhead(_key(), scale) | {"meta_mixed_wrong": _mixed(_key(), scale.single_events * 50)}
    figures["meta_ledger_findings"] = _findings(database)
    _fill(scale.large_ledger_leaves)
    figures["meta_page_growth"] = _page_seconds(scale.pages) / few
    figures["meta_group_per_second"] = _group(database, seconds=scale.contended_seconds)
    return figures


@contextmanager
def _request_lines_unseen() -> Iterator[None]:
    """Have the line of each request made as ever, and written nowhere."""
    shown = [each for each in logging.getLogger().handlers if isinstance(each, logging.StreamHandler)]
    with Path(os.devnull).open("w") as nowhere:
        before = [(each, each.setStream(nowhere)) for each in shown]
        try:
            yield
        finally:
            for handler, stream in before:
                handler.setStream(stream)


def _key() -> str:
    scopes = ["logs:read", "logs:write"]
    return authority.create_api_key(
        name="reader", scopes=scopes, ledger="activity", source="bench", by="bench", reason="bench"
    )[1]


def _client(key: str, *, recorded: bool) -> Client:
    stack = [name for name in settings.MIDDLEWARE if recorded or name != _MIDDLEWARE]
    with override_settings(MIDDLEWARE=stack):
        client = Client(headers={"Authorization": f"Api-Key {key}"})
        client.get("/healthz")  # loads the stack
    return client


def _overhead(key: str, scale: Scale) -> dict[str, float]:
    clients = {recorded: _client(key, recorded=recorded) for recorded in (False, True)}
    alone: dict[bool, list[float]] = {False: [], True: []}
    together: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(scale.rounds):
        for recorded, client in clients.items():
            alone[recorded] += _timed(client, scale.single_events // 4)
    for _ in range(scale.rounds):
        for recorded in clients:
            with ThreadPoolExecutor(_READERS) as threads:
                own = [_client(key, recorded=recorded) for _ in range(_READERS)]
                runs = threads.map(partial(_timed_and_closed, number=scale.single_events // 8), own)
                together[recorded] += [seconds for run in runs for seconds in run]
    return {
        "meta_overhead_p50_ratio": median(alone[True]) / median(alone[False]),
        "meta_overhead_p95_ratio": percentile(together[True], 95) / percentile(together[False], 95),
        "meta_list_p50_ms": 1000 * median(alone[True]),
    }


def _timed(client: Client, number: int) -> list[float]:
    seconds = []
    for _ in range(number):
        began = time.perf_counter()
        answer = client.get(_LOGS)
        seconds.append(time.perf_counter() - began)
        if answer.status_code != 200:
            raise RuntimeError(f"the list answered {answer.status_code}")
    return seconds


def _timed_and_closed(client: Client, number: int) -> list[float]:
    try:
        return _timed(client, number)
    finally:
        connections.close_all()


def _mixed(key: str, number: int) -> float:
    """Ask for many things of many kinds and return how many records are not those that the rules say."""
    client = Client(headers={"Authorization": f"Api-Key {key}"}, raise_request_exception=False)
    event = {"type": "shop.order", "action": "a", "actor": "b", "occurred_at": "2026-11-23T05:40:00Z"}
    kinds: list[tuple[Callable[[], Any], list[tuple[str, str]]]] = [
        (partial(client.get, _LOGS), [("list", "access")]),
        (partial(client.get, _LOGS, {"actor": "b", "limit": "1"}), [("search", "access")]),
        (partial(client.get, f"{_LOGS}/00000000-0000-7000-8000-000000000000"), [("retrieve", "access")]),
        (partial(client.head, "/api/v1/log-types"), [("config_view", "access")]),
        (partial(client.post, _LOGS, json.dumps(event), content_type="application/json"), []),
        (partial(client.post, _LOGS, "{}", content_type="application/json"), [("ingest_denied", "access")]),
        (partial(client.delete, "/api/v1/log-types"), [("change", "intent"), ("change", "completion")]),
        (partial(client.get, "/ledgers/activity/checkpoint"), []),
        (partial(Client().get, _LOGS), []),
        (partial(client.get, "/api/v1/nothing"), []),  # no URL, so that nobody looks at the key
    ]
    before = Counter(_kinds())
    wanted: Counter[tuple[str, str]] = Counter()
    for place in range(number):
        ask, leaves = kinds[place % len(kinds)]
        ask()
        wanted.update(leaves)
    left = Counter(_kinds()) - before
    return float(sum(((left - wanted) + (wanted - left)).values()))


def _kinds() -> list[tuple[str, str]]:
    return list(MetaLog.objects.values_list("action", "phase"))


def _findings(database: Database) -> float:
    """Verify the ledger of accesses, pinned and anchored, and return how many findings there are."""
    ledger = ledger_named(services.META_LEDGER)
    sign_checkpoint(ledger, force_anchor=True)
    pinned = trust.parse((database.anchors / "trust.vkeys").read_text())
    reports = verify([ledger], pinned=pinned, anchored=anchors.read_all(database.anchors), since_last=False)
    return float(sum(report.count.total() for report in reports))


def _fill(number: int) -> None:
    """Record accesses up to a number of them."""
    ledger = ledger_named(services.META_LEDGER)
    for first in range(MetaLog.objects.count(), number, 1_000):
        size = min(1_000, number - first)
        store.append(ledger, [draft(replace(_ACCESS, request_id=f"{first + place}"), "meta") for place in range(size)])
    sign_checkpoint(ledger)


def _page_seconds(pages: int) -> float:
    def one() -> float:
        began = time.perf_counter()
        wanted = queries.Wanted(None, limit=50)
        queries.folded(queries.find(wanted).logs, wanted)
        return time.perf_counter() - began

    one()
    return median(one() for _ in range(max(pages, 20)))


def _group(database: Database, *, seconds: float) -> float:
    """Record from 16 threads for a while, with slow commits, and return records a second."""
    database.owner().execute(_SLOW_COMMIT)
    together = Barrier(_WRITERS)

    def write(_: int) -> int:
        number = 0
        try:
            services.record(access=_ACCESS)  # opens the connection
            together.wait()
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                services.record(access=_ACCESS)
                number += 1
        finally:
            connections.close_all()
        return number

    with ThreadPoolExecutor(_WRITERS) as threads:
        numbers: Sequence[int] = list(threads.map(write, range(_WRITERS)))
    return sum(numbers) / seconds


MEASUREMENT = Measurement(
    (
        Figure(
            "meta_overhead_p50_ratio",
            "list of 100 entries, recorded ÷ without the middleware, median (time)",
            at_most(1.25),
        ),
        Figure("meta_overhead_p95_ratio", "the same, 8 readers at once, 95th percentile (time)", at_most(1.4)),
        Figure("meta_list_p50_ms", "list of 100 entries, recorded, median, ms"),
        Figure("meta_mixed_wrong", "mixed requests: records that are not those of the rules", at_most(0)),
        Figure("meta_ledger_findings", "findings in the ledger of accesses after them", at_most(0)),
        Figure("meta_page_growth", "page of the viewer at 1,000,000 accesses ÷ at 1,000 (time)", at_most(1.3)),
        Figure(
            "meta_group_per_second",
            "accesses recorded by 16 threads, commits made 3 ms slow, records/s",
            at_least(1_000),
        ),
    ),
    measure,
)
