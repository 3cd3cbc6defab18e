"""A privilege that database/declared.py does not list is refused, and so is one that is listed and missing."""

import pytest
from django.core.checks import run_checks

from auditlog_project.posture import database_problems
from tests.clusters import Database

APP, APPROVER = "default", "approver"


def problems(database: Database, alias: str = APP) -> list[str]:
    connection = database.app() if alias == APP else database.approver()
    return [f"{problem.id} {problem.message}" for problem in database_problems(connection, alias)]


@pytest.fixture
def clean(fresh_database: Database) -> Database:
    assert problems(fresh_database) == []
    assert problems(fresh_database, APPROVER) == []
    return fresh_database


@pytest.mark.parametrize(
    ("statement", "alias", "problem"),
    [
        ("GRANT DELETE ON activity_logs TO auditlog_app", APP, "E030 The role of app may DELETE on activity_logs,"),
        ("GRANT TRUNCATE ON ledgers TO PUBLIC", APP, "E030 The role of app may TRUNCATE on ledgers,"),
        ("GRANT TRIGGER ON auth_user TO auditlog_app", APP, "E030 The role of app may TRIGGER on auth_user,"),
        (
            "GRANT UPDATE (recorded_at) ON activity_logs TO PUBLIC",
            APP,
            "E030 The role of app may UPDATE on activity_logs (r",
        ),
        (
            "GRANT UPDATE (state, public_key) ON signing_keys TO auditlog_app",
            APP,
            "E030 The role of app may UPDATE on signing_keys (public_key),",
        ),
        ("GRANT SELECT ON activity_logs TO PUBLIC", APPROVER, "E030 The role of approver may SELECT on activity_logs,"),
        (
            "GRANT EXECUTE ON FUNCTION append_only_guard() TO auditlog_app",
            APP,
            "E030 The role of app may execute append_only_guard(),",
        ),
        (
            "GRANT EXECUTE ON FUNCTION ledger_append(smallint, bytea, text[]) TO auditlog_approver",
            APPROVER,
            "E030 The role of approver may execute ledger_append(smallint,bytea,text[]),",
        ),
        (
            "REVOKE INSERT ON activity_logs FROM auditlog_app",
            APP,
            "E031 The role of app may not INSERT on activity_logs",
        ),
        (
            "REVOKE EXECUTE ON FUNCTION ledger_lock_all() FROM auditlog_app",
            APP,
            "E031 The role of app may not execute ledger_lock_all()",
        ),
        ("GRANT EXECUTE ON FUNCTION ledger_lock_all() TO PUBLIC", APP, "E032 PUBLIC may execute ledger_lock_all()"),
        ("GRANT CONNECT ON DATABASE {name} TO PUBLIC", APP, "E033 PUBLIC may CONNECT to the database."),
        ("GRANT CREATE ON SCHEMA public TO auditlog_app", APP, "E034 The role of app may CREATE in schema public."),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", APPROVER, "E034 The role of approver may CREATE in schema public."),
        ("GRANT TEMP ON DATABASE {name} TO PUBLIC", APP, "E034 The role of app may TEMP in the database."),
        ("CREATE TABLE forgotten (id int)", APP, "E035 Table forgotten has no row"),
        ("DROP TABLE django_session", APP, "E036 database/declared.py names django_session,"),
    ],
)
def test_a_difference_from_the_declared_grants_is_named(
    clean: Database, statement: str, alias: str, problem: str
) -> None:
    clean.superuser().execute(statement.format(name=clean.name).encode())
    assert [found for found in problems(clean, alias) if found.startswith(f"auditlog.{problem}")]


def test_the_system_check_asks_the_database_only_when_told(clean: Database) -> None:
    clean.superuser().execute("GRANT DELETE ON activity_logs TO auditlog_app")
    assert "auditlog.E030" not in {message.id for message in run_checks()}
    assert "auditlog.E030" in {message.id for message in run_checks(databases=["default"])}
