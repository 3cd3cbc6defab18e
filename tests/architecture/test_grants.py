"""Every table has a row in the list of grants: a forgotten one is named here, and nobody can read it meanwhile."""

import psycopg
import pytest
from django.apps import apps

from auditlog_project.database import TABLE_GRANTS, undeclared_tables, unknown_names
from tests.clusters import Database

OUR_APPS = ("signing", "activity", "locking", "exports", "metaaudit")
# Written by definer functions, or checked by a guard: nothing of it is ever deleted by a serving process.
EVIDENCE = {model._meta.db_table for label in OUR_APPS for model in apps.get_app_config(label).get_models()}
# Who may do what is configuration: it says whom it is for, and goes when it is taken back.
CONFIGURATION = {"log_types", "ledger_grants"}


def test_every_table_has_a_row(fresh_database: Database) -> None:
    assert undeclared_tables(fresh_database.app()) == []
    assert unknown_names(fresh_database.app()) == []


def test_a_forgotten_table_is_named_and_not_readable(fresh_database: Database) -> None:
    fresh_database.owner().execute("CREATE TABLE forgotten (id int)")
    assert undeclared_tables(fresh_database.app()) == ["forgotten"]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        fresh_database.app().execute("SELECT * FROM forgotten")


@pytest.mark.parametrize("table", sorted(EVIDENCE))
def test_evidence_is_never_deleted_and_updated_by_column_only(table: str) -> None:
    privileges = set(TABLE_GRANTS[table].privileges)
    assert privileges <= {"SELECT", "INSERT"} | ({"DELETE"} if table in CONFIGURATION else set())


def test_no_evidence_refers_to_a_framework_table(fresh_database: Database) -> None:
    found = fresh_database.app().execute(
        "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
    )
    evidence = EVIDENCE - CONFIGURATION
    assert [(table, other) for table, other in found if table in evidence and other not in EVIDENCE] == []
