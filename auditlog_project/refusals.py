"""What is refused before a view, or without one. Machines get problem documents, people Django's pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.views import defaults

from auditlog_project import api_errors
from auditlog_project.api_errors import LengthRequired

FOR_MACHINES = ("/api/", "/ledgers/", "/.well-known/")


class RequireLength:
    """Refuses a body without Content-Length: Django would take it for empty, and the writer for recorded."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, or refuse."""
        if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
            return api_errors.handle(LengthRequired(), {})
        return self._get_response(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer to what Django itself refuses; `handler400`."""
    if _is_for_machines(request):
        return api_errors.problem(*api_errors.BAD_REQUEST)
    return defaults.bad_request(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer where there is no URL; `handler404`."""
    if _is_for_machines(request):
        return api_errors.problem(404, "not-found", "there is no such address")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest, **_: Any) -> HttpResponseBase:
    """Answer where nobody caught an error; `handler500`."""
    if _is_for_machines(request):
        return api_errors.problem(500, "internal-error")
    return defaults.server_error(request)


def _is_for_machines(request: HttpRequest) -> bool:
    return request.path.startswith(FOR_MACHINES)
