"""Finding entries: filters, an order, and a page at a time, so that a page costs the same at any size. Reads only.

A page begins where the one before it ended (keyset), never by counting. Every filter but that on data has an index;
data is looked through row by row, so it needs a time range and stops after SCANNED rows, saying where to go on.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from django.db import connection, transaction
from django.db.models import Q

from activity import disclosures
from activity.models import ActivityLog, EntryVersion
from activity.timestamps import parse_timestamp, timestamp
from signing.models import LedgerHead
from signing.queries import ledger_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from django.db.models import QuerySet

    from signing.models import Ledger

EQUAL = ("type", "actor", "action", "target", "outcome", "severity", "source", "ip", "event_id", "leaf_index")
WITHIN = ("kid", "revision", "locked")  # have no index of their own, so that they need a time range
ORDERS = ("-id", "id", "-occurred_at", "occurred_at")  # by id is in the order of recording
DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
_TIMES = ("occurred_from", "occurred_to", "recorded_from", "recorded_to")
_LEAVES = ("leaf_from", "leaf_to")
NAMED = "leaf_indexes"
RANGES = ("leaf_from", "leaf_to", "recorded_from", "recorded_to")  # whose leaves follow one another
SCANNED = 20_000  # entries that a filter on data looks through at most for one page
_SCAN = 500  # of them read at once
_SECONDS = 10  # for which a query may run


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the last entry looked at."""

    occurred_at: datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class Search:
    """What to find. `equal` is by column, `data` by path; times are aware, from inclusive, to exclusive."""

    ledgers: Sequence[Ledger]
    equal: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    occurred_from: datetime | None = None
    occurred_to: datetime | None = None
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None
    leaf_from: int | None = None
    leaf_to: int | None = None
    leaf_indexes: Sequence[int] = ()  # these leaves, named one by one; () is no condition
    order: str = "-id"
    after: Place | None = None
    limit: int = DEFAULT_LIMIT
    as_of: Mapping[str, int] | None = None  # how many leaves of each ledger there were; None: as many as there are

    @property
    def has_time_range(self) -> bool:
        """Tell whether both ends of a time are given."""
        ranges = ((self.occurred_from, self.occurred_to), (self.recorded_from, self.recorded_to))
        return any(None not in ends for ends in ranges)


@dataclass(frozen=True, slots=True)
class Page:
    """Entries in the order asked for; `next` is None at the end. `scanned` counts what a filter on data looked at."""

    entries: list[ActivityLog]
    next: Place | None
    scanned: int | None = None


def find(search: Search) -> Page:
    """Return the page after `search.after`. Raises Django's OperationalError if it takes too long."""
    is_own = not connection.in_atomic_block
    with transaction.atomic(), connection.cursor() as cursor:
        if is_own:
            # Head and page of one moment: an amendment between the two would move an entry beyond the head.
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SET LOCAL statement_timeout = %s", [_SECONDS * 1000])
        search = _bounded(search)
        return _scan(search) if search.data else _page(search)


def _bounded(search: Search) -> Search:
    """Bound the search to the leaves there are now, so that it can be run again as of this size and find the same."""
    if search.as_of is None:
        heads = LedgerHead.objects.filter(ledger__in=search.ledgers).values_list("ledger__name", "size")
        search = replace(search, as_of=dict(heads))
    for name, size in (search.as_of or {}).items():
        disclosures.note_size(name, size)
    disclosures.note_search(said_of(search))
    return search


