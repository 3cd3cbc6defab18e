"""What the runtime role is, what it owns, and what it may become by SET ROLE. It should be nothing and own nothing.

Every membership counts, direct or not, inherited or not: what a role may become, an intruder becomes.
"""

from auditlog_project.posture.problem import Connection, Problem

# The login and the role now in force: `SET ROLE` hides a superuser behind a lesser name, `RESET ROLE` brings it back.
MAY_BECOME = """
WITH RECURSIVE may_become (oid) AS (
    SELECT oid FROM pg_roles WHERE rolname IN (session_user, current_user)
    UNION
    SELECT m.roleid FROM pg_auth_members m JOIN may_become b ON b.oid = m.member
)"""
_ATTRIBUTES = """
SELECT r.rolname, concat_ws(', ', CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreatedb THEN 'CREATEDB' END,
    CASE WHEN rolcreaterole THEN 'CREATEROLE' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
    CASE WHEN rolbypassrls THEN 'BYPASSRLS' END)
FROM may_become b JOIN pg_roles r ON r.oid = b.oid
WHERE rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls
ORDER BY 1"""
_OWNED = """
, owned (what, owner) AS (
    SELECT 'database ' || datname, datdba FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT 'schema ' || nspname, nspowner FROM pg_namespace WHERE nspname = 'public'
    UNION ALL SELECT 'table ' || relname, relowner FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL SELECT 'function ' || proname, proowner FROM pg_proc WHERE pronamespace = 'public'::regnamespace
)
SELECT pg_get_userbyid(owner), count(*), min(what) FROM owned WHERE owner IN (SELECT oid FROM may_become)
GROUP BY 1 ORDER BY 1"""
# Roles that only look at statistics and settings do no harm; the others write, execute, signal or read everything.
_PREDEFINED = """
SELECT r.rolname FROM may_become b JOIN pg_roles r ON r.oid = b.oid
WHERE r.rolname LIKE 'pg\\_%'
  AND r.rolname NOT IN ('pg_monitor', 'pg_read_all_settings', 'pg_read_all_stats', 'pg_stat_scan_tables')
ORDER BY 1"""


def role_problems(connection: Connection) -> list[Problem]:
    """Return the problems with the role of this connection."""
    row = connection.execute("SELECT session_user").fetchone()
    me = "" if row is None else row[0]
    problems = [
        Problem("auditlog.E020", f"{_path(me, role)} {attributes}.", f"ALTER ROLE {role}, or connect as another role.")
        for role, attributes in connection.execute(MAY_BECOME + _ATTRIBUTES)
    ]
    problems += [
        Problem(
            "auditlog.E021",
            f"{_path(me, owner)} the owner of {example}" + (f" and {count - 1} more objects." if count > 1 else "."),
            "Connect as auditlog_app, and take every membership in the owner from it.",
        )
        for owner, count, example in connection.execute(MAY_BECOME + _OWNED)
    ]
    return problems + [
        Problem("auditlog.E022", f"{me} is a member of {role}.", f"REVOKE {role} FROM the roles that lead there.")
        for (role,) in connection.execute(MAY_BECOME + _PREDEFINED)
    ]


def _path(me: str, role: str) -> str:
    return f"The runtime role {me} is" if role == me else f"The runtime role {me} can become {role}, which is"
