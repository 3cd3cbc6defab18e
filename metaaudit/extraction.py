"""Accesses of one ledger as an export takes them along: in leaf order, each with its verdict. Reads; writes nothing.

Meta logs never change, so that how a ledger stood at a size is its first leaves. Every one is checked as `verify` does:
leaf, columns, query hash. Nobody signs them one by one, hence `unsigned` where nothing is wrong, as of such entries.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.db.models import Count, Max, Min
from django.http import QueryDict

from activity.errors import BadQueryError, Problem
from activity.extraction import CHUNK, Span
from activity.ground import present_ground
from activity.retrieval import Tree
from exports import render_accesses_csv, render_json, render_ndjson
from exports.models import Export
from exports.rows import ExportedEntry
from exports.sources import Source
from metaaudit import archives, queries, verification
from metaaudit.filters import wanted_of
from metaaudit.visibility import sees_all
from signing.merkle import leaf_hash
from signing.models import Ledger
from signing.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from metaaudit.models import MetaLog
    from signing.checkpoint import Checkpoint

_GONE = "the ledger has this leaf, and its meta log is not there any more"


class AccessReader:
    """One search of one ledger of accesses as of one checkpoint of it (exports.sources.Reader)."""

    def __init__(self, ledger: Ledger, wanted: queries.Wanted, head: Checkpoint) -> None:
        self._ledger = ledger
        self._head = head
        self._is_ranged = wanted.at_from is not None or wanted.at_to is not None
        self._is_filtered = bool(wanted.equal or wanted.saw)
        self._found = queries.matching(wanted).filter(ledger=ledger)
        self._in_time = queries.matching(queries.Wanted(None, at_from=wanted.at_from, at_to=wanted.at_to))
        self._ground = present_ground()

    def span(self) -> Span:
        """Return where to look. A range of times is complete; so is no filter at all."""
        first, end = archives.end_of(self._ledger), self._head.size
        if self._is_ranged:
            ends = self._within(self._in_time.filter(ledger=self._ledger), first, end).aggregate(
                first=Min("leaf_index"), last=Max("leaf_index")
            )
            first, end = (0, 0) if ends["first"] is None else (ends["first"], ends["last"] + 1)
        return Span(first, end, (first, end) if self._is_ranged or not self._is_filtered else None)

    def few(self, most: int) -> Span | None:
        """Return the span of the accesses found if there are at most `most` of them."""
        span = self.span()
        some = self._within(self._found, span.begin, span.end).order_by("leaf_index")[: most + 1]
        ends = some.aggregate(count=Count("leaf_index"), first=Min("leaf_index"), last=Max("leaf_index"))
        if ends["count"] > most or (span.complete and span.end - span.begin > CHUNK):
            return None
        if span.complete:
            return span
        return Span(0, 0, None) if ends["first"] is None else Span(ends["first"], ends["last"] + 1, None)

    def exceeds(self, most: int) -> bool:
        """Tell whether more than `most` accesses are found."""
        span = self.span()
        return self._within(self._found, span.begin, span.end)[: most + 1].count() > most

    def read(
        self, begin: int, end: int, complete: tuple[int, int] | None, *, step: int = CHUNK
    ) -> Iterator[ExportedEntry]:
        """Give the accesses of the leaves [begin, end), and leaves of the complete range that lost theirs."""
        tree = Tree(self._ledger, self._ground, self._head)
        low, high = complete or (0, 0)
        for first in range(begin, end, step):
            after = min(first + step, end)
            found = frozenset(self._within(self._found, first, after).values_list("leaf_index", flat=True))
            missing = range(max(first, low), min(after, high))
            yield from self._checked(first, after, found, missing, tree)

    def _checked(
        self, first: int, end: int, found: frozenset[int], complete: range, tree: Tree
    ) -> Iterator[ExportedEntry]:
        if not found and not complete:
            return
        expected = first
        # All of them first: the connection answers nothing else while it copies.
        rows = list(verification.rows_of(self._ledger, first, end))
        # What was archived since the export was ordered is in it as a hash.
        complete = complete[max(archives.end_of(self._ledger) - complete.start, 0) :]
        for row in rows:
            yield from (_missing(leaf) for leaf in range(expected, row.leaf_index) if leaf in complete)
            expected = row.leaf_index + 1
            if row.leaf_index in found:
                verdict, reason = self._judged(row, tree)
                yield ExportedEntry(row.leaf_index, row.record, None, None, None, verdict, reason)
        yield from (_missing(leaf) for leaf in range(expected, end) if leaf in complete)

    def _judged(self, row: verification.Row, tree: Tree) -> tuple[Verdict, str]:
        if finding := tree.misfit(row.leaf_index, leaf_hash(row.record)):
            return finding.verdict, finding.reason
        if reason := verification.misfit(row, self._ledger.name):
            return Verdict.TAMPERED, reason
        if self._ground.doubt is not None:
            return Verdict.CANNOT_TELL, self._ground.doubt
        return Verdict.UNSIGNED, ""

    def _within(self, logs: QuerySet[MetaLog], first: int, end: int) -> QuerySet[MetaLog]:
        return logs.filter(leaf_index__gte=first, leaf_index__lt=end)


def _missing(leaf: int) -> ExportedEntry:
    return ExportedEntry(leaf, b"", None, None, None, Verdict.MISSING, _GONE)


def _readable(user: User | AnonymousUser) -> frozenset[str]:
    """Return the ledgers of accesses, for the auditor of auditors alone: an export has everybody's."""
    if not sees_all(user):
        return frozenset()
    return frozenset(Ledger.objects.filter(kind=Ledger.Kind.META).values_list("name", flat=True))


def _asked(ledger: Ledger, filters: Mapping[str, str]) -> Callable[[Checkpoint], AccessReader]:
    query = QueryDict(mutable=True)
    query.update(filters)
    wanted = wanted_of(query, None)
    if wanted.saw and queries.is_too_many(wanted.saw):
        name = next(name for name in filters if name.startswith("saw_"))
        raise BadQueryError([Problem(name, f"more than {queries.MAX_ENTRIES:,} entries fit: export in parts")])
    return partial(AccessReader, ledger, wanted)


SOURCE = Source(
    formats=(Export.Format.CSV, Export.Format.NDJSON, Export.Format.JSON),
    renderers={
        Export.Format.NDJSON: render_ndjson,
        Export.Format.CSV: render_accesses_csv,
        Export.Format.JSON: render_json,
    },
    readable=_readable,
    asked=_asked,
)
