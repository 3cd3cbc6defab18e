"""`manage.py setup_database`: from a PostgreSQL server to a database that auditlog can run on. Safe to repeat.

    1. the three roles and the database      as DATABASE_ADMIN_URL, else as the owner if it may
    2. migrations                            as DATABASE_OWNER_URL
    3. privileges                            as DATABASE_OWNER_URL
    4. posture check, keys and anchors       as DATABASE_URL and DATABASE_APPROVER_URL
    5. first keys, ledgers and trust file    as DATABASE_URL, like everything else that writes evidence
    6. the roles of people                   as DATABASE_URL

With --roles-only it ends after the first, with a database that pg_restore fills.
Every step prints one line: what it found, made or changed. Passwords are never printed.
"""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connections
from django.db.migrations.recorder import MigrationRecorder
from psycopg import sql

from activity import services as activity_services
from auditlog_project import posture
from auditlog_project.database import (
    Login,
    Roles,
    apply_grants,
    close_database,
    close_schema,
    ensure_database,
    ensure_roles,
    unknown_names,
)
from auditlog_project.roles import make_roles
from metaaudit import services as metaaudit_services
from signing import services as signing_services
from signing.management.teaching import TeachingCommand
from signing.models import Ledger

_HELP = """
Create the roles auditlog_owner, auditlog_app and auditlog_approver and their database, run the migrations as
owner, give each role exactly its privileges, and make the first keys, ledgers and roles of people. Asks nothing,
may be repeated at any time, and must be run after every upgrade.

Environment:
  DATABASE_URL           the runtime role's address; its role, password and database name are what gets created
  DATABASE_OWNER_URL     the owner's address on the same database (required here, and nowhere else)
  DATABASE_APPROVER_URL  the approver's address (optional)
  DATABASE_ADMIN_URL     an administrator's address, used only to create roles and database (optional: without it
                         and without the roles, the SQL for a database administrator is printed)

Example:
  DATABASE_URL=postgresql://auditlog_app:PW1@db/auditlog \\
  DATABASE_OWNER_URL=postgresql://auditlog_owner:PW2@db/auditlog \\
  DATABASE_ADMIN_URL=postgresql://postgres:PW3@db/postgres  manage.py setup_database

Before a restore: manage.py setup_database --roles-only  (docs/operations.md)
"""


def bootstrap() -> list[str]:
    """Make the first keys, ledgers, trust file, system entries and roles over the runtime connection; return lines."""
    return [
        *signing_services.bootstrap(),
        *activity_services.bootstrap(),
        *metaaudit_services.bootstrap(),
        *make_roles(),
    ]


