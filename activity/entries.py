"""The rows of entries on their way into PostgreSQL: with its leaf for one, COPY for many, UPDATE for a new version.

Called by services.py and amending.py alone.

The columns beside the record are an index over it. PostgreSQL has no U+0000 in text, so they show it as U+2400.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db import connection

from activity.record import shown
from signing.ledger import APPEND, execute_append

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

    from activity.drafts import Draft
    from signing.ledger import Appended
    from signing.models import Ledger

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
_FOR_EVER = ("id", "ledger_id", "event_id", "type", "source", "recorded_at", "locked")
_NAMES = ", ".join(COLUMNS)
_PLACES = ", ".join(
    "first_leaf" if name == "leaf_index" else f"{'%b' if kind == 'bytea' else '%s'}::{kind}"
    for name, kind in COLUMNS.items()
)
_APPEND_AND_INSERT: LiteralString = (
    f"WITH appended AS MATERIALIZED ({APPEND}), "  # noqa: S608 names and places only
    f"stored AS (INSERT INTO public.activity_logs ({_NAMES}) SELECT {_PLACES} FROM appended) "
    "SELECT first_leaf, new_size, new_frontier FROM appended"
)
# What differs from version to version; the app role may update nothing else.
_VERSION = [name for name in COLUMNS if name not in _FOR_EVER]
_SUPERSEDE = (
    f"UPDATE public.activity_logs SET {', '.join(f'{name} = %s::{COLUMNS[name]}' for name in _VERSION)} "  # noqa: S608 names only
    "WHERE id = %s::uuid"
)
# In binary form a uuid is its 16 bytes and a time its microseconds since 2000, which cost less to write than objects.
_COPY_TYPES = [{"uuid": "bytea", "timestamptz": "int8"}.get(kind, kind) for kind in COLUMNS.values()]
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_COPY = f"COPY public.activity_logs ({_NAMES}) FROM STDIN (FORMAT BINARY)"
_ip = lru_cache(maxsize=4096)(ipaddress.ip_interface)


def append_and_insert(ledger: Ledger, draft: Draft, key_ids: list[str]) -> Appended | None:
    """Append the leaf of one entry and write its row, in one round trip. Returns as `signing.ledger.append`."""
    row = _row(ledger, draft, 0, draft.id_text, draft.event.occurred_at, draft.recorded_at)
    without_leaf = [value for name, value in zip(COLUMNS, row, strict=True) if name != "leaf_index"]
    return execute_append(_APPEND_AND_INSERT, [ledger.pk, draft.leaf_hash, key_ids, *without_leaf])


def supersede(ledger: Ledger, draft: Draft, leaf_index: int) -> None:
    """Make a draft, whose leaf stands at this index, the newest version of its entry; the database archives the old."""
    row = _row(ledger, draft, leaf_index, draft.id_text, draft.event.occurred_at, draft.recorded_at)
    said = dict(zip(COLUMNS, row, strict=True))
    with connection.cursor() as cursor:
        cursor.execute(_SUPERSEDE, [*(said[name] for name in _VERSION), draft.id_text])


def copy(ledger: Ledger, drafts: Sequence[Draft], first_leaf: int) -> None:
    """Write entries whose leaves follow one another from `first_leaf`."""
    # Django wraps the errors of execute(), not those of a COPY.
    with connection.wrap_database_errors, connection.cursor() as cursor, cursor.copy(_COPY) as rows:
        rows.set_types(_COPY_TYPES)
        for leaf_index, draft in enumerate(drafts, start=first_leaf):
            occurred_at = (draft.event.occurred_at - _POSTGRES_EPOCH) // _MICROSECOND
            recorded_at = (draft.recorded_at - _POSTGRES_EPOCH) // _MICROSECOND
            rows.write_row(_row(ledger, draft, leaf_index, draft.id, occurred_at, recorded_at))


def _row(
    ledger: Ledger, draft: Draft, leaf_index: int, entry_id: Any, occurred_at: Any, recorded_at: Any
) -> tuple[Any, ...]:
    event, claims = draft.event, draft.claims
    return (
        entry_id,
        ledger.pk,
        leaf_index,
        draft.record,
        claims.detached,
        claims.digest,
        draft.signature,
        draft.key_id,
        event.event_id and shown(event.event_id),
        event.type,
        shown(event.actor),
        shown(event.action),
        shown(event.target),
        event.outcome,
        event.severity,
        shown(event.source),
        event.ip and _ip(event.ip),
        occurred_at,
        recorded_at,
        draft.revision,
        False,
    )
