"""entries.csv: a row for each exported entry, from which its record can be made again. Pure and streaming.

RFC 4180: UTF-8, a header line, commas, CRLF, quotation marks only where needed. The columns are COLUMNS; times are
those of the record, ISO 8601 with microseconds. No text becomes a formula: csv_cells.py has the rule and the way back.

    amendment       from revision 2 on the JSON text of what the record supersedes, by whom and why
    data            the JSON text of the event's data; `data_place` says whether it is "inline" or "detached"
    leaf_hash       SHA-256(0x00 || record), in hexadecimal
    signature       base64
    record_base64   the record itself where its members cannot be shown as cells that lead back to it, which tampering
                    makes; then `data_place` is empty, and so are the cells of the members

`record_of` makes the record of a row again. Parts made by several workers are concatenated.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64, b2a_base64
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from exports.csv_cells import PLAIN, lines_of, neutral_json, neutralise, quoted, restore
from exports.errors import BadRowError
from exports.render_ndjson import SOUND
from exports.rows import ExportedEntry
from signing.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exports.manifest import Claim

NAME = "entries.csv"
MEDIA_TYPE = "text/csv"
SEPARATOR = b""
# Of the record, in the order of the columns; absent ones are empty.
_BEFORE_DATA = ("action", "actor")
_AFTER_DATA = (
    "event_id",
    "id",
    "ip",
    "kid",
    "ledger",
    "occurred_at",
    "outcome",
    "recorded_at",
    "revision",
    "severity",
    "source",
    "target",
    "type",
)
_SHOWN = (
    "id",
    "occurred_at",
    "recorded_at",
    "type",
    "action",
    "actor",
    "target",
    "outcome",
    "severity",
    "source",
    "ip",
    "event_id",
    "ledger",
    "revision",
)
_OPTIONAL = frozenset({"event_id", "ip", "kid"})
COLUMNS = (
    "leaf_index",
    *_SHOWN,
    "amendment",
    "verdict",
    "reason",
    "data",
    "data_place",
    "key_id",
    "signature",
    "leaf_hash",
    "record_base64",
)
_DATA, _DETACHED, _ID, _EVENT_ID = b',"data":', b',"data_sha256":', b',"id":', b',"event_id":'
_AMENDMENT = b',"amendment":'
_loads: Any = json.JSONDecoder().decode
_SOUND = {str(verdict): str(verdict).encode() for verdict in SOUND}
# What stands around the data of a first version, without the backslashes of JSON.
_PLAIN_MEMBERS = re.compile(
    b'{"action":"(%b)","actor":"(%b)"(?:,"event_id":"(%b)")?,"id":"(%b)"(?:,"ip":"(%b)")?(?:,"kid":"(%b)")?,'
    b'"ledger":"(%b)","occurred_at":"(%b)","outcome":"(%b)","recorded_at":"(%b)","revision":1,"severity":"(%b)",'
    b'"source":"(%b)","target":"(%b)","type":"(%b)","v":1}' % ((PLAIN,) * 14)
)


class _Parts(NamedTuple):
    """What a record is made of. Amendment and data are JSON texts, for nobody may spell them anew."""

    members: dict[str, Any]
    amendment: str  # empty where there is none
    data: str
    place: str


def header() -> bytes:
    """Return the header line."""
    return lines_of([COLUMNS])


def rows(entries: Iterable[ExportedEntry]) -> bytes:
    """Return the lines of these entries, which are in leaf order."""
    return b"".join([_plain_line(entry) or lines_of([_cells(entry)]) for entry in entries])


def footer(claim: Claim) -> bytes:
    """Return what stands after the last row."""
    del claim
    return b""


def record_of(row: Mapping[str, str]) -> bytes:
    """Return the record of a row, as csv.DictReader gives it. Raises BadRowError if it does not lead to its leaf hash.

    Standing alone a row is believed in nothing but this: whoever changes it can change its hash too.
    """
    try:
        text = {name: restore(row[name]) for name in COLUMNS}
        if not text["data_place"]:
            record = a2b_base64(text["record_base64"])
        else:
            members: dict[str, Any] = {name: text[name] for name in _SHOWN if text[name] or name not in _OPTIONAL}
            if text["key_id"]:
                members["kid"] = text["key_id"]
            members["revision"] = int(text["revision"])
            record = _composed(_Parts(members, text["amendment"], text["data"], text["data_place"]))
    except (KeyError, AttributeError, ValueError) as error:
        raise BadRowError("not a row of this format") from error
    if sha256(b"\x00" + record).hexdigest() != row["leaf_hash"]:
        raise BadRowError("the row does not lead back to the record whose hash it names")
    return record


def parse_row(row: Mapping[str, str]) -> ExportedEntry:
    """Return the entry of a row. Raises BadRowError."""
    record = record_of(row)
    try:
        return ExportedEntry(
            leaf_index=int(row["leaf_index"]),
            record=record,
            detached_data=restore(row["data"]).encode() if row["data_place"] == "detached" else None,
            key_id=restore(row["key_id"]) or None,
            signature=a2b_base64(row["signature"]) if row["signature"] else None,
            verdict=Verdict(row["verdict"]),
            reason=restore(row["reason"]),
        )
    except ValueError as error:
        raise BadRowError("not a row of this format") from error


def _plain_line(entry: ExportedEntry) -> bytes | None:
    """Return the line that _cells leads to, in a third of the time, or None where a member is not a plain text."""
    leaf_index, record, detached, key_id, signature, verdict, _ = entry
    if verdict not in _SOUND or detached is not None:
        return None
    start, end = _data_of(record, _DATA)
    members = record[:start] + record[end:]
    if b"\\" in members:
        if b"\\" in members.replace(rb"\\", b""):
            return None
        members = members.replace(rb"\\", b"\\")
    match = _PLAIN_MEMBERS.fullmatch(members)
    if match is None:
        return None
    action, actor, event_id, entry_id, ip, kid, *rest = match.groups(b"")
    ledger, occurred_at, outcome, recorded_at, severity, source, target, kind = rest
    if kid.decode() != (key_id or ""):
        return None
    return b"%d,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,%b,1,,%b,,%b,inline,%b,%b,%b,\r\n" % (
        leaf_index,
        entry_id,
        occurred_at,
        recorded_at,
        kind,
        action,
        actor,
        target,
        outcome,
        severity,
        source,
        ip,
        event_id,
        ledger,
        _SOUND[verdict],
        quoted(neutral_json(record[start + len(_DATA) : end])),
        kid,
        b"" if signature is None else b2a_base64(signature, newline=False),
        sha256(b"\x00" + record).hexdigest().encode(),
    )


def _cells(entry: ExportedEntry) -> list[str]:
    parts = _parts(entry)
    members, amendment, data, place = parts or ({}, "", "", "")
    signature = entry.signature
    return [
        str(entry.leaf_index),
        *[neutralise(members.get(name, "")) for name in _SHOWN[:-1]],
        str(members.get("revision", "")),
        neutralise(amendment),
        entry.verdict,
        neutralise(entry.reason),
        neutralise(data),
        place,
        neutralise(entry.key_id or ""),
        "" if signature is None else b2a_base64(signature, newline=False).decode(),
        sha256(b"\x00" + entry.record).hexdigest(),
        "" if parts is not None else b2a_base64(entry.record, newline=False).decode(),
    ]


def _parts(entry: ExportedEntry) -> _Parts | None:
    """Return the parts of a record that make it again, or None if they would not."""
    if entry.verdict in SOUND:
        return _split(entry.record, entry.detached_data)
    try:
        parts = _split(entry.record, entry.detached_data)
        members = parts.members
        fits = (
            all(type(value) is (int if name == "revision" else str) for name, value in members.items())
            and not any(members.get(name) == "" for name in _OPTIONAL)
            and members.get("kid") == entry.key_id
            and members.keys() >= {*_BEFORE_DATA, *_AFTER_DATA} - _OPTIONAL
            and _is_object_of_one_line(parts.data)
            and _composed(parts) == entry.record
        )
    except (ValueError, RecursionError):
        return None
    return parts if fits else None


def _is_object_of_one_line(data: str) -> bool:
    return isinstance(json.loads(data), dict) and not any(space in data for space in "\t\r\n")


def _data_of(record: bytes, begin: bytes) -> tuple[int, int]:
    """Return where the data's member, which begins so, stands in a record. Raises ValueError for what is no record."""
    end = record.rindex(_ID)
    # Before the id stands a text if there is an event_id, and otherwise the brace or number that ends the data.
    if record[end - 1 : end] == b'"':
        end = record.rindex(_EVENT_ID, 0, end)
    return record.index(begin), end


