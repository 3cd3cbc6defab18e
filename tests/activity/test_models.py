"""Entries are written once: the models refuse with a plain error, and PostgreSQL refuses whoever comes around them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction

from activity.models import ActivityLog
from signing.errors import ImmutableRowError
from tests.signing.installation import record

pytestmark = pytest.mark.django_db


@pytest.fixture
def entry() -> Any:
    return ActivityLog.objects.get(pk=record()[0].id)


def _saved_again(entry: Any) -> None:
    entry.actor = "mallory"
    entry.save()


def _update_or_create(entry: Any) -> None:
    ActivityLog.objects.update_or_create(pk=entry.pk, defaults={"actor": "mallory"})


@pytest.mark.parametrize(
    "change",
    [
        _saved_again,
        _update_or_create,
        lambda entry: entry.save(update_fields=["actor"]),
        lambda entry: entry.delete(),
        lambda entry: ActivityLog.objects.filter(pk=entry.pk).delete(),
        lambda entry: ActivityLog.objects.filter(pk=entry.pk).update(actor="mallory"),
        lambda entry: ActivityLog.objects.bulk_update([entry], ["actor"]),
        lambda entry: ActivityLog._base_manager.filter(pk=entry.pk).update(actor="mallory"),
        lambda entry: ActivityLog._base_manager.filter(pk=entry.pk).delete(),
    ],
    ids=["save", "update_or_create", "update_fields", "delete", "filter_delete", "update", "bulk_update", "base_update",
         "base_delete"],
)  # fmt: skip
def test_a_change_through_the_model_is_refused(entry: Any, change: Callable[[Any], object]) -> None:
    with pytest.raises((ImmutableRowError, DatabaseError)), transaction.atomic():
        change(entry)
    assert ActivityLog.objects.get(pk=entry.pk).actor == "ann"


def test_the_refusal_says_what_is_wrong(entry: Any) -> None:
    for change in (entry.save, entry.delete, ActivityLog.objects.all().delete):
        with pytest.raises(ImmutableRowError, match="ActivityLog: rows are written once and stay as they are"):
            change()


def test_an_entry_outside_the_ledger_is_refused_by_the_database(entry: Any) -> None:
    entry.pk, entry.leaf_index, entry._state.adding = "01932f6e-0000-7000-8000-000000000000", 10_000, True
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        entry.save()
    assert getattr(error.value.__cause__, "sqlstate", None) == "AL003"


@pytest.mark.parametrize("statement", ["UPDATE activity_logs SET type = 'm'", "DELETE FROM activity_logs"])
def test_the_application_may_not_even_try_in_sql(entry: Any, statement: str) -> None:
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@pytest.mark.django_db(databases=["default", "owner"])
@pytest.mark.parametrize(
    "statement",
    ["UPDATE activity_logs SET actor = 'm'", "DELETE FROM activity_logs", "TRUNCATE activity_logs CASCADE"],
)
def test_the_owner_is_stopped_by_the_guard(statement: str) -> None:
    with (
        pytest.raises(DatabaseError) as error,
        transaction.atomic(using="owner"),
        connections["owner"].cursor() as cursor,
    ):
        cursor.execute(statement)
    assert getattr(error.value.__cause__, "sqlstate", None) == "AL001"
