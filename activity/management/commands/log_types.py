"""`manage.py log_types`: which events are signed, and with which algorithm. Exit 0 done, 1 refused."""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import CommandError

from activity import services
from activity.errors import ActivityError
from activity.models import LogType
from activity.policies import DEFAULT
from signing.algorithms import ALGORITHMS
from signing.management.accountability import accountable, add_accountability
from signing.management.teaching import TeachingCommand

_HELP = f"""
List, set and remove log types: what they say about an event's type decides whether its entry is signed.

A pattern is a type (auth.login), a prefix (auth.*) or * ; the longest one that matches an event wins. Events that none
matches are signed with {DEFAULT.algorithm}, or refused if AUDITLOG_UNKNOWN_TYPES is "refuse". A change holds for the
entries of the future only, and is itself recorded in the activity ledger, with who made it and why.

examples:
  ./auditlog log_types list
  ./auditlog log_types set "shop.*" --signed --algorithm ES256 --description "The web shop" --reason "go-live"
  ./auditlog log_types set "shop.page.*" --unsigned --reason "10,000 page views a second"
  ./auditlog log_types remove "shop.*" --reason "the shop was closed"
"""


class Command(TeachingCommand):
    help = _HELP

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|set|remove")
        verbs.add_parser("list", help="show the log types as they stand")
        change = verbs.add_parser("set", help="add a log type, or change the options that are given")
        signed = change.add_mutually_exclusive_group()
        signed.add_argument(
            "--signed", dest="requires_signature", action="store_true", default=None, help="sign each entry (default)"
        )
        signed.add_argument(
            "--unsigned", dest="requires_signature", action="store_false", help="the ledger alone proves the entries"
        )
        change.add_argument("--algorithm", choices=list(ALGORITHMS), help=f"of the signatures ({DEFAULT.algorithm})")
        change.add_argument("--description", metavar="TEXT", help="what these events are")
        removal = verbs.add_parser("remove", help="remove a log type; the next shorter pattern takes over")
        for verb in (change, removal):
            verb.add_argument("pattern", metavar="PATTERN", help="auth.login, auth.* or * (quoted, for the shell)")
            add_accountability(verb)

    def handle(self, *args: Any, **options: Any) -> None:
        verbs = {"list": self._list, "set": self._set, "remove": self._remove}
        try:
            verbs[options["verb"]](options)
        except ActivityError as error:
            raise CommandError(str(error)) from error

    def _list(self, options: dict[str, Any]) -> None:
        del options
        log_types = list(LogType.objects.all())
        width = max((len(log_type.pattern) for log_type in log_types), default=0)
        for log_type in log_types:
            signed = log_type.algorithm if log_type.requires_signature else "unsigned"
            self.stdout.write(f"{log_type.pattern:{width}}  {signed:9}  {log_type.description}".rstrip())

    def _set(self, options: dict[str, Any]) -> None:
        pattern = options["pattern"]
        before = LogType.objects.filter(pattern=pattern).first()
        stands = before or LogType(pattern=pattern, requires_signature=True, algorithm=DEFAULT.algorithm)
        asked: dict[str, Any] = {
            name: getattr(stands, name) if options[name] is None else options[name]
            for name in ("requires_signature", "algorithm", "description")
        }
        services.set_log_type(pattern=pattern, **(asked | accountable(options)))
        kept = f"signed with {asked['algorithm']}" if asked["requires_signature"] else "not signed"
        self.stdout.write(f"log type {pattern}: {'changed' if before else 'added'}, {kept}")

    def _remove(self, options: dict[str, Any]) -> None:
        services.remove_log_type(pattern=options["pattern"], **accountable(options))
        self.stdout.write(f"log type {options['pattern']}: removed")
