"""What of a request is recorded: who asks, for what, from where. Reads the request; never changes what a view sees."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.http import UnreadablePostError
from django.http.multipartparser import MultiPartParserError

from activity import access
from activity.addresses import client_address
from activity.api.authentication import KEYWORD
from activity.models import OVERRIDE_RUNS, ActivityLog, ApiKey
from metaaudit import redaction
from metaaudit.record import ANONYMOUS, Who
from metaaudit.vocabulary import REDACTED, Auth

if TYPE_CHECKING:
    from django.http import HttpRequest

MAX_JSON = 65_536  # bytes of a JSON body that is looked into
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def who_of(request: HttpRequest, visitor: Any = None) -> Who:
    """Return who was found to ask, by an API key or a session; `visitor` is whom the session named before the view."""
    key = getattr(request, "auth", None)
    if isinstance(key, ApiKey):
        return _holder(key)
    user: Any = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        user = visitor
    if user is None or not user.is_authenticated:
        return ANONYMOUS
    session_key = getattr(getattr(request, "session", None), "session_key", None) or ""
    # The key itself is a right; its hash ties what one session did together, and opens nothing.
    session = sha256(session_key.encode()).hexdigest()[:16] if session_key else None
    return Who(f"user:{user.pk}", user.get_username(), Auth.SESSION, session)


def who_will_be_found(request: HttpRequest) -> Who:
    """Return who asks before the view has looked: by the API key that was sent, if it is a good one, or the session."""
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == KEYWORD.lower():
        key = access.key_of(text.strip())
        return ANONYMOUS if key is None else _holder(key)
    return who_of(request)


def address_of(request: HttpRequest) -> str | None:
    """Return the address that a request comes from."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return client_address(request.META.get("REMOTE_ADDR", ""), forwarded, settings.AUDITLOG_PROXIES)


def query_of(request: HttpRequest) -> list[tuple[str, str]]:
    """Return the parameters as the view sees them, without secrets; none if there are more than Django takes."""
    try:
        lists = request.GET.lists()
    except SuspiciousOperation:
        return []
    return redaction.query_pairs((name, value) for name, values in lists for value in values)


def body_of(request: HttpRequest) -> list[tuple[str, str]]:
    """Return what a form or a JSON object asks for, without secrets and in short."""
    kind = request.content_type or ""
    try:
        if kind in _FORMS:
            return _form(request)
        if kind.endswith("json") and 0 < int(request.META.get("CONTENT_LENGTH") or 0) <= MAX_JSON:
            said = orjson.loads(request.body)
            return redaction.body_pairs("json", said.items()) if isinstance(said, dict) else []
    except (SuspiciousOperation, RequestDataTooBig, MultiPartParserError, UnreadablePostError, ValueError):
        return []  # the view will refuse it
    return []


def is_under_override(request: HttpRequest) -> bool:
    """Tell whether the entry that a request is about is open under an override that runs."""
    match = request.resolver_match
    entry = None if match is None else ActivityLog.objects.filter(pk=match.kwargs["entry_id"]).first()
    return entry is not None and entry.lock_words == OVERRIDE_RUNS


def without_unknown_name(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the parameters of a failed sign-in; a name that is nobody's may be a password in the wrong field."""
    return [
        (name, value if name != "form.username" or User.objects.filter(username=value).exists() else REDACTED)
        for name, value in pairs
    ]


def _form(request: HttpRequest) -> list[tuple[str, str]]:
    pairs = [(name, value) for name, values in request.POST.lists() for value in values]
    files = [(name, f"a file of {file.size} bytes") for name, several in request.FILES.lists() for file in several]
    return redaction.body_pairs("form", [*pairs, *files])


def _holder(key: ApiKey) -> Who:
    return Who(f"api-key:{key.prefix}", key.name, Auth.API_KEY, key.prefix)
