"""One line for each request, and an id that ties together what was logged for it, in Celery tasks too.

The id is the caller's X-Request-ID if it looks like one, else a new one; the answer carries it back.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from django_structlog.middlewares import RequestMiddleware
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from auditlog_project.log_format import path_of

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

HEADER = "X-Request-ID"
_WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestLogs(RequestMiddleware):
    """Logs who asked what, how long it took and what came out."""

    def prepare(self, request: HttpRequest) -> None:
        """Bind id and address."""
        clear_contextvars()
        super().prepare(request)
        given = request.headers.get(HEADER, "")
        if _WELL_FORMED.fullmatch(given):
            bind_contextvars(request_id=given)
        bind_contextvars(ip=request.META.get("REMOTE_ADDR", ""))
        setattr(request, "_began", time.monotonic())  # noqa: B010 the class declares no such attribute

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        """Hand the id back and write the line."""
        response[HEADER] = get_contextvars()["request_id"]
        bind_contextvars(milliseconds=round((time.monotonic() - getattr(request, "_began", 0)) * 1000))
        super().handle_response(request, response)

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        """Return method and path; a query may hold what people did."""
        return f"{request.method} {path_of(request.path)}"
