"""Each guard is what stops its attack: with the guard the table's owner is refused, without it he succeeds."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest

from activity.record import Event
from activity.services import record, record_many
from tests.clusters import Database

_FIRST = "WHERE ctid = (SELECT ctid FROM {table} LIMIT 1)"
_ORPHAN = """INSERT INTO activity_logs (id, ledger_id, leaf_index, record, event_digest, type, actor, action, target,
    outcome, severity, source, occurred_at, recorded_at, revision, locked)
    SELECT gen_random_uuid(), ledger_id, 999999, 'x', '', type, actor, action, target, outcome, severity, 'x',
    now(), now(), 1, false FROM activity_logs LIMIT 1"""
_RETIRE = "UPDATE signing_keys SET state = 'retired' WHERE purpose = 'entry'"
# table, its row guard, an attack that the guard stops
ROW_GUARDS = [
    ("activity_logs", "append_only", f"UPDATE activity_logs SET target = 'x' {_FIRST}"),
    ("activity_logs", "append_only", f"DELETE FROM activity_logs {_FIRST}"),
    ("activity_logs", "in_ledger", _ORPHAN),
    ("verification_runs", "append_only", f"DELETE FROM verification_runs {_FIRST}"),
    ("key_events", "append_only", f"UPDATE key_events SET record = 'x' {_FIRST}"),
    ("key_events", "in_ledger", "INSERT INTO key_events (leaf_index, record, ledger_id) VALUES (9999, 'x', 1)"),
    ("ledgers", "append_only", f"UPDATE ledgers SET origin = 'x' {_FIRST}"),
    ("ledger_heads", "forward_only", "UPDATE ledger_heads SET size = size - 1 WHERE size > 0"),
    ("ledger_nodes", "into_tile_only", f"DELETE FROM ledger_nodes {_FIRST}"),
    ("ledger_tiles", "append_only", f"UPDATE ledger_tiles SET hashes = 'x' {_FIRST}"),
    ("ledger_checkpoints", "forward_only", f"DELETE FROM ledger_checkpoints {_FIRST}"),
    ("signing_keys", "life_cycle", "UPDATE signing_keys SET public_key = 'x'"),
    ("signing_keys", "one_active_entry_key", _RETIRE),
    ("signing_key_windows", "window_steps", "UPDATE signing_key_windows SET until_leaf = 999999"),
]
TRUNCATE_GUARDS = [
    ("activity_logs", "append_only_truncate"),
    ("verification_runs", "append_only_truncate"),
    ("key_events", "append_only_truncate"),
    ("ledgers", "append_only_truncate"),
    ("ledger_heads", "forward_only_truncate"),
    ("ledger_nodes", "into_tile_only_truncate"),
    ("ledger_tiles", "append_only_truncate"),
    ("ledger_checkpoints", "forward_only_truncate"),
    ("signing_keys", "life_cycle_truncate"),
    ("signing_key_windows", "window_steps_truncate"),
]


@pytest.fixture
def database(fresh_database: Database) -> Database:
    """Give a database with a full tile, waiting nodes and a verification run."""
    record(_event(0))
    record_many([_event(number) for number in range(1, 300)])
    fresh_database.owner().execute(
        "INSERT INTO verification_runs (ledger_id, started_at, since, size, root, outcome, findings) "
        "VALUES (1, now(), 0, 0, '', 'valid', '[]')"
    )
    return fresh_database


def _event(number: int) -> Event:
    return Event("auth.login", "sign in", "ada", datetime.now(UTC), "shop", data={"number": number})


@pytest.mark.parametrize(("table", "guard", "attack"), ROW_GUARDS)
def test_a_row_guard_is_what_stops_its_attack(database: Database, table: str, guard: str, attack: str) -> None:
    statement = attack.format(table=table).encode()
    owner = database.owner()
    with pytest.raises(psycopg.Error) as raised:
        owner.execute(statement)
    assert str(raised.value.sqlstate).startswith("AL"), raised.value
    owner.execute(f"DROP TRIGGER {guard} ON {table}".encode())
    assert owner.execute(statement).rowcount > 0


@pytest.mark.parametrize(("table", "guard"), TRUNCATE_GUARDS)
def test_a_truncate_guard_is_what_stops_truncate(database: Database, table: str, guard: str) -> None:
    owner = database.owner()
    # Tables that refer to this one would be truncated too, and have guards of their own.
    for other, name in owner.execute(_REFERRING.encode(), [table]).fetchall():
        owner.execute(f"ALTER TABLE {other} DROP CONSTRAINT {name}".encode())
    with pytest.raises(psycopg.Error) as raised:
        owner.execute(f"TRUNCATE {table}".encode())
    assert raised.value.sqlstate == "AL001"
    owner.execute(f"DROP TRIGGER {guard} ON {table}".encode())
    owner.execute(f"TRUNCATE {table}".encode())
    assert owner.execute(f"SELECT count(*) FROM {table}".encode()).fetchall() == [(0,)]


_REFERRING = (
    "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'f' AND confrelid = %s::regclass"
)


def test_every_guard_of_the_database_is_in_these_lists(database: Database) -> None:
    guards = database.owner().execute(
        "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
    )
    tested = {(table, guard) for table, guard, _ in ROW_GUARDS} | set(TRUNCATE_GUARDS)
    assert set(guards.fetchall()) == tested


def test_a_session_that_replicates_meets_the_guards_all_the_same(database: Database) -> None:
    superuser = database.superuser()
    superuser.execute("SET session_replication_role = replica")
    with pytest.raises(psycopg.Error, match="AL001"):
        superuser.execute("UPDATE activity_logs SET target = 'x'")
