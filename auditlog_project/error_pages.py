"""Errors that rise from a page, shown by the same table as those of the API: status and sentence, never a trace.

What the table does not know is left to Django: 500.html, and a traceback in the log.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.shortcuts import render
from rest_framework.exceptions import APIException

from auditlog_project import api_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

_LOG = logging.getLogger(__name__)
_TITLES = {
    HTTPStatus.NOT_FOUND: "Nothing is here",
    HTTPStatus.GONE: "This is archived",
    HTTPStatus.CONFLICT: "This cannot be done as things stand",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Too much at once",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not now",
}
_LATER = "A part that this needs does not answer. Try again in a moment."


class ErrorPages:
    """Middleware: an error that we have a name for becomes a page with that name's status."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass everything on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Return the page of an error, or None to leave it to Django."""
        if isinstance(error, Http404 | PermissionDenied):
            return None
        status, detail = api_errors.status_and_detail(error)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return None
        if status > HTTPStatus.INTERNAL_SERVER_ERROR:
            _LOG.error("a page failed: %s", type(error).__name__, exc_info=error)
        title = _TITLES.get(HTTPStatus(status), "This request is not understood")
        response = render(request, "problem.html", {"title": title, "detail": detail or _LATER}, status=status)
        if isinstance(error, APIException) and (wait := getattr(error, "wait", None)):
            response["Retry-After"] = str(int(wait) + 1)
        return response
