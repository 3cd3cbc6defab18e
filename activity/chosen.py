"""Entries that somebody chose one by one, by their ids, in a list: `entry=ID` any number of times.

All must be of one ledger, for a lock and an export are each of one. Nobody learns here which ids there are in ledgers
that he may not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from activity.errors import BadQueryError, Problem
from activity.models import ActivityLog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import QueryDict

    from signing.models import Ledger

ENTRY = "entry"
_LISTING = ("ledger", "order", "limit", "cursor")


def chosen(query: QueryDict, readable: Iterable[str], *, most: int) -> tuple[Ledger, list[ActivityLog]]:
    """Return the entries that a query names, in leaf order, and the ledger that they are of.

    Raises BadQueryError naming each id that is none; for none at all, more than `most`, entries of several ledgers,
    and filters beside them.
    """
    ids = [one for one in query.getlist(ENTRY) if one]
    if not set(query) <= {ENTRY, *_LISTING}:
        raise BadQueryError([Problem(ENTRY, "are chosen one by one, so that no filter stands beside them")])
    if not ids:
        raise BadQueryError([Problem(ENTRY, "none is chosen: tick the boxes of entries in the list")])
    if len(ids) > most:
        raise BadQueryError([Problem(ENTRY, f"are {len(ids):,}, and {most:,} can be chosen at once: use a filter")])
    wanted = {one: _uuid(one) for one in ids}
    found = {
        entry.pk: entry
        for entry in ActivityLog.objects.filter(pk__in=[*filter(None, wanted.values())], ledger__name__in=readable)
        .select_related("ledger")
        .order_by("leaf_index")
    }
    missing = [one for one, entry_id in wanted.items() if entry_id not in found]
    if missing:
        raise BadQueryError([Problem(ENTRY, f"there is no {one} that you may read") for one in missing])
    ledgers = {entry.ledger for entry in found.values()}
    if len(ledgers) > 1:
        named = ", ".join(sorted(ledger.name for ledger in ledgers))
        raise BadQueryError([Problem(ENTRY, f"are of several ledgers ({named}): choose those of one")])
    return ledgers.pop(), [*found.values()]


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
