"""Entries of one ledger as they stood at one size of it, in leaf order, each with its verdict. Reads; writes nothing.

    Extraction(search, head)                what to find, and the checkpoint that says how the ledger stood
        .span()                             the leaves among which everything is found
        .read(begin, end)                   the entries found there, with leaves of the complete range that lost theirs

Whatever is written meanwhile has later leaves. What a change on request superseded since is read from the archive, so
that it comes as it was. Ranges are read in statements of their own: a long snapshot would slow every writer down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection

from activity import search as searching
from activity.entry_check import EntryCheck, Row
from activity.entry_rows import ARCHIVED, COLUMNS, copied_rows
from activity.errors import BadQueryError, Problem
from activity.ground import present_ground
from activity.queries import TOMBSTONE
from activity.retrieval import Tree
from activity.verification import hmac_verifier
from signing.merkle import TILE_WIDTH, leaf_hash
from signing.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from activity.search import Search
    from signing.checkpoint import Checkpoint

CHUNK = 8 * TILE_WIDTH  # leaves that one statement reads, and that are in memory at once
_NO_ROW = Row(0, b"", None, b"", None, None, None, "", None, None, "", None, 0, "", "", "", "", "", "")
# Of the archived versions those stood at a size whose successor came later.
_STOOD = """version.purged_by IS NULL
    AND NOT EXISTS (SELECT FROM public.activity_logs next WHERE next.id = version.entry_id
        AND next.revision = version.revision + 1 AND next.leaf_index < %s)
    AND NOT EXISTS (SELECT FROM public.activity_revisions next WHERE next.entry_id = version.entry_id
        AND next.revision = version.revision + 1 AND next.leaf_index < %s)"""
_LEAVES_WITHOUT_A_ROW = """
    SELECT leaf FROM generate_series(%(begin)s::bigint, %(end)s::bigint - 1) leaf
     WHERE (SELECT count(*) FROM public.activity_logs WHERE ledger_id = %(ledger)s AND leaf_index >= %(begin)s
              AND leaf_index < %(end)s) < %(end)s - %(begin)s
       AND NOT EXISTS (SELECT FROM public.activity_logs WHERE ledger_id = %(ledger)s AND leaf_index = leaf)
       AND NOT EXISTS (SELECT FROM public.activity_revisions WHERE ledger_id = %(ledger)s AND leaf_index = leaf)"""
_NAMED_WITHOUT_A_ROW = """
    SELECT leaf FROM unnest(%(named)s::bigint[]) leaf
     WHERE leaf >= %(begin)s AND leaf < %(end)s
       AND NOT EXISTS (SELECT FROM public.activity_logs WHERE ledger_id = %(ledger)s AND leaf_index = leaf)
       AND NOT EXISTS (SELECT FROM public.activity_revisions WHERE ledger_id = %(ledger)s AND leaf_index = leaf)"""
_REMOVED = "what stood here was removed; this record says by whom and why"
_BEYOND = "there is no leaf {}: the ledger has {} leaves, counted from 0"
_SUPERSEDED = "leaf {} is not what its entry says now: it was amended or removed; take the leaf of what it is now"
_GONE = "the ledger has this leaf, and its entry is not there any more"


class Extracted(NamedTuple):
    """An entry as it stood, with what was found. Of a leaf whose entry is gone, `row` has nothing but the leaf."""

    row: Row
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Span:
    """Where to look. Within `complete`, [first, end), every leaf is accounted for; None if the search has no range."""

    begin: int
    end: int
    complete: tuple[int, int] | None


class Extraction:
    """One search of one ledger as of one checkpoint of it."""

    def __init__(self, search: Search, head: Checkpoint) -> None:
        (self._ledger,) = search.ledgers
        self._search = search
        self._head = head
        self._ground = present_ground()
        self._check = EntryCheck(self._ledger.name, self._ground.trust.ring, hmac_verifier)
        self._conditions, self._values = _conditions(search)

    def span(self) -> Span:
        """Return where to look. A range of leaves, or of times of recording, is complete; so is no filter at all.

        Raises BadQueryError if leaves are named of which nothing stood at this size, naming each.
        """
        asked, size = self._search, self._head.size
        if asked.leaf_indexes:
            self._require_standing()
            return Span(asked.leaf_indexes[0], asked.leaf_indexes[-1] + 1, None)
        firsts, ends = [asked.leaf_from or 0], [size if asked.leaf_to is None else asked.leaf_to, size]
        if (leaf := asked.equal.get("leaf_index")) is not None:
            firsts.append(leaf)
            ends.append(leaf + 1)
        if asked.recorded_from or asked.recorded_to:
            lowest, highest = self._leaves_of_times()
            firsts.append(lowest)
            ends.append(highest)
        first = min(max(firsts), size)
        end = max(first, min(ends))
        ranged = leaf is not None or any(getattr(asked, name) is not None for name in searching.RANGES)
        return Span(first, end, (first, end) if ranged or not (self._conditions or asked.data) else None)

    def few(self, most: int) -> Span | None:
        """Return the span of the entries found if there are at most `most` of them and an index leads there."""
        span = self.span()
        if self._search.data:
            return None
        count, lowest, highest = self._counted(span, most)
        if count > most or (span.complete and span.end - span.begin > CHUNK):
            return None
        if span.complete or self._search.leaf_indexes:
            return span
        return Span(lowest or 0, 0 if highest is None else highest + 1, None)

    def exceeds(self, most: int) -> bool:
        """Tell whether more than `most` entries are found; of a search in data only reading them all tells."""
        return not self._search.data and self._counted(self.span(), most)[0] > most

    def _counted(self, span: Span, most: int) -> tuple[int, int | None, int | None]:
        """Return how many versions are found, up to one more than `most`, and the lowest and highest leaf of them."""
        query = (
            "SELECT count(*), min(leaf_index), max(leaf_index) FROM "  # noqa: S608 our own names
            f"(SELECT leaf_index FROM ({self._versions()}) found LIMIT %s) few"
        )
        with connection.cursor() as cursor:
            cursor.execute(query, [*self._parameters(span.begin, span.end), most + 1])
            found: tuple[int, int | None, int | None] = cursor.fetchone()
        return found

    def read(self, begin: int, end: int, complete: tuple[int, int] | None, *, step: int = CHUNK) -> Iterator[Extracted]:
        """Give the entries of the leaves [begin, end), in leaf order, a statement for each `step` leaves."""
        complete = complete or (0, 0)
        tree = Tree(self._ledger, self._ground, self._head)
        for first in range(begin, end, step):
            after = min(first + step, end)
            rows = list(self._rows(first, after))
            low, high = max(first, complete[0]), min(after, complete[1])
            gone = self._gone(low, high) if low < high else self._named_and_gone(first, after)
            if gone:
                rows = sorted([*rows, *gone], key=lambda row: row.leaf_index)
            for row in rows:
                if row.record or row.id:
                    yield self._judged(row, tree)
                else:
                    yield Extracted(row, Verdict.MISSING, _GONE)

    def _judged(self, row: Row, tree: Tree) -> Extracted:
        finding = tree.misfit(row.leaf_index, leaf_hash(row.record)) or self._check.finding(row)
        if finding is not None:
            return Extracted(row, finding.verdict, finding.reason)
        if self._ground.doubt is not None:
            return Extracted(row, Verdict.CANNOT_TELL, self._ground.doubt)
        if row.type == TOMBSTONE:
            return Extracted(row, Verdict.REMOVED, _REMOVED)
        return Extracted(row, Verdict.UNSIGNED if row.key_id is None else Verdict.VALID, "")

    def _rows(self, begin: int, end: int) -> Iterator[Row]:
        query = f"{self._versions()} ORDER BY 1"
        for row in map(Row._make, copied_rows(query, COLUMNS.values(), self._parameters(begin, end))):
            if not self._search.data or searching.has_data(row.record, row.detached_data, self._search.data):
                yield row

    def _versions(self) -> str:
        """Return the query of the versions that stood there and fit the search; _parameters has its values."""
        where = " AND ".join(["ledger_id = %s", "leaf_index >= %s", "leaf_index < %s", *self._conditions])
        archived = where.replace("locked = %s", "NOT %s::boolean")  # what is locked is not superseded
        return (
            # Each in its order already, as its index has it: merging them is less than sorting whole records.
            f"(SELECT {', '.join(COLUMNS)} FROM public.activity_logs WHERE {where} ORDER BY leaf_index) UNION ALL "  # noqa: S608 our own names
            f"(SELECT {', '.join(ARCHIVED)} FROM public.activity_revisions version WHERE {archived} AND {_STOOD} "
            "ORDER BY leaf_index)"
        )

    def _parameters(self, begin: int, end: int) -> list[Any]:
        values = [self._ledger.pk, begin, end, *self._values]
        return [*values, *values, self._head.size, self._head.size]

    def _gone(self, begin: int, end: int) -> list[Row]:
        """Return empty rows for the leaves that have neither an entry nor a version in the archive."""
        with connection.cursor() as cursor:
            cursor.execute(_LEAVES_WITHOUT_A_ROW, {"ledger": self._ledger.pk, "begin": begin, "end": end})
            return [_NO_ROW._replace(leaf_index=leaf) for (leaf,) in cursor.fetchall()]

    def _named_and_gone(self, begin: int, end: int) -> list[Row]:
        """Return the same for the leaves that are named one by one."""
        named = list(self._search.leaf_indexes)
        if not named:
            return []
        place: dict[str, Any] = {"ledger": self._ledger.pk, "named": named, "begin": begin, "end": end}
        with connection.cursor() as cursor:
            cursor.execute(_NAMED_WITHOUT_A_ROW, place)
            return [_NO_ROW._replace(leaf_index=leaf) for (leaf,) in cursor.fetchall()]

    def _require_standing(self) -> None:
        """Require of each named leaf that it is in the tree, and that no change superseded what it holds."""
        named = self._search.leaf_indexes
        standing = self._standing(named[0], named[-1] + 1)
        later = [leaf for leaf in named if leaf >= self._head.size]
        superseded = sorted(set(named) - standing - set(later))
        problems = [Problem(searching.NAMED, _BEYOND.format(leaf, self._head.size)) for leaf in later]
        problems += [Problem(searching.NAMED, _SUPERSEDED.format(leaf)) for leaf in superseded]
        if problems:
            raise BadQueryError(problems)

    def _standing(self, begin: int, end: int) -> set[int]:
        """Return the named leaves whose version stood at this size, and those whose entry is gone."""
        query = f"SELECT leaf_index FROM ({self._versions()}) found"  # noqa: S608 our own names
        with connection.cursor() as cursor:
            cursor.execute(query, self._parameters(begin, end))
            found = {leaf for (leaf,) in cursor.fetchall()}
        return found | {row.leaf_index for row in self._named_and_gone(begin, end)}

    def _leaves_of_times(self) -> tuple[int, int]:
        """Return [first, end) of the leaves that were recorded in the times of the search; (0, 0) if there are none."""
        conditions, values = _time_conditions(self._search, "recorded")
        query = (
            "SELECT min(leaf_index), max(leaf_index) + 1 FROM public.activity_logs "  # noqa: S608 our own names
            f"WHERE ledger_id = %s AND leaf_index < %s AND {' AND '.join(conditions)}"
        )
        with connection.cursor() as cursor:
            cursor.execute(query, [self._ledger.pk, self._head.size, *values])
            first, end = cursor.fetchone()
        return (0, 0) if first is None else (first, end)


def _conditions(search: Search) -> tuple[list[str], list[Any]]:
    """Return the conditions of a search on the columns of a version, and their values."""
    conditions = [f"{name} = %s" for name in search.equal]
    values = [*search.equal.values()]
    if search.leaf_indexes:
        conditions.append("leaf_index = ANY(%s)")
        values.append(list(search.leaf_indexes))
    for column in ("occurred", "recorded"):
        more, theirs = _time_conditions(search, column)
        conditions += more
        values += theirs
    return conditions, values


def _time_conditions(search: Search, column: str) -> tuple[list[str], list[Any]]:
    ends = {">=": getattr(search, f"{column}_from"), "<": getattr(search, f"{column}_to")}
    given = {sign: moment for sign, moment in ends.items() if moment is not None}
    return [f"{column}_at {sign} %s" for sign in given], [*given.values()]
