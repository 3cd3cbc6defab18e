"""Statements of the hot path: prepared once in a session and bound by the server, in the caller's transaction.

Django binds parameters into the text of a statement, so that PostgreSQL parses and plans it anew each time; for the few
statements that every append needs, that is half of their time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString


def execute(statement: LiteralString, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a statement, none if it gives none. Raises Django's database errors."""
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(statement, parameters, prepare=True)
        return cursor.fetchall() if cursor.description else []
