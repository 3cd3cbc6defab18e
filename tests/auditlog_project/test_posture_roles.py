"""A runtime role that is, owns or may become more than it should is refused."""

import pytest

from auditlog_project.posture import database_problems
from auditlog_project.posture.roles import role_problems
from tests.auditlog_project.conftest import SpareRole
from tests.clusters import Database


def problem_ids(role: SpareRole) -> list[str]:
    return [problem.id for problem in role_problems(role.connect())]


@pytest.fixture
def clean_role(spare_role: SpareRole) -> SpareRole:
    assert problem_ids(spare_role) == []
    return spare_role


@pytest.mark.parametrize("attribute", ["SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS"])
def test_an_attribute_of_power_is_noticed(clean_role: SpareRole, attribute: str) -> None:
    clean_role.alter(f"ALTER ROLE {{role}} {attribute}")
    problem = role_problems(clean_role.connect())[0]
    assert problem.id == "auditlog.E020"
    assert clean_role.name in problem.message
    assert attribute in problem.message


def test_membership_in_a_role_of_power_is_noticed(clean_role: SpareRole) -> None:
    clean_role.alter("CREATE ROLE powerful_for_one_test CREATEROLE")
    try:
        clean_role.alter("GRANT powerful_for_one_test TO {role}")
        assert problem_ids(clean_role) == ["auditlog.E020"]
    finally:
        clean_role.alter("DROP ROLE powerful_for_one_test")


def test_a_superuser_behind_set_role_is_noticed(fresh_database: Database) -> None:
    assert database_problems(fresh_database.app()) == []
    hidden = fresh_database.superuser()
    hidden.execute("SET ROLE auditlog_app")
    assert "auditlog.E020" in [problem.id for problem in role_problems(hidden)]


def test_direct_membership_in_the_owner_is_noticed(clean_role: SpareRole) -> None:
    clean_role.alter("GRANT auditlog_owner TO {role}")
    assert problem_ids(clean_role) == ["auditlog.E021"]


def test_indirect_membership_without_inheritance_is_noticed(clean_role: SpareRole) -> None:
    clean_role.alter("CREATE ROLE between_for_one_test NOINHERIT")
    try:
        clean_role.alter("ALTER ROLE {role} NOINHERIT")
        clean_role.alter("GRANT auditlog_owner TO between_for_one_test")
        clean_role.alter("GRANT between_for_one_test TO {role}")
        assert problem_ids(clean_role) == ["auditlog.E021"]
    finally:
        clean_role.alter("DROP ROLE between_for_one_test")


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE django_session OWNER TO {role}",
        "ALTER FUNCTION append_only_guard() OWNER TO {role}",
        "ALTER SCHEMA public OWNER TO {role}",
    ],
)
def test_owning_one_object_is_noticed(clean_role: SpareRole, statement: str) -> None:
    clean_role.alter(statement)
    assert problem_ids(clean_role) == ["auditlog.E021"]


@pytest.mark.parametrize(
    "role", ["pg_write_all_data", "pg_write_server_files", "pg_execute_server_program", "pg_read_all_data"]
)
def test_membership_in_a_predefined_role_is_noticed(clean_role: SpareRole, role: str) -> None:
    clean_role.alter(f"GRANT {role} TO {{role}}")
    assert problem_ids(clean_role) == ["auditlog.E022"]


def test_reading_statistics_is_no_problem(clean_role: SpareRole) -> None:
    clean_role.alter("GRANT pg_monitor TO {role}")
    assert problem_ids(clean_role) == []
