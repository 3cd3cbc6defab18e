"""Ways to change a locked entry, or what locks it, by SQL as the application's role: none succeeds.

Each is refused with the SQLSTATE that is written beside it, leaves every row as it was, and is a way that works where
nothing guards: an amendment on an entry that is not locked, everything else for somebody who owns the database and has
switched the guards off.
"""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from tests.attacks.intruder import CHECKS, GUARDED, amended, amendment, fingerprint, of, verify
from tests.attacks.locked_ledger import (
    ASKED,
    COMPLIANCE,
    FREE,
    GOVERNANCE,
    HOLD,
    LOCKED,
    OVERRIDDEN,
    REFUSED,
    lock_in_every_way,
)
from tests.clusters import Clusters, Database, server_names

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
        values = {name: name for name in _COLUMNS} | amended(next_leaf=LAST_LEAF) | {"locked": "false"}
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


_COLUMNS = (
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


# Ways to amend or remove that succeed on an entry that is not locked; on a locked one each is refused by AL002.
AMENDING: dict[str, Way] = {
    "plain": amend,
    "repeatable read": after("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
    "serializable": after("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
    "only the parent table": lambda leaf: amend(leaf).replace("UPDATE activity_logs", "UPDATE ONLY activity_logs"),
    "joined": joined,
    "common table expression": wrapped("WITH changed AS (", " RETURNING 1) SELECT * FROM changed"),
    "returning": wrapped("", " RETURNING *"),
    "prepared statement": wrapped("PREPARE changing AS ", "; EXECUTE changing"),
    "block": wrapped("DO $x$ BEGIN ", "; END $x$"),
    "dynamic statement": wrapped("DO $x$ BEGIN EXECUTE $y$", "$y$; END $x$"),
    "savepoint": wrapped("SAVEPOINT one; ", "; RELEASE one"),
    "cursor": lambda leaf: (
        f"{parts(leaf)[0]}; DECLARE mine CURSOR FOR SELECT * FROM activity_logs WHERE {at(leaf)} FOR UPDATE; FETCH mine; "
        f"{parts(leaf)[1].partition(' WHERE ledger_id = (SELECT id FROM ledgers')[0]} WHERE CURRENT OF mine"
    ),
    "by its row's place": wrapped("", " AND ctid = (SELECT ctid FROM activity_logs a WHERE a.id = activity_logs.id)"),
    "locked first": lambda leaf: f"SELECT FROM activity_logs WHERE {at(leaf)} FOR UPDATE; {amend(leaf)}",
    "merge": merge,
    "upsert by id": upsert("id"),
    "an override that nobody asked for": overridden("77"),
    "an override that nobody approved": overridden(override("requested")),
    "an override of another entry": overridden(override("approved")),
    "a variable of ours": after("SET auditlog.override = '1'", "SET auditlog.locked = 'off'"),
    "a variable of django-pgtrigger": after("SET pgtrigger.ignore = '{activity_logs:locked_by_rule}'"),
    "a variable by function": after("SELECT set_config('auditlog.bypass', 'on', true)"),
    "search_path to the temporary": after("SET search_path = pg_temp, public"),
    "search_path to nowhere": lambda leaf: "SET search_path = ''; " + amend(leaf).replace("ledger_append", "public.ledger_append")
        .replace("activity_logs SET", "public.activity_logs SET").replace("FROM activity_logs", "FROM public.activity_logs")
        .replace("FROM ledgers", "FROM public.ledgers").replace("FROM ledger_heads", "FROM public.ledger_heads")
        .replace("activity_logs.ledger_id", "public.activity_logs.ledger_id"),
    "row security off": after("SET row_security = off"),
    "another time zone": after("SET TIME ZONE '-167:59'"),
    "another style of dates": after("SET DateStyle = 'SQL, DMY'", "SET IntervalStyle = 'sql_standard'"),
    "nulls that equal": after("SET transform_null_equals = on"),
    "constraints later": after("SET CONSTRAINTS ALL DEFERRED"),
    "no plan of indexes": after("SET enable_indexscan = off", "SET enable_bitmapscan = off", "SET enable_seqscan = off"),
    "plans that are kept": after("SET plan_cache_mode = force_generic_plan"),
    "conflicts of names": after("SET plpgsql.variable_conflict = 'use_column'"),
    "assertions off": after("SET plpgsql.check_asserts = off"),
    "quotes of old": after("SET standard_conforming_strings = on", "SET backslash_quote = on"),
    "bodies unchecked": after("SET check_function_bodies = off"),
    "role of its own": after("SET ROLE auditlog_app"),
    "reset": after("RESET ALL"),
    "discarded": after("DISCARD PLANS", "DISCARD SEQUENCES"),
    "notified": after("LISTEN locks", "NOTIFY locks"),
    "advisory locks held": after("SELECT pg_advisory_lock(n) FROM generate_series(1, 50) n", "SELECT pg_advisory_unlock_all()"),
    "table locked in the weakest mode": after("LOCK TABLE log_locks, activity_logs IN ACCESS SHARE MODE"),
    "removed": remove,
}  # fmt: skip

# Statement and SQLSTATE of what is refused whatever entry or lock it is for.
ATTACKS: dict[str, tuple[str, str]] = {
    # The state of an entry's locks.
    **{f"set {column}": (f"UPDATE activity_logs SET {column} = {value} WHERE {at(GOVERNANCE)}", DENIED) for column, value in {
        "locked": "false", "held_by": "NULL", "hold_count": "0", "governance_until": "NULL", "compliance_until": "NULL",
        "locks_at": "'9999-01-01'", "override_id": "1", "override_until": "now() + interval '1 day'",
    }.items()},
    "amend and unlock at once": (amendment(GOVERNANCE, next_leaf=LAST_LEAF, locked="false", held_by="NULL"), DENIED),
    "amend the override's entry and not name it": (amend(OVERRIDDEN), AL002),
    "amend what was recorded, in place": (f"UPDATE activity_logs SET actor = 'eve' WHERE {at(GOVERNANCE)}", AL001),
    "delete": (f"DELETE FROM activity_logs WHERE {at(GOVERNANCE)}", DENIED),
    "delete in a common table expression": (f"WITH gone AS (DELETE FROM activity_logs WHERE {at(HOLD)} RETURNING *) SELECT * FROM gone", DENIED),
    "delete by merge": (f"MERGE INTO activity_logs USING (SELECT 1) s ON {at(HOLD)} WHEN MATCHED THEN DELETE", DENIED),
    "truncate": ("TRUNCATE activity_logs", DENIED),
    "truncate with what hangs on it": ("TRUNCATE activity_logs, log_locks, lock_overrides RESTART IDENTITY CASCADE", DENIED),
    **{f"be recorded with {column}": (
        f"SELECT ledger_append(ledger_id, sha256('\\x00'::bytea || record), '{{}}') FROM activity_logs WHERE {at(FREE)}; "
        f"INSERT INTO activity_logs ({', '.join(_COLUMNS)}, locked, {column}) SELECT gen_random_uuid(), ledger_id, {LAST_LEAF}, "
        f"{', '.join(_COLUMNS[3:])}, false, {value} FROM activity_logs WHERE {at(FREE)}", AL006) for column, value in {
        "override_id, override_until": "1, 'infinity'", "locks_at": "'9999-01-01'"}.items()},
    # The table.
    **{f"alter table {how}": (f"ALTER TABLE activity_logs {how}", DENIED) for how in (
        "DISABLE TRIGGER locked_by_rule", "DISABLE TRIGGER USER", "ENABLE REPLICA TRIGGER locked_by_rule",
        "ALTER COLUMN actor TYPE text USING 'eve'", "ALTER COLUMN record TYPE bytea USING 'x'::bytea",
        "DROP COLUMN held_by CASCADE", "DROP CONSTRAINT IF EXISTS locked_by_its_locks", "RENAME TO old_logs", "RENAME COLUMN locked TO was_locked",
        "SET SCHEMA information_schema", "OWNER TO auditlog_app", "SET UNLOGGED", "ENABLE ROW LEVEL SECURITY",
        "REPLICA IDENTITY NOTHING", "ADD COLUMN mine int DEFAULT 1", "SET (fillfactor = 10)", "CLUSTER ON activity_logs_pkey",
    )},
    "rename swap": (
        "ALTER TABLE activity_logs RENAME TO old_logs; CREATE TABLE activity_logs (LIKE old_logs INCLUDING ALL)", DENIED),
    "drop trigger": ("DROP TRIGGER locked_by_rule ON activity_logs", DENIED),
    "rename trigger": ("ALTER TRIGGER locked_by_rule ON activity_logs RENAME TO zzz", DENIED),
    "a trigger that comes before": (
        "CREATE TRIGGER aaa BEFORE UPDATE ON activity_logs FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", DENIED),
    "rule on update": ("CREATE RULE r AS ON UPDATE TO activity_logs DO INSTEAD NOTHING", DENIED),
    "rule on locks": ("CREATE RULE r AS ON UPDATE TO log_locks DO INSTEAD NOTHING", DENIED),
    "updatable view": ("CREATE VIEW public.v AS SELECT * FROM activity_logs", DENIED),
    "temporary view": ("CREATE TEMP VIEW activity_logs AS SELECT 1", DENIED),
    "temporary table": ("CREATE TEMP TABLE log_locks (id bigint)", DENIED),
    "shadow in a schema of its own": ("CREATE SCHEMA mine CREATE TABLE log_locks (id bigint)", DENIED),
    "child table": ("CREATE TABLE public.child () INHERITS (activity_logs)", DENIED),
    "partition": ("CREATE TABLE public.mine (LIKE activity_logs)", DENIED),
    "policy of rows": ("CREATE POLICY p ON activity_logs USING (true)", DENIED),
    "index": ("CREATE INDEX i ON activity_logs (locked)", DENIED),
    "statistics": ("CREATE STATISTICS public.s ON locked, actor FROM activity_logs", DENIED),
    "publication": ("CREATE PUBLICATION p FOR TABLE activity_logs", DENIED),
    "exclusive table lock": ("LOCK TABLE activity_logs IN ACCESS EXCLUSIVE MODE", DENIED),
    "exclusive lock of the locks": ("LOCK TABLE log_locks IN SHARE MODE", DENIED),
    "drop the table": ("DROP TABLE log_locks CASCADE", DENIED),
    "comment": ("COMMENT ON TABLE log_locks IS 'none'", DENIED),
    # Functions and catalogues.
    **{f"replace {signature.partition('(')[0]}": (
        f"CREATE OR REPLACE FUNCTION public.{signature} LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'", DENIED) for signature in (
            "entry_lock_guard() RETURNS trigger", "entry_lock_state() RETURNS trigger", "lock_row_guard() RETURNS trigger",
            "override_row_guard() RETURNS trigger")},
    "an overloaded lock_matches": (
        "CREATE FUNCTION public.lock_matches(scope json, entry public.activity_logs) RETURNS boolean LANGUAGE sql AS 'SELECT false'", DENIED),
    "a clock of its own": ("CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'", DENIED),
    "an operator of its own": ("CREATE OPERATOR public.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = timestamptz_lt)", DENIED),
    "a cast of its own": ("CREATE CAST (bigint AS boolean) WITH INOUT", "42501"),
    "drop a function": ("DROP FUNCTION public.lock_apply(bigint, integer) CASCADE", DENIED),
    "a definer no more": ("ALTER FUNCTION public.entry_lock_state() SECURITY INVOKER", DENIED),
    "another path for a function": ("ALTER FUNCTION public.entry_lock_guard() SET search_path = mine", DENIED),
    "disable it in the catalogue": ("UPDATE pg_trigger SET tgenabled = 'D' WHERE tgname = 'locked_by_rule'", DENIED),
    "take triggers from the catalogue": ("UPDATE pg_class SET relhastriggers = false WHERE relname = 'activity_logs'", DENIED),
    "rewrite it in the catalogue": ("UPDATE pg_proc SET prosrc = 'BEGIN RETURN NEW; END' WHERE proname = 'entry_lock_guard'", DENIED),
    "grant itself the columns": (  # which is no error, and gives nothing
        f"GRANT UPDATE (locked, held_by) ON activity_logs TO auditlog_app; UPDATE activity_logs SET locked = false WHERE {at(GOVERNANCE)}", DENIED),
    "own everything": ("REASSIGN OWNED BY auditlog_owner TO auditlog_app", DENIED),
    "default privileges": ("ALTER DEFAULT PRIVILEGES FOR ROLE auditlog_owner GRANT ALL ON TABLES TO auditlog_app", DENIED),
    "member of the approvers": ("GRANT auditlog_approver TO auditlog_app", DENIED),
    "a role of its own": ("CREATE ROLE mallory SUPERUSER", DENIED),
    "be the approver": ("SET ROLE auditlog_approver", DENIED),
    "be the owner, for a transaction": ("SET LOCAL ROLE auditlog_owner", DENIED),
    "session of the approver": ("SET SESSION AUTHORIZATION auditlog_approver", DENIED),
    "replica": ("SET session_replication_role = replica", DENIED),
    "replica by function": ("SELECT set_config('session_replication_role', 'replica', false)", DENIED),
    "tables of the system": ("SET allow_system_table_mods = on", DENIED),
    "damaged pages": ("SET zero_damaged_pages = on", DENIED),
    "setting of a role": ("ALTER ROLE auditlog_owner SET session_replication_role = replica", DENIED),
    "setting of the database": ("ALTER DATABASE template1 SET session_replication_role = replica", DENIED),
    "event trigger": (
        "CREATE FUNCTION public.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER e ON ddl_command_end "
        "EXECUTE FUNCTION public.e()", DENIED),
    "foreign data": ("CREATE FOREIGN DATA WRAPPER w", DENIED),
    "language": ("CREATE LANGUAGE mine HANDLER plpgsql_call_handler", DENIED),
    "large object to a file": ("SELECT lo_from_bytea(4711, 'x'); SELECT lo_export(4711, '/dev/null')", DENIED),
    "large object from a file": ("SELECT lo_import('/etc/hostname')", DENIED),
    "large object as a catalogue": ("UPDATE pg_largeobject SET data = 'x'", DENIED),
    "write a file": ("COPY (SELECT 1) TO '/dev/null'", DENIED),
    "run a program": ("COPY (SELECT 1) TO PROGRAM 'cat >/dev/null'", DENIED),
    # Locks.
    **{f"set a lock's {column}": (f"UPDATE log_locks SET {column} = {value}", DENIED) for column, value in {
        "until": "now() + interval '1 second'", "kind": "'governance'", "scope": "'{\"leaf_from\": 99}'", "state": "'released'",
        "created_at": "'2020-01-01'", "released_by": "'mallory'", "next_leaf": "0", "lifted_to": "9223372036854775807",
    }.items()},
    "delete a lock": ("DELETE FROM log_locks", DENIED),
    "truncate locks": ("TRUNCATE log_locks CASCADE", DENIED),
    "merge a lock": ("MERGE INTO log_locks l USING (SELECT 1) s ON true WHEN MATCHED THEN UPDATE SET state = 'expired'", DENIED),
    "insert over a lock's number": (
        "INSERT INTO log_locks (id, ledger_id, kind, scope, reason, case_reference, locked_by, state, next_leaf, count, lifted_to) OVERRIDING SYSTEM VALUE "
        "SELECT 1000, ledger_id, kind, scope, reason, case_reference, locked_by, 'applying', 0, 0, 0 FROM log_locks LIMIT 1", DENIED),
    "back-date a lock": ("UPDATE log_locks SET created_at = created_at - interval '1 year', in_force_at = now()", DENIED),
    "end it before its time": (f"SELECT lock_expire({lock(GOVERNANCE)})", AL006),
    "end compliance before its time": (f"SELECT lock_expire({lock(COMPLIANCE)})", AL006),
    "shorten governance by function": (f"SELECT lock_extend({lock(GOVERNANCE)}, now() + interval '1 minute')", AL006),
    "shorten compliance by function": (f"SELECT lock_extend({lock(COMPLIANCE)}, now() + interval '1 minute')", AL006),
    "give a hold an end": (f"SELECT lock_extend({lock(HOLD)}, now() + interval '1 minute')", AL006),
    "begin a lock in the past": (f"SELECT lock_start({LEDGER}::smallint, 'governance', '{{\"leaf_from\": 0}}', 'r', '', '2020-01-01', 'eve', NULL)", AL006),
    "begin a lock of another kind": (f"SELECT lock_start({LEDGER}::smallint, 'none', '{{\"leaf_from\": 0}}', 'r', '', NULL, 'eve', NULL)", AL006),
    "begin a lock of nobody": (f"SELECT lock_start({LEDGER}::smallint, 'hold', '{{\"leaf_from\": 0}}', 'r', '', NULL, ' ', NULL)", AL006),
    # Overrides.
    "insert an override that is approved": (
        f"INSERT INTO lock_overrides (requested_by, reason, case_reference, entries, hours, lifts_holds, state, used_count, decided_by, runs_until) "
        f"VALUES ('eve', 'r', '', ARRAY[{entry(GOVERNANCE)}], 24, true, 'approved', 0, 'anton', now() + interval '1 day')", DENIED),
    "approve by update": ("UPDATE lock_overrides SET state = 'approved', decided_by = 'anton', runs_until = now() + interval '1 day'", DENIED),
    "make it run longer": ("UPDATE lock_overrides SET runs_until = now() + interval '1 year', hours = 24", DENIED),
    "make it for another entry": (f"UPDATE lock_overrides SET entries = ARRAY[{entry(HOLD)}]", DENIED),
    "delete an override": ("DELETE FROM lock_overrides", DENIED),
    "ask for an override of a week": (f"SELECT override_request('eve', 'r', '', ARRAY[{entry(GOVERNANCE)}], 168, false)", CHECK),
    # Policies.
    "disable a policy": ("UPDATE lock_policies SET enabled = false", DENIED),
    "make a policy late": ("UPDATE lock_policies SET rule = '{\"kind\": \"age\", \"days\": 9000}'", DENIED),
    "narrow a policy": ("UPDATE lock_policies SET scope = '{\"type\": \"none\"}'", DENIED),
    "delete a policy": ("DELETE FROM lock_policies", DENIED),
}  # fmt: skip
# Functions that the app role may call: what is refused, with which SQLSTATE, and what is not.
ASKING: dict[str, tuple[str, str, str]] = {
    "ask for the release of compliance": (f"SELECT lock_request_release({lock(COMPLIANCE)}, 'eve', 'r')", AL006,
        f"SELECT lock_request_release({lock(GOVERNANCE)}, 'eve', 'r')"),
    "ask for a release without a reason": (f"SELECT lock_request_release({lock(GOVERNANCE)}, 'eve', ' ')", AL006,
        f"SELECT lock_request_release({lock(HOLD)}, 'eve', 'r')"),
    "begin a lock with a scope that it does not have": (f"SELECT lock_start({LEDGER}::smallint, 'hold', '{{\"sql\": \"x\"}}', 'r', '', NULL, 'eve', NULL)", AL006,
        f"SELECT lock_start({LEDGER}::smallint, 'hold', '{{\"leaf_from\": 0}}', 'r', '', NULL, 'eve', NULL)"),
    "ask for an override of compliance": (f"SELECT override_request('eve', 'r', '', ARRAY[{entry(COMPLIANCE)}], 1, true)", AL006,
        f"SELECT override_request('eve', 'r', '', ARRAY[{entry(GOVERNANCE)}], 1, true)"),
    "ask for an override of a hold, silently": (f"SELECT override_request('eve', 'r', '', ARRAY[{entry(HOLD)}], 1, false)", AL006,
        f"SELECT override_request('eve', 'r', '', ARRAY[{entry(HOLD)}], 1, true)"),
    "ask for an override of what is not locked": (f"SELECT override_request('eve', 'r', '', ARRAY[{entry(FREE)}], 1, true)", AL006,
        f"SELECT override_request('eve', 'r', '', ARRAY[{entry(ASKED)}], 1, true)"),
    "lead a policy of time past what it locks": ("SELECT policy_advance(id, next_leaf, 1000000, done, done) FROM lock_policies WHERE name = 'pending'", AL006,
        "SELECT policy_advance(id, next_leaf, next_leaf, done, 'x') FROM lock_policies WHERE name = 'pending'"),
    "lead a policy beyond the ledger": ("SELECT policy_advance(id, next_leaf, 1000000, done, done) FROM lock_policies WHERE name = 'past'", AL006,
        "SELECT policy_advance(id, next_leaf, next_leaf, done, 'x') FROM lock_policies WHERE name = 'past'"),
}  # fmt: skip
# Functions that it may not call.
APPROVING: dict[str, str] = {
    "release by function": f"SELECT lock_release({lock(ASKED)}, 'anton', gen_random_uuid())",
    "approve by function": f"SELECT override_decide({override('requested')}, 'anton', true, gen_random_uuid())",
    "review by function": f"SELECT override_review({override('approved')}, 'anton', gen_random_uuid())",
    "prove a record": "SELECT lock_require_record(gen_random_uuid(), 'auditlog.override.approved', 'override 1', 'anton')",
    "set a policy by function":
        f"SELECT policy_set('pending', {LEDGER}::smallint, false, '{{\"kind\": \"age\", \"days\": 9000}}', '{{}}', 'hold', NULL, 'anton', gen_random_uuid())",
}  # fmt: skip
# What a server of ours refuses to everybody, so that nobody can show that it would work.
REFUSED_TO_ALL = {
    "insert it again": (f"INSERT INTO activity_logs SELECT * FROM activity_logs WHERE {at(GOVERNANCE)}", TWICE),
    "two-phase commit": (f"{amend(FREE)}; PREPARE TRANSACTION 'later'", "55000"),
    "a library at the next start": ("SET session_preload_libraries = 'x'", DENIED),
    "a library now": ("LOAD '/tmp/x.so'", DENIED),
    "a setting of the server": ("ALTER SYSTEM SET session_replication_role = replica", "25001"),
}
# Statements that are obeyed and change nothing.
IDLE = {
    "apply a lock that is in force again": f"SELECT lock_apply({lock(GOVERNANCE)}, 1000000)",
    "lift a lock that is in force": f"SELECT lock_lift({lock(GOVERNANCE)}, 1000000)",
    "refresh a lock from nowhere": f"SELECT lock_refresh({lock(GOVERNANCE)}, -5, 1000000)",
    "insert it again, quietly": (
        f"INSERT INTO activity_logs ({', '.join(_COLUMNS)}, locked) SELECT {', '.join(_COLUMNS)}, false FROM activity_logs WHERE {at(GOVERNANCE)} ON CONFLICT DO NOTHING"
    ),
    "lead a policy back": "SELECT policy_advance(id, next_leaf + 1, next_leaf + 1, done, done) FROM lock_policies WHERE name = 'past'",
    "end an override that there is not": "SELECT override_end(77)",
    "mark without an end": "SELECT policy_mark(id, -5) FROM lock_policies WHERE name = 'past'",
}


@pytest.fixture(scope="module", params=server_names())
def database(request: pytest.FixtureRequest, clusters: Clusters, django_db_blocker: Any) -> Iterator[Database]:
    """Give a ledger with locked entries. Every attack is refused or rolled back, so one database does for all."""
    with django_db_blocker.unblock(), clusters[request.param].clone() as clone, clone.as_django_databases():
        lock_in_every_way()
        yield clone


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


def test_there_are_at_least_80_ways() -> None:
    assert len(AMENDING) + len(ATTACKS) + len(ASKING) + len(APPROVING) + len(REFUSED_TO_ALL) + len(IDLE) >= 150


@pytest.mark.parametrize("way", AMENDING)
def test_a_locked_entry_is_not_amended_and_a_free_one_is(database: Database, way: str) -> None:
    naming_an_override = "override" in way
    for leaf in REFUSED:
        if leaf == OVERRIDDEN and naming_an_override:
            continue
        assert_refused(database, AMENDING[way](leaf), AL002)
    with database.app(autocommit=False) as app:
        app.execute(AMENDING[way](FREE).encode())
        app.execute("SET search_path = public")
        if not naming_an_override:
            assert app.execute(f"SELECT FROM activity_logs WHERE {at(FREE)}".encode()).fetchone() is None
        app.rollback()


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_app_role_is_refused_and_the_owner_of_the_database_is_not(database: Database, attack: str) -> None:
    statement, sqlstate = ATTACKS[attack]
    assert_refused(database, statement, sqlstate)
    assert_works_unguarded(database, statement)


@pytest.mark.parametrize("attack", ASKING)
def test_a_function_refuses_what_is_wrong_and_does_what_is_right(database: Database, attack: str) -> None:
    wrong, sqlstate, right = ASKING[attack]
    assert_refused(database, wrong, sqlstate)
    with database.app(autocommit=False) as app:
        assert app.execute(right.encode()).fetchone() is not None
        app.rollback()


@pytest.mark.parametrize("attack", APPROVING)
def test_only_the_approver_reaches_what_weakens_and_he_not_without_its_record(database: Database, attack: str) -> None:
    assert_refused(database, APPROVING[attack], DENIED)
    with pytest.raises(psycopg.Error) as refused:
        database.superuser().execute(APPROVING[attack].encode())
    assert refused.value.sqlstate == AL006
    assert "no system entry" in str(refused.value)


@pytest.mark.parametrize("attack", REFUSED_TO_ALL)
def test_nobody_is_served(database: Database, attack: str) -> None:
    assert_refused(database, *REFUSED_TO_ALL[attack])


@pytest.mark.parametrize("attack", IDLE)
def test_what_is_obeyed_changes_nothing(database: Database, attack: str) -> None:
    before = fingerprint(database)
    with database.app() as app:
        app.execute(IDLE[attack].encode())
    assert fingerprint(database) == before


def test_no_setting_that_a_session_may_change_opens_a_locked_entry(database: Database) -> None:
    tried = settings(database.app())
    assert len(tried) > 150
    odd = {(name, sqlstate) for name, value in tried if (sqlstate := amended_under(database, name, value)) != AL002}
    assert odd <= NOTHING_RUNS, odd


# With some value of these no such statement runs at all.
NOTHING_RUNS = {
    ("default_transaction_read_only", "25006"),
    ("search_path", "42P01"),
    ("standard_conforming_strings", "22021"),
}


def amended_under(database: Database, name: str, value: str) -> str | None:
    """Return the SQLSTATE with which an amendment is refused in a session with a setting, or None."""
    with database.app(autocommit=False) as app:
        with suppress(psycopg.Error):  # a value only for superusers, or at the start of a session
            app.execute("SELECT set_config(%s, %s, false)", [name, value])
            app.commit()
        app.rollback()
        try:
            app.execute(amend(GOVERNANCE).encode())
        except psycopg.Error as refused:
            return refused.sqlstate
        finally:
            app.rollback() if not app.closed else None
    return None


def settings(app: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """Return every setting that a user may change, with each other value of it that is worth a try."""
    rows = app.execute(
        "SELECT name, vartype, setting, enumvals, min_val, max_val FROM pg_settings WHERE context = 'user'"
    ).fetchall()
    found: list[tuple[str, str]] = []
    for name, kind, setting, choices, lowest, highest in rows:
        if kind == "bool":
            found.append((name, "off" if setting == "on" else "on"))
        elif kind == "enum":
            found += [(name, choice) for choice in choices if choice != setting]
        elif kind in {"integer", "real"}:
            found += [(name, lowest), (name, highest)]
        else:
            found.append((name, ""))
    return found


def test_copy_writes_over_no_locked_entry(database: Database) -> None:
    before = fingerprint(database)
    columns = f"{', '.join(_COLUMNS)}, locked"
    row = f"COPY (SELECT {', '.join(_COLUMNS)}, false FROM activity_logs WHERE {at(GOVERNANCE)}) TO STDOUT"
    with database.app(autocommit=False) as app:
        with app.cursor().copy(row.encode()) as out:
            copied = b"".join(bytes(piece) for piece in out)
        with (
            pytest.raises(psycopg.errors.UniqueViolation),
            app.cursor().copy(f"COPY activity_logs ({columns}) FROM STDIN".encode()) as into,
        ):
            into.write(copied)
    assert fingerprint(database) == before


def test_after_all_of_this_verify_finds_nothing(database: Database) -> None:
    found = verify()
    assert (found.exit_code, found.outcome) == (0, "valid"), found.reports
    locked = (
        database.superuser().execute(f"SELECT count(*) FROM activity_logs WHERE {of('activity')} AND locked").fetchone()
    )
    assert locked == (len(LOCKED),)
