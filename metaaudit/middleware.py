"""Watches every request, and lets no answer out that is not recorded. It stands outermost but for the request log.

    a request that shows something      record, committed; then the answer
    a request that changes something    record of the intent, committed; the view; record of how it ended; the answer
    an answer that is a stream          record of the intent; the stream, counted; record of how many bytes went out

Whatever cannot be recorded is answered 503 and shows nothing. Recording happens outside of any transaction of the view
(ATOMIC_REQUESTS too: Django opens that around the view alone), so that no rollback takes a record away.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from rest_framework.settings import api_settings
from structlog.contextvars import get_contextvars

from activity.disclosures import Disclosure, collecting
from metaaudit import counts, rules, services
from metaaudit.errors import AddressTooLongError, NotRecordedError
from metaaudit.record import ANONYMOUS, MAX_PATH, MAX_QUERY, Access, Who
from metaaudit.redaction import path_without
from metaaudit.request_facts import (
    address_of,
    body_of,
    is_under_override,
    query_of,
    who_of,
    who_will_be_found,
    without_unknown_name,
)
from metaaudit.vocabulary import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from metaaudit.errors import MetaauditError

_LOG = logging.getLogger(__name__)
_WATCHED = "_metaaudit"


class RecordAccess:
    """Django middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer, once it is recorded that this is answered."""
        watched = _Watched(request)
        setattr(request, _WATCHED, watched)
        if watched.is_too_long:
            response: HttpResponseBase = _refusal(AddressTooLongError("the address is too long"))
        else:
            with collecting(watched.shown):
                response = self._get_response(request)
        try:
            return watched.answered(response)
        except (NotRecordedError, DatabaseError) as error:
            if response.streaming:
                response.close()
            return _not_recorded("an answer was withheld", error)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        """Record the intent of a change before anything acts on it; without that record, nothing does."""
        del view, args, kwargs
        try:
            getattr(request, _WATCHED).before_view()
        except (NotRecordedError, DatabaseError) as error:
            return _not_recorded("a change was refused", error)
        return None


class _Watched:
    """One request, from its first byte to the last one of its answer."""

    def __init__(self, request: HttpRequest) -> None:
        self.shown = Disclosure()
        self._request = request
        self._began = time.monotonic()
        self._method = request.method or ""
        self._who: Who | None = None  # as it was before the view, which may sign somebody out
        self._visitor: Any = None  # whom the session names; a view that asks for nobody forgets him
        self._body: list[tuple[str, str]] = []
        self._intent: UUID | None = None
        self._uses_override = False
        long_query = len(request.META.get("QUERY_STRING", "")) > MAX_QUERY
        self.is_too_long = long_query or len(request.path) > MAX_PATH

    @property
    def _route(self) -> str:
        match = self._request.resolver_match
        return "" if match is None else match.route or ""

    def before_view(self) -> None:
        """Look at what the view may use up or replace, and record the intent of a change."""
        self._visitor = getattr(self._request, "user", None)
        is_counted = rules.counted_as(self._route, self._method, HTTPStatus.OK) is not None
        if self._method in rules.SAFE or is_counted or self._route in rules.UNWATCHED:
            return
        self._body = body_of(self._request)
        self._uses_override = rules.rule_of(self._route, self._method).action in rules.CHANGES and is_under_override(
            self._request
        )
        if rules.rule_of(self._route, self._method).changes and self._route not in rules.SIGN_IN:
            self._who = who_will_be_found(self._request)
            if self._who is not ANONYMOUS:
                self._intent = services.record(access=replace(self._access(self._who), phase=Phase.INTENT))

    def answered(self, response: HttpResponseBase) -> HttpResponseBase:
        """Return the response once its record is committed, or wrapped so that its end is recorded too."""
        route, status = self._route, response.status_code
        by_middleware = self._request.resolver_match is None and status < HTTPStatus.BAD_REQUEST
        if rules.is_unwatched(self._request.path, route, served_by_middleware=by_middleware):
            return response
        if (name := rules.counted_as(route, self._method, status)) and not self.shown.count:
            counts.add(name)
            return response
        # What a browser or a proxy keeps is shown again without anybody hearing of it.
        response.setdefault("Cache-Control", "private, no-store")
        who = self._who or who_of(self._request, self._visitor)
        if self._is_a_strangers(who, status):
            counts.add(f"strangers-{status}:{address_of(self._request)}")
            return response
        access = replace(
            self._access(who),
            status=status,
            result_count=self.shown.count if self.shown.digest() is not None else None,
            result_digest=self.shown.digest(),
            leaves=self.shown.leaves(),
            sizes=self.shown.sizes,
            searches=self.shown.searches,
        )
        if isinstance(response, StreamingHttpResponse):
            return self._streamed(response, access)
        size = 0 if self._method == "HEAD" else len(response.content) if isinstance(response, HttpResponse) else None
        self._record_end(replace(access, bytes=size))
        return response

    def _is_a_strangers(self, who: Who, status: int) -> bool:
        """Tell whether nobody known asked, and got no log data: that is counted (see rules.py)."""
        if who is not ANONYMOUS or self.shown.count:
            return False
        if self._method in rules.SAFE or status == HTTPStatus.TOO_MANY_REQUESTS:
            return True
        is_used_link = self._route == rules.FIRST_LOGIN and status == HTTPStatus.FOUND
        return self._route not in rules.STRANGERS and not is_used_link

    def _access(self, who: Who) -> Access:
        """Return what is known of the request whatever comes out of it."""
        query = [] if self.is_too_long else query_of(self._request)
        match = self._request.resolver_match
        action = rules.rule_of(self._route, self._method, frozenset(name for name, _ in query)).action
        body = self._body
        if self._uses_override:
            action = "override_use"
        if action == "login" and who is ANONYMOUS:
            action, body = "login_failed", without_unknown_name(body)
        return Access(
            who=who,
            action=action,
            method=self._method,
            path=path_without(self._request.path, {} if match is None else match.kwargs),
            route=self._route,
            query=[*query, *body],
            ip=address_of(self._request),
            agent=self._request.headers.get("User-Agent"),
            request_id=get_contextvars().get("request_id"),
        )

    def _record_end(self, access: Access) -> None:
        phase = Phase.ACCESS if self._intent is None else Phase.COMPLETION
        took = round((time.monotonic() - self._began) * 1000)
        services.record(access=replace(access, phase=phase, completes=self._intent, duration_ms=took))

    def _streamed(self, response: StreamingHttpResponse, access: Access) -> StreamingHttpResponse:
        if self._intent is None:
            self._intent = services.record(access=replace(access, phase=Phase.INTENT))
        # A file that the server would send by itself is sent by us, for nobody else says how much of it went out.
        response.streaming_content = _Counted(response.streaming_content, self, access)
        return response

    def ended(self, access: Access, sent: int) -> None:
        """Record how a stream ended: how many bytes were handed out, and what of the log was noted on the way."""
        seen = self.shown.digest()
        access = replace(access, bytes=sent, sizes=self.shown.sizes, searches=self.shown.searches)
        if seen is not None:
            access = replace(access, result_count=self.shown.count, result_digest=seen, leaves=self.shown.leaves())
        try:
            self._record_end(access)
        except (NotRecordedError, DatabaseError) as error:
            # The intent stands, without an end: the viewer shows it as one whose end nobody knows.
            _LOG.error("the end of a stream could not be recorded: %s", type(error).__name__, exc_info=error)


class _Counted:
    """The content of a stream, counted; closed by Django when the answer is over, whole or not."""

    def __init__(self, content: Any, watched: _Watched, access: Access) -> None:
        self._content = iter(content)
        self._watched = watched
        self._access = access
        self._sent = 0
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        # A generator reads the log as it goes; what it notes belongs to this request.
        with collecting(self._watched.shown):
            chunk: bytes = next(self._content)
        self._sent += len(chunk)
        return chunk

    def close(self) -> None:
        """Record the end, once."""
        if self._open:
            self._open = False
            self._watched.ended(self._access, self._sent)


def _not_recorded(what: str, cause: Exception) -> HttpResponse:
    error = NotRecordedError(what)
    error.__cause__ = cause  # for the log of the server, which the table of errors writes
    return _refusal(error)


def _refusal(error: MetaauditError) -> HttpResponse:
    """Return what the table of API errors, which lies a floor above and is named in the settings, answers to it."""
    handler: Any = api_settings.EXCEPTION_HANDLER
    answer: HttpResponse = handler(error, {})
    answer["Cache-Control"] = "no-store"
    answer["X-Content-Type-Options"] = "nosniff"
    return answer
