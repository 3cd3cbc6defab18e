"""`manage.py export`: order an export for somebody, make it here, write the file. Exit 0 done, 1 refused or failed."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.management.base import CommandError

from activity.errors import ActivityError
from exports import services
from exports.errors import ExportError
from exports.models import Export
from signing.errors import SigningError
from signing.management.accountability import operator
from signing.management.teaching import TeachingCommand

_PATIENCE = 1.0  # seconds between two looks at what others make
_HELP = """
Export a part of a ledger as signed evidence. It is signed with the export key of an account, so that account must have
one, the right to export, and the ledger; who ran this command stands in the purpose.

examples:
  ./auditlog export activity --as ada --purpose "audit 2026" --format pdf --format csv --to /media/evidence
  ./auditlog export activity --as ada --purpose "case 17" --filter actor=bob --filter recorded_from=2026-11-01T00:00:00Z
  ./auditlog export activity --as ada --purpose "case 18" --filter leaf_indexes=3,7,12
"""


class Command(TeachingCommand):
    help = _HELP

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("ledger", metavar="LEDGER")
        parser.add_argument("--as", dest="account", required=True, metavar="NAME", help="the account that signs")
        parser.add_argument("--purpose", required=True, metavar="TEXT", help="why; stands on the first page")
        parser.add_argument("--case", default="", metavar="TEXT", help="case or file number")
        parser.add_argument(
            "--format",
            dest="formats",
            action="append",
            choices=Export.Format.values,
            help="may be given several times (csv)",
        )
        parser.add_argument(
            "--filter",
            dest="filters",
            action="append",
            default=[],
            metavar="NAME=TEXT",
            help="as a parameter of GET /api/v1/logs; may be given several times",
        )
        parser.add_argument("--to", type=Path, default=Path(), metavar="DIRECTORY", help="where the file goes (here)")

    def handle(self, *args: Any, **options: Any) -> None:
        account = User.objects.filter(username=options["account"], is_active=True).first()
        if account is None:
            raise CommandError(f"there is no open account {options['account']}")
        if not options["to"].is_dir():
            raise CommandError(f"{options['to']} is no directory")
        if not options["purpose"].strip():
            raise CommandError("an export needs a purpose: it stands on its first page")
        try:
            export = self._made(account, options)
            taken = services.download(export=export, by=account)
        except (ActivityError, ExportError, SigningError, PermissionDenied) as error:
            raise CommandError(str(error)) from error
        path = options["to"] / taken.name
        with path.open("xb") as file:
            file.writelines(taken.pieces)
        counts = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(export.verdicts.items()))
        self.stdout.write(f"{path}\n{export.entries or 0:,} entries ({counts or 'none'})\nSHA-256 {export.file_sha256}")
        if set(export.verdicts) - {"valid", "unsigned"}:
            sys.stderr.write("some entries did not verify; each is marked in the export\n")

    def _made(self, account: User, options: dict[str, Any]) -> Export:
        """Order the export and make it in this process; workers that run may help."""
        ordered = services.order(
            by=account,
            ledger=options["ledger"],
            filters=_filters(options["filters"]),
            formats=options["formats"] or [Export.Format.CSV],
            purpose=f"{options['purpose']} (by command, {operator()})",
            case=options["case"],
        )
        export = ordered.export
        while export.is_open:
            services.work(export=export.pk)
            waited_for = export.waits_for
            export.refresh_from_db()
            if export.waits_for != waited_for:
                sys.stderr.write(
                    f"{export.waits_for}; it is asked again until it answers (Ctrl-C: the server goes on)\n"
                )
            if export.is_open:
                time.sleep(_PATIENCE)  # a worker has the last part
        if export.state == Export.State.FAILED:
            raise ExportError(export.failure)
        return export


def _filters(given: list[str]) -> dict[str, str]:
    filters = {}
    for one in given:
        name, separator, text = one.partition("=")
        if not separator or name in filters:
            raise CommandError(f"--filter takes NAME=TEXT, each name once: {one}")
        filters[name] = text
    return filters
