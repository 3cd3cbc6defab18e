"""Recording of management commands, by the operating-system user who runs them; called by manage.py.

Every command is recorded, before it runs and when it has ended, but for UNRECORDED: they read no log, or run before
there is a database. A command that cannot be recorded does not run, nor one whose record would take the place of one
that a restored database has lost. `verify` does, and says so: it tells verdicts and no entry, and is needed most where
something is wrong with the database.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from metaaudit.record import Access

UNRECORDED = frozenset(
    {
        # They make or look at the program, not at the log.
        "bench", "check", "collectstatic", "compilemessages", "diffsettings", "findstatic", "help", "makemessages",
        "makemigrations", "openapi", "runserver", "sendtestemail", "showmigrations", "spectacular", "sqlflush",
        "sqlmigrate", "sqlsequencereset", "startapp", "startproject", "test", "testserver", "version",
        # They run before there is a database, as its owner; the keys ledger and system entries tell what they did.
        "migrate", "optimizemigration", "setup_database", "squashmigrations",
    }
)  # fmt: skip
RUN_ANYWAY = frozenset({"verify"})
_ACTIONS = {
    "verify": "verify",
    "ingest": "ingest",
    "keys": "key_change",
    "log_types": "config_change",
    "api_keys": "config_change",
    "grants": "config_change",
    "ledgers": "config_change",
    "first_admin": "account_change",
    "createsuperuser": "account_change",
    "changepassword": "account_change",
    "replay": "replay",
    "export": "export",
    "archive_accesses": "archive",
}
# Of commands that do different things under different words.
_VERBS = {("locks", "make"): "lock", ("locks", "list"): "view"}
_ASKS_FOR_HELP = frozenset({"-h", "--help", "--version"})


@contextmanager
def recorded_command(arguments: Sequence[str]) -> Iterator[None]:
    """Record the command of these arguments (manage.py itself first) around the block. SystemExit if it cannot."""
    name = arguments[1] if len(arguments) > 1 else ""
    if not name or name in UNRECORDED or name.startswith("-") or _ASKS_FOR_HELP & set(arguments) or not _is_known(name):
        yield
        return
    from metaaudit.errors import NotRecordedError  # noqa: PLC0415 -- they need the loaded apps
    from metaaudit.recording import recorded  # noqa: PLC0415 -- the same
    from metaaudit.redaction import argument_pairs  # noqa: PLC0415 -- the same

    with ExitStack() as stack:
        try:
            _require_continuity()
            access = command_access(name, arguments[2:], query=argument_pairs(arguments[2:]))
            stack.enter_context(recorded(access))
        except NotRecordedError as error:
            if name not in RUN_ANYWAY:
                sys.exit(f"manage.py {name}: {error}. What cannot be recorded is not done.")
            sys.stderr.write(f"manage.py {name}: {error}; it runs all the same.\n")
        yield


def _require_continuity() -> None:
    from django.db import DatabaseError  # noqa: PLC0415 -- as above

    from metaaudit.errors import NotRecordedError  # noqa: PLC0415 -- as above
    from signing.continuity import require_continuity  # noqa: PLC0415 -- as above
    from signing.errors import SigningError  # noqa: PLC0415 -- as above

    try:
        require_continuity()
    except (SigningError, OSError) as error:
        raise NotRecordedError(f"the access is not recorded: {error}") from error
    except DatabaseError as error:
        raise NotRecordedError(f"the access could not be recorded ({type(error).__name__})") from error


def _is_known(name: str) -> bool:
    """Tell whether there is such a command, and settings to run it with; otherwise Django says what is wrong."""
    import django  # noqa: PLC0415 -- manage.py loads this module before it knows whether Django is wanted
    from django.core.management import get_commands  # noqa: PLC0415 -- the same

    try:
        django.setup()
    except ImproperlyConfigured:
        return False
    return name in get_commands()


def command_access(name: str, arguments: Sequence[str] = (), **said: Any) -> Access:
    """Return the access of a command by the operating-system user who runs it; `said` are further members of it."""
    from metaaudit.record import Access, Who  # noqa: PLC0415 -- as above
    from metaaudit.vocabulary import Auth  # noqa: PLC0415 -- as above
    from signing.management.accountability import operator  # noqa: PLC0415 -- as above

    who = Who(f"os:{os.getuid()}", operator(), Auth.OS_USER, str(os.getuid()))
    action = next((_VERBS[name, word] for word in arguments if (name, word) in _VERBS), _ACTIONS.get(name, "command"))
    return Access(who, action, "RUN", f"manage.py {name}", name, **said)
