"""accesses.csv: a row for each exported access, to be read by people, with its record. Pure and streaming.

RFC 4180 and cells as in entries.csv (render_csv.py). The columns are COLUMNS: members of the record, whose lists and
objects are JSON, then what was found. The record itself stands in `record_base64`, for not every member has a column.

    leaf_hash       SHA-256(0x00 || record), in hexadecimal

A record that is not in its one spelling, which only tampering makes, has no cells of members.
"""

from __future__ import annotations

import json
from binascii import a2b_base64, b2a_base64
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from exports import access_records
from exports.csv_cells import lines_of, neutralise, restore
from exports.errors import BadRowError
from exports.rows import ExportedEntry
from signing.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from exports.manifest import Claim

NAME = "accesses.csv"
MEDIA_TYPE = "text/csv"
SEPARATOR = b""
_MEMBERS = (
    "id", "at", "user_id", "user_name", "auth", "auth_id", "action", "phase", "completes", "method", "path", "route",
    "query", "query_hash", "result_count", "result_digest", "sizes", "status", "duration_ms", "bytes", "ip", "agent",
    "request_id", "ledger",
)  # fmt: skip
COLUMNS = ("leaf_index", *_MEMBERS, "verdict", "reason", "leaf_hash", "record_base64")


def header() -> bytes:
    """Return the header line."""
    return lines_of([COLUMNS])


def rows(entries: Iterable[ExportedEntry]) -> bytes:
    """Return the lines of these accesses, which are in leaf order."""
    return lines_of(map(_cells, entries))


def footer(claim: Claim) -> bytes:
    """Return what stands after the last row."""
    del claim
    return b""


def parse_row(row: Mapping[str, str]) -> ExportedEntry:
    """Return the access of a row, whose record alone is believed. Raises BadRowError if its leaf hash is another."""
    try:
        record = a2b_base64(row["record_base64"])
        entry = ExportedEntry(
            leaf_index=int(row["leaf_index"]),
            record=record,
            detached_data=None,
            key_id=None,
            signature=None,
            verdict=Verdict(row["verdict"]),
            reason=restore(row["reason"]),
        )
    except (KeyError, ValueError) as error:
        raise BadRowError("not a row of this format") from error
    if _leaf_hash(record) != row["leaf_hash"]:
        raise BadRowError("the row does not lead back to the record whose hash it names")
    return entry


def _cells(entry: ExportedEntry) -> list[str]:
    said = access_records.members(entry.record) or {}
    return [
        str(entry.leaf_index),
        *[neutralise(_text(said.get(name))) for name in _MEMBERS],
        entry.verdict,
        neutralise(entry.reason),
        _leaf_hash(entry.record),
        b2a_base64(entry.record, newline=False).decode(),
    ]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _leaf_hash(record: bytes) -> str:
    return sha256(b"\x00" + record).hexdigest()
