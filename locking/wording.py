"""Locks, their scopes and the rules of policies in the words of people. Pure.

What a page or a command says of a lock is said here, so that it is the same everywhere.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from activity.timestamps import parse_timestamp
from activity.visible import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

_RANGES = (
    ("occurred", "occurred_from", "occurred_to"),
    ("recorded", "recorded_from", "recorded_to"),
    ("leaves", "leaf_from", "leaf_to"),
)
_EQUAL = ("severity", "outcome", "source", "actor", "action", "target", "ip")
_LABELS = {"ip": "IP address"}
WHOLE = {"leaf_from": 0}  # the scope that is every entry of a ledger
_HOLD, _COMPLIANCE = "hold", "compliance"


def scope_words(scope: Mapping[str, Any]) -> str:
    """Return what a scope is for: "type auth.login, severity critical, recorded before 2026-01-01 00:00:00 UTC"."""
    if "entries" in scope:
        number = len(scope["entries"])
        return f"{counted(number, 'entry', 'entries')}, by {'its id' if number == 1 else 'their ids'}"
    if not scope or scope == WHOLE:
        return "every entry"
    said = [_type_words(scope["type"])] if "type" in scope else []
    said += [f"{_LABELS.get(name, name)} {visible(str(scope[name]))}" for name in _EQUAL if name in scope]
    said += [_range_words(name, scope.get(low), scope.get(high)) for name, low, high in _RANGES]
    return ", ".join(words for words in said if words)


def _type_words(pattern: str) -> str:
    shown = visible(pattern)
    return f'every type that begins with "{shown[:-1]}"' if pattern.endswith(".*") else f"type {shown}"


def _range_words(name: str, low: Any, high: Any) -> str:
    said = [f"from {_bound(low)}"] if low not in (None, 0) else []
    said += [f"before {_bound(high)}"] if high is not None else []
    return " ".join([name, *said]) if said else ""


def _bound(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else moment_words(parse_timestamp(value))


def moment_words(moment: datetime) -> str:
    """Return a moment as every page writes it: "2026-01-01 00:00:00 UTC"."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def end_words(kind: str, until: datetime | None) -> str:
    """Return when a lock ends: "until it is released", "for good", "until 2032-01-01 00:00 UTC"."""
    if kind == _HOLD:
        return "until it is released"
    return "for good" if until is None else f"until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def last_words(kind: str, days: int | None) -> str:
    """Return how long the locks of a policy last."""
    if kind == _HOLD:
        return "until it is released"
    return "for good" if days is None else f"{counted(days, 'day', 'days')} from the moment it begins"


def consequences(kind: str, until: datetime | None) -> list[str]:
    """Return in whole sentences what a lock of this kind does."""
    ends = end_words(kind, until)
    if kind == _HOLD:
        return [
            "Nobody amends or removes these entries any more, whichever way he takes: PostgreSQL refuses it.",
            "The hold has no end. Two people lift it: one asks for its release, an approver gives it.",
            "It applies beside any retention: an entry is free when the last lock that covers it has ended.",
        ]
    has_end = until is not None
    length = "It can be extended, never shortened." if has_end else "It has no end, and nobody gives it one."
    who = "Two people can release it, or let exactly named entries change for a day at most."
    if kind == _COMPLIANCE:
        who = f"Nobody ends this lock{' before' if has_end else ''}: no administrator, no approver, no override."
    elif has_end:
        who = f"Before its end {who[:1].lower()}{who[1:]}"
    return [
        f"Nobody amends or removes these entries {ends}, whichever way he takes: PostgreSQL refuses it.",
        who,
        length,
    ]


def rule_words(rule: Mapping[str, Any]) -> str:
    """Return when a policy locks: "90 days after an entry was recorded"."""
    match rule.get("kind"):
        case "age":
            return f"{counted(rule['days'], 'day', 'days')} after an entry was recorded"
        case "period":
            days = counted(rule["days"], "day", "days")
            return f"{days} after the end of the {rule['period']} in which an entry was recorded"
        case "event":
            sources = ", ".join(visible(one) for one in rule["sources"])
            return f"when an entry of type {rule['type']} arrives from {sources}"
        case _:
            return f"each time the ledger has grown by {counted(rule['entries'], 'entry', 'entries')}"


def sentence(error: Exception) -> str:
    """Return what an error says as a sentence."""
    said = str(error)
    return f"{said[:1].upper()}{said[1:]}."


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun: "1 entry", "1,000 entries"."""
    return f"{number:,} {one if number == 1 else many}"


def names_words(names: list[str]) -> str:
    """Return names as one says them: "anna", "anna or bert", "anna, bert or carl"."""
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part) if names else "nobody"
