"""Which action a request is, and whether it is recorded or counted. Pure: route and method in, rule out.

Everything is recorded but what stands here, so that a new view cannot be forgotten:

    UNWATCHED   health, and files that WhiteNoise serves: no log, no people
    COUNTED     successful ingest, public keys, checkpoints and tiles: no access to log content
    strangers   what somebody without an account asks for and gets no log data from is counted; see STRANGERS

A route is the pattern of urls.py that fits, as Django writes it; "" where none does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
STATIC = "/static/"  # STATIC_URL; with no route, for a middleware serves it
UNWATCHED = frozenset({"healthz", "readyz"})
COUNTED: dict[tuple[str, str], str] = {
    ("POST", "api/v1/logs"): "ingest",
    ("POST", "api/v1/logs/bulk"): "ingest",
    ("GET", ".well-known/jwks.json"): "jwks",
    ("GET", "ledgers/<str:name>/checkpoint"): "checkpoint",
    ("GET", "ledgers/<str:name>/tile/<path:path>"): "tile",
}
# What is recorded one by one although nobody is known: evidence that is judged, and every attempt to sign in. Each is
# counted by address and bounded before it comes to it. Everything else of strangers goes into summaries, for a flood
# must not fill what may never be purged.
STRANGERS = frozenset({"api/v1/verify", "verify/", "login/", "admin/login/"})
SIGN_IN = frozenset({"login/", "admin/login/"})
FIRST_LOGIN = "first-login/<uidb64>/<token>/"  # a link that is good is used once
_PAGING = frozenset({"limit", "cursor", "order", "ledger", "page", "p", "o", "format", "_popup", "_to_field"})


@dataclass(frozen=True, slots=True)
class Rule:
    """The action of a request. `changes`: it is recorded before it acts, and again when it has."""

    action: str
    changes: bool = False


_LISTS = frozenset({"api/v1/logs", "logs/", "admin/activity/activitylog/", "admin/autocomplete/"})
# Exact routes: action of safe methods, and of the others; None: as the next table or the default has it.
_ROUTES: dict[str, tuple[str | None, str | None]] = {
    "api/v1/logs": (None, "ingest_denied"),
    "api/v1/logs/bulk": (None, "ingest_denied"),
    "api/v1/logs/<uuid:entry_id>": ("retrieve", None),
    "api/v1/logs/<uuid:entry_id>/proof": ("proof", None),
    "api/v1/log-types": ("config_view", None),
    "api/v1/verify": (None, "verify"),
    "logs/<uuid:entry_id>/": ("retrieve", None),
    "verify/": ("view", "verify"),
    "login/": ("view", "login"),
    "admin/login/": ("view", "login"),
    "logout/": ("view", "logout"),
    "admin/logout/": ("view", "logout"),
    FIRST_LOGIN: ("view", "account_change"),
    "api/v1/meta-logs": ("meta_list", None),
    "api/v1/meta-logs/<uuid:meta_id>": ("meta_retrieve", None),
    "api/v1/meta-logs/<uuid:meta_id>/replay": (None, "replay"),
    "meta-logs/": ("meta_list", None),
    "meta-logs/<uuid:meta_id>/": ("meta_retrieve", None),
    "meta-logs/<uuid:meta_id>/replay/": (None, "replay"),
    "meta-logs/activity/": ("meta_list", None),
    "meta-logs/export/": ("download", None),
    "meta-logs/order/": ("view", "export"),
    "locks/new/preview/": (None, "search"),
}
_METHODS: dict[tuple[str, str], str] = {
    ("PATCH", "api/v1/logs/<uuid:entry_id>"): "amend",
    ("DELETE", "api/v1/logs/<uuid:entry_id>"): "remove",
}
CHANGES = frozenset(_METHODS.values())  # of an entry: under an override each of them is `override_use`
# What does not change anything although its method could.
_READS = frozenset(
    {
        "api/v1/verify",
        "verify/",
        "api/v1/meta-logs/<uuid:meta_id>/replay",
        "meta-logs/<uuid:meta_id>/replay/",
        "locks/new/preview/",
    }
)
# The first pattern that a route begins with.
_PREFIXES: tuple[tuple[str, str | None, str | None], ...] = (
    (r"admin/activity/activitylog/.+", "retrieve", None),
    (r"admin/activity/(logtype|apikey|ledgergrant)/", "config_view", "config_change"),
    (r"admin/locking/lockpolicy/", "config_view", "config_change"),
    (r"admin/signing/(signingkey|keywindow|keyevent|exportkey|certificate)", "key_list", "key_change"),
    (r"admin/metaaudit/metalog/$", "meta_list", None),
    (r"admin/metaaudit/metalog/", "meta_retrieve", None),
    (r"admin/(auth/user/|password_change/)", None, "account_change"),
    (r"overrides/.+/decide/", None, "override_decide"),
    (r"overrides/.+/close/", None, "override_close"),
    (r"overrides/.+/review/", None, "override_review"),
    (r"(api/v1/|admin/)?(exports?|locking/)?[a-z/]*override", None, "override_request"),
    (r"(api/v1/)?exports/.+/download", "download", None),
    (r"exports/key/", "key_list", "key_change"),
    (r"(api/v1/)?exports", "view", "export"),
    (r"(api/v1/|admin/locking/|locking/)?(log)?locks?.*release", None, "release"),
    (r"(api/v1/|admin/locking/|locking/)?(log)?locks?", "view", "lock"),
    (r"admin/", "admin_view", "admin_change"),
)


def rule_of(route: str, method: str, parameters: frozenset[str] = frozenset()) -> Rule:
    """Return the rule for a request; `parameters` are the names of its query."""
    safe = method in SAFE
    action = _METHODS.get((method, route)) or _ROUTES.get(route, (None, None))[0 if safe else 1]
    if action is None and safe and route in _LISTS:
        action = "search" if parameters - _PAGING else "list"
    if action is None:
        action = next((each[1 if safe else 2] for each in _PREFIXES if re.match(each[0], route)), None)
    if action is None:
        action = "view" if safe else "change"
    changes = not safe and route not in _READS and (method, route) not in COUNTED
    return Rule(action, changes)


def is_unwatched(path: str, route: str, *, served_by_middleware: bool) -> bool:
    """Tell whether a request is none of ours."""
    return route in UNWATCHED or (served_by_middleware and path.startswith(STATIC))


def counted_as(route: str, method: str, status: int) -> str | None:
    """Return under which name a request is counted instead of being recorded, or None."""
    if status >= HTTPStatus.BAD_REQUEST:
        return None
    return COUNTED.get(("GET" if method == "HEAD" else method, route))
