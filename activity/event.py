"""What a writer says happened: its members, their limits, and its form as JSON. Pure.

    {"type":"auth.login","action":…,"actor":…,"occurred_at":"2026-11-23T05:40:00Z","source":…,
     "target":…,"outcome":"success","severity":"info","ip":…,"event_id":…,"data":{…}}

The first five are required. event_faults.py says what an event may hold, record.py what becomes of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from activity.errors import BadEventsError, Problem
from activity.timestamps import parse_timestamp

if TYPE_CHECKING:
    from datetime import datetime

MAX_DEPTH = 32
MAX_CHARACTERS = {"type": 200, "action": 200, "actor": 500, "target": 500, "source": 200, "event_id": 200}
OUTCOMES = ("success", "failure", "denied", "unknown")
SEVERITIES = ("debug", "info", "notice", "warning", "error", "critical")
SYSTEM_PREFIX = "auditlog."
RESERVED_KEYS = frozenset({"_sd", "_sd_alg", "..."})  # SD-JWT (RFC 9901) gives them a meaning
TYPE_PATTERN = r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*"
_REQUIRED = ("type", "action", "actor", "occurred_at", "source")
_OPTIONAL_TEXT = (str, type(None))
_MEMBERS: dict[str, Any] = {
    "type": str,
    "action": str,
    "actor": str,
    "occurred_at": str,
    "source": str,
    "target": str,
    "outcome": str,
    "severity": str,
    "ip": _OPTIONAL_TEXT,
    "event_id": _OPTIONAL_TEXT,
    "data": dict,
}
_KIND = {str: "a string", _OPTIONAL_TEXT: "a string or null", dict: "an object"}


@dataclass(frozen=True, slots=True)
class Event:
    """What a writer says happened. `occurred_at` is aware; `data` is JSON-like and kept as it is."""

    type: str
    action: str
    actor: str
    occurred_at: datetime
    source: str
    target: str = ""
    outcome: str = "unknown"
    severity: str = "info"
    ip: str | None = None
    event_id: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


@lru_cache(maxsize=4096)
def canonical_ip(text: str) -> str:
    """Return an address in the one form that records have: shortest, and an IPv4 address as such, never mapped.

    Python and PostgreSQL write some IPv6 addresses differently, and versions of Python mapped ones, so that both are
    brought to this form before they are compared. Raises ValueError for what is no address, and for a zone.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("an address without a zone is needed")
        return str(address.ipv4_mapped or address)
    return str(address)


def event_from_json(value: object, *, source: str | None = None) -> Event:
    """Return the event that a JSON object of our own format says; `source` fills in for a missing one.

    Raises BadEventsError naming every unknown, missing or mistyped member.
    """
    if not isinstance(value, dict):
        raise BadEventsError([Problem("$", "an event is a JSON object")])
    problems = [Problem(f"$.{name}", "unknown member") for name in value if name not in _MEMBERS]
    members = {"source": source, **value} if source is not None else dict(value)
    problems += [Problem(f"$.{name}", "is required") for name in _REQUIRED if name not in members]
    for name, member in members.items():
        if name in _MEMBERS and not isinstance(member, _MEMBERS[name]):
            problems.append(Problem(f"$.{name}", f"must be {_KIND[_MEMBERS[name]]}, not {kind_of(member)}"))
    occurred_at = members.get("occurred_at")
    if isinstance(occurred_at, str):
        try:
            members["occurred_at"] = parse_timestamp(occurred_at)
        except ValueError as error:
            problems.append(Problem("$.occurred_at", str(error)))
    if isinstance(members.get("ip"), str):
        try:
            members["ip"] = canonical_ip(members["ip"])
        except ValueError:
            problems.append(Problem("$.ip", f"not an IPv4 or IPv6 address: {members['ip'][:60]!r}"))
    if problems:
        raise BadEventsError(problems)
    return Event(**members)


def kind_of(value: object) -> str:
    """Return what a value is called in JSON, as it stands in messages."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
