"""`manage.py api_keys`: give systems the right to write or read through the API. Exit 0 done, 1 refused."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError

from activity import authority
from activity.errors import ActivityError
from activity.models import ApiKey
from signing.errors import SigningError
from signing.management.accountability import accountable, add_accountability
from signing.management.teaching import TeachingCommand

_HELP = """
Create, list and revoke API keys.

A system sends its key with each request: `Authorization: Api-Key KEY`. A key is bound to one ledger; with the scope
logs:write it writes there as one source, with logs:read it reads there. The key is shown once, when it is created:
only its hash is kept. A lost key is revoked and replaced. Both steps are entries of the activity ledger.

examples:
  ./auditlog api_keys create shop --scope logs:write --ledger activity --source shop-eu --days 365 --reason "go-live"
  ./auditlog api_keys list
  ./auditlog api_keys revoke Xy12Ab34 --reason "shop closed"
"""


class Command(TeachingCommand):
    help = _HELP

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="create|list|revoke")
        create = verbs.add_parser("create", help="make a key and show it, this once")
        create.add_argument("name", metavar="NAME", help="for people: which system uses it")
        create.add_argument("--scope", action="append", required=True, choices=ApiKey.Scope.values, dest="scopes")
        create.add_argument("--ledger", default="activity", help="the one ledger of the key (%(default)s)")
        create.add_argument("--source", required=True, help="the one source that the key writes as")
        create.add_argument("--days", type=int, help="for how many days it is good (no end)")
        add_accountability(create)
        verbs.add_parser("list", help="every key: prefix, name, scopes, ledger, source, state")
        revoke = verbs.add_parser("revoke", help="make a key useless, for good")
        revoke.add_argument("prefix", metavar="PREFIX", help="the part of the key before the dot")
        add_accountability(revoke)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "list":
            for key in ApiKey.objects.select_related("ledger"):
                self.stdout.write(_line(key))
            return
        try:
            getattr(self, f"_{options['verb']}")(options)
        except (ActivityError, SigningError) as error:
            raise CommandError(str(error)) from error

    def _create(self, options: dict[str, Any]) -> None:
        expires_at = datetime.now(UTC) + timedelta(days=options["days"]) if options["days"] is not None else None
        row, key = authority.create_api_key(
            name=options["name"],
            scopes=options["scopes"],
            ledger=options["ledger"],
            source=options["source"],
            expires_at=expires_at,
            **accountable(options),
        )
        self.stdout.write(f"{_line(row)}\nkey, shown this once: {key}")

    def _revoke(self, options: dict[str, Any]) -> None:
        self.stdout.write(_line(authority.revoke_api_key(prefix=options["prefix"], **accountable(options))))


def _line(key: ApiKey) -> str:
    if key.revoked_at is not None:
        state = f"revoked {key.revoked_at:%Y-%m-%d}"
    elif key.expires_at is not None:
        state = f"until {key.expires_at:%Y-%m-%d}"
    else:
        state = "no end"
    return f"{key.prefix}  {key.name}  {' '.join(key.scopes)}  {key.ledger.name}  {key.source}  {state}"
