"""`/meta-logs/…`: who looked at what, for the auditor of auditors; for everybody else his own trace."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.safestring import mark_safe
from django.views import View

from activity import access
from activity.errors import BadQueryError
from activity.visible import visible
from exports.csv_cells import neutralise
from exports.services import ORDER_PERMISSION
from metaaudit import archives, charts, filters, queries
from metaaudit.replay import replay, verdict_of
from metaaudit.rows import CSV_COLUMNS, listed
from metaaudit.views.forms import FilterForm, query_of
from metaaudit.visibility import whose
from metaaudit.vocabulary import ACTIONS, REDACTED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from django.http import HttpRequest

    from metaaudit.models import MetaLog

_PAGE = "50"
_DAYS, _MOST_DAYS = 30, 92
_SAYS_NOTHING = ("", REDACTED)  # in a line; the page of the access shows every parameter
_EXPORTED = 100_000  # rows of one file; more is asked for in parts


class Traces(LoginRequiredMixin, View):
    """A page for people who are signed in."""

    http_method_names = ["get", "head"]

    def seen(self, meta_id: UUID) -> MetaLog:
        """Return a meta log that whoever asks may see. Raises Http404, AccessArchivedError."""
        log = archives.kept_log(whose(self.request), meta_id)
        if log is None:
            raise Http404(f"there is no meta log {meta_id} that you may see")
        return log


class Accesses(Traces):
    """The list of accesses; what a system polled is folded into one line, here alone."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show a page of accesses and the filters that led to it."""
        query = query_of(request.GET)
        form = FilterForm(query)
        shown: dict[str, Any] = {"form": form, "sees_all": whose(request) is None}
        paged = query.copy()
        paged.setdefault("limit", _PAGE)
        try:
            wanted = filters.wanted_of(paged, whose(request))
        except BadQueryError as error:
            shown["faults"] = form.complain(error.problems)
            return render(request, "metaaudit/list.html", shown, status=400)
        page = queries.find(wanted)
        shown |= {
            "lines": [_line(line) for line in queries.folded(page.logs, wanted)],
            "is_first": "cursor" not in query,
            "may_export": shown["sees_all"] and request.user.has_perm(ORDER_PERMISSION),
            "filters_on": sorted(set(query) - {"cursor", "limit"}),
        }
        if page.next is None:
            shown["archived"] = archives.tombstones(wanted.at_from)
        query.pop("cursor", None)
        shown["query"] = query.urlencode()
        if page.next is not None:
            query["cursor"] = str(page.next)
            shown["next"] = query.urlencode()
        return render(request, "metaaudit/list.html", shown)


class OneAccess(Traces):
    """One access."""

    def get(self, request: HttpRequest, meta_id: UUID) -> HttpResponse:
        """Show everything that is recorded of it, and what can be said of the record now."""
        log = self.seen(meta_id)
        verdict, reasons = verdict_of(log)
        return render(request, "metaaudit/detail.html", _details(log) | {"verdict": verdict, "reasons": reasons})


class ReplayAccess(Traces):
    """One access, run again."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, meta_id: UUID) -> HttpResponse:
        """Show what was shown then, whether it still is so, and old beside new where it is not."""
        log = self.seen(meta_id)
        verdict, reasons = verdict_of(log)
        found = replay(log)
        readable = access.of_user(request.user).readable
        shown = {
            "found": found,
            "seen": [_compared(one, may_read=one.ledger in readable) for one in found.entries],
            "verdict": verdict,
            "reasons": reasons,
        }
        return render(request, "metaaudit/replay.html", _details(log) | shown)


class Activity(Traces):
    """How much each user looked at, day by day."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show a picture, and the same numbers in a table."""
        text = request.GET.get("days", "")
        days = min(max(int(text), 1), _MOST_DAYS) if text.isascii() and text.isdigit() and len(text) < 4 else _DAYS  # noqa: PLR2004 digits
        until = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        since = until - timedelta(days=days)
        counted = queries.per_day(whose(request), since, until)
        found = [(day.date(), visible(name or "nobody"), number) for day, name, number in counted]
        rows = charts.rows_of(found, since.date(), days)
        highest = charts.highest_of(rows)
        shown = {
            "rows": [
                # Every text in it is escaped by charts.strip.
                {"name": row.name, "total": row.total, "picture": mark_safe(charts.strip(row, since.date(), highest))}  # noqa: S308 as said
                for row in rows
            ],
            "highest": highest,
            "first": since,
            "last": until - timedelta(days=1),
            "days": days,
            "sees_all": whose(request) is None,
        }
        return render(request, "metaaudit/activity.html", shown)


