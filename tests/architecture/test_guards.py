"""Every evidence table is guarded in PostgreSQL, always: against UPDATE and DELETE by row, against TRUNCATE."""

from collections.abc import Collection
from typing import Any

import psycopg
from django.apps import apps

from signing.models import AppendOnlyModel
from tests.clusters import Database

# What administrators configure: log types, whose changes are entries that `verify` compares, and who may do what.
CONFIGURATION = {"log_types", "api_keys", "ledger_grants", "open_findings", "notices", "deliveries"}
_BY_ROW, _DELETE, _UPDATE, _TRUNCATE = 1, 8, 16, 32  # bits of pg_trigger.tgtype
_ALWAYS = "SELECT tgtype, proname FROM pg_trigger t JOIN pg_proc p ON p.oid = tgfoid "
_ALWAYS += "WHERE tgrelid = to_regclass(%s) AND tgenabled = 'A' AND NOT tgisinternal"


def evidence() -> list[str]:
    models = [
        model
        for label in ("signing", "activity", "locking", "exports", "metaaudit")
        for model in apps.get_app_config(label).get_models()
    ]
    return sorted({model._meta.db_table for model in models} - CONFIGURATION)


def append_only() -> list[str]:
    return sorted(model._meta.db_table for model in apps.get_models() if issubclass(model, AppendOnlyModel))


def unguarded(connection: psycopg.Connection[Any], tables: list[str], guards: Collection[str] = ()) -> list[str]:
    """Return the tables that miss a guard; `guards`, if any, names the functions that it must be of."""
    missing = []
    for table in tables:
        triggers = connection.execute(_ALWAYS, [table]).fetchall()
        kinds = [kind for kind, function in triggers if not guards or function in guards]
        rows = any(kind & _BY_ROW and kind & _UPDATE and kind & _DELETE for kind in kinds)
        if not rows or not any(kind & _TRUNCATE for kind in kinds):
            missing.append(table)
    return missing


def test_every_evidence_table_is_guarded(fresh_database: Database) -> None:
    assert len(evidence()) > 8
    assert unguarded(fresh_database.app(), evidence()) == []


def test_every_append_only_model_has_the_guard_of_its_promise(fresh_database: Database) -> None:
    assert {"key_events", "ledgers", "meta_archives", "meta_logs", "verification_runs"} <= set(append_only())
    connection, guard = fresh_database.app(), "append_only_guard"
    # Rows of meta logs go when they are archived, and then by the owner alone; nobody truncates them.
    assert unguarded(connection, append_only(), {guard}) == ["meta_logs"]
    assert unguarded(connection, ["meta_logs"], {guard, "meta_log_guard"}) == []


def test_a_table_without_guards_is_named(fresh_database: Database) -> None:
    owner = fresh_database.owner()
    owner.execute("CREATE TABLE forgotten (id int)")
    owner.execute("ALTER TABLE verification_runs ENABLE TRIGGER append_only")
    owner.execute("ALTER TABLE key_events DISABLE TRIGGER append_only_truncate")
    assert unguarded(owner, [*append_only(), "forgotten"]) == ["key_events", "verification_runs", "forgotten"]
