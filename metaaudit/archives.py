"""Finding archives: which leaves have no row any more, and which export has them. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Max

from metaaudit.errors import AccessArchivedError
from metaaudit.models import MetaArchive, MetaLog
from metaaudit.queries import lowest_id, visible_log

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from metaaudit.tombstone import Tombstone
    from signing.models import Ledger


def end_of(ledger: Ledger) -> int:
    """Return the first leaf of a ledger that is not archived."""
    end = MetaArchive.objects.filter(ledger=ledger).aggregate(end=Max("end_leaf"))["end"]
    return 0 if end is None else int(end)


def tombstones(since: datetime | None = None) -> list[Tombstone]:
    """Return what is archived of any ledger, the newest first; with `since`, only what is not all older than that.

    A row without a tombstone, which `verify` names, is left out.
    """
    found = [tombstone for archive in MetaArchive.objects.order_by("-id") if (tombstone := archive.tombstone)]
    return [each for each in found if since is None or each.until_moment >= since]


def kept_log(visible_to: str | None, meta_id: UUID) -> MetaLog | None:
    """Return a meta log that somebody may see, or None, whether there is such a one or not.

    Raises AccessArchivedError, which says where to look, if there is none and its id is as old as an archive.
    """
    log = visible_log(visible_to, meta_id)
    if log is None and not MetaLog.objects.filter(pk=meta_id).exists():
        older = [each for each in tombstones() if meta_id < lowest_id(each.until_moment, later=1)]
        if older:
            raise AccessArchivedError(min(older, key=lambda each: each.until_moment).sentence)
    return log
