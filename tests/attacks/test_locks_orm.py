"""Ways to change what locks an entry with Django's ORM as the application's role: none succeeds.

Each says which error stops it, and works for somebody who owns the database and has switched the guards off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models
from django.db.migrations.executor import MigrationExecutor

from activity.models import ActivityLog
from locking.models import LockOverride, LockPolicy, LogLock
from tests.attacks.intruder import assert_clean
from tests.attacks.orm import (
    DENIED,
    NEVER,
    Ways,
    assert_stopped,
    assert_works_unguarded,
    changed,
    of_the_database,
    raw,
)
from tests.clusters import Database


class ShadowLock(models.Model):  # noqa: DJ008 nobody is shown it
    """The table of locks likewise."""

    state = models.TextField()
    until = models.DateTimeField(null=True)

    class Meta:
        app_label = "locking"
        managed = False
        db_table = "log_locks"


class ShadowOverride(models.Model):  # noqa: DJ008 nobody is shown it
    """The table of overrides likewise."""

    state = models.TextField()
    hours = models.IntegerField()

    class Meta:
        app_label = "locking"
        managed = False
        db_table = "lock_overrides"


def schema(act: Callable[[Any], object]) -> object:
    with connection.schema_editor() as editor:
        return act(editor)


def approved(entry: ActivityLog) -> dict[str, Any]:
    """Return an override that another person is said to have approved."""
    said = {"requested_by": "eve", "decided_by": "anton", "reason": "r", "hours": 24, "state": "approved"}
    return {**said, "entries": [entry.pk], "lifts_holds": True}


def lock_of(entry: ActivityLog) -> Any:
    return LogLock.objects.get(pk=(entry.held_by or [])[0])


ATTACKS: Ways = {
    # The schema.
    "flush": (lambda _: call_command("flush", interactive=False, verbosity=0), DENIED),
    "migrate locking away": (lambda _: MigrationExecutor(connection).migrate([("locking", None)]), CommandError),
    "delete the model": (lambda _: schema(lambda editor: editor.delete_model(LogLock)), DENIED),
    "drop the constraint": (lambda _: schema(lambda editor: editor.remove_constraint(ActivityLog, ActivityLog._meta.constraints[0])), DENIED),
    "rename the table": (lambda _: schema(lambda editor: editor.alter_db_table(ActivityLog, "activity_logs", "x")), DENIED),
    # Locks, overrides and policies.
    "lock saved": (lambda entry: changed(lock_of(entry), until=None).save(), DENIED),
    "lock deleted": (lambda entry: lock_of(entry).delete(), DENIED),
    "locks updated": (lambda _: LogLock.objects.update(state="released"), NEVER),
    "locks updated raw": (lambda _: raw(LogLock).update(state="released", released_by="anton"), DENIED),
    "locks deleted raw": (lambda _: raw(LogLock).delete(), DENIED),
    "lock created": (
        lambda entry: LogLock.objects.create(ledger=entry.ledger, scope={"leaf_from": 0}, kind="hold", reason="r", locked_by="eve"),
        DENIED,
    ),
    "shadow of locks": (lambda _: raw(ShadowLock).update(until=None), DENIED),
    "override created approved": (lambda entry: LockOverride.objects.create(**approved(entry)), DENIED),
    "overrides updated": (lambda _: LockOverride.objects.update(state="approved"), NEVER),
    "overrides updated raw": (lambda _: raw(LockOverride).update(hours=24, decided_by="anton"), DENIED),
    "override saved raw": (
        lambda entry: LockOverride(**approved(entry)).save_base(raw=True, force_insert=True),
        DENIED,
    ),
    "shadow of overrides": (lambda _: raw(ShadowOverride).update(state="approved", hours=24), DENIED),
    "policies disabled": (lambda _: LockPolicy.objects.update(enabled=False), NEVER),
    "policies disabled raw": (lambda _: raw(LockPolicy).update(enabled=False), DENIED),
    "policies deleted raw": (lambda _: raw(LockPolicy).delete(), DENIED),
}  # fmt: skip


def test_there_are_at_least_20_ways() -> None:
    assert len(ATTACKS) >= 20


@pytest.mark.parametrize("name", ATTACKS)
def test_what_locks_an_entry_stays_as_it_is(locked_database: Database, name: str) -> None:
    assert_stopped(locked_database, ATTACKS[name])


@pytest.mark.parametrize("name", of_the_database(ATTACKS))
def test_without_guards_and_as_the_owner_it_would_work(locked_database: Database, name: str) -> None:
    assert_works_unguarded(locked_database, ATTACKS[name][0])


@pytest.mark.usefixtures("locked_database")
def test_after_all_of_this_verify_finds_nothing() -> None:
    assert_clean()
