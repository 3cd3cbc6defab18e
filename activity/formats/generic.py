"""Any JSON lines, with a mapping given by options. Pure.

    --map type=event.kind --map actor=user.name --map occurred_at=ts --default source=shop --default severity=notice

A field is read from the place that --map names (dotted: keys, or positions in an array; a key that holds the dots
itself comes first), without --map from the member of its own name, occurred_at also from @timestamp, timestamp, time or
ts; then --default stands in, --source for the source, the type for a missing action.

    type          lower case, words joined by dots, everything else a dash: "User Login" → user-login
    occurred_at   RFC 3339 with offset, or seconds or milliseconds since 1970
    outcome       success, failure, denied and their usual other names; a word we do not know: unknown
    severity      ours, and the names and numbers of syslog; a word we do not know: info
    ip            where it is an address

`data` is the whole event.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from activity.errors import BadEventsError, Problem
from activity.event import Event
from activity.formats.options import Options
from activity.formats.values import fitted, ip_of, moment, text_of, type_word, unix_moment
from activity.strict_json import member_path

_OUTCOMES = {
    **dict.fromkeys(("success", "successful", "succeeded", "ok", "true", "allowed", "allow", "passed"), "success"),
    **dict.fromkeys(("failure", "failed", "fail", "error", "false"), "failure"),
    **dict.fromkeys(("denied", "deny", "unauthorized", "forbidden", "blocked", "rejected"), "denied"),
}
_SEVERITIES = {
    **dict.fromkeys(("debug", "trace", "verbose", "7"), "debug"),
    **dict.fromkeys(("info", "information", "informational", "6"), "info"),
    **dict.fromkeys(("notice", "5"), "notice"),
    **dict.fromkeys(("warning", "warn", "4"), "warning"),
    **dict.fromkeys(("error", "err", "3"), "error"),
    **dict.fromkeys(("critical", "crit", "fatal", "alert", "emergency", "emerg", "panic", "0", "1", "2"), "critical"),
}
_TIMES = ("occurred_at", "@timestamp", "timestamp", "time", "ts")


def recognises(value: dict[str, Any]) -> bool:  # noqa: ARG001 the question every format is asked
    """Say no: nothing about an object shows that it needs a mapping."""
    return False


def to_event(value: dict[str, Any], *, options: Options) -> Event:
    """Return the event.

    Raises BadEventsError naming every required field that neither the event nor an option says.
    """
    reader = _Reader(value, options)
    type_text = reader.required("type")
    event = Event(
        type=fitted("type", ".".join(word for part in type_text.split(".") if (word := type_word(part)))),
        action=fitted("action", reader.text("action") or type_text),
        actor=fitted("actor", reader.required("actor")),
        source=fitted("source", reader.text("source") or options.source or reader.required("source")),
        target=fitted("target", reader.text("target")),
        outcome=_OUTCOMES.get(reader.text("outcome").lower(), "unknown"),
        severity=_SEVERITIES.get(reader.text("severity").lower(), "info"),
        ip=ip_of(reader.text("ip")),
        event_id=reader.text("event_id") or None,
        data=value,
        occurred_at=reader.occurred_at(),
    )
    if reader.problems:
        raise BadEventsError(reader.problems)
    return event


class _Reader:
    """Reads our fields out of one event and collects what is missing."""

    def __init__(self, value: dict[str, Any], options: Options) -> None:
        self.value = value
        self.options = options
        self.problems: list[Problem] = []

    def raw(self, field: str) -> object:
        return _at(self.value, self.options.mapping.get(field, field))

    def text(self, field: str) -> str:
        value = self.raw(field)
        if isinstance(value, bool):
            return "true" if value else "false"
        return text_of(value) or self.options.defaults.get(field, "")

    def path(self, field: str) -> str:
        return member_path("$", field) if (place := self.options.mapping.get(field)) is None else f"$.{place}"

    def required(self, field: str) -> str:
        if text := self.text(field):
            return text
        hint = f"says no {field}; --map {field}=PLACE or --default {field}=VALUE can"
        self.problems.append(Problem(self.path(field), hint))
        return "missing"

    def occurred_at(self) -> datetime:
        mapped = self.options.mapping.get("occurred_at")
        for place in (mapped,) if mapped else _TIMES:
            value = _at(self.value, place)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return unix_moment(value, f"$.{place}")
            if text := text_of(value):
                return moment(text.replace(" ", "T", 1), f"$.{place}")
        if default := self.options.defaults.get("occurred_at"):
            return moment(default, "$.occurred_at")
        self.required("occurred_at")
        raise BadEventsError(self.problems)


def _at(value: object, place: str) -> object:
    if isinstance(value, dict) and place in value:
        return value[place]
    for key in place.split("."):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
