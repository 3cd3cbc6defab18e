"""manage.py archive_accesses: puts a signed export in the place of old accesses. The owner role's job, and recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from metaaudit import archiving
from metaaudit.errors import ArchiveRefusedError
from metaaudit.terminal import command_access
from metaaudit.tombstone import tombstone_of
from signing.errors import SigningError
from signing.management.accountability import accountable, add_accountability

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = (
        "Archive the oldest accesses: a signed export of them (.asice), which has every one, takes the place of their "
        "rows, and a signed tombstone in the same ledger says so. The export is verified and compared with the rows "
        "first. Keep the file: it is the only copy. After a crash run the same command again. Runs as the owner: needs "
        "DATABASE_OWNER_URL. Example: ./auditlog archive_accesses accesses.asice --reason 'policy 7'"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which file, who and why."""
        parser.add_argument("file", type=Path, metavar="FILE", help="an export of accesses (.asice)")
        parser.add_argument("--dry-run", action="store_true", help="verify and compare, and archive nothing")
        add_accountability(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Examine, archive, remove; what is archived already is only removed."""
        if archiving.OWNER not in settings.DATABASES:
            raise CommandError("DATABASE_OWNER_URL is not set: only the owner may archive")
        who = accountable(options)
        try:
            with options["file"].open("rb") as source:
                made = archiving.archive_of(archiving.digest_of(source))
                if made is None:
                    prefix = archiving.examine(source, options["file"].name, now=datetime.now(UTC))
                    if options["dry_run"]:
                        last, count = prefix.end_leaf - 1, prefix.end_leaf - prefix.first_leaf
                        self.stdout.write(f"leaves {prefix.first_leaf} to {last}, {count:,} accesses, can be archived")
                        return
                    made = archiving.archive(prefix, access=partial(command_access, "archive_accesses"), **who)
            removed = 0 if options["dry_run"] else archiving.remove(made)
        except (OSError, ArchiveRefusedError, SigningError) as error:
            raise CommandError(str(error)) from error
        said = tombstone_of(bytes(made.record)).sentence
        self.stdout.write(f"{said}\n{removed:,} rows removed; tombstone: leaf {made.leaf_index}")
