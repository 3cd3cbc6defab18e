"""Ways to amend or remove an entry in SQL, and how one is tried: refused to the app role, and at work without guards.

A way takes the leaf of an entry and gives statements, in the order in which the application itself would write: the new
leaf first, and then the entry.
"""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.attacks.intruder import CHECKS, GUARDED, amended, amendment, fingerprint, of
from tests.clusters import Database

DENIED, AL001, AL002, AL006, TWICE, CHECK = "42501", "AL001", "AL002", "AL006", "23505", "23514"
LAST_LEAF = "(SELECT h.size - 1 FROM ledger_heads h WHERE h.ledger_id = activity_logs.ledger_id)"
LEDGER = "(SELECT id FROM ledgers WHERE name = 'activity')"
Way = Callable[[int], str]


def at(leaf: int) -> str:
    return f"{of('activity')} AND leaf_index = {leaf}"


def entry(leaf: int) -> str:
    return f"(SELECT id FROM activity_logs WHERE {at(leaf)})"


def lock(leaf: int) -> str:
    return f"(SELECT held_by[1] FROM activity_logs WHERE {at(leaf)})"


def override(state: str) -> str:
    return f"(SELECT id FROM lock_overrides WHERE state = '{state}')"


def amend(leaf: int) -> str:
    return amendment(leaf, next_leaf=LAST_LEAF)


def parts(leaf: int) -> tuple[str, str]:
    """Return the statement that appends the leaf, and the one that updates the entry."""
    append, _, update = amend(leaf).partition("; ")
    return append, update


def after(*statements: str) -> Way:
    """Return the way to amend after these statements."""
    return lambda leaf: "; ".join([*statements, amend(leaf)])


def wrapped(begin: str, end: str = "") -> Way:
    """Return the way to amend with something around the update."""

    def way(leaf: int) -> str:
        append, update = parts(leaf)
        return f"{append}; {begin}{update}{end}"

    return way


def upsert(conflict: str) -> Way:
    def way(leaf: int) -> str:
        values = {name: name for name in COLUMNS} | amended(next_leaf=LAST_LEAF) | {"locked": "false"}
        sets = ", ".join(f"{name} = excluded.{name}" for name in ("leaf_index", "record", "revision"))
        return (
            f"{parts(leaf)[0]}; INSERT INTO activity_logs ({', '.join(values)}) SELECT {', '.join(values.values())} "
            f"FROM activity_logs WHERE {at(leaf)} ON CONFLICT ({conflict}) DO UPDATE SET {sets}"
        )

    return way


def merge(leaf: int) -> str:
    sets = ", ".join(f"{name} = {value}" for name, value in amended(next_leaf=LAST_LEAF).items())
    return f"{parts(leaf)[0]}; MERGE INTO activity_logs USING (SELECT 1) s ON {at(leaf)} WHEN MATCHED THEN UPDATE SET {sets}"


def joined(leaf: int) -> str:
    append, update = parts(leaf)
    return f"{append}; {update.replace(' WHERE ledger_id', ' FROM (SELECT 1) one WHERE ledger_id', 1)}"


def overridden(number: str) -> Way:
    """Return the way to amend naming an override."""

    def way(leaf: int) -> str:
        named = f'replace({{record}}, \'"by":"eve",\', \'"by":"eve","override":\' || {number} || \',\')'
        return amendment(leaf, next_leaf=LAST_LEAF, record=named)

    return way


COLUMNS = (
    "id", "ledger_id", "leaf_index", "record", "event_digest", "signature", "key_id", "type", "actor", "action", "target", "outcome",
    "severity", "source", "occurred_at", "recorded_at", "revision",
)  # fmt: skip
_TOMBSTONE = (
    "convert_to(json_build_object('type', 'auditlog.entry.removed', 'kid', key_id, 'id', id, 'ledger', 'activity', 'source', source, "
    "'recorded_at', to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), 'data', json_build_object('rule', 'r', "
    "'reason', 'r', 'removed_type', type), 'actor', 'eve', 'action', 'a', 'target', id, 'outcome', 'success', 'severity', 'info', "
    "'occurred_at', '2026-11-24T00:00:00.000000Z', 'revision', revision + 1, 'amendment', json_build_object('at', "
    "'2026-11-24T00:00:00.000000Z', 'by', 'eve', 'reason', 'r', 'supersedes', json_build_object('leaf_hash', "
    "encode(sha256('\\x00'::bytea || record), 'hex'), 'leaf_index', leaf_index)))::text, 'UTF8')"
)


def remove(leaf: int) -> str:
    """Return a removal with a tombstone that says who, what and why; the leaf for it comes first."""
    return (
        f"SELECT ledger_append(ledger_id, sha256('\\x00'::bytea || {_TOMBSTONE}), '{{}}') FROM activity_logs WHERE {at(leaf)}; "
        f"SELECT remove_entry(id, {LAST_LEAF}, {_TOMBSTONE}, event_digest, signature, key_id) FROM activity_logs WHERE {at(leaf)}"
    )


def assert_refused(database: Database, statement: str, sqlstate: str) -> None:
    """Run an attack as the app role; nothing has changed afterwards, and verify finds nothing."""
    before = fingerprint(database)
    with pytest.raises(psycopg.Error) as refused, database.app(autocommit=False) as app:
        app.execute(statement.encode())
    assert refused.value.sqlstate == sqlstate, refused.value
    assert fingerprint(database) == before


def assert_works_unguarded(database: Database, statement: str) -> None:
    """Run an attack as somebody who owns the database, with every guard off, and take it back."""
    owner = database.superuser(autocommit=False)
    try:
        for (table,) in owner.execute(GUARDED.encode()).fetchall():
            owner.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
        for table, name in owner.execute(CHECKS.encode()).fetchall():
            owner.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
        owner.execute(statement.encode())
    finally:
        owner.rollback()
        owner.close()
