"""Entries and superseded versions as verification and extraction read them: by COPY, in the order of their leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection

from activity.entry_check import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from signing.models import Ledger

# What Python can hold; an owner can write infinity.
_YEARS = "BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"
_TIME = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""  # as a record writes it; PostgreSQL formats it on a processor of its own
COLUMNS = {  # of Row, in its order: expression and type
    "leaf_index": "int8",
    "coalesce(record, '')": "bytea",
    "detached_data": "bytea",
    "event_digest": "bytea",
    "signature": "bytea",
    "key_id": "varchar",
    "event_id": "varchar",
    "id::text": "text",
    "abbrev(ip)": "text",
    f"CASE WHEN occurred_at {_YEARS} THEN to_char(occurred_at AT TIME ZONE 'UTC', {_TIME}) END": "text",
    "outcome": "varchar",
    f"CASE WHEN recorded_at {_YEARS} THEN to_char(recorded_at AT TIME ZONE 'UTC', {_TIME}) END": "text",
    "revision": "int4",
    "severity": "varchar",
    "source": "varchar",
    "target": "varchar",
    "type": "varchar",
    "action": "varchar",
    "actor": "varchar",
}
ARCHIVED = ["entry_id::text" if name == "id::text" else name for name in COLUMNS]


def rows(ledger: Ledger, first: int, end: int) -> Iterator[Row]:
    """Give entries and superseded versions as one statement sees them: an amendment moves one to the other."""
    where = f"WHERE ledger_id = {int(ledger.pk)} AND leaf_index >= {int(first)} AND leaf_index < {int(end)}"
    # Each part in its order already, as its index has it: merging them is less than sorting whole records.
    parts = [
        f"(SELECT {', '.join(COLUMNS)} FROM public.activity_logs {where} ORDER BY leaf_index)",  # noqa: S608 integers only
        f"(SELECT {', '.join(ARCHIVED)} FROM public.activity_revisions {where} ORDER BY leaf_index)",  # noqa: S608 the same
    ]
    return map(Row._make, copied_rows(f"{' UNION ALL '.join(parts)} ORDER BY 1", COLUMNS.values()))


def copied(table: str, columns: Mapping[str, str], ledger: Ledger, first: int, end: int) -> Iterator[tuple[Any, ...]]:
    """Give `columns` (expression to type) of a table's rows from leaf `first` to `end`, exclusive, in their order."""
    query = (
        f"SELECT {', '.join(columns)} FROM public.{table} WHERE ledger_id = {int(ledger.pk)} "  # noqa: S608 names and integers only
        f"AND leaf_index >= {int(first)} AND leaf_index < {int(end)} ORDER BY leaf_index"
    )
    return copied_rows(query, columns.values())


def copied_rows(query: str, types: Iterable[str], values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the rows of a query with these values, whose columns are of these types, as COPY sends them."""
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT BINARY)", values or None) as copy,
    ):
        copy.set_types(list(types))
        yield from copy.rows()
