"""Statements of the hot path: prepared once in a session and bound by the server, in the caller's transaction.

Django binds parameters into the text of a statement, so that PostgreSQL parses and plans it anew each time; for the few
statements that every append needs, that is half of their time. psycopg prepares what asks for it only where the
connection has a `prepare_threshold`, which Django leaves out; settings.py gives it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connection, connections

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import LiteralString


def database_name() -> str:
    """Return the database of `connection`, under which a process keeps what it saw there.

    The dict is the one that every thread's connection has; asking a connection takes five times as long.
    """
    return str(connections.settings[DEFAULT_DB_ALIAS]["NAME"])


def execute(
    statement: LiteralString, parameters: Sequence[Any], *, using: str = DEFAULT_DB_ALIAS
) -> list[tuple[Any, ...]]:
    """Return the rows of a statement, none if it gives none. Raises Django's database errors."""
    database: Any = connections[using]  # once: `connection` would look for it at every word
    database.close_if_health_check_failed()
    database.ensure_connection()
    with database.wrap_database_errors, psycopg.Cursor(database.connection) as cursor:
        cursor.execute(statement, parameters, prepare=True)
        return [] if cursor.rownumber is None else cursor.fetchall()


def text_array(values: Iterable[str]) -> str:
    """Return texts as PostgreSQL writes an array of them. For a list psycopg takes ten times as long."""
    quoted = ('"' + value.replace("\\", r"\\").replace('"', r"\"") + '"' for value in values)
    return "{" + ",".join(quoted) + "}"


@contextmanager
def alone(key: int) -> Iterator[bool]:
    """Hold an advisory lock of PostgreSQL, and tell whether nobody else has it; one that somebody dies with is free.

    It stands in for a transaction that would be open for long. `key` is 64 bits, signed.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        held = bool(cursor.fetchone()[0])
    try:
        yield held
    finally:
        if held:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
