"""`manage.py locks`: which locks there are, and new ones. Exit 0 done, 1 refused."""

from __future__ import annotations

import argparse
from typing import Any

import orjson
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management.base import CommandError

from locking import scopes, services
from locking.errors import LockingError
from locking.models import LogLock
from locking.wording import counted, end_words
from signing.management.teaching import TeachingCommand

_HELP = """
List locks, and make entries read-only.

A locked entry is neither amended nor removed, by whatever client of the database: the guard AL002 refuses it. A lock
only gets stronger, so there is no word here that takes one away: a release takes two people who sign in.

  governance   a retention; two people may release it, or let exactly named entries change for at most a day
  compliance   a retention that nobody ends before its time
  hold         a legal hold; lasts until two people release it, beside any retention

examples:
  ./auditlog locks list
  ./auditlog locks make --as olga --kind hold --scope '{"type": "auth.*"}' --case C-7 --reason "litigation"
  ./auditlog locks make --as olga --kind compliance --until 2032-01-01T00:00:00Z --scope '{"leaf_from": 0}' \\
      --reason "six years"

SCOPE is JSON: {"entries": ["<id>", ...]} or members that must all match (type, severity, outcome, source, actor,
action, target, ip, occurred_from, occurred_to, recorded_from, recorded_to, leaf_from, leaf_to).
"""


class Command(TeachingCommand):
    help = _HELP

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|make")
        verbs.add_parser("list", help="number, kind, state, ledger, entries, until and reason of each lock")
        making = verbs.add_parser("make", help="lock entries")
        making.add_argument("--as", dest="username", required=True, help="the account that locks, with its rights")
        making.add_argument("--ledger", default="activity", help="default: %(default)s")
        making.add_argument("--kind", required=True, choices=LogLock.Kind.values)
        making.add_argument("--scope", required=True, help="what is locked, as JSON")
        making.add_argument("--until", help="end of a retention, RFC 3339; without it, for good")
        making.add_argument("--case", default="", help="reference of a case")
        making.add_argument("--reason", required=True, help="recorded in the ledger, for good")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "list":
            self._list()
            return
        try:
            made = services.lock(
                ledger=options["ledger"],
                scope=orjson.loads(options["scope"]),
                kind=options["kind"],
                reason=options["reason"],
                by=_account(options["username"]),
                case_reference=options["case"],
                until=scopes.moment("--until", options["until"]) if options["until"] else None,
            )
        except orjson.JSONDecodeError as error:
            raise CommandError(f"--scope is no JSON: {error}") from error
        except (LockingError, PermissionDenied) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(_line(made))

    def _list(self) -> None:
        shown = False
        for made in LogLock.objects.select_related("ledger").iterator():
            self.stdout.write(_line(made))
            shown = True
        if not shown:
            self.stdout.write("nothing is locked; `./auditlog help locks` says how to")


def _account(username: str) -> User:
    account = User.objects.filter(username=username, is_active=True).first()
    if account is None:
        raise CommandError(f"there is no active account {username!r}")
    return account


def _line(made: LogLock) -> str:
    case = f", case {made.case_reference}" if made.case_reference else ""
    entries = counted(made.count, "entry", "entries")
    extended = ", being extended" if made.is_being_extended else ""
    return (
        f"{made}: {made.get_kind_display()}, {made.get_state_display()}{extended}, {entries} of {made.ledger.name}, "
        f"{end_words(made.kind, made.until)}, by {made.locked_by}{case}: {made.reason}"
    )
