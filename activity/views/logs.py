"""`/logs/` and `/logs/<id>/`: entries for people who may read them, each with what can be said of it now."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views import View

from activity import access, filters, retrieval, search
from activity.access import READ_PERMISSION
from activity.errors import BadQueryError
from activity.filter_form import FilterForm, chips, query_of
from activity.panels import panels_of
from activity.views.lines import lines_of, texts_of
from activity.visible import visible
from signing.algorithms import ALGORITHMS
from signing.checkpoint import parse
from signing.merkle import leaf_hash
from signing.queries import latest_checkpoint
from signing.verdicts import ALARMS, Verdict

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, QueryDict

    from activity.models import ActivityLog

_PAGE = "50"


class Reading(LoginRequiredMixin, View):
    """A page for people who may read a ledger; others are told who could let them."""

    readable: frozenset[str]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Look up what may be read."""
        if request.user.is_authenticated:
            self.readable = access.of_user(request.user).readable
            if not self.readable:
                has_role = request.user.has_perm(READ_PERMISSION)
                return render(request, "activity/no_ledger.html", {"has_role": has_role}, status=403)
        return super().dispatch(request, *args, **kwargs)


class Logs(Reading):
    """The list of entries."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show a page of entries and the filters that led to it."""
        query = query_of(request.GET)
        form = FilterForm(query, readable=self.readable)
        shown = {"form": form, "chips": chips(query), "readable": sorted(self.readable)}
        try:
            asked = filters.search_of(_paged(query), self.readable)
        except BadQueryError as error:
            return render(request, "activity/logs.html", shown | {"faults": form.complain(error.problems)}, status=400)
        page = search.find(asked)
        lines = lines_of(retrieval.check_entries(page.entries))
        counts = Counter(line.checked.verdict for line in lines)
        shown |= {
            "lines": lines,
            "counts": [(verdict, counts[verdict]) for verdict in Verdict if counts[verdict]],
            "alarms": sum(counts[verdict] for verdict in ALARMS),
            "scanned": page.scanned,
            "query": _without(query, "cursor").urlencode(),
            "is_first": "cursor" not in query,
        }
        if page.next is not None:
            further = query.copy()
            further["cursor"] = filters.cursor_of(asked, page.next)
            shown["next"] = further.urlencode()
        return render(request, "activity/logs.html", shown)


class Entry(Reading):
    """One entry."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, entry_id: UUID) -> HttpResponse:
        """Show the entry, its verdict with the reasons, and what a stranger needs to check it."""
        checked = retrieval.entry_for(self.readable, entry_id)
        if checked is None:
            raise Http404(f"there is no entry {entry_id} that you may read")
        entry = checked.entry
        shown = {
            "checked": checked,
            "entry": entry,
            "texts": texts_of(entry),
            "data": _pretty(search.data_of(entry)),
            "record": visible(bytes(entry.record).decode(errors="replace")),
            "leaf_hash": leaf_hash(bytes(entry.record)).hex(),
            "has_jws": _has_jws(entry),
            "panels": panels_of(request, entry, settings.AUDITLOG_ENTRY_PANELS),
        }
        newest = latest_checkpoint(entry.ledger)
        if newest is not None:
            shown |= {"head": parse(newest.note).checkpoint, "checkpoint": newest.note}
        return render(request, "activity/entry.html", shown)


def _paged(query: QueryDict) -> QueryDict:
    paged = query.copy()
    paged.setdefault("limit", _PAGE)
    return paged


def _without(query: QueryDict, name: str) -> QueryDict:
    rest = query.copy()
    rest.pop(name, None)
    return rest


def _pretty(data: Any) -> str:
    text = orjson.dumps(data, option=orjson.OPT_INDENT_2).decode()
    return visible(text, keep="\n")


def _has_jws(entry: ActivityLog) -> bool:
    return entry.key is not None and ALGORITHMS[entry.key.algorithm].outsiders_can_verify
