"""Lists and filters stay quick at size: PostgreSQL walks an index and sorts nothing, on 250,000 entries."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db.models import QuerySet

from activity.models import ActivityLog
from signing.queries import ledger_named
from tests.clusters import EMBEDDED, Clusters, Database

pytestmark = pytest.mark.slow
ENTRIES, BATCH = 250_000, 25_000
_MANY = 2_000  # rows that a page of 100 may look at, or sort

# Small records, hashed by PostgreSQL itself: leaves and rows as every writer makes them, with all guards on.
_APPEND = """
SELECT ledger_append(%(ledger)s::smallint,
    (SELECT string_agg(sha256('\\x00' || convert_to(i::text, 'UTF8')), ''::bytea ORDER BY i)
     FROM generate_series(%(first)s::integer, %(end)s::integer - 1) i), '{}')
"""
_INSERT = """
INSERT INTO activity_logs (id, ledger_id, leaf_index, record, event_digest, event_id, type, actor, action, target,
                           outcome, severity, source, ip, occurred_at, recorded_at, revision, locked)
SELECT (lpad(to_hex(1790000000000 + i), 12, '0') || '70008000' || lpad(to_hex(i), 12, '0'))::uuid, %(ledger)s,
    i, convert_to(i::text, 'UTF8'), '', 'e-' || i, 'kind.' || i %% 50, 'actor-' || i * 7 %% 1000,
    'action-' || i %% 20, 'target-' || i * 11 %% 5000,
    CASE WHEN i %% 1000 = 0 THEN 'denied' ELSE 'success' END,
    CASE WHEN i %% 2000 = 0 THEN 'critical' ELSE 'info' END,
    'source-' || i %% 10, CASE WHEN i %% 3 = 0 THEN '10.0.0.0'::inet + i %% 250 END,
    '2026-01-01Z'::timestamptz + i * interval '1 second', '2026-01-01Z'::timestamptz + i * interval '1 second', 1, false
FROM generate_series(%(first)s::integer, %(end)s::integer - 1) i
"""


@pytest.fixture(scope="module", autouse=True)
def database(clusters: Clusters, django_db_blocker: Any) -> Iterator[Database]:
    """Fill a ledger of its own once for this module."""
    with django_db_blocker.unblock(), clusters[EMBEDDED].clone() as database, database.as_django_databases():
        app = database.app(autocommit=False)
        row = app.execute("SELECT ledger_open('large', 'auditlog.test/large', 'activity')").fetchone()
        assert row is not None
        for first in range(0, ENTRIES, BATCH):
            place = {"ledger": row[0], "first": first, "end": first + BATCH}
            app.execute(_APPEND, place)
            app.execute(_INSERT, place)
            app.commit()
        database.owner().execute("ANALYZE activity_logs")
        yield database


def entry_id(number: int) -> UUID:
    return UUID(f"{1_790_000_000_000 + number:012x}70008000{number:012x}")


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)


def assert_quick(query: "QuerySet[Any]") -> None:
    """Run the first page of a query and look at what PostgreSQL did."""
    (run,) = json.loads(query[:100].explain(format="json", analyze=True))
    assert run["Plan"]["Actual Rows"] > 0, "a plan that finds nothing shows nothing"
    for node in _nodes(run["Plan"]):
        read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        assert node["Node Type"] != "Seq Scan", run
        assert read <= _MANY, f"{node['Node Type']} went over {read} rows: {run}"


FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "type": {"type": "kind.7"},
    "actor": {"actor": "actor-123"},
    "action": {"action": "action-3"},
    "target": {"target": "target-77"},
    "rare outcome": {"outcome": "denied"},
    "usual outcome": {"outcome": "success"},
    "rare severity": {"severity": "critical"},
    "usual severity": {"severity": "info"},
    "source": {"source": "source-3"},
    "ip": {"ip": "10.0.0.9"},
    "event id": {"source": "source-7", "event_id": "e-1007"},
    "recorded_at, as ids": {"id__gte": entry_id(1_000), "id__lt": entry_id(200_000)},
    "actor and time": {"actor": "actor-123", "id__lt": entry_id(200_000)},
}


@pytest.mark.parametrize("ledger", [False, True], ids=["all ledgers", "one ledger"])
@pytest.mark.parametrize("name", FILTERS)
def test_a_page_walks_an_index(name: str, *, ledger: bool) -> None:
    chosen = dict(FILTERS[name])
    if ledger or "event_id" in chosen:
        chosen["ledger"] = ledger_named("large")
    query = ActivityLog.objects.filter(**chosen).order_by("-id")
    assert_quick(query)
    if name not in {"event id", "target", "rare severity"}:  # of which there are few
        assert_quick(query.filter(id__lt=entry_id(140_000)))


def test_a_range_of_occurrence_walks_its_index_in_its_order() -> None:
    newest = ActivityLog.objects.filter(ledger=ledger_named("large")).latest("occurred_at").occurred_at
    days = {"occurred_at__gte": newest - timedelta(days=2), "occurred_at__lt": newest - timedelta(days=1)}
    assert_quick(ActivityLog.objects.filter(**days).order_by("-occurred_at", "-id"))


def test_an_order_without_an_index_would_be_noticed() -> None:
    rare = ActivityLog.objects.filter(outcome="denied")
    assert_quick(rare.order_by("-id"))
    with pytest.raises(AssertionError, match=r"Seq Scan|went over"):
        assert_quick(ActivityLog.objects.order_by("recorded_at"))
