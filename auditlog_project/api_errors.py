"""The one table of what goes wrong in the API: error class or SQLSTATE to status and code. RFC 9457 problem details.

    {"type": "about:blank", "title": "…", "status": 400, "code": "bad-events", "detail": "…",
     "errors": [{"index": 3, "path": "$.actor", "reason": "is required"}]}

A locked entry is named there with its locks: {"entry": "…", "locks": [7], "reason": "legal hold"}.

What is not in the table is 500 without details; the log has them, the answer never.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import Error as DatabaseError
from django.db.models import ProtectedError
from django.http import Http404, JsonResponse
from redis.exceptions import ConnectionError as BrokerConnectionError
from rest_framework import exceptions
from rest_framework.exceptions import APIException
from rest_framework.views import set_rollback

from activity import errors as activity
from exports import errors as exports
from locking import errors as locking
from metaaudit import errors as metaaudit
from signing import errors as signing

PROBLEM_JSON = "application/problem+json"
_LOG = logging.getLogger(__name__)


class LengthRequired(APIException):
    """A body was announced without its length, which would be read as no body at all."""

    status_code = HTTPStatus.LENGTH_REQUIRED
    default_detail = "send the body with a Content-Length; Transfer-Encoding: chunked is not read"
    default_code = "length_required"


class RequestTimeout(APIException):
    """A body came too slowly; slow_clients.py answers so."""

    status_code = HTTPStatus.REQUEST_TIMEOUT
    default_detail = "the body came too slowly; send it again, faster"
    default_code = "request_timeout"


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
    activity.AmendmentError: (400, "bad-amendment"),
    activity.EntryNotFoundError: (404, "not-found"),
    activity.EntryLockedError: (423, "entry_locked"),
    activity.TamperedEntryError: (409, "entry-tampered"),
    activity.UnsignedEntryError: (404, "entry-unsigned"),
    activity.UncoveredEntryError: (503, "no-checkpoint-yet"),
    metaaudit.NotRecordedError: (503, "not-recorded"),
    metaaudit.AddressTooLongError: (414, "too-long"),
    metaaudit.AccessArchivedError: (410, "archived"),
    locking.BadLockError: (400, "bad-lock"),
    locking.LockRefusedError: (409, "lock-refused"),
    locking.LockNotFoundError: (404, "lock-not-found"),
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
    signing.ExportKeyError: (409, "no-export-key"),
    signing.SigningError: (400, "bad-evidence"),
    exports.BadOrderError: (400, "bad-order"),
    exports.QuotaError: (429, "export-quota"),
    exports.ExportRefusedError: (409, "export-refused"),
    ProtectedError: (409, "in-use"),
    RequestDataTooBig: (413, "too-much"),
    SuspiciousOperation: (400, "bad-request"),  # more parameters than are taken, for one
    Http404: (404, "not-found"),
    PermissionDenied: (403, "forbidden"),
    BrokerConnectionError: (503, "broker-unavailable"),
}
SQLSTATES: dict[str, tuple[int, str]] = {
    "AL001": (409, "append-only"),
    "AL002": (423, "entry_locked"),
    "AL003": (409, "not-in-the-ledger"),
    "AL004": (409, "ledger-refused"),
    "AL005": (409, "key-life-cycle"),
    "AL006": (409, "lock-refused"),
    "55P03": (503, "database-busy"),  # lock_timeout
    "57014": (503, "database-busy"),  # statement_timeout
}
# What the framework raises by itself; status and code are its own.
FRAMEWORK: tuple[type[APIException], ...] = (
    exceptions.NotAuthenticated,
    exceptions.AuthenticationFailed,
    exceptions.PermissionDenied,
    exceptions.MethodNotAllowed,
    exceptions.NotAcceptable,
    exceptions.UnsupportedMediaType,
    exceptions.Throttled,
    LengthRequired,
    RequestTimeout,
)
_UNEXPECTED = (500, "internal-error")
BAD_REQUEST = (400, "bad-request")  # what Django refuses before a view: a wrong Host, a broken cookie
# What a code means and what its reader does about it; docs/api.md shows the whole table.
MEANINGS: dict[str, str] = {
    "append-only": "rows of evidence are written once and stay",
    "archived": "the access is so old that only a signed export has it; `detail` says which one",
    "authentication-failed": "the API key is unknown, revoked or expired, or the login is not good",
    "bad-amendment": "an entry cannot be amended or removed so; nothing was changed",
    "bad-body": "the gzip data breaks off or is damaged",
    "bad-events": "at least one event is faulty; nothing was recorded",
    "bad-evidence": "what was sent is no piece of evidence of a known form",
    "bad-json": "the body is not JSON as it is taken here: one value, UTF-8, no key twice, no number beyond 64 bits",
    "bad-lock": "what is to be locked, released or extended lacks something, or says what cannot be",
    "bad-log-type": "a log type cannot be so",
    "bad-order": "an order of an export lacks something, or says what cannot be",
    "bad-query": "a parameter is unknown, wrong, or lacks another one",
    "bad-request": "the request is malformed, or names a host that is not served here",
    "bad-right": "a right cannot be given or taken so",
    "broker-unavailable": "the server cannot reach its counters; try again",
    "database-busy": "the database took too long; nothing was recorded, try again or ask for less",
    "entry_locked": "the entry is locked; it changes only under an override that another person approved",
    "entry-tampered": "the entry was changed or is missing, and this server withholds such entries",
    "entry-unsigned": "the entry carries no signature that an outsider could verify; its proof stands for it",
    "event-id-conflict": "an event_id was used before, with other content; nothing was recorded",
    "export-quota": "you have as many exports under way or kept as you may have",
    "export-refused": "this cannot be done with the export as it stands",
    "forbidden": "this may not be done",
    "in-use": "something else still needs it",
    "internal-error": "a fault of the server; its log has the request id",
    "key-life-cycle": "a key's life only goes forward",
    "key-not-found": "there is no such key",
    "key-state": "the key's state does not permit this",
    "key-unavailable": "the server cannot open its signing keys; nothing was recorded, try again later",
    "lock-not-found": "there is no such lock, override or policy, or not for you",
    "lock-refused": "a lock, release, override or policy cannot be so; nothing was changed",
    "ledger-not-found": "there is no such ledger, or not for you",
    "ledger-refused": "the ledger does not take this",
    "length-required": "send the body with a Content-Length",
    "method-not-allowed": "this address does not take this method",
    "no-active-key": "there is no active key to sign with; nothing was recorded, try again later",
    "no-export-key": "you have no export key that is valid now; `detail` says why and what to do",
    "no-checkpoint-yet": "no checkpoint covers the entry yet; try again in a minute",
    "no-such-tile": "this is not the path of a tile",
    "not-acceptable": "the answer cannot be had in the form that Accept asks for",
    "not-authenticated": "this needs an API key or a login",
    "not-found": "there is nothing here, or not for you",
    "not-in-the-ledger": "an entry must be the leaf that its ledger holds",
    "not-recorded": "the access could not be recorded, so nothing is shown or done; try again",
    "permission-denied": "the API key has not this scope, the person not this role, or the ledger is another one",
    "request-timeout": "the body came too slowly; nothing was recorded",
    "rolled-back": "a copy of a checkpoint outside shows that the database was set back; nothing may be recorded",
    "throttled": "too many requests; Retry-After says when to come again",
    "too-long": "the address with its query is longer than an access can be recorded with",
    "too-much": "the body, the number of events or a line is larger than is taken at once",
    "unknown-log-type": "no log type matches, and this server refuses such events; nothing was recorded",
    "unsupported-media-type": "the body has another Content-Type or Content-Encoding than is read here",
}
# Whose text says how the server is built, and not what the sender can do.
_SILENT = frozenset({500, 503})


def row_of(kind: type[Exception]) -> tuple[int, str]:
    """Return status and code of errors of this class."""
    if issubclass(kind, APIException):
        return kind.status_code, _code(kind)
    return next((row for known, row in ERRORS.items() if issubclass(kind, known)), _UNEXPECTED)


def codes() -> dict[str, int]:
    """Return every code with its status."""
    rows = [*ERRORS.values(), *SQLSTATES.values(), *map(row_of, FRAMEWORK), _UNEXPECTED, BAD_REQUEST]
    return {code: status for status, code in rows}


def handle(error: Exception, context: Mapping[str, Any]) -> JsonResponse:
    """Return the problem document of an error that rose from a view or middleware. DRF's EXCEPTION_HANDLER."""
    del context
    set_rollback()
    if isinstance(error, APIException):
        return _of_framework(error)
    status, code = _row(error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOG.error("a request failed: %s", type(error).__name__, exc_info=error)
    return problem(status, code, "" if status in _SILENT else _detail(error), _errors(error))


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
        return SQLSTATES.get(state or "", _UNEXPECTED)
    return row_of(type(error))


def _of_framework(error: APIException) -> JsonResponse:
    response = problem(error.status_code, _code(type(error)), str(error.detail))
    if header := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = header
    if wait := getattr(error, "wait", None):
        response["Retry-After"] = str(int(wait) + 1)
    return response


def _code(kind: type[APIException]) -> str:
    return str(kind.default_code).replace("_", "-")


def _detail(error: Exception) -> str:
    if isinstance(error, activity.BadEventsError | activity.BadUnitsError):
        return "nothing was recorded; `errors` names every fault"
    if isinstance(error, activity.BadQueryError):
        return "nothing was looked for; `errors` names every parameter that is wrong"
    if isinstance(error, signing.LedgerNotFoundError):
        return MEANINGS["ledger-not-found"]  # its own text names the ledgers there are, to operators
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
    if isinstance(error, activity.EntryLockedError):
        return [{"entry": error.entry, "locks": list(error.locks), "reason": error.reason}]
    return []


def problem(status: int, code: str, detail: str = "", errors: Sequence[dict[str, object]] = ()) -> JsonResponse:
    """Return a problem document."""
    said: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
    }
    if detail:
        said["detail"] = detail
    if errors:
        said["errors"] = list(errors)
    return JsonResponse(said, status=status, content_type=PROBLEM_JSON)
