"""What a taken-over web process or worker may try, as the real role auditlog_app, on every server version."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from activity.record import Event
from activity.services import record
from signing.merkle import leaf_hash
from signing.models import SigningKey
from tests.attacks.intruder import assert_clean, verify
from tests.clusters import Database

DENIED = "42501"
EVIDENCE = {
    "activity_logs": "target = 'x'",
    "key_events": "record = ''",
    "ledgers": "name = 'x'",
    "ledger_heads": "size = 0",
    "ledger_nodes": "hash = ''",
    "ledger_tiles": "hashes = ''",
    "ledger_checkpoints": "root = ''",
    "verification_runs": "outcome = 'valid'",
    "signing_keys": "public_key = ''",
    "signing_key_windows": "first_leaf = 0",
}
FORBIDDEN = {
    "write a ledger": "INSERT INTO ledgers (name, origin, kind) VALUES ('x', 'x', 'activity')",
    "write a head": "INSERT INTO ledger_heads (ledger_id, size, frontier) VALUES (99, 0, '{}')",
    "write a node": "INSERT INTO ledger_nodes (ledger_id, level, node_index, hash) VALUES (1, 0, 0, '')",
    "write a tile": "INSERT INTO ledger_tiles (ledger_id, level, tile_index, hashes) VALUES (1, 0, 0, '')",
    "write a checkpoint": "INSERT INTO ledger_checkpoints (ledger_id, size, root, note) VALUES (1, 0, '', '')",
    "merge": "MERGE INTO activity_logs a USING ledgers l ON a.ledger_id = l.id "
    "WHEN MATCHED THEN UPDATE SET target = 'x'",
    "upsert": "INSERT INTO activity_logs SELECT * FROM activity_logs LIMIT 1 "
    "ON CONFLICT (id) DO UPDATE SET target = 'x'",
    "lock for update": "SELECT * FROM activity_logs FOR UPDATE",
    "lock the table": "DO $$ BEGIN LOCK TABLE activity_logs IN ACCESS EXCLUSIVE MODE; END $$",
    "disable a trigger": "ALTER TABLE activity_logs DISABLE TRIGGER append_only",
    "drop a trigger": "DROP TRIGGER append_only ON activity_logs",
    "add a trigger": "CREATE TRIGGER x BEFORE INSERT ON activity_logs EXECUTE FUNCTION append_only_guard()",
    "replace a guard": "CREATE OR REPLACE FUNCTION public.append_only_guard() RETURNS trigger "
    "LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "change a function": "ALTER FUNCTION public.ledger_append(smallint, bytea, text[]) SECURITY INVOKER",
    "drop a function": "DROP FUNCTION public.ledger_append(smallint, bytea, text[])",
    "drop the table": "DROP TABLE activity_logs",
    "rename the table": "ALTER TABLE activity_logs RENAME TO gone",
    "change a column's type": "ALTER TABLE activity_logs ALTER target TYPE text USING 'x'",
    "inherit from it": "CREATE TABLE child () INHERITS (activity_logs)",
    "make a rule": "CREATE RULE x AS ON INSERT TO activity_logs DO INSTEAD NOTHING",
    "make a view": "CREATE VIEW x AS SELECT * FROM activity_logs",
    "make a table": "CREATE TABLE x (a int)",
    "make a function": "CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "make a schema": "CREATE SCHEMA x",
    "make a temporary table": "CREATE TEMP TABLE activity_logs (a int)",
    "become the owner": "SET ROLE auditlog_owner",
    "become the approver": "SET ROLE auditlog_approver",
    "become a superuser": "ALTER ROLE auditlog_app SUPERUSER",
    "grant itself more": "GRANT auditlog_owner TO auditlog_app",
    "switch triggers off": "SET session_replication_role = replica",
    "read a server's file": "COPY activity_logs FROM '/etc/passwd'",
    "run a program": "COPY activity_logs TO PROGRAM 'true'",
    "reindex": "REINDEX TABLE activity_logs",
    "delete a log type's history": "DELETE FROM activity_logs WHERE type LIKE 'auditlog.%%'",
    "forget a migration": "DELETE FROM django_migrations",
}
_ENTRY = (
    "INSERT INTO activity_logs (id, ledger_id, leaf_index, record, event_digest, type, actor, action, target, outcome,"
    " severity, source, occurred_at, recorded_at, revision, locked) VALUES"
    " (gen_random_uuid(), (SELECT id FROM ledgers WHERE name = %s), %s, %s, '', 'x', 'x', 'x', '', 'success',"
    " 'info', 'x', now(), now(), 1, false)"
)
_KEY_EVENT = (
    "INSERT INTO key_events (leaf_index, record, ledger_id) "
    "VALUES (9999, '{}', (SELECT id FROM ledgers WHERE name = 'keys'))"
)
_KEY = (
    "INSERT INTO signing_keys (id, purpose, algorithm, state, provider, public_key) "
    "VALUES ('forged', 'entry', 'Ed25519', %s, 'local', '\\x00')"
)


def refused(connection: psycopg.Connection[Any], statement: str, sqlstate: str, *parameters: Any) -> None:
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(statement.encode(), parameters or None)
    assert raised.value.sqlstate == sqlstate, raised.value


@pytest.fixture
def app(every_server_database: Database) -> psycopg.Connection[Any]:
    """Open a session of the runtime role beside a ledger with an event in it."""
    record(Event("auth.login", "sign in", "ada", datetime.now(UTC), "shop", event_id="1"))
    return every_server_database.app()


def test_nothing_that_exists_can_be_changed_removed_or_truncated(app: psycopg.Connection[Any]) -> None:
    assert_clean()
    for table, change in EVIDENCE.items():
        refused(app, f"UPDATE {table} SET {change}", DENIED)
        refused(app, f"DELETE FROM {table}", DENIED)
        refused(app, f"TRUNCATE {table} CASCADE", DENIED)
    assert_clean()


def test_nothing_around_the_evidence_can_be_bent(app: psycopg.Connection[Any]) -> None:
    for attempt, statement in FORBIDDEN.items():
        try:
            refused(app, statement.replace("%%", "%"), DENIED)
        except BaseException as error:
            error.add_note(f"attempt: {attempt}")
            raise
    assert_clean()


def test_the_approver_may_do_nothing_yet(every_server_database: Database) -> None:
    approver = every_server_database.approver()
    for table, change in EVIDENCE.items():
        refused(approver, f"SELECT * FROM {table}", DENIED)
        refused(approver, f"UPDATE {table} SET {change}", DENIED)
    refused(approver, "SELECT * FROM ledger_append(1::smallint, decode(repeat('00', 32), 'hex'), '{}')", DENIED)


def test_an_entry_needs_a_leaf_of_its_own(app: psycopg.Connection[Any]) -> None:
    size, known = app.execute(
        "SELECT h.size, a.record FROM ledger_heads h JOIN ledgers l ON l.id = h.ledger_id AND l.name = 'activity' "
        "JOIN activity_logs a ON a.ledger_id = l.id AND a.leaf_index = 0"
    ).fetchall()[0]
    refused(app, _ENTRY, "AL003", "activity", size, b"no leaf")
    refused(app, _ENTRY, "23505", "activity", 0, b"another's leaf")
    refused(app, _ENTRY, "23505", "activity", 0, known)
    refused(app, _ENTRY, "AL003", "meta", 0, b"{}")
    refused(app, _ENTRY, "AL003", "keys", 0, b"{}")
    refused(app, _KEY_EVENT, "AL003")
    assert_clean()


def test_a_leaf_of_the_wrong_ledger_is_no_place_for_an_entry(app: psycopg.Connection[Any]) -> None:
    forged = b'{"forged":true}'
    append = "SELECT first_leaf FROM ledger_append((SELECT id FROM ledgers WHERE name = %s), %s, '{}')"
    with app.transaction():
        (first,) = app.execute(append, ["meta", leaf_hash(forged)]).fetchall()[0]
        with pytest.raises(psycopg.Error) as raised, app.transaction():
            app.execute(_ENTRY, ["meta", first, forged])
        assert raised.value.sqlstate == "AL003"
        raise psycopg.Rollback


def test_a_leaf_without_an_entry_is_reported(app: psycopg.Connection[Any]) -> None:
    assert_clean()
    (first,) = app.execute(
        "SELECT first_leaf FROM ledger_append((SELECT id FROM ledgers WHERE name = 'activity'), %s, '{}')",
        [hashlib.sha256(b"x").digest()],
    ).fetchall()[0]
    found = verify()
    assert (found.exit_code, found.first_bad_leaf()) == (1, first)


@pytest.mark.parametrize(
    "call",
    [
        "ledger_append(1::smallint, ''::bytea, '{}')",
        "ledger_append(1::smallint, NULL, '{}')",
        "ledger_append(1::smallint, '\\x00'::bytea, '{}')",
        "ledger_append(999::smallint, decode(repeat('00', 32), 'hex'), '{}')",
        "ledger_open('../keys', 'x', 'activity')",
        "ledger_open('x', 'x', 'secret')",
        "checkpoint_store(1::smallint, 999999, decode(repeat('00', 32), 'hex'), 'note', '{}')",
        "checkpoint_store(1::smallint, NULL, decode(repeat('00', 32), 'hex'), 'note', '{}')",
        "checkpoint_store(1::smallint, 0, '\\x00'::bytea, 'note', '{}')",
        "checkpoint_store(999::smallint, 0, decode(repeat('00', 32), 'hex'), 'note', '{}')",
    ],
)
def test_ledger_functions_refuse_what_is_no_append(fresh_database: Database, call: str) -> None:
    refused(fresh_database.app(), f"SELECT * FROM {call}", "AL004")


def test_another_root_for_a_signed_size_is_refused(app: psycopg.Connection[Any]) -> None:
    (size, ledger_id) = app.execute(
        "SELECT max(size), ledger_id FROM ledger_checkpoints "
        "WHERE ledger_id = (SELECT id FROM ledgers WHERE name = 'activity') GROUP BY ledger_id"
    ).fetchall()[0]
    (keys,) = app.execute("SELECT array_agg(id) FROM signing_keys WHERE purpose = 'checkpoint'").fetchall()[0]
    store = "SELECT * FROM checkpoint_store(%s::smallint, %s, %s, 'forged', %s::text[])"
    refused(app, store, "AL004", ledger_id, size, b"\1" * 32, keys)
    assert app.execute(store.encode(), [ledger_id, size, b"\1" * 32, ["forged"]]).fetchall() == []


def test_a_key_only_moves_forward(app: psycopg.Connection[Any]) -> None:
    refused(app, _KEY, "AL005", "active")
    refused(app, _KEY, "AL005", "retired")
    app.execute(_KEY.encode(), ["pre-active"])
    with pytest.raises(psycopg.errors.UniqueViolation):
        app.execute("UPDATE signing_keys SET state = 'active' WHERE id = 'forged'")
    active = SigningKey.objects.get(purpose="entry", state="active").id
    refused(app, "UPDATE signing_keys SET state = 'retired' WHERE id = %s", "AL005", active)  # the slot would be empty
    refused(app, "UPDATE signing_keys SET state = 'pre-active' WHERE id = %s", "AL005", active)
    refused(app, "UPDATE signing_keys SET sealed_private_key = NULL WHERE id = %s", "AL005", active)
    refused(app, "UPDATE signing_key_windows SET until_leaf = 999999 WHERE key_id = %s", "AL005", active)
    refused(app, "UPDATE signing_key_windows SET untrusted_from_leaf = 0 WHERE key_id = %s", "AL005", active)
    window = "INSERT INTO signing_key_windows (key_id, ledger_id, first_leaf) SELECT 'forged', id, 0 FROM ledgers"
    refused(app, window, "AL005")


def test_a_forged_key_is_found(app: psycopg.Connection[Any]) -> None:
    assert_clean()
    app.execute(_KEY.encode(), ["pre-active"])
    found = verify()
    assert found.exit_code == 1
    assert any("forged" in reason for reason in found.alarms("keys"))


@pytest.mark.parametrize("function", ["append_only_guard", "in_ledger_guard", "key_window_guard", "signing_key_guard"])
def test_a_guard_cannot_be_borrowed_for_a_temporary_table(every_server_database: Database, function: str) -> None:
    name = every_server_database.name
    every_server_database.superuser().execute(f'GRANT TEMP ON DATABASE "{name}" TO auditlog_app'.encode())
    app = every_server_database.app()
    app.execute("CREATE TEMP TABLE mine (LIKE signing_key_windows)")
    refused(app, f"CREATE TRIGGER x BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION public.{function}()", DENIED)


def test_the_definer_guard_serves_its_own_table_alone(every_server_database: Database) -> None:
    every_server_database.owner().execute("CREATE TABLE public.mine (LIKE public.signing_key_windows)")
    owner = every_server_database.owner()
    owner.execute(
        "CREATE TRIGGER x BEFORE INSERT ON public.mine FOR EACH ROW EXECUTE FUNCTION public.key_window_guard()"
    )
    refused(owner, "INSERT INTO public.mine (key_id, ledger_id, first_leaf) VALUES ('x', 1, 0)", "AL005")


def test_names_in_pg_temp_do_not_reach_into_the_functions(every_server_database: Database) -> None:
    name = every_server_database.name
    every_server_database.superuser().execute(f'GRANT TEMP ON DATABASE "{name}" TO auditlog_app'.encode())
    app = every_server_database.app()
    app.execute(
        "CREATE TEMP TABLE ledger_heads AS SELECT 3::smallint ledger_id, 0::bigint size, '{}'::bytea[] frontier"
    )
    app.execute("CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT ''\\x00''::bytea'")
    app.execute("SET search_path = pg_temp, public")
    (before,) = app.execute("SELECT size FROM public.ledger_heads WHERE ledger_id = 1").fetchall()[0]
    app.execute("SELECT public.ledger_append(1::smallint, decode(repeat('00', 32), 'hex'), '{}')")
    assert app.execute("SELECT size FROM public.ledger_heads WHERE ledger_id = 1").fetchall() == [(before + 1,)]


def test_even_the_owner_meets_the_guards(every_server_database: Database) -> None:
    record(Event("auth.login", "sign in", "ada", datetime.now(UTC), "shop"))
    owner = every_server_database.owner()
    for table, change in EVIDENCE.items():
        rule = "AL005" if table.startswith("signing_") else "AL001"
        if owner.execute(f"SELECT count(*) FROM {table}".encode()).fetchall() == [(0,)]:
            refused(owner, f"TRUNCATE {table}", "AL001")
            continue
        refused(owner, f"UPDATE {table} SET {change}", rule)
        refused(owner, f"DELETE FROM {table}", rule)
        refused(owner, f"TRUNCATE {table} CASCADE", "AL001")
    assert_clean()
