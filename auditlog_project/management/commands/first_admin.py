"""`manage.py first_admin`: the first administrator, who then makes all other accounts. Exit 0 done, 1 refused."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import transaction

from activity import authority
from activity.errors import ActivityError
from auditlog_project.first_login import one_time_path
from signing.management.accountability import operator
from signing.management.teaching import TeachingCommand

_HELP = """
Make the first administrator and print a link, good once and for 24 hours, with which he chooses his password. There
is no default password. Run again before the link was used, it prints a new one, and the old one is void.

The administrator makes all other accounts in the admin. A further one by this command needs --another and --reason.
Each is recorded in the activity ledger, with the operating-system user who ran this.

examples:
  ./auditlog first_admin
  ./auditlog first_admin --username ada --url https://audit.example.org
  ./auditlog first_admin --username ada --ask                       # asks for the password here, no link
  ./auditlog first_admin --username bob --another --reason "ada lost her password"
"""


class Command(TeachingCommand):
    help = _HELP

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--username", default="admin", metavar="NAME", help="name of the account (%(default)s)")
        parser.add_argument("--url", default="http://127.0.0.1:8000", help="where browsers find auditlog (%(default)s)")
        parser.add_argument("--ask", action="store_true", help="ask for the password here instead of making a link")
        parser.add_argument("--another", action="store_true", help="even if there is an administrator already")
        parser.add_argument("--reason", default="", metavar="TEXT", help="why another one; recorded for ever")

    def handle(self, *args: Any, **options: Any) -> None:
        there = [user for user in User.objects.filter(is_superuser=True, is_active=True) if user.has_usable_password()]
        if there and not options["another"]:
            names = ", ".join(user.username for user in there)
            raise CommandError(
                f"There is an administrator already: {names}. Other accounts are made in the admin; "
                'a further administrator by this command needs --another --reason "…"'
            )
        if not there:
            options["reason"] = options["reason"] or "the first administrator of this installation"
        try:
            self._make(options)
        except ActivityError as error:
            raise CommandError(str(error)) from error

    @transaction.atomic
    def _make(self, options: dict[str, Any]) -> None:
        user = authority.create_administrator(username=options["username"], by=operator(), reason=options["reason"])
        if options["ask"]:
            authority.set_first_password(user=user, password=_asked(user))
            self.stdout.write(f"{user} may log in now.")
            return
        hours = settings.PASSWORD_RESET_TIMEOUT // 3600
        self.stdout.write(
            f"{user} chooses the password here, once, within {hours} hours:\n\n"
            f"  {options['url'].rstrip('/')}{one_time_path(user)}\n"
        )


def _asked(user: User) -> str:
    if not sys.stdin.isatty():
        raise CommandError("--ask asks for the password, and there is nobody to ask: this is no terminal")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Once more: "):
        raise CommandError("the two are not the same")
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    return password
