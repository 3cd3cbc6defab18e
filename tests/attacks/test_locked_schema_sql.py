"""Ways to change what guards a locked entry by SQL as the application's role: none succeeds.

Tables, triggers, functions, catalogues, roles and settings. Each is refused with the SQLSTATE that is written beside it,
leaves every row as it was, and works for a superuser; but for what a server of ours refuses to everybody.
"""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

import pytest

from tests.attacks.intruder import assert_clean
from tests.attacks.locked_ledger import FREE, GOVERNANCE
from tests.attacks.locked_sql import DENIED, amend, assert_refused, assert_works_unguarded, at
from tests.clusters import Database

# Statement and SQLSTATE.
ATTACKS: dict[str, tuple[str, str]] = {
    # The table.
    **{f"alter table {how}": (f"ALTER TABLE activity_logs {how}", DENIED) for how in (
        "DISABLE TRIGGER a_locked_by_rule", "DISABLE TRIGGER USER", "ENABLE REPLICA TRIGGER a_locked_by_rule",
        "ALTER COLUMN actor TYPE text USING 'eve'", "ALTER COLUMN record TYPE bytea USING 'x'::bytea",
        "DROP COLUMN held_by CASCADE", "DROP CONSTRAINT IF EXISTS locked_by_its_locks", "RENAME TO old_logs", "RENAME COLUMN locked TO was_locked",
        "SET SCHEMA information_schema", "OWNER TO auditlog_app", "SET UNLOGGED", "ENABLE ROW LEVEL SECURITY",
        "REPLICA IDENTITY NOTHING", "ADD COLUMN mine int DEFAULT 1", "SET (fillfactor = 10)", "CLUSTER ON activity_logs_pkey",
    )},
    "rename swap": (
        "ALTER TABLE activity_logs RENAME TO old_logs; CREATE TABLE activity_logs (LIKE old_logs INCLUDING ALL)", DENIED),
    "drop trigger": ("DROP TRIGGER a_locked_by_rule ON activity_logs", DENIED),
    "rename trigger": ("ALTER TRIGGER a_locked_by_rule ON activity_logs RENAME TO zzz", DENIED),
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
    "disable it in the catalogue": ("UPDATE pg_trigger SET tgenabled = 'D' WHERE tgname = 'a_locked_by_rule'", DENIED),
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
}  # fmt: skip
# What a server of ours refuses to everybody, so that nobody can show that it would work.
REFUSED_TO_ALL = {
    "two-phase commit": (f"{amend(FREE)}; PREPARE TRANSACTION 'later'", "55000"),
    "a library at the next start": ("SET session_preload_libraries = 'x'", DENIED),
    "a library now": ("LOAD '/tmp/x.so'", DENIED),
    "a setting of the server": ("ALTER SYSTEM SET session_replication_role = replica", "25001"),
}


def test_there_are_at_least_70_ways() -> None:
    assert len(ATTACKS) + len(REFUSED_TO_ALL) >= 70


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_app_role_is_refused_and_the_owner_of_the_database_is_not(locked_database: Database, attack: str) -> None:
    statement, sqlstate = ATTACKS[attack]
    assert_refused(locked_database, statement, sqlstate)
    assert_works_unguarded(locked_database, statement)


@pytest.mark.parametrize("attack", REFUSED_TO_ALL)
def test_nobody_is_served(locked_database: Database, attack: str) -> None:
    assert_refused(locked_database, *REFUSED_TO_ALL[attack])


@pytest.mark.usefixtures("locked_database")
def test_after_all_of_this_verify_finds_nothing() -> None:
    assert_clean()
