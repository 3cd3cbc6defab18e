"""What somebody can do who has taken over the application: everything that its role may, and nothing of this list."""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from activity.services import record_many
from tests.attacks.intruder import amendment, fingerprint, real_events, verify
from tests.clusters import Clusters, Database, server_names

EVIDENCE = [
    "ledgers",
    "ledger_heads",
    "ledger_nodes",
    "ledger_tiles",
    "ledger_checkpoints",
    "signing_keys",
    "signing_key_windows",
    "key_events",
    "activity_logs",
    "activity_revisions",
    "log_locks",
    "lock_overrides",
    "lock_policies",
    "verification_runs",
    "meta_archives",
]
DENIED, AL001, AL003, AL004, AL005, TWICE = "42501", "AL001", "AL003", "AL004", "AL005", "23505"
LEDGER = "(SELECT id FROM ledgers WHERE name = 'activity')"
META = "(SELECT id FROM ledgers WHERE name = 'meta')"
KEY = "(SELECT id FROM signing_keys WHERE purpose = 'entry' AND state = 'active')"
CHECKPOINT_KEYS = "ARRAY(SELECT id::text FROM signing_keys WHERE purpose = 'checkpoint' AND state = 'active')"


def _entry(**columns: str) -> str:
    """Return the INSERT of a copy of entry 20 with other expressions for some columns."""
    values = {
        "id": "gen_random_uuid()", "ledger_id": "ledger_id", "leaf_index": "leaf_index", "record": "record",
        "event_digest": "event_digest", "type": "type", "actor": "actor", "action": "action", "target": "target",
        "outcome": "outcome", "severity": "severity", "source": "source", "occurred_at": "occurred_at",
        "recorded_at": "recorded_at", "revision": "revision", "locked": "locked",
    } | columns  # fmt: skip
    return (
        f"INSERT INTO activity_logs ({', '.join(values)}) SELECT {', '.join(values.values())} "
        f"FROM activity_logs WHERE ledger_id = {LEDGER} AND leaf_index = 20"
    )


def _remove(tombstone: str) -> str:
    """Return the removal of entry 20 with some text as its tombstone."""
    return (
        f"SELECT remove_entry(id, 306, convert_to({tombstone}, 'UTF8'), event_digest, signature, 'k') "
        f"FROM activity_logs WHERE ledger_id = {LEDGER} AND leaf_index = 20"
    )


def _key(state: str = "pre-active") -> str:
    return (
        "INSERT INTO signing_keys (id, purpose, algorithm, state, provider, public_key) "
        f"VALUES ('k', 'entry', 'Ed25519', '{state}', 'local', '\\x00')"
    )


def _checkpoint(size: str, root: str, keys: str = CHECKPOINT_KEYS) -> str:
    return f"SELECT checkpoint_store({LEDGER}::smallint, {size}, {root}, 'note', {keys})"


