"""Meta logs on their way into PostgreSQL: leaves and rows of a batch in one statement. Called by services.py alone.

That the statement ends means that it is committed: outside a transaction it is one by itself, and inside one it is
refused, for what surrounds it could take the records away. (Django's own tests run inside one, and Django lets them.)
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import orjson
from django.db import connection, transaction

from metaaudit.record import columns_of
from signing.ledger import APPEND, execute_append
from signing.queries import ledger_named

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

    from metaaudit.record import Draft
    from signing.ledger import Appended
    from signing.models import Ledger

# Column: type of the array that is sent, and of the column.
COLUMNS: dict[str, tuple[str, str]] = {
    "id": ("uuid", "uuid"),
    "record": ("bytea", "bytea"),
    "at": ("text", "timestamptz"),
    "user_id": ("text", "varchar"),
    "user_name": ("text", "varchar"),
    "auth": ("text", "varchar"),
    "auth_id": ("text", "varchar"),
    "action": ("text", "varchar"),
    "phase": ("text", "varchar"),
    "completes": ("text", "uuid"),
    "method": ("text", "varchar"),
    "path": ("text", "varchar"),
    "route": ("text", "varchar"),
    "query": ("text", "jsonb"),
    "query_hash": ("bytea", "bytea"),
    "result_count": ("int8", "int8"),
    "result_digest": ("bytea", "bytea"),
    "sizes": ("text", "jsonb"),
    "status": ("int4", "int4"),
    "duration_ms": ("int8", "int8"),
    "bytes": ("int8", "int8"),
    "ip": ("text", "inet"),
    "agent": ("text", "varchar"),
    "request_id": ("text", "varchar"),
    "seen": ("text", "int8multirange"),
}
_NAMES = ", ".join(COLUMNS)
_VALUES = ", ".join(f"u.{name}::{kind}" for name, (_, kind) in COLUMNS.items())
_ARRAYS = ", ".join(f"{'%b' if sent == 'bytea' else '%s'}::{sent}[]" for sent, _ in COLUMNS.values())
_APPEND_AND_INSERT: LiteralString = (
    f"WITH appended AS MATERIALIZED ({APPEND}), "  # noqa: S608 names and places only
    f"stored AS (INSERT INTO public.meta_logs (ledger_id, leaf_index, {_NAMES}) "
    f"SELECT %s::smallint, appended.first_leaf + u.place - 1, {_VALUES} "
    f"FROM appended, unnest({_ARRAYS}) WITH ORDINALITY u ({_NAMES}, place)) "
    "SELECT first_leaf, new_size, new_frontier FROM appended"
)
_BYTES = ("query_hash", "result_digest")
_JSON = ("query", "sizes")


def append(ledger: Ledger, drafts: Sequence[Draft]) -> Appended:
    """Append leaves and rows, committed when this returns; in the order of `drafts`."""
    rows = [_row(draft) for draft in drafts]
    arrays = [[row[name] for row in rows] for name in COLUMNS]
    hashes = b"".join(draft.leaf_hash for draft in drafts)
    with transaction.atomic(durable=True) if connection.in_atomic_block else nullcontext():
        appended = execute_append(_APPEND_AND_INSERT, [ledger.pk, hashes, [], ledger.pk, *arrays])
    if appended is None:
        raise RuntimeError("a ledger refused leaves that name no signing key")
    return appended


def _row(draft: Draft) -> dict[str, Any]:
    # What a verifier makes of the record later, so that the two cannot differ.
    row = columns_of(orjson.loads(draft.record), _ledger_id)
    row |= {name: row[name] and bytes.fromhex(row[name]) for name in _BYTES}
    row |= {name: orjson.dumps(row[name]).decode() for name in _JSON}
    return row | {"id": draft.id, "record": draft.record}


def _ledger_id(name: str) -> int:
    return ledger_named(name).pk
