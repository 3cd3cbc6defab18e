"""A role that a test may spoil: roles belong to the server, so the three of ours stay as they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.clusters import Database

_PASSWORD = "for one test"


@dataclass
class SpareRole:
    """A login role without any right, and the database in which a superuser may give it some."""

    name: str
    database: Database

    def alter(self, statement: str) -> None:
        """Run a statement as superuser; {role} stands for this role."""
        query = sql.SQL(statement).format(role=sql.Identifier(self.name))
        self.database.superuser().execute(query)

    def connect(self) -> psycopg.Connection[Any]:
        """Return a new connection as this role."""
        return self.database.connect(self.name, password=_PASSWORD)


@pytest.fixture
def spare_role(fresh_database: Database) -> Iterator[SpareRole]:
    role = SpareRole(fresh_database.name.replace("test", "spare"), fresh_database)
    role.alter(f"CREATE ROLE {{role}} LOGIN PASSWORD '{_PASSWORD}'")
    role.alter(f"GRANT CONNECT ON DATABASE {fresh_database.name} TO {{role}}")
    role.alter("GRANT USAGE ON SCHEMA public TO {role}")
    yield role
    role.alter("REASSIGN OWNED BY {role} TO auditlog_owner")
    role.alter("DROP OWNED BY {role}")
    role.alter("DROP ROLE {role}")
