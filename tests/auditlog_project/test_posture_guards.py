"""A guard or definer function that is not as this release's SQL makes it is refused, on every server version."""

import pytest

from auditlog_project.posture import database_problems
from tests.clusters import Database


def problems(database: Database) -> list[str]:
    return [f"{problem.id} {problem.message}" for problem in database_problems(database.app())]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DROP TRIGGER append_only ON verification_runs", "E040 Guard append_only on verification_runs is missing."),
        (
            "ALTER TABLE verification_runs DISABLE TRIGGER append_only",
            "E041 Guard append_only on verification_runs is disabled.",
        ),
        (
            "ALTER TABLE activity_logs ENABLE TRIGGER in_ledger",
            "E041 Guard in_ledger on activity_logs is not ENABLE ALWAYS.",
        ),
        (
            "ALTER TABLE activity_logs ENABLE REPLICA TRIGGER in_ledger",
            "E041 Guard in_ledger on activity_logs is not ENABLE ALWAYS.",
        ),
        (
            (
                "CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE ON verification_runs "
                "FOR EACH ROW EXECUTE FUNCTION append_only_guard()"
            ),
            "E042 Guard append_only on verification_runs is not the one of this release.",
        ),
        (
            (
                "CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON verification_runs "
                "FOR EACH ROW WHEN (false) EXECUTE FUNCTION append_only_guard()"
            ),
            "E042 Guard append_only on verification_runs is not the one of this release.",
        ),
        (
            (
                "CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON verification_runs "
                "FOR EACH ROW EXECUTE FUNCTION ledger_node_guard()"
            ),
            "E042 Guard append_only on verification_runs is not the one of this release.",
        ),
        (
            (
                "CREATE OR REPLACE TRIGGER in_ledger AFTER INSERT ON activity_logs REFERENCING NEW TABLE AS inserted "
                "FOR EACH STATEMENT EXECUTE FUNCTION in_ledger_guard('meta')"
            ),
            "E042 Guard in_ledger on activity_logs is not the one of this release.",
        ),
        (
            (
                "CREATE SCHEMA strange; CREATE FUNCTION strange.append_only_guard() RETURNS trigger LANGUAGE plpgsql "
                "AS 'BEGIN RETURN NEW; END'; CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE "
                "ON verification_runs FOR EACH ROW EXECUTE FUNCTION strange.append_only_guard()"
            ),
            "E042 Guard append_only on verification_runs is not the one of this release.",
        ),
        (
            "CREATE TRIGGER swallow BEFORE INSERT ON activity_logs FOR EACH ROW EXECUTE FUNCTION append_only_guard()",
            "E043 Trigger swallow on activity_logs is not of this release.",
        ),
        (
            (
                "CREATE OR REPLACE FUNCTION append_only_guard() RETURNS trigger LANGUAGE plpgsql "
                "SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN OLD; END'"
            ),
            "E044 Function append_only_guard is not the one of this release.",
        ),
        ("ALTER FUNCTION ledger_lock_all() SECURITY INVOKER", "E044 Function ledger_lock_all is not the one"),
        ("ALTER FUNCTION append_only_guard() SECURITY DEFINER", "E044 Function append_only_guard is not the one"),
        ("ALTER FUNCTION ledger_lock_all() RESET search_path", "E044 Function ledger_lock_all is not the one"),
        (
            "ALTER FUNCTION ledger_lock_all() SET search_path = public, pg_catalog",
            "E044 Function ledger_lock_all is not the one",
        ),
        (
            "CREATE RULE quiet AS ON INSERT TO activity_logs DO INSTEAD NOTHING",
            "E045 Table activity_logs has a rule or row security",
        ),
        ("ALTER TABLE activity_logs ENABLE ROW LEVEL SECURITY", "E045 Table activity_logs has a rule or row security"),
        ("DROP FUNCTION ledger_lock_all()", "E046 Function ledger_lock_all of this release is missing."),
        (
            "CREATE FUNCTION back_door() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
            "E047 Function back_door is not of this release.",
        ),
        ("ALTER FUNCTION ledger_lock_all() OWNER TO postgres", "E048 Function ledger_lock_all does not belong"),
    ],
)
def test_a_broken_guard_is_named(every_server_database: Database, statement: str, problem: str) -> None:
    assert problems(every_server_database) == []
    every_server_database.superuser().execute(statement.encode())
    assert [found for found in problems(every_server_database) if found.startswith(f"auditlog.{problem}")]
