"""`manage.py grants`: let people see ledgers. Exit 0 done, 1 refused."""

from __future__ import annotations

import argparse
from typing import Any

from django.contrib.auth.models import Group, User
from django.core.management.base import CommandError

from activity import authority
from activity.errors import ActivityError
from activity.models import LedgerGrant
from signing.errors import SigningError
from signing.management.accountability import accountable, add_accountability
from signing.management.teaching import TeachingCommand

_HELP = """
Give and take the right of people to see a ledger.

A person reads through the API only the ledgers that are granted to him or to one of his groups, whatever else he may
do. Each step is an entry of the activity ledger.

examples:
  ./auditlog grants give activity --group auditor --reason "yearly audit"
  ./auditlog grants give activity --user ada --reason "on duty"
  ./auditlog grants list
  ./auditlog grants take activity --user ada --reason "left the team"
"""


class Command(TeachingCommand):
    help = _HELP

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="give|list|take")
        verbs.add_parser("list", help="every grant: ledger, holder, who gave it and when")
        for verb, text in (("give", "let a user or a group see a ledger"), ("take", "take that back")):
            parsed = verbs.add_parser(verb, help=text)
            parsed.add_argument("ledger", metavar="LEDGER")
            holder = parsed.add_mutually_exclusive_group(required=True)
            holder.add_argument("--user", metavar="NAME")
            holder.add_argument("--group", metavar="NAME")
            add_accountability(parsed)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "list":
            for grant in LedgerGrant.objects.select_related("ledger", "user", "group"):
                self.stdout.write(f"{grant}  given by {grant.given_by}, {grant.given_at:%Y-%m-%d}")
            return
        holder = _holder(options)
        try:
            if options["verb"] == "give":
                authority.grant_ledger(ledger=options["ledger"], to=holder, **accountable(options))
            else:
                authority.revoke_grant(ledger=options["ledger"], of=holder, **accountable(options))
        except (ActivityError, SigningError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['ledger']}: {'given to' if options['verb'] == 'give' else 'taken from'} {holder}")


def _holder(options: dict[str, Any]) -> User | Group:
    try:
        if options["user"]:
            return User.objects.get(username=options["user"])
        return Group.objects.get(name=options["group"])
    except (User.DoesNotExist, Group.DoesNotExist) as error:
        raise CommandError(f"there is no such user or group: {options['user'] or options['group']}") from error
