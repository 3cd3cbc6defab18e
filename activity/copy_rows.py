"""The rows of entries as `COPY … FROM STDIN (FORMAT BINARY)` takes them. Pure: drafts in, bytes out.

    HEADER  row…  TRAILER      row = number of columns (int16); for each its length (int32, -1 is null) and its bytes
    uuid 16 bytes · int2, int4, int8 big-endian · timestamptz int8, microseconds since 2000 · bool 1 byte
    inet  family (2 or 3), prefix length, 0, length of the address, the address

Written by hand, for a general writer of rows takes three times as long and a batch holds the ledger meanwhile.
Source: PostgreSQL documentation, COPY, "Binary Format"; src/backend/utils/adt/network.c for inet.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING

from activity.record import shown

if TYPE_CHECKING:
    from activity.drafts import Draft

COLUMNS: dict[str, str] = {
    "id": "uuid",
    "ledger_id": "int2",
    "leaf_index": "int8",
    "record": "bytea",
    "detached_data": "bytea",
    "event_digest": "bytea",
    "signature": "bytea",
    "key_id": "varchar",
    "event_id": "varchar",
    "type": "varchar",
    "actor": "varchar",
    "action": "varchar",
    "target": "varchar",
    "outcome": "varchar",
    "severity": "varchar",
    "source": "varchar",
    "ip": "inet",
    "occurred_at": "timestamptz",
    "recorded_at": "timestamptz",
    "revision": "int4",
    "locked": "bool",
}
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_EPOCH_2000 = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST = Struct(">h i16s ih iq")  # id, ledger_id, leaf_index
_LAST = Struct(">iq iq ii iB")  # occurred_at, recorded_at, revision, locked
_LENGTH = Struct(">i").pack
_NULL = _LENGTH(-1)
_FAMILY = {4: 2, 6: 3}


def row(draft: Draft, ledger_id: int, leaf_index: int) -> bytes:
    """Return the row of an entry that was sealed."""
    event, claims = draft.event, draft.claims
    return b"".join(
        (
            _FIRST.pack(len(COLUMNS), 16, draft.id, 2, ledger_id, 8, leaf_index),
            _LENGTH(len(draft.record)),
            draft.record,
            _NULL if claims.detached is None else _bytes(claims.detached),
            _bytes(claims.digest),
            _NULL if draft.signature is None else _bytes(draft.signature),
            _NULL if draft.key_id is None else _text(draft.key_id),
            _NULL if event.event_id is None else _bytes(shown(event.event_id).encode()),
            _text(event.type),
            _text(event.actor),
            _text(event.action),
            _text(event.target),
            _text(event.outcome),
            _text(event.severity),
            _text(event.source),
            _NULL if event.ip is None else _inet(event.ip),
            _LAST.pack(8, _since_2000(event.occurred_at), 8, _since_2000(draft.recorded_at), 4, draft.revision, 1, 0),
        )
    )


def _since_2000(moment: datetime) -> int:
    return (moment - _EPOCH_2000) // _MICROSECOND


def _bytes(value: bytes) -> bytes:
    return _LENGTH(len(value)) + value


@lru_cache(maxsize=4096)
def _text(value: str) -> bytes:
    return _bytes(shown(value).encode())


@lru_cache(maxsize=4096)
def _inet(text: str) -> bytes:
    address = ipaddress.ip_address(text)
    packed = address.packed
    return _bytes(bytes((_FAMILY[address.version], address.max_prefixlen, 0, len(packed))) + packed)
