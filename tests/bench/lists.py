"""What a list of 100 costs as the table grows: at 100,000 and at 10,000,000 generated entries in one ledger.

The two lie in databases of their own and are asked in turns. Nothing here looks at verdicts, for generated records mean
nothing (generated.py); what is timed is `search.find`, which every list is made of, for each filter, on its first page
and on one in the middle.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any
from uuid import UUID

from activity import search
from activity.search import Place, Search
from signing.queries import ledger_named
from tests.bench import clocks, generated
from tests.bench.figures import Figure, Measurement, Scale, at_most, median_ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clusters import Database

_SMALL = 100_000  # entries
_ROUNDS = 25
_NAME = "bench-lists"
# Each fills its pages at either size, but for the two that find one entry.
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "type": {"type": "kind.7"},
    "actor": {"actor": "actor-123"},
    "action": {"action": "action-3"},
    "target": {"target": "target-77"},
    "outcome": {"outcome": "denied"},
    "severity": {"severity": "critical"},
    "usual_severity": {"severity": "info"},
    "source": {"source": "source-3"},
    "ip": {"ip": "10.0.0.9"},
    "event_id": {"source": "source-7", "event_id": "e-1007"},
    "leaf_index": {"leaf_index": 5_000},
}
_OCCURRED = "occurred_at"


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Fill a small database and a large one, and time every list in both, in turns."""
    with database.cluster.clone() as small:
        sizes = {small: _SMALL, database: scale.listed_entries}
        for one, size in sizes.items():
            with one.as_django_databases():
                generated.fill(one, _NAME, size)
        taken: dict[Database, dict[str, list[float]]] = {one: {} for one in sizes}
        for _ in range(_ROUNDS):
            for one, size in sizes.items():
                with one.as_django_databases():
                    for name, seconds in _times(size).items():
                        taken[one].setdefault(name, []).append(seconds)
    large = [median(seconds) for seconds in taken[database].values()]
    growth = {name: median_ratio(taken[database][name], seconds) for name, seconds in taken[small].items()}
    return {
        **{f"list_growth_{name}": value for name, value in growth.items()},
        "list_p50_ms": 1000 * median(large),
        "list_slowest_ms": 1000 * max(large),
    }


MEASUREMENT = Measurement(
    (
        *(
            Figure(
                f"list_growth_{name}",
                f"list of 100 by {name} at 10,000,000 entries ÷ at 100,000 (time)",
                at_most(1.5),
            )
            for name in (*FILTERS, _OCCURRED)
        ),
        Figure("list_p50_ms", "list of 100 at 10,000,000 entries, the median of the filters, ms"),
        Figure("list_slowest_ms", "list of 100 at 10,000,000 entries, the slowest filter, ms"),
    ),
    measure,
    full_only=True,
)


def _times(size: int) -> dict[str, float]:
    """Return the seconds of each list, its pages together: by name of its filter, and by occurrence in that order."""
    searches = {name: list(_searches(size, equal=equal)) for name, equal in FILTERS.items()}
    searches[_OCCURRED] = list(_searches(size, order="-occurred_at"))
    return {name: sum(clocks.each_seconds(_asked(asked))) / len(asked) for name, asked in searches.items()}


def _asked(asked: list[Search]) -> list[Any]:
    return [partial(search.find, one) for one in asked]


def _searches(size: int, **said: Any) -> Iterator[Search]:
    """Give the search for the first page, and for the page after the entry in the middle."""
    ledgers = [ledger_named(_NAME)]
    yield Search(ledgers=ledgers, **said)
    if not {"event_id", "leaf_index"} & said.get("equal", {}).keys():  # which find one entry
        entry = next(iter(search.find(Search(ledgers=ledgers, equal={"leaf_index": size // 2})).entries))
        yield Search(ledgers=ledgers, after=Place(entry.occurred_at, UUID(str(entry.pk))), **said)
