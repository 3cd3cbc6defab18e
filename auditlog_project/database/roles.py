"""Login roles and the database, made by an administrator's connection. Safe to repeat: returns what it did, as lines.

Passwords go to the server as SCRAM verifiers, so that no statement log ever holds one.
"""

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[Any]

# attribute in pg_roles -> the words that take it away
_FORBIDDEN_ATTRIBUTES = {
    "rolsuper": "NOSUPERUSER",
    "rolcreatedb": "NOCREATEDB",
    "rolcreaterole": "NOCREATEROLE",
    "rolreplication": "NOREPLICATION",
    "rolbypassrls": "NOBYPASSRLS",
}


@dataclass(frozen=True, slots=True)
class Login:
    """A role that logs in, with its password as the address in the environment gives it."""

    role: str
    password: str


@dataclass(frozen=True, slots=True)
class Roles:
    """The names of the three roles; an installation without approvals may have no approver."""

    owner: str
    app: str
    approver: str | None = None

    @property
    def serving(self) -> tuple[str, ...]:
        """The roles that serving processes connect as."""
        return (self.app,) if self.approver is None else (self.app, self.approver)


def ensure_roles(admin: Connection, logins: list[Login]) -> list[str]:
    """Make each login exist with its password and without any attribute of power; return one line for each.

    `admin` is in autocommit mode and may create roles.
    """
    return [f"role {login.role}: {_ensure_role(admin, login)}" for login in logins]


def _ensure_role(admin: Connection, login: Login) -> str:
    name = sql.Identifier(login.role)
    columns = sql.SQL(", ").join(map(sql.Identifier, (*_FORBIDDEN_ATTRIBUTES, "rolcanlogin")))
    found = admin.execute(sql.SQL("SELECT {} FROM pg_roles WHERE rolname = {}").format(columns, login.role)).fetchone()
    if found is None:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, _verifier(admin, login)))
        return "created"
    *powers, can_login = found
    words = [word for word, held in zip(_FORBIDDEN_ATTRIBUTES.values(), powers, strict=True) if held]
    words += [] if can_login else ["LOGIN"]
    if words:
        # Only what differs is named: an administrator who is no superuser may not even mention some of them.
        admin.execute(sql.SQL("ALTER ROLE {} {}").format(name, sql.SQL(" ".join(words))))
    if not _password_works(admin, login):
        admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, _verifier(admin, login)))
        words.append("PASSWORD")
    return f"changed ({', '.join(words)})" if words else "already there"


def _verifier(admin: Connection, login: Login) -> str:
    pgconn = admin.pgconn
    return pgconn.encrypt_password(login.password.encode(), login.role.encode(), b"scram-sha-256").decode()


def _password_works(admin: Connection, login: Login) -> bool:
    try:
        psycopg.connect(admin.info.dsn, user=login.role, password=login.password, connect_timeout=10).close()
    except psycopg.OperationalError:
        return False
    return True


def ensure_database(admin: Connection, name: str, roles: Roles) -> list[str]:
    """Make the database exist, owned by the owner role; return one line. `admin` is in autocommit mode."""
    row = admin.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", (name,)).fetchone()
    if row is not None and row[0] == roles.owner:
        return [f"database {name}: already there"]
    _let_act_for(admin, roles.owner)
    names = {"database": sql.Identifier(name), "owner": sql.Identifier(roles.owner)}
    if row is not None:
        admin.execute(sql.SQL("ALTER DATABASE {database} OWNER TO {owner}").format(**names))
        return [f"database {name}: changed (owner was {row[0]})"]
    # template0: template1 may hold objects of somebody else.
    admin.execute(
        sql.SQL("CREATE DATABASE {database} OWNER {owner} ENCODING 'UTF8' TEMPLATE template0").format(**names)
    )
    return [f"database {name}: created"]


def _let_act_for(admin: Connection, owner: str) -> None:
    """Give an administrator who is no superuser the membership without which it cannot hand a database over."""
    row = admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if row is not None and not row[0]:
        admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(owner)))


def close_database(connection: Connection, name: str, roles: Roles) -> None:
    """Let only the three roles connect to the database, and nobody but its owner create in it, not even TEMP tables.

    A copy made from a template does not inherit this: call it again. `connection` acts for the owner.
    """
    database = sql.Identifier(name)
    for grantee in (sql.SQL("PUBLIC"), *map(sql.Identifier, roles.serving)):
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM {}").format(database, grantee))
    for role in map(sql.Identifier, roles.serving):
        connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, role))