class Export(Traces):
    """The accesses that a list shows, as a file: each with its record, so that a stranger can hash it."""

    def get(self, request: HttpRequest) -> StreamingHttpResponse | HttpResponse:
        """Send the file as it is read."""
        query = query_of(request.GET)
        form = query.pop("format", ["csv"])[-1]
        for name in ("cursor", "limit"):
            query.pop(name, None)
        query["limit"] = str(queries.MAX_LIMIT)
        wanted = filters.wanted_of(query, whose(request))
        logs = _every(wanted)
        if form == "json":
            content, kind = _json_lines(logs), "application/x-ndjson"
        elif form == "csv":
            content, kind = _csv(logs), "text/csv; charset=utf-8"
        else:
            raise Http404(f"there is no form {form!r}; there are: csv, json")
        response = StreamingHttpResponse(content, content_type=kind)
        response["Content-Disposition"] = f'attachment; filename="accesses.{"ndjson" if form == "json" else "csv"}"'
        return response


def _line(line: queries.Line) -> dict[str, Any]:
    log, end = line.log, line.end or line.log
    return {
        "log": log,
        "who": visible(log.user_name or log.user_id),
        "path": visible(log.path),
        "query": visible("&".join(f"{name}={value}" for name, value in log.query if value not in _SAYS_NOTHING))[:200],
        "status": end.status,
        "count": end.result_count,
        "times": line.times,
        "is_open": log.phase == "intent" and line.end is None,
    }


def _details(log: MetaLog) -> dict[str, Any]:
    end = queries.completions([log]).get(log.pk)
    shown = end if end is not None and log.result_count is None else log
    return {
        "log": log,
        "end": end,
        "shown": shown,
        "who": visible(log.user_name or log.user_id),
        "path": visible(log.path),
        "agent": visible(log.agent or ""),
        "meaning": ACTIONS.get(log.action, ""),
        "query": [(visible(name), visible(value)) for name, value in log.query],
        "query_hash": bytes(log.query_hash).hex(),
        "digest": None if shown.result_digest is None else bytes(shown.result_digest).hex(),
        "record": visible(bytes(log.record).decode(errors="replace")),
    }


def _compared(one: Any, *, may_read: bool) -> dict[str, Any]:
    then, now = one.then, one.now and one.now.entry
    texts = ("type", "actor", "action", "target", "outcome")
    changed = [
        (name, visible(getattr(then, name)), visible(getattr(now, name)) if now is not None else "")
        for name in texts
        if now is None or getattr(then, name) != getattr(now, name)
    ]
    return {
        "one": one,
        "texts": {name: visible(getattr(then, name)) for name in texts} if may_read else None,
        "changed": changed if may_read and one.change == "amended" else [],
        "then": visible(bytes(then.record or b"").decode(errors="replace")) if may_read else "",
        "now": visible(bytes(now.record).decode(errors="replace")) if may_read and now is not None else "",
    }


def _every(wanted: queries.Wanted) -> Iterator[MetaLog]:
    sent = 0
    after = wanted.after
    while sent < _EXPORTED:
        page = queries.find(replace(wanted, after=after))
        yield from page.logs
        sent += len(page.logs)
        if page.next is None:
            return
        after = page.next


def _csv(logs: Iterator[MetaLog]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(CSV_COLUMNS)
    for log in logs:
        said = listed(log)
        cells = (said[name] for name in CSV_COLUMNS)
        writer.writerow([neutralise(cell if isinstance(cell, str) else _cell(cell)) for cell in cells])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def _cell(value: Any) -> str:
    return "" if value is None else orjson.dumps(value).decode()


def _json_lines(logs: Iterator[MetaLog]) -> Iterator[bytes]:
    for log in logs:
        yield orjson.dumps(listed(log), option=orjson.OPT_APPEND_NEWLINE)
