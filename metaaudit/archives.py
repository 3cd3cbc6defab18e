"""Finding archives: which leaves have no row any more, and which export has them. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Max

from metaaudit.models import MetaArchive
from metaaudit.queries import lowest_id

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
    """Return what is archived of any ledger, the newest first; with `since`, only what is not all older than that."""
    found = [archive.tombstone for archive in MetaArchive.objects.order_by("-id")]
    return [each for each in found if since is None or each.until_moment >= since]


def tombstone_over(meta_id: UUID) -> Tombstone | None:
    """Return where a meta log of this id, which is not here, would be archived; its id tells its time."""
    older = [each for each in tombstones() if meta_id < lowest_id(each.until_moment, later=1)]
    return min(older, key=lambda each: each.until_moment, default=None)
