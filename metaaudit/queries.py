"""Finding meta logs: filters and a page at a time, so that a page costs the same at any size. Reads only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import BooleanField, Count
from django.db.models.expressions import RawSQL
from django.db.models.functions import TruncDay

from activity.models import ActivityLog, ActivityRevision
from metaaudit.models import MetaLog
from metaaudit.record import spans_text
from metaaudit.vocabulary import Auth, Phase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.db.models import QuerySet

MAX_LIMIT = 1_000
DEFAULT_LIMIT = 100
MAX_ENTRIES = 10_000  # whose accesses are looked for at once
_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to find. `equal` is by column; times are aware, from inclusive, to exclusive. `saw` filters entries."""

    visible_to: str | None  # the user id whose own trace is looked at; None: everybody's
    equal: Mapping[str, Any] = field(default_factory=dict)
    at_from: datetime | None = None
    at_to: datetime | None = None
    saw: Mapping[str, Any] = field(default_factory=dict)
    after: UUID | None = None
    limit: int = DEFAULT_LIMIT


class Page(NamedTuple):
    """Meta logs, the newest first; `next` is the last one's id if there are more."""

    logs: list[MetaLog]
    next: UUID | None


def find(wanted: Wanted) -> Page:
    """Return the page after `wanted.after`. Raises Django's OperationalError if it takes too long."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = %s", [_SECONDS * 1000])
        found = list(matching(wanted).order_by("-id")[: wanted.limit + 1])
    logs = found[: wanted.limit]
    return Page(logs, logs[-1].pk if len(found) > wanted.limit else None)


def visible_log(visible_to: str | None, meta_id: UUID) -> MetaLog | None:
    """Return a meta log that somebody may see, or None, whether there is such a one or not."""
    logs = MetaLog.objects.select_related("ledger").filter(pk=meta_id)
    return (logs if visible_to is None else logs.filter(user_id=visible_to)).first()


def completions(logs: Iterable[MetaLog]) -> dict[UUID, MetaLog]:
    """Return how accesses ended, by the id of the intent."""
    intents = [log.pk for log in logs if log.phase == Phase.INTENT]
    ends = MetaLog.objects.filter(completes__in=intents).select_related("ledger")
    return {end.completes: end for end in ends if end.completes is not None}


def matching(wanted: Wanted) -> QuerySet[MetaLog]:
    """Return what fits, in no order; `limit` is whoever asks' to apply."""
    logs = MetaLog.objects.select_related("ledger").filter(**wanted.equal)
    if wanted.visible_to is not None:
        logs = logs.filter(user_id=wanted.visible_to)
    if wanted.at_from is not None:  # an id begins with the milliseconds of `at`, and is what has an index
        logs = logs.filter(at__gte=wanted.at_from, id__gte=lowest_id(wanted.at_from))
    if wanted.at_to is not None:
        logs = logs.filter(at__lt=wanted.at_to, id__lt=lowest_id(wanted.at_to, later=1))
    if wanted.after is not None:
        logs = logs.filter(id__lt=wanted.after)
    if wanted.saw:
        seen = RawSQL("seen && %s::int8multirange", [leaves_of(wanted.saw)], output_field=BooleanField())
        logs = logs.annotate(saw=seen).filter(saw=True)
    return logs


def leaves_of(saw: Mapping[str, Any]) -> str:
    """Return the leaves of the entries that fit, and of their earlier versions, as a multirange."""
    entries = ActivityLog.objects.filter(**saw).values_list("ledger_id", "leaf_index", "pk")[:MAX_ENTRIES]
    spans = [(ledger, leaf, leaf) for ledger, leaf, _ in entries]
    versions = ActivityRevision.objects.filter(entry_id__in=[pk for _, _, pk in entries])
    spans += [(ledger, leaf, leaf) for ledger, leaf in versions.values_list("ledger_id", "leaf_index")]
    return spans_text(spans) or "{}"


def is_too_many(saw: Mapping[str, Any]) -> bool:
    """Tell whether more entries fit than `leaves_of` looks at."""
    return ActivityLog.objects.filter(**saw)[MAX_ENTRIES : MAX_ENTRIES + 1].exists()


class Line(NamedTuple):
    """A meta log in a list, with how it ended; `times` more like it, of a system that polls, are folded into it."""

    log: MetaLog
    end: MetaLog | None
    times: int


def folded(logs: Sequence[MetaLog], wanted: Wanted) -> list[Line]:
    """Return what `wanted` found for people: an access is one line, and what a system asked again and again is one too.

    An access is found by either half: where the filter fits its end alone, such as a status, it stands at its end.
    """
    halves = [log.completes for log in logs if log.completes is not None]
    found = set(matching(replace(wanted, after=None)).filter(pk__in=halves).values_list("pk", flat=True))
    begun = MetaLog.objects.select_related("ledger").in_bulk(set(halves) - found)
    shown = [begun.get(log.completes, log) if log.completes else log for log in logs if log.completes not in found]
    ends = completions(shown)
    lines: list[Line] = []
    for log in shown:
        end = ends.get(log.pk)
        if lines and _is_same_poll(lines[-1], log, end):
            lines[-1] = lines[-1]._replace(times=lines[-1].times + 1)
        else:
            lines.append(Line(log, end, 0))
    return lines


def per_day(visible_to: str | None, since: datetime, until: datetime) -> list[tuple[datetime, str, int]]:
    """Return how many accesses each user made on each day, in the order of days."""
    wanted = Wanted(visible_to, at_from=since, at_to=until)
    days = (
        matching(wanted)
        .exclude(phase=Phase.COMPLETION)
        .annotate(day=TruncDay("at"))
        .order_by("day", "user_name")
        .values_list("day", "user_name")
        .annotate(number=Count("pk"))
    )
    return list(days)


def _is_same_poll(line: Line, log: MetaLog, end: MetaLog | None) -> bool:
    first = line.log
    return (
        log.auth in {Auth.API_KEY, Auth.SYSTEM}
        and (log.user_id, bytes(log.query_hash), log.route) == (first.user_id, bytes(first.query_hash), first.route)
        and (log.status, end and end.status) == (first.status, line.end and line.end.status)
    )


def lowest_id(moment: datetime, *, later: int = 0) -> UUID:
    """Return the lowest id of a meta log of this millisecond, or of one that is `later` by so many."""
    since_1970 = moment - datetime(1970, 1, 1, tzinfo=UTC)
    milliseconds = (since_1970.days * 86_400 + since_1970.seconds) * 1000 + since_1970.microseconds // 1000
    return UUID(int=min(max(milliseconds + later, 0), 2**48 - 1) << 80)
