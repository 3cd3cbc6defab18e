"""Who may do what in PostgreSQL: three login roles, one database, and a list of grants that is the whole truth.

    auditlog_owner     owns the database and every object in it, and migrates. No serving process has its address.
    auditlog_app       web and workers. Owns nothing, may do what declared.py lists.
    auditlog_approver  the web process alone. May execute the functions listed for it.

roles.py makes roles and database, grants.py applies declared.py. All of it may be repeated at any time.
"""

from auditlog_project.database.declared import FUNCTION_GRANTS, TABLE_GRANTS, TableGrant
from auditlog_project.database.grants import apply_grants, close_schema, undeclared_tables, unknown_names
from auditlog_project.database.roles import Login, Roles, close_database, ensure_database, ensure_roles

__all__ = [
    "FUNCTION_GRANTS",
    "TABLE_GRANTS",
    "Login",
    "Roles",
    "TableGrant",
    "apply_grants",
    "close_database",
    "close_schema",
    "ensure_database",
    "ensure_roles",
    "undeclared_tables",
    "unknown_names",
]
