"""manage.py replay: runs a recorded access again, as of the size that the ledger had then."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from metaaudit import archives
from metaaudit.errors import AccessArchivedError
from metaaudit.replay import replay, verdict_of
from metaaudit.rows import replayed
from signing.models import Ledger

if TYPE_CHECKING:
    from argparse import ArgumentParser

_EXIT = {True: 0, False: 1, None: 2}


class Command(BaseCommand):
    help = (
        "Run the access of a meta log again as of the ledger size at that time, and compare count and digest with what "
        "was recorded. Exit code 0: the same, 1: not the same, 2: nothing of the log was shown. The replay is recorded."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which one."""
        parser.add_argument("meta_log", metavar="ID", help="the id of a meta log")
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output, records included")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what came out, entry by entry."""
        try:
            log = archives.kept_log(None, UUID(options["meta_log"]))
        except ValueError:
            raise CommandError("the id of a meta log is a UUID") from None
        except AccessArchivedError as error:
            raise CommandError(str(error)) from error
        if log is None:
            raise CommandError(f"there is no meta log {options['meta_log']}")
        verdict, reasons = verdict_of(log)
        found = replay(log)
        if options["json"]:
            readable = set(Ledger.objects.values_list("name", flat=True))
            self.stdout.write(json.dumps(replayed(log, found, verdict, readable)))
        else:
            who = log.user_name or log.user_id
            self.stdout.write(f"{log.at:%Y-%m-%d %H:%M:%S} UTC  {who}  {log.method} {log.path}")
            self.stdout.write(f"The meta log itself: {verdict}" + "".join(f"; {reason}" for reason in reasons))
            for one in found.entries:
                self.stdout.write(f"  {one.ledger} leaf {one.leaf_index}  entry {one.entry_id}  {one.change}")
            words = {True: "the same", False: "NOT the same", None: "nothing to compare"}
            self.stdout.write(f"Outcome: {words[found.matches]}" + "".join(f"; {each}" for each in found.reasons))
        sys.exit(_EXIT[found.matches])