def said_of(search: Search) -> dict[str, Any]:
    """Return a search as JSON values, to be kept and run again; what is not asked for is left out."""
    after = search.after and [timestamp(search.after.occurred_at), str(search.after.id)]
    said: dict[str, Any] = {
        "after": after,
        "data": [[*path, text] for path, text in search.data.items()],
        "equal": dict(search.equal),
        "ledgers": [ledger.name for ledger in search.ledgers],
        "limit": search.limit,
        "order": search.order,
        **{name: getattr(search, name) and timestamp(getattr(search, name)) for name in _TIMES},
        **{name: getattr(search, name) for name in _LEAVES},
        NAMED: list(search.leaf_indexes) or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def of_said(said: Mapping[str, Any], as_of: Mapping[str, int]) -> Search:
    """Return the search that `said_of` told of, as of these sizes."""
    after = said.get("after")
    bounds: dict[str, Any] = {name: parse_timestamp(said[name]) for name in _TIMES if name in said}
    bounds |= {name: said[name] for name in (*_LEAVES, NAMED) if name in said}
    return Search(
        ledgers=[ledger_named(name) for name in said["ledgers"]],
        equal=said["equal"],
        data={tuple(path): text for *path, text in said["data"]},
        **bounds,
        order=said["order"],
        after=after and Place(parse_timestamp(after[0]), UUID(after[1])),
        limit=said["limit"],
        as_of=as_of,
    )


def _page(search: Search) -> Page:
    found = list(islice(_ordered(search, search.after, search.limit + 1), search.limit + 1))
    entries = found[: search.limit]
    return Page(entries, _place(entries[-1]) if len(found) > search.limit else None)


def _scan(search: Search) -> Page:
    """Look through entries until the page is full, nothing is left, or SCANNED of them were read."""
    entries: list[ActivityLog] = []
    after, scanned = search.after, 0
    while scanned < SCANNED:
        read = list(islice(_ordered(search, after, _SCAN), _SCAN))
        for entry in read:
            scanned += 1
            after = _place(entry)
            if _has_data(entry, search.data):
                entries.append(entry)
                if len(entries) == search.limit:
                    return Page(entries, after, scanned)
        if len(read) < _SCAN:
            return Page(entries, None, scanned)
    return Page(entries, after, scanned)


def _ordered(search: Search, after: Place | None, limit: int) -> Iterator[ActivityLog]:
    """Merge what each ledger gives: one walk along an index for each, however their entries are mixed."""
    column = search.order.removeprefix("-")
    key = attrgetter("id") if column == "id" else attrgetter("occurred_at", "id")
    parts = [_of_ledger(search, ledger, after)[:limit] for ledger in search.ledgers]
    return heapq.merge(*parts, key=key, reverse=search.order.startswith("-"))


def _of_ledger(search: Search, ledger: Ledger, after: Place | None) -> QuerySet[ActivityLog]:
    wanted = Q(ledger=ledger, **search.equal)
    if search.as_of is not None:
        wanted &= Q(leaf_index__lt=search.as_of.get(ledger.name, 0))
    if search.leaf_from is not None:
        wanted &= Q(leaf_index__gte=search.leaf_from)
    if search.leaf_to is not None:
        wanted &= Q(leaf_index__lt=search.leaf_to)
    if search.leaf_indexes:
        wanted &= Q(leaf_index__in=search.leaf_indexes)
    if search.occurred_from:
        wanted &= Q(occurred_at__gte=search.occurred_from)
    if search.occurred_to:
        wanted &= Q(occurred_at__lt=search.occurred_to)
    if search.recorded_from:  # an id begins with the milliseconds of recorded_at, and is what has an index
        wanted &= Q(recorded_at__gte=search.recorded_from, id__gte=_lowest_id(search.recorded_from))
    if search.recorded_to:
        wanted &= Q(recorded_at__lt=search.recorded_to, id__lt=_lowest_id(search.recorded_to, milliseconds_later=1))
    sign, column = ("-", search.order[1:]) if search.order.startswith("-") else ("", search.order)
    if after is not None:
        wanted &= _beyond(after, column, "lt" if sign else "gt")
    names = [f"{sign}{name}" for name in (("id",) if column == "id" else (column, "id"))]
    return ActivityLog.objects.filter(wanted).select_related("ledger").order_by(*names)


def _beyond(after: Place, column: str, side: str) -> Q:
    if column == "id":
        return Q(**{f"id__{side}": after.id})
    # The first part is what the index is entered with.
    return Q(**{f"{column}__{side}e": after.occurred_at}) & (
        Q(**{f"{column}__{side}": after.occurred_at}) | Q(**{f"id__{side}": after.id})
    )


def _lowest_id(moment: datetime, *, milliseconds_later: int = 0) -> UUID:
    since_1970 = moment - datetime(1970, 1, 1, tzinfo=UTC)
    milliseconds = (since_1970.days * 86_400 + since_1970.seconds) * 1000 + since_1970.microseconds // 1000
    return UUID(int=min(max(milliseconds + milliseconds_later, 0), 2**48 - 1) << 80)


def _place(entry: ActivityLog) -> Place:
    return Place(entry.occurred_at, entry.id)


def data_of(entry: EntryVersion) -> Any:
    """Return the data of an entry, detached or not; None if its record, which somebody changed, has none."""
    return _data_in(bytes(entry.record), None if entry.detached_data is None else bytes(entry.detached_data))


def has_data(record: bytes, detached: bytes | None, wanted: Mapping[tuple[str, ...], str]) -> bool:
    """Tell whether the data of a record, detached or not, has each of these texts at its path."""
    data = _data_in(record, detached)
    return all(_is(_at(data, path), text) for path, text in wanted.items())


def _data_in(record: bytes, detached: bytes | None) -> Any:
    try:
        if detached is not None:
            return orjson.loads(detached)
        said = orjson.loads(record)
    except orjson.JSONDecodeError:
        return None
    return said.get("data") if isinstance(said, dict) else None


def fits(version: EntryVersion, search: Search) -> bool:
    """Tell whether a version fits what a search asks for beside `equal`; where a page begins is the caller's matter."""
    bounds: tuple[tuple[Any, Any, Any], ...] = (
        (search.occurred_from, version.occurred_at, search.occurred_to),
        (search.recorded_from, version.recorded_at, search.recorded_to),
        (search.leaf_from, version.leaf_index, search.leaf_to),
    )
    within = all((low is None or value >= low) and (high is None or value < high) for low, value, high in bounds)
    named = not search.leaf_indexes or version.leaf_index in search.leaf_indexes
    return within and named and (not search.data or _has_data(version, search.data))


def _has_data(entry: EntryVersion, wanted: Mapping[tuple[str, ...], str]) -> bool:
    detached = entry.detached_data
    return has_data(bytes(entry.record), None if detached is None else bytes(detached), wanted)


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if isinstance(value, dict):
            value = value.get(name, _NOTHING)
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return _NOTHING
    return value


_NOTHING = object()


def _is(value: object, text: str) -> bool:
    """Tell whether a value is this text, or a number, true, false or null written so."""
    if value is _NOTHING or isinstance(value, dict | list):
        return False
    return value == text if isinstance(value, str) else orjson.dumps(value).decode() == text
