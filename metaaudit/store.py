"""Meta logs on their way into PostgreSQL: leaves and rows of a batch in one statement. Called by services.py alone.

That the statement ends means that it is committed: outside a transaction it is one by itself, and inside one it is
refused, for what surrounds it could take the records away. (Django's own tests run inside one, and Django lets them.)
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import orjson
from django.db import DEFAULT_DB_ALIAS, connection, transaction

from metaaudit.record import columns_of
from signing.ledger import APPEND, execute_append
from signing.queries import ledger_named
from signing.statements import text_array

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

    from metaaudit.record import Draft
    from signing.ledger import Appended
    from signing.models import Ledger

# Column: its type. What a row says but its record is sent as one JSON text: an array for each column costs more.
COLUMNS: dict[str, str] = {
    "id": "uuid",
    "at": "timestamptz",
    "user_id": "varchar",
    "user_name": "varchar",
    "auth": "varchar",
    "auth_id": "varchar",
    "action": "varchar",
    "phase": "varchar",
    "completes": "uuid",
    "method": "varchar",
    "path": "varchar",
    "route": "varchar",
    "query": "jsonb",
    "query_hash": "bytea",
    "result_count": "int8",
    "result_digest": "bytea",
    "sizes": "jsonb",
    "status": "int4",
    "duration_ms": "int8",
    "bytes": "int8",
    "ip": "inet",
    "agent": "varchar",
    "request_id": "varchar",
    "seen": "int8multirange",
}
_NAMES = ", ".join(COLUMNS)
_TYPED = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
_APPEND_AND_INSERT: LiteralString = (
    f"WITH appended AS MATERIALIZED ({APPEND}), "  # noqa: S608 names and places only
    f"stored AS (INSERT INTO public.meta_logs (ledger_id, leaf_index, record, {_NAMES}) "
    f"SELECT %s::smallint, appended.first_leaf + place - 1, record, {_NAMES} "
    "FROM appended, "
    f"ROWS FROM (unnest(%b::bytea[]), jsonb_to_recordset(%s::jsonb) AS ({_TYPED})) "
    f"WITH ORDINALITY sent (record, {_NAMES}, place)) "
    "SELECT first_leaf, new_size, new_frontier FROM appended"
)
_BYTES = ("query_hash", "result_digest")


def append(ledger: Ledger, drafts: Sequence[Draft]) -> Appended:
    """Append leaves and rows, committed when this returns; in the order of `drafts`."""
    with transaction.atomic(durable=True) if connection.in_atomic_block else nullcontext():
        appended = insert(ledger, drafts)
    if appended is None:
        raise RuntimeError("a ledger refused leaves that name no signing key")
    return appended


def insert(
    ledger: Ledger, drafts: Sequence[Draft], *, key_ids: Sequence[str] = (), using: str = DEFAULT_DB_ALIAS
) -> Appended | None:
    """Append leaves and rows within what the caller commits; None, with nothing appended, as signing.ledger.append."""
    rows = orjson.dumps([_row(draft) for draft in drafts]).decode()
    records = [draft.record for draft in drafts]
    hashes = b"".join(draft.leaf_hash for draft in drafts)
    parameters = [ledger.pk, hashes, text_array(key_ids), ledger.pk, records, rows]
    return execute_append(_APPEND_AND_INSERT, parameters, using=using)


def _row(draft: Draft) -> dict[str, Any]:
    # What a verifier makes of the record later, so that the two cannot differ.
    row = columns_of(orjson.loads(draft.record), _ledger_id)
    row |= {name: row[name] and rf"\x{row[name]}" for name in _BYTES}
    return row | {"id": draft.id}


def _ledger_id(name: str) -> int:
    return ledger_named(name).pk
