"""Whether the guards of the database hold for this process: a list of problems, and the refusal to start with any.

    process.py     addresses that a serving process must not have          E01x
    roles.py       what the runtime role is, owns, and may become          E02x
    privileges.py  what it may do, against database/declared.py            E03x
    guards.py      triggers and functions, against this release's SQL      E04x
    server.py      settings without which an answer may be lost            E05x
    recording.py   whether every request is recorded                       E06x
    continuity     whether keys open and no ledger is behind its anchors   E07x

Problems of the database are found over a connection of the role that is judged. Nothing is changed.
"""

import os
import time
from enum import Enum
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import OperationalError, connections

from auditlog_project.posture.guards import guard_problems
from auditlog_project.posture.privileges import privilege_problems
from auditlog_project.posture.problem import Connection, Problem
from auditlog_project.posture.process import address_problems
from auditlog_project.posture.recording import recording_problems
from auditlog_project.posture.release import read_release
from auditlog_project.posture.roles import role_problems
from auditlog_project.posture.server import server_problems
from signing.continuity import require_continuity
from signing.errors import AnchorConflictError, SigningError

__all__ = [
    "PostureError",
    "Problem",
    "Process",
    "continuity_problems",
    "database_problems",
    "require",
    "serving_problems",
]


class Process(Enum):
    """Kinds of serving processes; the value is what a person calls them."""

    WEB = "web process"
    WORKER = "worker"


class PostureError(Exception):
    """The process must not serve. Says why, one line for each problem."""

    def __init__(self, problems: list[Problem]) -> None:
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"auditlog refuses to start, because its guards, keys or anchors would not hold:\n{lines}")
        self.problems = problems


_RESTORED_HINT = "docs/operations.md, Restore, says how to go on."
_PATIENCE_SECONDS = 60  # for which a process that starts waits for a database that starts, too


def require(process: Process) -> None:
    """Raise PostureError if this process must not serve; OperationalError if the database does not answer for long."""
    problems = address_problems(os.environ, settings.DATABASES, may_approve=process is Process.WEB)
    problems += _problems_once_it_answers()
    # The processes that this one forks must not share a connection.
    connections.close_all()
    if problems:
        raise PostureError(problems)


def _problems_once_it_answers() -> list[Problem]:
    # A worker that ends at its start takes gunicorn and all its other workers with it: for a database that was away
    # for a second the log would stay away until somebody comes.
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return serving_problems() or continuity_problems()
        except OperationalError:
            connections.close_all()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def serving_problems() -> list[Problem]:
    """Return what is wrong with the database for the runtime role and, where it is configured, the approver."""
    problems = recording_problems(settings.INSTALLED_APPS, settings.MIDDLEWARE)
    for alias in ("default", "approver"):
        if alias in settings.DATABASES:
            connections[alias].ensure_connection()
            problems += database_problems(connections[alias].connection, alias)
    return problems


def continuity_problems() -> list[Problem]:
    """Return why nothing more should be recorded in this database, whose guards hold: it was restored, most likely."""
    try:
        require_continuity()
    except AnchorConflictError as error:
        return [Problem("auditlog.E071", f"{error}", _RESTORED_HINT)]
    except (SigningError, OSError) as error:
        return [Problem("auditlog.E070", f"{error}.", _RESTORED_HINT)]
    return []


def database_problems(connection: Connection, alias: str = "default") -> list[Problem]:
    """Return what is wrong for the role of this connection, which serves as `alias`: "default" or "approver"."""
    problems = role_problems(connection)
    if problems:
        # Whoever is superuser or owner may do everything: a list of what that is would hide the reason.
        return problems + ([] if alias == "approver" else _common_problems(connection))
    problems += privilege_problems(connection, "approver" if alias == "approver" else "app")
    return problems + ([] if alias == "approver" else _common_problems(connection))


def _common_problems(connection: Connection) -> list[Problem]:
    files = [Path(app.path) / "migrations" / "sql" for app in apps.get_app_configs()]
    return guard_problems(connection, read_release(files)) + server_problems(connection)
