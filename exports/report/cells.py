"""What the report prints of an entry, before it is laid out: the texts of each column and of the lines below. Pure.

Shared by the renderer and by the verifier, which reads the pages back and compares. No fonts, no widths.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from exports.rows import ExportedEntry

NOTHING = "—"
UNREADABLE = "not readable as JSON; its bytes: "
VERDICT_WORDS = {
    "valid": "valid",
    "unsigned": "unsigned",
    "tampered": "TAMPERED",
    "missing": "MISSING",
    "untrusted_key": "untrusted key",
    "cannot_tell": "cannot tell",
    "removed": "removed",
    "erased": "erased",
}
ALARMING = frozenset({"tampered", "missing"})
DOUBTFUL = frozenset({"untrusted_key", "cannot_tell"})


class Printed(NamedTuple):
    """The texts of an entry. A cell is one or two texts, each beginning on a line of its own."""

    cells: tuple[tuple[str, ...], ...]  # as many as there are columns
    remark: str  # what is wrong with the entry; empty if nothing is
    facts: str  # id, times, key
    data: str
    occurred_at: str
    type: str
    actor: str


def printed(entry: ExportedEntry) -> Printed:
    """Return what is printed of an entry. A record that is no JSON object is printed as its bytes."""
    record = _parsed(entry.record)
    members = record if isinstance(record, dict) else {}

    def member(name: str) -> str:
        value = members.get(name)
        return NOTHING if value is None or value == "" else value if isinstance(value, str) else _json(value)

    day, _, time = member("occurred_at").removesuffix("Z").partition("T")
    cells = (
        (str(entry.leaf_index),),
        (day, time) if time else (day,),
        (member("type"), member("action")),
        (member("actor"), member("ip")),
        (member("target"), member("source")),
        (member("outcome"), member("severity")),
        (VERDICT_WORDS.get(entry.verdict, entry.verdict),),
    )
    named = (("id", "id"), ("recorded", "recorded_at"), ("event id", "event_id"), ("key", "kid"))
    facts = " · ".join(f"{word} {member(name)}" for word, name in named if member(name) != NOTHING)
    return Printed(
        cells,
        _remark(entry),
        facts,
        _data(entry, record),
        *(member(name) for name in ("occurred_at", "type", "actor")),
    )


def _remark(entry: ExportedEntry) -> str:
    if entry.verdict in {"valid", "unsigned"}:
        return ""
    word = VERDICT_WORDS.get(entry.verdict, entry.verdict)
    return f"{word}: {entry.reason}" if entry.reason else word


def _data(entry: ExportedEntry, record: object) -> str:
    if not isinstance(record, dict):
        return UNREADABLE + ascii(entry.record)[2:-1] if entry.record else ""
    if entry.detached_data is not None:
        detached = _parsed(entry.detached_data)
        return UNREADABLE + ascii(entry.detached_data)[2:-1] if detached is _NO_JSON else _json(detached)
    return _json(record["data"]) if "data" in record else ""


_NO_JSON = object()


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return _NO_JSON


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
