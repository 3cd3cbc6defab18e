"""manage.py purge_archive: erases the bytes of superseded versions for good. The owner role's job, and recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.db.models import Exists, OuterRef

from activity.event import Event
from activity.models import ActivityLog, ActivityRevision
from activity.services import SYSTEM_SOURCE, record_system
from activity.versions import PURGED
from signing.errors import LedgerNotFoundError
from signing.management.accountability import accountable, add_accountability
from signing.queries import ledger_named

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from uuid import UUID

_AT_ONCE = 1_000  # versions that one system entry names
_ERASE = """
    UPDATE public.activity_revisions SET record = '', detached_data = NULL, signature = NULL, key_id = NULL, actor = '',
           action = '', target = '', ip = NULL, purged_by = %s
     WHERE ledger_id = %s AND leaf_index = ANY(%s) AND purged_by IS NULL"""


def purge(*, ledger: str, older_than_days: int, by: str, reason: str) -> int:
    """Erase what was superseded longer ago than that, and return how many versions it were; what is locked stays whole.

    The system entry comes first: after a crash in between it names bytes that are still there, and the next purge
    takes them.
    """
    opened = ledger_named(ledger)
    before = datetime.now(UTC) - timedelta(days=older_than_days)
    kept = ActivityLog.objects.kept().filter(pk=OuterRef("entry_id"))
    waiting = ActivityRevision.objects.filter(~Exists(kept), ledger=opened, purged_by=None, superseded_at__lte=before)
    erased = 0
    while leaves := list(waiting.order_by("leaf_index").values_list("leaf_index", flat=True)[:_AT_ONCE]):
        entry_id = _announce(ledger, leaves, by=by, reason=reason)
        with connections["owner"].cursor() as cursor:
            cursor.execute(_ERASE, [entry_id, opened.pk, leaves])
            erased += cursor.rowcount
    return erased


def _announce(ledger: str, leaves: list[int], *, by: str, reason: str) -> UUID | str:
    return record_system(
        Event(
            type=PURGED,
            action="purge archive",
            actor=by,
            occurred_at=datetime.now(UTC),
            source=SYSTEM_SOURCE,
            target=ledger,
            outcome="success",
            severity="warning",
            data={"ledger": ledger, "leaves": leaves, "reason": reason},
        )
    ).id


class Command(BaseCommand):
    help = (
        "Erase the bytes of superseded versions (amended or removed entries) for good. Their places, hashes and event "
        "ids stay, and a signed system entry names every one, so that verify accounts for them. Versions of entries "
        "that are locked, or past a deadline of a retention policy, stay. Runs as the owner: "
        "needs DATABASE_OWNER_URL. Example: ./auditlog purge_archive --older-than-days 365 --reason 'policy 7'"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--ledger", default="activity", metavar="NAME")
        parser.add_argument(
            "--older-than-days", type=int, required=True, metavar="DAYS", help="since they were superseded"
        )
        add_accountability(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        if "owner" not in settings.DATABASES:
            raise CommandError("DATABASE_OWNER_URL is not set: only the owner may purge")
        if options["older_than_days"] < 0:
            raise CommandError("--older-than-days is not negative")
        try:
            erased = purge(
                ledger=options["ledger"],
                older_than_days=options["older_than_days"],
                **accountable(options),
            )
        except LedgerNotFoundError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{erased:,} superseded versions purged in {options['ledger']}")