class Command(TeachingCommand):
    help = _HELP
    # The checks look at a database that does not exist yet.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """How far to go."""
        parser.add_argument(
            "--roles-only", action="store_true", help="make roles and database, and leave the database to pg_restore"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if "owner" not in settings.DATABASES:
            raise CommandError(
                "DATABASE_OWNER_URL is not set. Give the owner's address: "
                "postgresql://auditlog_owner:PASSWORD@HOST:5432/DATABASE"
            )
        roles = Roles(
            owner=settings.DATABASES["owner"]["USER"],
            app=settings.DATABASES["default"]["USER"],
            approver=settings.DATABASES.get("approver", {}).get("USER"),
        )
        self._refuse_mixed_addresses(roles)
        self._make_roles_and_database(roles)
        if options["roles_only"]:
            return
        self._migrate(roles)
        self._grant(roles)
        self._say(_check_posture())
        self._say(_prepare_anchors())
        _require_continuity()
        self._say(bootstrap())

    def _say(self, lines: list[str]) -> None:
        for line in lines:
            self.stdout.write(line)

    def _refuse_mixed_addresses(self, roles: Roles) -> None:
        if len({roles.owner, *roles.serving}) <= len(roles.serving):
            raise CommandError("Owner, runtime and approver must be different roles: see DATABASE_*_URL.")
        places = {(each["HOST"], str(each["PORT"]), each["NAME"]) for each in settings.DATABASES.values()}
        if len(places) > 1:
            raise CommandError("DATABASE_URL, DATABASE_OWNER_URL and DATABASE_APPROVER_URL name different databases.")

    def _make_roles_and_database(self, roles: Roles) -> None:
        logins = [Login(each["USER"], each["PASSWORD"]) for each in settings.DATABASES.values()]
        name = settings.DATABASES["owner"]["NAME"]
        if address := os.environ.get("DATABASE_ADMIN_URL"):
            with _administrator(address) as admin:
                self._say(ensure_roles(admin, logins))
                self._say(ensure_database(admin, name, roles))
                close_database(admin, name, roles)
            return
        if refusals := _refusals():
            if "owner" in refusals or not _owner_may_create_roles():
                raise CommandError(_request_to_administrator(roles, name, refusals))
            serving = [login for login in logins if login.role != roles.owner]
            self._say(ensure_roles(_as_owner(), serving))
            close_database(_as_owner(), name, roles)
        else:
            self._say([f"role {login.role}: already there" for login in logins])
        self._say([f"database {name}: already there"])

    def _migrate(self, roles: Roles) -> None:
        close_schema(_as_owner(), roles)
        recorder = MigrationRecorder(connections["owner"])
        before = set(recorder.applied_migrations())
        call_command("migrate", database="owner", interactive=False, verbosity=0)
        applied = sorted(set(recorder.applied_migrations()) - before)
        names = ", ".join(f"{app}.{name}" for app, name in applied)
        self._say([f"migrations: applied {names}" if applied else "migrations: already there"])

    def _grant(self, roles: Roles) -> None:
        self._say(apply_grants(_as_owner(), roles))
        if missing := unknown_names(_as_owner()):
            raise CommandError(
                f"auditlog_project/database/declared.py grants what does not exist: {', '.join(missing)}"
            )


def _check_posture() -> list[str]:
    """Stop here if serving processes would refuse the database: what is written first must be guarded already."""
    if problems := posture.serving_problems():
        raise CommandError(str(posture.PostureError(problems)))
    return ["posture: the guards hold"]


def _require_continuity() -> None:
    """Stop here if a restored database cannot go on as it is: nothing is to be written before somebody has decided."""
    if problems := posture.continuity_problems():
        raise CommandError(str(posture.PostureError(problems)))


def _prepare_anchors() -> list[str]:
    """Make the anchor directory of a new installation; for an old one a missing directory is an unmounted disk."""
    if not settings.AUDITLOG_ANCHOR_DIR or Path(settings.AUDITLOG_ANCHOR_DIR).is_dir():
        return []
    if Ledger.objects.exists():
        raise CommandError(
            f"AUDITLOG_ANCHOR_DIR {settings.AUDITLOG_ANCHOR_DIR} does not exist, but this installation has ledgers. "
            "Mount it; for a new place make the directory and copy the old anchors and the trust file into it."
        )
    Path(settings.AUDITLOG_ANCHOR_DIR).mkdir(parents=True, mode=0o750)
    return [f"anchor directory {settings.AUDITLOG_ANCHOR_DIR}: created"]


def _as_owner() -> psycopg.Connection[Any]:
    connections["owner"].ensure_connection()
    connection: psycopg.Connection[Any] = connections["owner"].connection
    return connection


def _administrator(address: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(address, autocommit=True, connect_timeout=30)
    except psycopg.OperationalError as error:
        # libpq names host and role in a refusal, never the password …
        raise CommandError(f"DATABASE_ADMIN_URL: {error}") from None
    except psycopg.Error:
        # … but an address that it cannot parse it may quote.
        raise CommandError("DATABASE_ADMIN_URL is not a PostgreSQL address.") from None


def _refusals() -> dict[str, str]:
    """Return, for each address that cannot be connected to, the reason."""
    refusals = {}
    for alias in settings.DATABASES:
        try:
            connections[alias].ensure_connection()
        except OperationalError as error:
            refusals[alias] = str(error).strip()
    return refusals


def _owner_may_create_roles() -> bool:
    found = (
        _as_owner().execute("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user").fetchone()
    )
    return found is not None and bool(found[0])


def _request_to_administrator(roles: Roles, name: str, refusals: dict[str, str]) -> str:
    def quoted(identifier: str) -> str:
        return sql.Identifier(identifier).as_string(None)

    everyone = [quoted(role) for role in (roles.owner, *roles.serving)]
    statements = [f"CREATE ROLE {role} LOGIN;" for role in everyone]
    # psql asks for the passwords and sends verifiers: they appear in no history and no log.
    statements += [f"\\password {role}" for role in everyone]
    statements += [f"CREATE DATABASE {quoted(name)} OWNER {everyone[0]} ENCODING 'UTF8' TEMPLATE template0;"]
    statements += [f"GRANT CONNECT ON DATABASE {quoted(name)} TO {role};" for role in everyone[1:]]
    reasons = "\n".join(f"  {alias}: {reason}" for alias, reason in refusals.items())
    return (
        f"Roles or database are not there yet, and DATABASE_ADMIN_URL is not set:\n{reasons}\n\n"
        "Set it, or let a database administrator run in psql what is missing of the following, with the passwords "
        "of your addresses, and run setup_database again:\n\n" + "\n".join(statements)
    )
