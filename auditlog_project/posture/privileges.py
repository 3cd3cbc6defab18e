"""What a serving role may do, against database/declared.py: nothing more, and nothing less.

Privileges are taken as the server answers them for the role and everything it may become, whoever gave them: to the
role, to PUBLIC or to a role it is a member of.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from auditlog_project.database import FUNCTION_GRANTS, TABLE_GRANTS, undeclared_tables, unknown_names
from auditlog_project.posture.problem import SET_UP_AGAIN, Connection, Problem
from auditlog_project.posture.roles import MAY_BECOME

_COLUMN_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "REFERENCES")
_TABLE_PRIVILEGES = ("DELETE", "TRUNCATE", "TRIGGER")
_HAS_MAINTAIN = 170000
# One row a privilege that the role has: table, privilege, column ('' where it is the table's).
_HELD = """
SELECT c.relname, p, a.attname FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped, unnest(%(column)s::text[]) p
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = ANY ('{r,p,v,m,f}')
  AND EXISTS (SELECT FROM may_become b WHERE has_column_privilege(b.oid, c.oid, a.attnum, p))
UNION ALL
SELECT c.relname, p, '' FROM pg_class c, unnest(%(table)s::text[]) p
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = ANY ('{r,p,v,m,f}')
  AND EXISTS (SELECT FROM may_become b WHERE has_table_privilege(b.oid, c.oid, p))
UNION ALL
SELECT c.relname, p, '' FROM pg_class c, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'S'
  AND EXISTS (SELECT FROM may_become b WHERE has_sequence_privilege(b.oid, c.oid, p))"""
_COLUMNS = """
SELECT c.relname, array_agg(a.attname::text) FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = ANY ('{r,p,v,m,f}') GROUP BY 1"""
_EXECUTABLE = """
SELECT p.oid::regprocedure::text, p.oid,
       EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  AND EXISTS (SELECT FROM may_become b WHERE has_function_privilege(b.oid, p.oid, 'EXECUTE'))
ORDER BY 1"""
_CREATABLE = """
SELECT 'CREATE in schema ' || nspname FROM pg_namespace n
WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
  AND EXISTS (SELECT FROM may_become b WHERE has_schema_privilege(b.oid, n.oid, 'CREATE'))
UNION ALL
SELECT p || ' in the database' FROM unnest(ARRAY['CREATE', 'TEMP']) p
WHERE EXISTS (SELECT FROM may_become b WHERE has_database_privilege(b.oid, current_database(), p))
ORDER BY 1"""
_OPEN_TO_ALL = """
SELECT FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
WHERE d.datname = current_database() AND a.grantee = 0 AND a.privilege_type = 'CONNECT'"""

Privileges = dict[tuple[str, str], set[str]]


def privilege_problems(connection: Connection, holder: Literal["app", "approver"]) -> list[Problem]:
    """Return the differences between what this connection's role may do and what is declared for `holder`."""
    problems = [
        Problem("auditlog.E034", f"The role of {holder} may {what}.", SET_UP_AGAIN)
        for (what,) in connection.execute((MAY_BECOME + _CREATABLE).encode())
    ]
    problems += _table_problems(connection, holder)
    problems += _function_problems(connection, holder)
    if holder == "app":
        if connection.execute(_OPEN_TO_ALL).fetchone() is not None:
            problems.append(Problem("auditlog.E033", "PUBLIC may CONNECT to the database.", SET_UP_AGAIN))
        problems += [
            Problem(
                "auditlog.E035",
                f"Table {table} has no row in auditlog_project/database/declared.py.",
                "Add one: without it no serving process can even read the table.",
            )
            for table in undeclared_tables(connection)
        ]
        problems += [
            Problem("auditlog.E036", f"database/declared.py names {name}, which does not exist.", SET_UP_AGAIN)
            for name in unknown_names(connection)
        ]
    return problems


def _table_problems(connection: Connection, holder: str) -> Iterable[Problem]:
    held, declared = _held(connection), _declared(connection) if holder == "app" else {}
    for table, privilege in sorted(held.keys() | declared.keys()):
        has, should_have = held.get((table, privilege), set()), declared.get((table, privilege), set())
        if more := has - should_have:
            columns = "" if has == {""} or (len(more) > 1 and not should_have) else f" ({', '.join(sorted(more))})"
            text = f"The role of {holder} may {privilege} on {table}{columns}, which is not declared."
            yield Problem("auditlog.E030", text, SET_UP_AGAIN)
        if less := should_have - has:
            columns = "" if not has else f" ({', '.join(sorted(less))})"
            text = f"The role of {holder} may not {privilege} on {table}{columns}, as it should."
            yield Problem("auditlog.E031", text, SET_UP_AGAIN)


def _held(connection: Connection) -> Privileges:
    maintain = ("MAINTAIN",) if connection.info.server_version >= _HAS_MAINTAIN else ()
    asked = {"column": list(_COLUMN_PRIVILEGES), "table": [*_TABLE_PRIVILEGES, *maintain]}
    held: Privileges = defaultdict(set)
    for table, privilege, column in connection.execute((MAY_BECOME + _HELD).encode(), asked):
        held[table, privilege].add(column)
    return held


def _declared(connection: Connection) -> Privileges:
    declared: Privileges = {}
    for table, names in connection.execute(_COLUMNS.encode()):
        grant = TABLE_GRANTS.get(table)
        if grant is None:
            continue
        for privilege in grant.privileges:
            declared[table, privilege] = set(names) if privilege in _COLUMN_PRIVILEGES else {""}
        if grant.update_columns:
            declared[table, "UPDATE"] = set(grant.update_columns) & set(names)
    return declared


def _function_problems(connection: Connection, holder: str) -> Iterable[Problem]:
    expected = {}
    for signature, holders in FUNCTION_GRANTS.items():
        row = connection.execute("SELECT to_regprocedure('public.' || %s)::oid", (signature,)).fetchone()
        if holder in holders and row is not None and row[0] is not None:
            expected[row[0]] = signature
    for signature, oid, is_public in connection.execute((MAY_BECOME + _EXECUTABLE).encode()).fetchall():
        if is_public:
            yield Problem("auditlog.E032", f"PUBLIC may execute {signature}.", SET_UP_AGAIN)
        elif oid not in expected:
            yield Problem(
                "auditlog.E030", f"The role of {holder} may execute {signature}, which is not declared.", SET_UP_AGAIN
            )
        expected.pop(oid, None)
    for signature in expected.values():
        yield Problem("auditlog.E031", f"The role of {holder} may not execute {signature}, as it should.", SET_UP_AGAIN)
