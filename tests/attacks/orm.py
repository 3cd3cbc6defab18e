"""How a way of Django's ORM is tried: as the application's role, and as somebody who has switched the guards off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection, connections, models, transaction
from psycopg.conninfo import conninfo_to_dict

from activity.errors import EntryLockedError
from activity.models import ActivityLog
from signing.errors import ImmutableRowError
from tests.attacks.intruder import CHECKS, GUARDED, fingerprint
from tests.attacks.locked_ledger import GOVERNANCE, entry_at
from tests.clusters import Database

OURS = EntryLockedError
NEVER = ImmutableRowError
AL001, AL002, DENIED, TWICE = "AL001", "AL002", "42501", "23505"
Attack = Callable[[ActivityLog], object]
# What: how, and what stops it: an error of ours, raised before the round trip, or the SQLSTATE of the database's.
Ways = dict[str, tuple[Attack, type[Exception] | str]]


def raw(model: type[models.Model] = ActivityLog) -> Any:
    """Return a query set of Django's own over a model."""
    return models.QuerySet(model)


def changed(entry: ActivityLog, **columns: Any) -> ActivityLog:
    for name, value in (columns or {"actor": "eve"}).items():
        setattr(entry, name, value)
    return entry


def stopped_by(attack: Attack, entry: ActivityLog) -> type[Exception] | str | None:
    """Return what stopped an attack: the SQLSTATE of the database's refusal, another error's class, or nothing."""
    try:
        attack(entry)
    except Exception as error:  # noqa: BLE001 whatever it is, it is compared
        causes = [error, error.__cause__, error.__cause__ and error.__cause__.__cause__]
        return next((cause.sqlstate for cause in causes if isinstance(cause, psycopg.Error)), None) or type(error)
    return None


@contextmanager
def owning_everything(database: Database) -> Iterator[None]:
    """Let Django be a superuser with every guard off, and take back what it does."""
    settings, before = connections.settings["default"], dict(connections.settings["default"])
    given = conninfo_to_dict(database.url("superuser"))
    connection.close()
    settings.update(
        USER=given["user"], PASSWORD=given.get("password", ""), HOST=given["host"], PORT=given.get("port", "")
    )
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(GUARDED)
            for (table,) in cursor.fetchall():
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL")
            cursor.execute(CHECKS)
            for table, name in cursor.fetchall():
                cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            yield
            transaction.set_rollback(True)
    finally:
        connection.close()
        settings.clear()
        settings.update(before)


def of_the_database(ways: Ways) -> list[str]:
    """Return the ways that the database alone stops."""
    return [name for name, (_, stopper) in ways.items() if stopper in {AL001, AL002, DENIED}]


def assert_stopped(database: Database, way: tuple[Attack, type[Exception] | str]) -> None:
    """Try a way as the app role: what should stop it does, and every row is what it was."""
    attack, stopper = way
    before = fingerprint(database)
    assert stopped_by(attack, entry_at(GOVERNANCE)) == stopper
    assert fingerprint(database) == before


def assert_works_unguarded(database: Database, attack: Attack) -> None:
    """Try a way as a superuser without guards; it works, and is taken back."""
    before = fingerprint(database)
    with owning_everything(database):
        assert stopped_by(attack, entry_at(GOVERNANCE)) is None
    assert fingerprint(database) == before
