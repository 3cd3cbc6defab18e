"""The one table of what goes wrong in the API: error class or SQLSTATE to status and code. RFC 9457 problem details.

    {"type": "about:blank", "title": "…", "status": 400, "code": "bad-events", "detail": "…",
     "errors": [{"index": 3, "path": "$.actor", "reason": "is required"}]}

What is not in the table is 500 without details; the log has them, the answer never.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import Error as DatabaseError
from django.db.models import ProtectedError
from django.http import Http404, JsonResponse
from redis.exceptions import ConnectionError as BrokerConnectionError
from rest_framework.exceptions import APIException
from rest_framework.views import set_rollback

from activity import errors as activity
from signing import errors as signing

_LOG = logging.getLogger(__name__)

# The first row that fits counts: a class stands before those it inherits from.
ERRORS: dict[type[Exception], tuple[int, str]] = {
    activity.EventIdConflictError: (409, "event-id-conflict"),
    activity.UnknownLogTypeError: (400, "unknown-log-type"),
    activity.BadEventsError: (400, "bad-events"),
    activity.BadUnitsError: (400, "bad-events"),
    activity.BadJsonError: (400, "bad-json"),
    activity.BadStreamError: (400, "bad-body"),
    activity.LogTypeError: (400, "bad-log-type"),
    activity.AuthorityError: (400, "bad-right"),
    activity.TooMuchError: (413, "too-much"),
    activity.BadQueryError: (400, "bad-query"),
    activity.BadEvidenceError: (400, "bad-evidence"),
    activity.TamperedEntryError: (409, "entry-tampered"),
    activity.UnsignedEntryError: (404, "entry-unsigned"),
    activity.UncoveredEntryError: (503, "no-checkpoint-yet"),
    signing.LedgerNotFoundError: (404, "ledger-not-found"),
    signing.KeyNotFoundError: (404, "key-not-found"),
    signing.NoActiveKeyError: (503, "no-active-key"),
    signing.LedgerRefusedError: (409, "ledger-refused"),
    signing.KeyStateError: (409, "key-state"),
    signing.AnchorConflictError: (503, "rolled-back"),
    signing.ImmutableRowError: (409, "append-only"),
    signing.MasterKeyError: (503, "key-unavailable"),
    signing.SealError: (503, "key-unavailable"),
    signing.BadTileError: (404, "no-such-tile"),
    signing.SigningError: (400, "bad-evidence"),
    ProtectedError: (409, "in-use"),
    RequestDataTooBig: (413, "too-much"),
    Http404: (404, "not-found"),
    PermissionDenied: (403, "forbidden"),
    BrokerConnectionError: (503, "broker-unavailable"),
}
SQLSTATES: dict[str, tuple[int, str]] = {
    "AL001": (409, "append-only"),
    "AL003": (409, "not-in-the-ledger"),
    "AL004": (409, "ledger-refused"),
    "AL005": (409, "key-life-cycle"),
    "55P03": (503, "database-busy"),  # lock_timeout
    "57014": (503, "database-busy"),  # statement_timeout
}
# Whose text says how the server is built, and not what the sender can do.
_SILENT = frozenset({500, 503})


def handle(error: Exception, context: Mapping[str, Any]) -> JsonResponse:
    """Return the problem document of an error that rose from a view. DRF's EXCEPTION_HANDLER."""
    del context
    set_rollback()
    if isinstance(error, APIException):
        return _of_framework(error)
    status, code = _row(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.error("a request failed: %s", type(error).__name__, exc_info=error)
    return _problem(status, code, "" if status in _SILENT else _detail(error), _errors(error))


def status_and_detail(error: Exception) -> tuple[int, str]:
    """Return what a page says of an error: its status, and a sentence or nothing."""
    if isinstance(error, APIException):
        return error.status_code, str(error.detail)
    status, _ = _row(error)
    return status, "" if status in _SILENT else _detail(error)


def _row(error: Exception) -> tuple[int, str]:
    if isinstance(error, activity.BadUnitsError) and error.conflict:
        return ERRORS[activity.EventIdConflictError]
    if isinstance(error, DatabaseError):
        state = getattr(error.__cause__, "sqlstate", None)
        return SQLSTATES.get(state or "", (500, "internal-error"))
    return next((row for kind, row in ERRORS.items() if isinstance(error, kind)), (500, "internal-error"))


def _of_framework(error: APIException) -> JsonResponse:
    response = _problem(error.status_code, str(error.default_code).replace("_", "-"), str(error.detail), [])
    if header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        response["Retry-After"] = str(int(wait) + 1)
    return response


def _detail(error: Exception) -> str:
    if isinstance(error, activity.BadEventsError | activity.BadUnitsError):
        return "nothing was recorded; `errors` names every fault"
    if isinstance(error, DatabaseError):
        return "the database refused"
    return str(error)


def _errors(error: Exception) -> list[dict[str, object]]:
    if isinstance(error, activity.BadEventsError):
        return [{"index": one.index, "path": one.path, "reason": one.reason} for one in error.problems]
    if isinstance(error, activity.BadUnitsError):
        return [{error.unit: one.number, "path": one.path, "reason": one.reason} for one in error.faults]
    if isinstance(error, activity.BadQueryError):
        return [{"parameter": one.path, "reason": one.reason} for one in error.problems]
    if isinstance(error, activity.BadJsonError):
        return [{"path": error.path, "reason": error.reason}]
    return []


def _problem(status: int, code: str, detail: str, errors: list[dict[str, object]]) -> JsonResponse:
    said: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
    }
    if detail:
        said["detail"] = detail
    if errors:
        said["errors"] = errors
    return JsonResponse(said, status=status, content_type="application/problem+json")
