"""Views of the product with one thing taken out, so that what it costs shows: served beside the real ones.

POST bench/plain     WriteLogs, but one plain row without signature, hash and ledger instead of an entry
GET  bench/unjudged  Logs, but entries with a verdict that nothing was done for
"""

from __future__ import annotations

import time
from typing import Any

from django.urls import include, path
from rest_framework.request import Request
from rest_framework.response import Response

from activity import filters, search
from activity.api.authentication import access_of
from activity.api.bodies import events_of
from activity.api.reading import Logs, _listed
from activity.api.writing import WriteLogs, _target
from activity.retrieval import Checked
from signing.queries import ledger_named
from signing.verdicts import Verdict
from tests.bench.peers.models import PlainEntry
from tests.bench.peers.rows import plain_row


class PlainLogs(WriteLogs):
    """Store one event as an ordinary row: the same authentication, throttle, parser and checks of the body."""

    def post(self, request: Request) -> Response:
        ledger, source = _target(request)
        (event,) = events_of(request.data, source=source)
        # The clock ticks on as a leaf index does, and its index costs as much.
        row = plain_row(PlainEntry, event, time.time_ns(), ledger_id=ledger_named(ledger).pk)
        row.save(force_insert=True)
        return Response({"id": str(row.id), "ledger": ledger}, status=201)


class UnjudgedLogs(Logs):
    """Answer with the same page, without looking whether it is right."""

    def get(self, request: Request) -> Response:
        asked = filters.search_of(request.query_params, access_of(request).readable)
        page = search.find(asked)
        said: dict[str, Any] = {
            "entries": [_listed(Checked(entry, b"", Verdict.VALID)) for entry in page.entries],
            "next": None if page.next is None else filters.cursor_of(asked, page.next),
        }
        return Response(said)


urlpatterns = [
    path("bench/plain", PlainLogs.as_view()),
    path("bench/unjudged", UnjudgedLogs.as_view()),
    path("", include("auditlog_project.urls")),
]
