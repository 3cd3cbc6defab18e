"""What verdicts cost: a page of 100 signed entries from the list of the API, against the same page without looking.

Both views are asked in this process (Django's test client), so that what was looked at before is known. A page that is
asked for again, as the one on somebody's screen is, has its signatures and tiles verified already; leaf, columns, data
and keys of every entry are looked at anew. What the first look costs, 100 signatures more, is told beside.
"""

from __future__ import annotations

import logging
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import orjson
from django.test import Client, override_settings

from activity.services import record_many
from tests.bench import clocks, events, web
from tests.bench.figures import Figure, Measurement, Scale, at_most, median_ratio
from tests.bench.policies import require_signatures

if TYPE_CHECKING:
    from tests.clusters import Database

_PAGE = 100
_ROUNDS = 5  # of each page
_JUDGED, _UNJUDGED = "/api/v1/logs", "/bench/unjudged"
_CACHE = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Walk through the pages of a ledger, asking for each in both ways."""
    require_signatures(required=True)
    for _ in range(scale.pages):
        record_many(events.fresh(_PAGE))
    client = Client(headers={"Authorization": f"Api-Key {web.api_key()}"})
    first: list[float] = []
    again: list[float] = []
    plain: list[float] = []
    query = f"?limit={_PAGE}"
    logging.disable(logging.INFO)  # the lines of requests would go where the figures go
    with override_settings(CACHES=_CACHE):
        _ask(client, _JUDGED, "?limit=1")  # the keys ledger is verified before the clock starts
        for _ in range(scale.pages):
            first.append(clocks.seconds(partial(_ask, client, _JUDGED, query)))
            for _ in range(_ROUNDS):
                plain.append(clocks.seconds(partial(_ask, client, _UNJUDGED, query)))
                again.append(clocks.seconds(partial(_ask, client, _JUDGED, query)))
            query = f"?limit={_PAGE}&cursor={_ask(client, _JUDGED, query)['next']}"
    logging.disable(logging.NOTSET)
    return {
        "page_verdicts_ratio": median_ratio(again, plain),
        "page_verdicts_first_ratio": median(first) / median(plain),
        "page_verdicts_p50_ms": 1000 * median(again),
        "page_verdicts_first_p50_ms": 1000 * median(first),
    }


MEASUREMENT = Measurement(
    (
        Figure("page_verdicts_ratio", "page of 100 signed entries with verdicts ÷ without (time)", at_most(1.3)),
        Figure("page_verdicts_first_ratio", "the same, of a page at which nobody looked before"),
        Figure("page_verdicts_p50_ms", "page of 100 signed entries with verdicts, median, ms"),
        Figure("page_verdicts_first_p50_ms", "the same, of a page at which nobody looked before, ms"),
    ),
    measure,
)


def _ask(client: Client, path: str, query: str) -> dict[str, Any]:
    answer = client.get(path + query)
    said: dict[str, Any] = orjson.loads(answer.content)
    if answer.status_code != 200 or {entry["verdict"] for entry in said["entries"]} != {"valid"}:
        raise RuntimeError(f"{path}{query}: {answer.status_code} {answer.content[:500]!r}")
    return said
