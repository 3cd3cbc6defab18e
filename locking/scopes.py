"""What a lock or a policy is for: a scope, checked before the database sees it. Pure.

    {"entries": ["<uuid>", …]}                              exactly these, up to MAX_ENTRIES
    {"type": "auth.*", "severity": …, "outcome": …, "source": …, "actor": …, "action": …, "target": …, "ip": …,
     "occurred_from": …, "occurred_to": …, "recorded_from": …, "recorded_to": …, "leaf_from": 0, "leaf_to": 1000}

Of the second form at least one member is given, and all must match; {"leaf_from": 0} is the whole ledger. Times are
RFC 3339, from inclusive, to exclusive; leaves the same. `type` is a type or a prefix such as `auth.*`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from activity.event import MAX_CHARACTERS, OUTCOMES, SEVERITIES, canonical_ip
from activity.timestamps import parse_timestamp, timestamp
from locking.errors import BadLockError

MAX_ENTRIES = 10_000
TEXTS = ("type", "severity", "outcome", "source", "actor", "action", "target", "ip")
TIMES = ("occurred_from", "occurred_to", "recorded_from", "recorded_to")
LEAVES = ("leaf_from", "leaf_to")
_MAX_LEAF = 2**63 - 1


def checked(scope: Any) -> dict[str, Any]:
    """Return the scope in the form that is stored. Raises BadLockError naming what is wrong."""
    if not isinstance(scope, dict) or not scope:
        raise BadLockError('a scope names entries or a filter; {"leaf_from": 0} is the whole ledger')
    if "entries" in scope:
        return {"entries": _entries(scope)}
    return {name: _member(name, value) for name, value in sorted(scope.items())}


def filter_of(scope: Any) -> dict[str, Any]:
    """Return the filter of a policy; an empty one is everything. Raises BadLockError."""
    if scope == {}:
        return {}
    if isinstance(scope, dict) and "entries" in scope:
        raise BadLockError("a policy has a filter, not a list of entries")
    return checked(scope)


def _entries(scope: dict[str, Any]) -> list[str]:
    named = scope["entries"]
    if len(scope) > 1 or not isinstance(named, list) or not named or len(named) > MAX_ENTRIES:
        raise BadLockError(f"entries are a list of 1 to {MAX_ENTRIES:,} ids, and nothing beside it")
    try:
        return sorted({str(UUID(one)) for one in named})
    except (ValueError, AttributeError, TypeError):
        raise BadLockError("entries are named by their ids") from None


def _member(name: str, value: Any) -> str | int:
    if name in LEAVES:
        if type(value) is not int or not 0 <= value <= _MAX_LEAF:
            raise BadLockError(f"{name} is a leaf index")
        return value
    if name not in (*TEXTS, *TIMES):
        raise BadLockError(f"there is no {name} in a scope; there are: {', '.join((*TEXTS, *TIMES, *LEAVES))}")
    if not isinstance(value, str) or not value or "\0" in value or len(value) > max(MAX_CHARACTERS.values()):
        raise BadLockError(f"{name} is a text, and not an empty one")
    if name in TIMES:
        return timestamp(moment(name, value))
    return _text(name, value)


def moment(name: str, text: str) -> datetime:
    """Return an RFC 3339 time in UTC. Raises BadLockError saying what is wrong with what is named so."""
    try:
        return parse_timestamp(text).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadLockError(f"{name}: {error}") from error


def _text(name: str, value: str) -> str:
    choices = {"severity": SEVERITIES, "outcome": OUTCOMES}.get(name)
    if choices and value not in choices:
        raise BadLockError(f"{name} is one of {', '.join(choices)}")
    if name == "ip":
        try:
            return canonical_ip(value)
        except ValueError:
            raise BadLockError("ip is an IPv4 or IPv6 address") from None
    return value