def _split(record: bytes, detached: bytes | None) -> _Parts:
    """Take a record apart. No text in it holds an unescaped quotation mark, so that each cut is the only one there.

    Raises ValueError for what is no record.
    """
    start, end = _data_of(record, _DATA if detached is None else _DETACHED)
    cut = record.find(_AMENDMENT, 0, start)
    amendment = "" if cut < 0 else record[cut + len(_AMENDMENT) : start].decode()
    members: dict[str, Any] = _loads(record[: start if cut < 0 else cut].decode() + "}")
    members |= _loads("{" + record[end + 1 :].decode())
    del members["v"]
    if detached is None:
        return _Parts(members, amendment, record[start + len(_DATA) : end].decode(), "inline")
    return _Parts(members, amendment, detached.decode(), "detached")


def _composed(parts: _Parts) -> bytes:
    """Return the record of these parts, as activity/record.py composes it."""
    members, amendment, data, place = parts
    raw = data.encode()
    if place == "detached":
        middle = b'%b"%b","data_size":%d' % (_DETACHED, sha256(raw).hexdigest().encode(), len(raw))
    elif place == "inline":
        middle = _DATA + raw
    else:
        raise BadRowError("data is inline or detached")
    if amendment:
        middle = _AMENDMENT + amendment.encode() + middle
    before = {name: members[name] for name in _BEFORE_DATA}
    after = {name: members[name] for name in _AFTER_DATA if name in members} | {"v": 1}
    return _json(before)[:-1] + middle + b"," + _json(after)[1:]


def _json(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
