"""One operation of the OpenAPI document: drf-spectacular's, with every refusal that the view can answer.

Which errors those are follows from the view: its own `raises`, whether it asks for a login, whether it takes a body.
Status and code of each come from the one table in api_errors.py, so that the document cannot say another one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from django.db import Error as DatabaseError
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from rest_framework import exceptions
from rest_framework.permissions import AllowAny

from activity import errors as activity
from auditlog_project.api_errors import (
    MEANINGS,
    PROBLEM_JSON,
    SQLSTATES,
    LengthRequired,
    RequestTimeout,
    codes,
    row_of,
)
from metaaudit import errors as metaaudit

Shape = dict[str, Any]

_EVERY_VIEW = (
    exceptions.NotAcceptable,
    exceptions.Throttled,
    metaaudit.AddressTooLongError,
    metaaudit.NotRecordedError,
    Exception,
)
_WITH_LOGIN = (exceptions.NotAuthenticated, exceptions.AuthenticationFailed, exceptions.PermissionDenied)
_WITH_BODY = (
    exceptions.UnsupportedMediaType,
    LengthRequired,
    RequestTimeout,
    activity.BadJsonError,
    activity.TooMuchError,
)
_DATABASE_BUSY = {SQLSTATES[state] for state in ("55P03", "57014")}

PROBLEM: Shape = {
    "title": "Problem",
    "description": "Problem details (RFC 9457). `code` says what it is, for programs; `detail` says it for people.",
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "const": "about:blank"},
        "title": {"type": "string", "description": "The name of the status."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "enum": sorted(codes())},
        "detail": {"type": "string", "description": "What went wrong with this request; left out with 500 and 503."},
        "errors": {
            "type": "array",
            "description": "Every fault by its place: `index` of the event or `line` of the body, `path` in it; "
            "or `parameter` of the query; or the `entry` that is locked, with its `locks`.",
            "items": {
                "title": "Fault",
                "type": "object",
                "required": ["reason"],
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "line": {"type": "integer", "minimum": 1},
                    "path": {"type": "string"},
                    "parameter": {"type": "string"},
                    "entry": {"type": "string", "format": "uuid"},
                    "locks": {"type": "array", "items": {"type": "integer", "minimum": 1}},
                    "reason": {"type": "string"},
                },
                "additionalProperties": False,
            },
        },
    },
    "additionalProperties": False,
}
_REQUEST_ID: Shape = {
    "X-Request-ID": {"schema": {"type": "string"}, "description": "Names the request in the server's log."}
}
_HEADERS: dict[int, Shape] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
    HTTPStatus.TOO_MANY_REQUESTS: {
        "Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds.", "required": True}
    },
}


class Operation(AutoSchema):
    """What a view says of itself with `extend_schema`, and how it refuses."""

    def get_operation(self, *args: Any, **kwargs: Any) -> Shape | None:
        """Return the operation, or None for a view that is left out."""
        operation: Shape | None = super().get_operation(*args, **kwargs)
        if operation is not None:
            operation["responses"] |= _refusals(self._errors(operation))
            for response in operation["responses"].values():
                response["headers"] = {**response.get("headers", {}), **_REQUEST_ID}
        return operation

    def _errors(self, operation: Shape) -> Iterable[type[Exception]]:
        yield from getattr(self.view, "raises", {}).get(self.method, ())
        yield from _EVERY_VIEW
        yield DatabaseError
        if not any(isinstance(one, AllowAny) for one in self.view.get_permissions()):
            yield from _WITH_LOGIN
        if "requestBody" in operation:
            yield from _WITH_BODY


def _refusals(errors: Iterable[type[Exception]]) -> Shape:
    found = {row for error in errors for row in (_DATABASE_BUSY if error is DatabaseError else {row_of(error)})}
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for status, code in sorted(found):
        by_status[status].append(code)
    return {str(status): _refusal(status, codes) for status, codes in by_status.items()}


def _refusal(status: int, codes: list[str]) -> Shape:
    told = {"properties": {"status": {"const": status}, "code": {"enum": codes}}}
    example = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "code": codes[0]}
    return {
        "description": "  \n".join(f"`{code}`: {MEANINGS[code]}" for code in codes),
        "content": {
            PROBLEM_JSON: {"schema": {"allOf": [PROBLEM, told]}, "examples": {codes[0]: {"value": example}}},
        },
        "headers": _HEADERS.get(status, {}),
    }


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # registers the class
    """How a system says who it is."""

    target_class = "activity.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> Shape:
        """Return the scheme."""
        del auto_schema
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Api-Key` and the key, as in `Authorization: Api-Key Xy12Ab34.…`. A key is bound to one "
            "ledger and one source, and has the scopes `logs:write`, `logs:read` or both.",
        }


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # registers the class
    """How a person says who he is."""

    target_class = "rest_framework.authentication.SessionAuthentication"
    name = "session"
    priority = 1

    def get_security_definition(self, auto_schema: AutoSchema) -> Shape:
        """Return the scheme."""
        del auto_schema
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "A login in the browser. What writes needs the header X-CSRFToken, with the value of the "
            "cookie `csrftoken`, and over TLS a Referer of this site.",
        }
