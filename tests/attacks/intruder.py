"""What attack tests share: the real events, somebody who owns the database, and the verdict of `verify`.

An Intruder is a superuser with every guard switched off: what he can hide, nobody inside the database can show.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from psycopg import sql

from activity.event import Event
from activity.formats.options import Options
from activity.formats.reading import EventReader
from activity.formats.stream import EventStream
from signing.merkle import leaf_hash
from tests.clusters import PROJECT, Database

DATA = PROJECT.parent / "shared" / "data"
GUARDED = """
    SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
    WHERE relnamespace = 'public'::regnamespace ORDER BY 1"""
# The constraints on locks, and on what stands of them on entries.
CHECKS = """
    SELECT conrelid::regclass::text, conname FROM pg_constraint
    WHERE contype = 'c' AND conname ~ 'lock|override|release'"""
_RANGE = re.compile(r"leaf (\d+) and leaf (\d+)|leaves (\d+) to (\d+)")


def real_events(limit: int) -> list[Event]:
    """Return the CloudTrail events and then Windows events, `limit` in all."""
    events: list[Event] = []
    for name in ("cloudtrail_s3_exfiltration.jsonl", "windows_security_auditpol.jsonl.gz"):
        reader = EventReader(format_name=None, options=Options())
        with (DATA / name).open("rb") as file:
            for unit in EventStream(file):
                if len(events) == limit:
                    return events
                events.append(reader.event(unit))
    return events


@dataclass(frozen=True, slots=True)
class Verification:
    """What one run of `verify` said."""

    exit_code: int
    outcome: str
    reports: dict[str, dict[str, Any]]

    def first_bad_leaf(self, ledger: str = "activity") -> int | None:
        """Return the leaf that the report names."""
        leaf: int | None = self.reports[ledger]["first_bad_leaf"]
        return leaf

    def findings(self, ledger: str = "activity") -> list[dict[str, Any]]:
        """Return everything that was found in a ledger."""
        findings: list[dict[str, Any]] = self.reports[ledger]["findings"]
        return findings

    def alarms(self, ledger: str = "activity") -> list[str]:
        """Return the reasons of what alarms."""
        return [each["reason"] for each in self.findings(ledger) if each["verdict"] in {"tampered", "missing"}]

    def doubts(self, ledger: str = "activity") -> list[str]:
        """Return the reasons why something cannot be told."""
        return [each["reason"] for each in self.findings(ledger) if each["verdict"] == "cannot_tell"]

    def ranges(self, ledger: str = "activity") -> list[range]:
        """Return the runs of leaves that alarms name."""
        found = (match for reason in self.alarms(ledger) for match in _RANGE.finditer(reason))
        return [range(int(match[1] or match[3]), int(match[2] or match[4]) + 1) for match in found]


def verify(*arguments: str | Path) -> Verification:
    """Run the real command and return what it printed with --json."""
    output = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("verify", "--json", *map(str, arguments), stdout=output, stderr=io.StringIO())
    said = json.loads(output.getvalue())
    assert isinstance(ended.value.code, int)
    return Verification(ended.value.code, said["outcome"], {each["ledger"]: each for each in said["ledgers"]})


def assert_clean(*arguments: str | Path) -> None:
    """Every detection test starts here: before the attack nothing alarms."""
    found = verify(*arguments)
    assert (found.exit_code, found.outcome) == (0, "valid"), found.reports


def fingerprint(database: Database) -> list[Any]:
    """Return a digest of the rows of every guarded table."""
    digest = "SELECT md5(coalesce(string_agg(t::text, '' ORDER BY t::text), '')) FROM {} t"
    with database.superuser() as superuser:
        tables = [table for (table,) in superuser.execute(GUARDED.encode()).fetchall()]
        return [superuser.execute(digest.format(table).encode()).fetchone() for table in tables]


class Intruder:
    """A superuser in a database whose guards he switched off, and what he does there more than once."""

    def __init__(self, database: Database) -> None:
        self._connection = database.superuser()
        for (table,) in self.rows(GUARDED):
            self("ALTER TABLE {table} DISABLE TRIGGER ALL", table=table)

    def __call__(self, statement: str, *parameters: Any, **identifiers: str) -> psycopg.Cursor[Any]:
        """Execute one statement; it must not be one that changes nothing."""
        names = {name: sql.Identifier(value) for name, value in identifiers.items()}
        query = sql.SQL(statement).format(**names) if names else statement.encode()
        cursor = self._connection.execute(query, parameters or None)
        assert cursor.rowcount != 0, f"this attack touches no row: {statement}"
        return cursor

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read."""
        return self._connection.execute(query.encode(), parameters or None).fetchall()

    def one(self, query: str, *parameters: Any) -> Any:
        """Read one value."""
        return self.rows(query, *parameters)[0][0]

    def record(self, leaf_index: int, ledger: str = "activity") -> bytes:
        """Return the record of an entry."""
        return bytes(self.one(f"SELECT record FROM activity_logs WHERE {of(ledger)} AND leaf_index = %s", leaf_index))

    def edit(self, leaf_index: int, **columns: Any) -> None:
        """Overwrite columns of one entry of `activity`."""
        changes = ", ".join(f"{name} = %s" for name in columns)
        where = f"{of('activity')} AND leaf_index = %s"
        self(f"UPDATE activity_logs SET {changes} WHERE {where}", *columns.values(), leaf_index)

    def edit_leaf(self, leaf_index: int, leaf: bytes, ledger: str = "activity") -> None:
        """Overwrite one stored leaf hash, be it in a tile or still a node."""
        tiled = self._connection.execute(
            f"UPDATE ledger_tiles SET hashes = overlay(hashes PLACING %s FROM %s) "
            f"WHERE {of(ledger)} AND level = 0 AND tile_index = %s".encode(),
            (leaf, leaf_index % 256 * 32 + 1, leaf_index // 256),
        )
        if not tiled.rowcount:
            self(
                f"UPDATE ledger_nodes SET hash = %s WHERE {of(ledger)} AND level = 0 AND node_index = %s",
                leaf,
                leaf_index,
            )

    def rebuild_tree(self, ledger: str = "activity") -> None:
        """Make leaves, tiles and head anew from the records as they are now."""
        table = "key_events" if ledger == "keys" else "activity_logs"
        records = self.rows(f"SELECT record FROM {table} WHERE {of(ledger)} ORDER BY leaf_index")
        for stored in ("ledger_nodes", "ledger_tiles"):
            self._connection.execute(f"DELETE FROM {stored} WHERE {of(ledger)}".encode())
        self(f"UPDATE ledger_heads SET size = 0, frontier = '{{}}' WHERE {of(ledger)}")
        hashes = b"".join(leaf_hash(bytes(record)) for (record,) in records)
        self(
            "SELECT ledger_append(id, %s, '{}') FROM ledgers WHERE name = %s",
            hashes,
            ledger,
        )

    def insert_copy(self, copied_leaf: int, /, **columns: str) -> None:
        """Insert a copy of an entry of `activity`, with other expressions for some columns."""
        copied = {name: name for (name,) in self.rows(_ENTRY_COLUMNS)} | columns
        self(
            f"INSERT INTO activity_logs ({', '.join(copied)}) SELECT {', '.join(copied.values())} "
            f"FROM activity_logs WHERE {of('activity')} AND leaf_index = {copied_leaf}"
        )

    def backdate(self, leaf_index: int, **columns: Any) -> bytes:
        """Set `recorded_at` of an entry a year back, in record and column alike, and return the new record."""
        where = f"{of('activity')} AND leaf_index = {leaf_index}"
        forged = self.record(leaf_index).replace(b'"recorded_at":"2026', b'"recorded_at":"2025')
        self(f"UPDATE activity_logs SET recorded_at = recorded_at - interval '1 year' WHERE {where}")
        self.edit(leaf_index, record=forged, **columns)
        return forged

    def drop_constraints(self, table: str = "activity_logs") -> None:
        """Take every unique and check constraint from a table, and NOT NULL from its columns."""
        for (name,) in self.rows(_CONSTRAINTS, table):
            self("ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE", table=table, name=name)
        for (name,) in self.rows(_UNIQUE_INDEXES, table):
            self("DROP INDEX {name}", name=name)
        for (name,) in self.rows(_NOT_NULL, table):
            self("ALTER TABLE {table} ALTER COLUMN {name} DROP NOT NULL", table=table, name=name)


def amended(*, next_leaf: int | str, record: str = "{record}", **columns: str) -> dict[str, str]:
    """Return SQL expressions for the columns of an entry that is amended as our services do, or as `columns` say.

    `record` is an SQL expression over the text of a right one, written {record}; so is each of the columns.
    """
    right = (
        "replace(replace(convert_from(record, 'UTF8'), '\"revision\":1,', '\"revision\":2,'), ',\"data\":', "
        '\',"amendment":{"at":"2026-11-24T00:00:00.000000Z","by":"eve","reason":"r","supersedes":{"leaf_hash":"\' '
        "|| encode(sha256('\\x00'::bytea || record), 'hex') || '\",\"leaf_index\":' || leaf_index || '}},\"data\":')"
    )
    made = f"convert_to({record.replace('{record}', right)}, 'UTF8')"
    return {"record": made, "leaf_index": str(next_leaf), "revision": "revision + 1"} | columns


def amendment(leaf_index: int, /, *, next_leaf: int | str, record: str = "{record}", **columns: str) -> str:
    """Return the two statements that amend an entry so: a leaf for the new record, and the new version."""
    where = f"{of('activity')} AND leaf_index = {leaf_index}"
    changes = amended(next_leaf=next_leaf, record=record, **columns)
    made = changes["record"]
    return (
        f"SELECT ledger_append(ledger_id, sha256('\\x00'::bytea || {made}), '{{}}') FROM activity_logs WHERE {where}; "
        f"UPDATE activity_logs SET {', '.join(f'{name} = {value}' for name, value in changes.items())} WHERE {where}"
    )


_ENTRY_COLUMNS = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = 'activity_logs'::regclass AND attnum > 0 AND NOT attisdropped"""
_CONSTRAINTS = "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('p', 'u', 'c')"
_UNIQUE_INDEXES = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = %s::regclass AND indisunique"
_NOT_NULL = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND attnotnull"


def of(ledger: str) -> str:
    """Return the SQL condition that a row belongs to a ledger."""
    return f"ledger_id = (SELECT id FROM ledgers WHERE name = '{ledger}')"
