"""Entries by the million, made by PostgreSQL itself, as any writer makes them.

Leaves go through ledger_append, rows under every guard and into every index. Their records are 400 bytes of no meaning,
so nobody can verify them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from signing.services import open_ledger

if TYPE_CHECKING:
    from signing.models import Ledger
    from tests.clusters import Database

_BATCH = 50_000
_APPEND = """
SELECT ledger_append(%(ledger)s::smallint,
    (SELECT string_agg(sha256('\\x00' || convert_to(rpad(i::text, 400, '.'), 'UTF8')), ''::bytea ORDER BY i)
     FROM generate_series(%(first)s::integer, %(end)s::integer - 1) i), '{}')
"""
_INSERT = """
INSERT INTO activity_logs (id, ledger_id, leaf_index, record, event_digest, event_id, type, actor, action, target,
                           outcome, severity, source, ip, occurred_at, recorded_at, revision, locked)
SELECT (lpad(to_hex(1790000000000 + i), 12, '0') || '70008000' || lpad(to_hex(i), 12, '0'))::uuid, %(ledger)s,
    i, convert_to(rpad(i::text, 400, '.'), 'UTF8'), sha256(i::text::bytea), 'e-' || i, 'kind.' || i %% 50,
    'actor-' || i * 7 %% 1000, 'action-' || i %% 20, 'target-' || i::bigint * 11 %% 500,
    CASE WHEN i %% 400 = 0 THEN 'denied' ELSE 'success' END,
    CASE WHEN i %% 400 = 7 THEN 'critical' ELSE 'info' END,
    'source-' || i %% 10, '10.0.0.0'::inet + i %% 250,
    '2026-01-01Z'::timestamptz + i * interval '1 second', '2026-01-01Z'::timestamptz + i * interval '1 second', 1, false
FROM generate_series(%(first)s::integer, %(end)s::integer - 1) i
"""


def fill(database: Database, name: str, size: int) -> Ledger:
    """Open a ledger, fill it with so many entries, and return it."""
    ledger = open_ledger(name=name, by="bench", reason="bench")
    app = database.app(autocommit=False)
    for first in range(0, size, _BATCH):
        place = {"ledger": ledger.pk, "first": first, "end": min(first + _BATCH, size)}
        app.execute(_APPEND, place)
        app.execute(_INSERT, place)
        app.commit()
    settle(database, "activity_logs")
    return ledger


def settle(database: Database, table: str) -> None:
    """Clean up after writers, for else the next one to look pays for them."""
    database.superuser().execute(f"VACUUM ANALYZE {table}".encode())
    database.superuser().execute("CHECKPOINT")
