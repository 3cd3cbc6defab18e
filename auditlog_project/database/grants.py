"""Applying declared.py: first everything is taken from the serving roles and from PUBLIC, then the list is given.

So a row that leaves the list takes its right with it. One transaction: no process ever sees the state in between.
"""

from typing import Any

import psycopg
from psycopg import sql

from auditlog_project.database.declared import FUNCTION_GRANTS, TABLE_GRANTS, TableGrant
from auditlog_project.database.roles import Connection, Roles, close_database

_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')"
)
_COLUMNS = """SELECT attname FROM pg_attribute
    WHERE attrelid = to_regclass('public.' || quote_ident(%s)) AND attnum > 0 AND NOT attisdropped"""
_PRIVILEGES = """
    SELECT c.relname, '', a.grantee::regrole::text, a.privilege_type
      FROM pg_class c, aclexplode(coalesce(
               c.relacl, acldefault((CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner))) a
     WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT c.relname, t.attname, a.grantee::regrole::text, a.privilege_type
      FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
     WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL
    SELECT p.oid::regprocedure::text, '', a.grantee::regrole::text, a.privilege_type
      FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
     WHERE p.pronamespace = 'public'::regnamespace"""


def apply_grants(owner: Connection, roles: Roles) -> list[str]:
    """Make the privileges in schema public exactly what is declared, as far as the objects exist; return one line.

    Whatever unknown_names() reports could not be granted and is for the caller to refuse.
    """
    with owner.transaction():
        # Names come back from the server qualified, and nothing resolves by accident.
        owner.execute("SET LOCAL search_path = pg_catalog")
        before = _privileges(owner)
        _revoke_everything(owner, roles)
        for table in sorted(set(TABLE_GRANTS) & _names(owner, _TABLES)):
            _grant_table(owner, roles.app, table, TABLE_GRANTS[table])
        for signature, holders in FUNCTION_GRANTS.items():
            _grant_function(owner, roles, signature, holders)
        after = _privileges(owner)
    if before == after:
        return ["grants: already there"]
    return [f"grants: changed ({len(after - before)} given, {len(before - after)} taken away)"]


def undeclared_tables(connection: Connection) -> list[str]:
    """Return the tables of schema public that declared.py forgot; the app role may do nothing with them."""
    return sorted(_names(connection, _TABLES) - set(TABLE_GRANTS))


def unknown_names(connection: Connection) -> list[str]:
    """Return what declared.py names and the database does not have: tables, table.column, functions."""
    tables = _names(connection, _TABLES)
    missing = sorted(set(TABLE_GRANTS) - tables)
    for table in sorted(set(TABLE_GRANTS) & tables):
        columns = _names(connection, _COLUMNS, table)
        missing += [f"{table}.{column}" for column in TABLE_GRANTS[table].update_columns if column not in columns]
    return missing + [signature for signature in FUNCTION_GRANTS if _function(connection, signature) is None]


def close_schema(owner: Connection, roles: Roles) -> None:
    """Take CREATE in schema public from everybody, and EXECUTE from PUBLIC on every function made from now on."""
    for grantee in (sql.SQL("PUBLIC"), *map(sql.Identifier, roles.serving)):
        owner.execute(sql.SQL("REVOKE ALL ON SCHEMA public FROM {}").format(grantee))
    for role in map(sql.Identifier, roles.serving):
        owner.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(role))
    # For all schemas: a default of one schema cannot take back what the general default gives.
    owner.execute(
        sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC").format(
            sql.Identifier(roles.owner)
        )
    )


def _revoke_everything(owner: Connection, roles: Roles) -> None:
    close_database(owner, owner.info.dbname, roles)
    close_schema(owner, roles)
    for role in (sql.SQL("PUBLIC"), *map(sql.Identifier, roles.serving)):
        # Revoking a table privilege takes the column privileges of the same kind along.
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS", "PROCEDURES"):
            owner.execute(sql.SQL("REVOKE ALL ON ALL {} IN SCHEMA public FROM {}").format(sql.SQL(kind), role))


def _grant_table(owner: Connection, app: str, table: str, grant: TableGrant) -> None:
    clauses: list[sql.Composable] = [sql.SQL(privilege) for privilege in grant.privileges]
    columns = [column for column in grant.update_columns if column in _names(owner, _COLUMNS, table)]
    if columns:
        clauses.append(sql.SQL("UPDATE ({})").format(sql.SQL(", ").join(map(sql.Identifier, columns))))
    owner.execute(
        sql.SQL("GRANT {} ON TABLE public.{} TO {}").format(
            sql.SQL(", ").join(clauses), sql.Identifier(table), sql.Identifier(app)
        )
    )


def _grant_function(owner: Connection, roles: Roles, signature: str, holders: tuple[str, ...]) -> None:
    function = _function(owner, signature)
    if function is None:
        return
    for role in (role for role in (getattr(roles, holder) for holder in holders) if role is not None):
        owner.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(function, sql.Identifier(role)))


def _function(connection: Connection, signature: str) -> sql.Composable | None:
    """Return the function's name and argument types, quoted by the server."""
    row = connection.execute("SELECT to_regprocedure('public.' || %s)::text", (signature,)).fetchone()
    # The server's own spelling of one of our functions, not somebody's input.
    return None if row is None or row[0] is None else sql.SQL(row[0])


def _names(connection: Connection, query: str, *parameters: Any) -> set[str]:
    return {name for (name,) in connection.execute(query.encode(), parameters)}


def _privileges(connection: Connection) -> set[psycopg.rows.TupleRow]:
    return set(connection.execute(_PRIVILEGES.encode()).fetchall())