ATTACKS: dict[str, tuple[str, str]] = {
    **{f"update {table}": (f"UPDATE {table} SET {column} = {column}", DENIED) for table, column in {
        "ledgers": "origin", "ledger_heads": "size", "ledger_nodes": "hash", "ledger_tiles": "hashes",
        "ledger_checkpoints": "note", "signing_keys": "public_key", "signing_key_windows": "first_leaf",
        "key_events": "record", "activity_logs": "recorded_at", "activity_revisions": "record", "verification_runs": "outcome",
        "meta_archives": "end_leaf",
    }.items()},
    **{f"delete {table}": (f"DELETE FROM {table}", DENIED) for table in EVIDENCE},
    **{f"truncate {table}": (f"TRUNCATE {table}", DENIED) for table in EVIDENCE},
    **{f"truncate {table} cascade": (f"TRUNCATE {table} CASCADE", DENIED) for table in EVIDENCE},
    **{f"insert {table}": (f"INSERT INTO {table} SELECT * FROM {table}", DENIED) for table in EVIDENCE[:5]},
    "merge": (
        "MERGE INTO activity_logs a USING (SELECT 1) s ON true WHEN MATCHED THEN UPDATE SET actor = 'mallory'", AL001),
    "merge delete": ("MERGE INTO activity_logs a USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE", DENIED),
    "upsert": (_entry() + " ON CONFLICT (ledger_id, leaf_index) DO UPDATE SET actor = 'mallory'", AL001),
    "insert an archive of accesses": ("INSERT INTO meta_archives DEFAULT VALUES", DENIED),
    "delete accesses": ("DELETE FROM meta_logs", DENIED),
    "insert into the archive": ("INSERT INTO activity_revisions DEFAULT VALUES", DENIED),
    **{f"amend {what}": (amendment(20, next_leaf=306, **how), AL001) for what, how in {
        "without saying why": {"record": "replace({record}, '\"reason\":\"r\"', '\"reason\":\" \"')"},
        "without saying who": {"record": "replace({record}, '\"by\":\"eve\",', '')"},
        "as another entry": {"record": "replace({record}, id::text, gen_random_uuid()::text)"},
        "what it names another": {"record": "replace({record}, '\"leaf_index\":20', '\"leaf_index\":21')"},
        "with another hash": {"record": "regexp_replace({record}, 'leaf_hash\":\"[0-9a-f]{4}', 'leaf_hash\":\"ffff')"},
        "without amendment": {"record": "convert_from(record, 'UTF8')"},
        "and skip a revision": {"revision": "7"},
        "and keep the revision": {"revision": "1"},
        "and keep the leaf": {"leaf_index": "20"},
        "and take its signature": {"signature": "NULL", "key_id": "NULL"},
    }.items()},
    **{f"amend {column}": (amendment(20, next_leaf=306, **{column: value}), DENIED) for column, value in {
        "id": "gen_random_uuid()", "ledger_id": META, "event_id": "'x'", "source": "'x'", "type": "'auth.x'",
        "recorded_at": "now()", "locked": "true",
    }.items()},
    "amend a system entry": (amendment(0, next_leaf=306), AL001),
    "amend beside its leaf": (
        amendment(20, next_leaf=306).partition("; ")[2], AL003),
    "amend twice at once": (amendment(20, next_leaf=306) + "; " + amendment(306, next_leaf=307), AL001),
    "amend to no JSON": (amendment(20, next_leaf=306, record="'{{'"), "22P02"),
    "remove without a tombstone": (_remove("convert_from(record, 'UTF8')"), AL001),
    "remove without a rule": (_remove("'{\"type\":\"auditlog.entry.removed\",\"kid\":\"k\"}'"), AL001),
    "remove by a tombstone of another": (
        _remove("'{\"type\":\"auditlog.entry.removed\",\"kid\":\"k\",\"data\":{\"rule\":\"r\"},\"actor\":\"a\",\"action\":\"a\","
                "\"target\":\"t\",\"outcome\":\"success\",\"severity\":\"info\",\"occurred_at\":\"2026-01-01\",\"revision\":2}'"), AL001),
    "remove what is not there": (
        "SELECT remove_entry(gen_random_uuid(), 306, '{\"type\":\"auditlog.entry.removed\",\"kid\":\"k\",\"data\":{\"rule\":\"r\"}}', "
        "'x', 'x', 'k')", AL001),
    "lower the head": ("UPDATE ledger_heads SET size = 0, frontier = '{}'", DENIED),
    "jump the head": ("UPDATE ledger_heads SET size = size + 1", DENIED),
    "squat the next index": (_entry(leaf_index="306"), AL003),
    "squat a far index": (_entry(leaf_index="100000"), AL003),
    "insert before the beginning": (_entry(leaf_index="-1"), AL003),
    "insert without a leaf, quietly": (_entry(leaf_index="306") + " ON CONFLICT DO NOTHING", AL003),
    "insert at a taken leaf": (_entry(), TWICE),
    "insert into the ledger of keys": (_entry(ledger_id="(SELECT id FROM ledgers WHERE name = 'keys')"), AL003),
    "insert into the meta ledger": (_entry(ledger_id=META, leaf_index="0"), AL003),
    "insert into no ledger": (_entry(ledger_id="32767::smallint"), AL003),
    "another record's leaf": (
        f"SELECT ledger_append({LEDGER}::smallint, sha256('x'), '{{}}'); " + _entry(leaf_index="306"), AL003),
    "a leaf and an entry in the wrong kind of ledger": (
        f"SELECT ledger_append({META}::smallint, sha256('\\x00'::bytea || record), '{{}}') FROM activity_logs "
        f"WHERE ledger_id = {LEDGER} AND leaf_index = 20; " + _entry(ledger_id=META, leaf_index="0"), AL003),
    "merge a forged entry": (
        f"MERGE INTO key_events k USING (SELECT 500 AS leaf) s ON k.leaf_index = s.leaf WHEN NOT MATCHED THEN "
        f"INSERT (leaf_index, ledger_id, record) VALUES (500, {LEDGER}, 'x')", AL003),
    "a key event without a leaf": ("INSERT INTO key_events (leaf_index, ledger_id, record) SELECT 500, ledger_id, record FROM key_events LIMIT 1", AL003),
    "temporary table": ("CREATE TEMP TABLE t (id int)", DENIED),
    "temporary function": ("CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", DENIED),
    "table": ("CREATE TABLE public.t (id int)", DENIED),
    "shadow table by search_path": ("SET search_path = public; CREATE TABLE ledger_heads2 (id int)", DENIED),
    "schema": ("CREATE SCHEMA mine", DENIED),
    "view": ("CREATE VIEW public.v AS SELECT 1", DENIED),
    "function": ("CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", DENIED),
    "replace a guard's function": (
        "CREATE OR REPLACE FUNCTION public.append_only_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        DENIED),
    "alter a function": ("ALTER FUNCTION ledger_lock_all() SECURITY INVOKER", DENIED),
    "drop a function": ("DROP FUNCTION ledger_lock_all()", DENIED),
    "call a guard": ("SELECT append_only_guard()", DENIED),
    "trigger": (
        "CREATE TRIGGER t BEFORE INSERT ON activity_logs FOR EACH ROW EXECUTE FUNCTION append_only_guard()", DENIED),
    "drop a guard": ("DROP TRIGGER amended_by_rule ON activity_logs", DENIED),
    "disable guards": ("ALTER TABLE activity_logs DISABLE TRIGGER ALL", DENIED),
    "rule": ("CREATE RULE r AS ON INSERT TO activity_logs DO INSTEAD NOTHING", DENIED),
    "policy": ("CREATE POLICY p ON activity_logs", DENIED),
    "row security": ("ALTER TABLE activity_logs ENABLE ROW LEVEL SECURITY", DENIED),
    "index": ("CREATE INDEX i ON activity_logs (actor)", DENIED),
    "alter table": ("ALTER TABLE activity_logs ALTER COLUMN actor DROP NOT NULL", DENIED),
    "drop table": ("DROP TABLE activity_logs CASCADE", DENIED),
    "inherit": ("ALTER TABLE activity_logs INHERIT verification_runs", DENIED),
    "owner": ("ALTER TABLE activity_logs OWNER TO auditlog_app", DENIED),
    "set role": ("SET ROLE auditlog_owner", DENIED),
    "session authorization": ("SET SESSION AUTHORIZATION auditlog_owner", DENIED),
    "replication role": ("SET session_replication_role = replica", DENIED),
    "superuser": ("ALTER ROLE auditlog_app SUPERUSER", DENIED),
    "member of owner": ("GRANT auditlog_owner TO auditlog_app", DENIED),
    "system setting": ("ALTER SYSTEM SET fsync = off", "25001"),
    "extension": ("CREATE EXTENSION dblink", DENIED),
    "read a file": ("SELECT pg_read_file('/etc/passwd')", DENIED),
    "copy to a program": ("COPY activity_logs TO PROGRAM 'cat'", DENIED),
    "copy from a file": ("COPY activity_logs FROM '/dev/null'", DENIED),
    "exclusive lock": ("LOCK TABLE activity_logs IN ACCESS EXCLUSIVE MODE", DENIED),
    "key born active": (_key("active"), AL005),
    "two active keys": (_key() + "; UPDATE signing_keys SET state = 'active' WHERE id = 'k'", TWICE),
    "back from retired": (
        f"UPDATE signing_keys SET state = 'retired' WHERE id = {KEY}; "
        "UPDATE signing_keys SET state = 'active' WHERE state = 'retired'", AL005),
    "an empty slot": (f"UPDATE signing_keys SET state = 'retired' WHERE id = {KEY}; SET CONSTRAINTS ALL IMMEDIATE", AL005),
    "a private key erased": ("UPDATE signing_keys SET sealed_private_key = NULL", AL005),
    "widen a window": ("UPDATE signing_key_windows SET until_leaf = 1000000", AL005),
    "open a window early": (
        f"INSERT INTO signing_key_windows (key_id, ledger_id, first_leaf) VALUES ({KEY}, "
        "(SELECT id FROM ledgers WHERE name = 'keys'), 0)", AL005),
    "distrust a good key": ("UPDATE signing_key_windows SET untrusted_from_leaf = 0", AL005),
    "checkpoint beyond the head": (_checkpoint("1000000", "sha256('x')"), AL004),
    "another root of a signed size": (_checkpoint("306", "sha256('x')"), AL004),
    "a root of no hash": (_checkpoint("306", "'\\x00'::bytea"), AL004),
    "hashes that are none": (f"SELECT ledger_append({LEDGER}::smallint, '\\x00', '{{}}')", AL004),
    "no hashes": (f"SELECT ledger_append({LEDGER}::smallint, '', '{{}}')", AL004),
    "null for hashes": (f"SELECT ledger_append({LEDGER}::smallint, NULL, '{{}}')", AL004),
    "begin to append to no ledger": ("SELECT ledger_begin(32767::smallint)", AL004),
    **{f"begin to append and {what}": (f"SELECT ledger_begin({ledger}::smallint); {then}", AL003)
       for what, (ledger, then) in {
        "leave a gap": (LEDGER, _entry(leaf_index="307")),
        "insert elsewhere": (META, _entry(leaf_index="306")),
        "insert into a ledger of another kind": (META, _entry(ledger_id=META, leaf_index="0")),
        "insert into another one, too": (
            LEDGER, _entry(leaf_index="306") + " UNION ALL " + _entry(ledger_id=META, leaf_index="0").partition(") ")[2]),
        "insert once more": (LEDGER, _entry(leaf_index="306") + "; " + _entry(leaf_index="307")),
    }.items()},
    "append to no ledger": ("SELECT ledger_append(32767::smallint, sha256('x'), '{}')", AL004),
    "a ledger with a bad name": ("SELECT ledger_open('../x', 'o', 'activity')", AL004),
    "a ledger of a bad kind": ("SELECT ledger_open('x', 'o', 'mine')", AL004),
    "a second ledger of one name": ("SELECT ledger_open('activity', 'o', 'activity')", TWICE),
}  # fmt: skip


@pytest.fixture(scope="module", params=server_names())
def database(request: pytest.FixtureRequest, clusters: Clusters, django_db_blocker: Any) -> Iterator[Database]:
    """Give a ledger with a tile. Every attack is refused or rolled back, so one database does for all."""
    with django_db_blocker.unblock(), clusters[request.param].clone() as clone, clone.as_django_databases():
        record_many(real_events(300))
        yield clone


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_app_role_is_refused_and_nothing_changes(database: Database, attack: str) -> None:
    statement, sqlstate = ATTACKS[attack]
    before = fingerprint(database)
    with pytest.raises(psycopg.Error) as refused, database.app(autocommit=False) as app:
        app.execute(statement.encode())
    assert refused.value.sqlstate == sqlstate, refused.value
    assert fingerprint(database) == before


@pytest.mark.parametrize("table", EVIDENCE)
def test_the_approver_reads_and_writes_no_evidence(database: Database, table: str) -> None:
    for statement in (f"SELECT * FROM {table}", f"DELETE FROM {table}", f"INSERT INTO {table} DEFAULT VALUES"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), database.approver() as approver:
            approver.execute(statement.encode())


def test_no_checkpoint_is_kept_that_other_keys_signed(database: Database) -> None:
    before = fingerprint(database)
    for keys in ("'{}'::text[]", "ARRAY['k']", f"ARRAY[{KEY}]::text[]"):
        assert database.app().execute(_checkpoint("306", "sha256('x')", keys).encode()).fetchall() == []
    assert fingerprint(database) == before


def test_temporary_tables_shadow_nothing_for_a_role_that_may_make_them(database: Database) -> None:
    superuser = database.superuser()
    superuser.execute(f"GRANT TEMP ON DATABASE {database.name} TO auditlog_app".encode())
    app = database.app(autocommit=False)
    try:
        for table in ("ledger_heads", "ledger_nodes", "ledger_tiles", "ledgers", "signing_keys"):
            app.execute(f"CREATE TEMP TABLE {table} AS SELECT * FROM public.{table}".encode())
        app.execute("CREATE TEMP TABLE inserted (ledger_id smallint, leaf_index bigint, record bytea)")
        app.execute("SET search_path = pg_temp, public")
        app.execute("UPDATE pg_temp.ledger_heads SET size = 0, frontier = '{}'")
        appended = f"SELECT first_leaf FROM public.ledger_append({LEDGER}::smallint, sha256('x'), '{{}}')"
        assert app.execute(appended.encode()).fetchone() == (306,)
        with pytest.raises(psycopg.Error) as refused:
            app.execute(_entry(leaf_index="306").encode())
        assert refused.value.sqlstate == AL003
        app.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(
                "CREATE TEMP TABLE mine (key_id text, ledger_id smallint); CREATE TRIGGER borrowed BEFORE INSERT ON mine "
                "FOR EACH ROW EXECUTE FUNCTION public.key_window_guard()"
            )
    finally:
        app.rollback()
        superuser.execute(f"REVOKE TEMP ON DATABASE {database.name} FROM auditlog_app".encode())


def test_a_definer_trigger_serves_no_table_but_its_own(database: Database) -> None:
    owner = database.superuser(autocommit=False)
    owner.execute(
        "CREATE TEMP TABLE mine (LIKE signing_key_windows); CREATE TRIGGER borrowed BEFORE INSERT ON mine "
        "FOR EACH ROW EXECUTE FUNCTION public.key_window_guard()"
    )
    with pytest.raises(psycopg.Error) as refused:
        owner.execute(f"INSERT INTO mine (key_id, ledger_id, first_leaf) VALUES ('k', {LEDGER}, 0)".encode())
    assert refused.value.sqlstate == AL005
    owner.rollback()


def test_rows_become_leaves_in_the_transaction_that_began_to_append_alone(every_server_database: Database) -> None:
    record_many(real_events(30))
    begin, insert = (f"SELECT ledger_begin({LEDGER}::smallint)".encode(), _entry(leaf_index="36").encode())
    app = every_server_database.app(autocommit=False)
    assert app.execute(begin).fetchone() == (36,)
    app.execute(insert)
    app.rollback()
    app.execute(begin)
    app.commit()
    with pytest.raises(psycopg.Error) as refused:
        app.execute(insert)
    assert refused.value.sqlstate == AL003


def test_a_leaf_without_an_entry_is_possible_and_reported(every_server_database: Database) -> None:
    record_many(real_events(10))
    every_server_database.app().execute(f"SELECT ledger_append({LEDGER}::smallint, sha256('x'), '{{}}')".encode())
    found = verify()
    assert (found.exit_code, found.first_bad_leaf()) == (1, 16)
    assert "the leaf has no entry" in found.alarms()
