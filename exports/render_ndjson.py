r"""entries.ndjson: a line for each exported entry, with its record byte for byte. Pure and streaming.

    {"record":{…},"leaf_index":12,"verdict":"valid","reason":"","key_id":"…","signature":"<base64>","detached_data":null}

The record stands between `{"record":` and the last `,"leaf_index":`, exactly as it was hashed and signed, so that
standard tools cut it out:      sed -E 's/^\{"record":(.*),"leaf_index":.*$/\1/' entries.ndjson
A record that is no JSON object of one line, which only tampering makes, is `{"record_base64":"…"` instead. `key_id`,
`signature` and `detached_data` (base64) are null where there are none. Parts made by several workers are concatenated.
"""

from __future__ import annotations

import json
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from functools import lru_cache
from typing import TYPE_CHECKING

from exports.errors import BadRowError
from exports.rows import ExportedEntry
from signing.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exports.manifest import Claim

NAME = "entries.ndjson"
MEDIA_TYPE = "application/x-ndjson"
SEPARATOR = b""  # between parts that are not empty
# Verdicts after which a record is known to be one that the server composed.
SOUND = frozenset({Verdict.VALID, Verdict.UNSIGNED})
_VERDICTS = {verdict.value: verdict for verdict in Verdict}
_MEMBERS = ("leaf_index", "verdict", "reason", "key_id", "signature", "detached_data")
RECORD = b'{"record":'
_RECORD_BASE64, _TAIL = b'{"record_base64":"', b',"leaf_index":'


def header() -> bytes:
    """Return what stands before the first row."""
    return b""


def rows(entries: Iterable[ExportedEntry]) -> bytes:
    """Return the lines of these entries, which are in leaf order."""
    return b"\n".join([*map(row, entries), b""])


def footer(claim: Claim) -> bytes:
    """Return what stands after the last row."""
    del claim
    return b""


def row(entry: ExportedEntry) -> bytes:
    """Return the JSON object of an entry, without a newline."""
    leaf_index, record, detached, key_id, signature, verdict, reason = entry
    if b"\n" not in record and (verdict in SOUND or _is_object(record)):
        head = b"%b%b" % (RECORD, record)
    else:
        head = b'%b%b"' % (_RECORD_BASE64, b2a_base64(record, newline=False))
    return b'%b,"leaf_index":%d,"verdict":%b,"reason":%b,"key_id":%b,"signature":%b,"detached_data":%b}' % (
        head,
        leaf_index,
        _text(verdict),
        b'""' if not reason else _text(reason),
        b"null" if key_id is None else _text(key_id),
        b"null" if signature is None else b'"%b"' % b2a_base64(signature, newline=False),
        b"null" if detached is None else b'"%b"' % b2a_base64(detached, newline=False),
    )


def parse_row(line: bytes) -> ExportedEntry:
    """Return the entry of a line without its newline. Raises BadRowError unless `row` would write the same bytes."""
    head, separator, _ = line.rpartition(_TAIL)
    try:
        said = json.loads(b"{" + line[len(head) + 1 :]) if separator else {}
        if tuple(said) != _MEMBERS or type(said["leaf_index"]) is not int or said["leaf_index"] < 0:
            raise BadRowError("not a row of this format")
        entry = ExportedEntry(
            leaf_index=said["leaf_index"],
            record=_record(head),
            detached_data=_bytes(said["detached_data"]),
            key_id=said["key_id"],
            signature=_bytes(said["signature"]),
            verdict=_VERDICTS[said["verdict"]],
            reason=said["reason"],
        )
        spelling = row(entry)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BadRowError("not a row of this format") from error
    if spelling != line:
        raise BadRowError("not in the one spelling of this format")
    return entry


def record_of(line: bytes) -> bytes:
    """Return the record of a line that `row` wrote, without looking at the rest. Raises BadRowError."""
    try:
        return _record(line.rpartition(_TAIL)[0])
    except Base64Error as error:
        raise BadRowError("not base64") from error


def _record(head: bytes) -> bytes:
    if head.startswith(RECORD):
        return head.removeprefix(RECORD)
    if head.startswith(_RECORD_BASE64) and head.endswith(b'"'):
        return a2b_base64(head[len(_RECORD_BASE64) : -1])
    raise BadRowError("a row begins with its record")


def _bytes(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return a2b_base64(text)
    except Base64Error as error:
        raise BadRowError("not base64") from error


def _is_object(record: bytes) -> bool:
    try:
        return record[:1] == b"{" and record[-1:] == b"}" and isinstance(json.loads(record.decode()), dict)
    except (ValueError, RecursionError):
        return False


@lru_cache(maxsize=4096)
def _text(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()
