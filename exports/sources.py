"""Where exported records come from: entries here, and what apps above know of ledgers of other kinds (SOURCES).

A source says who may export from which of its ledgers, in which formats, and reads what filters find at a checkpoint.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from django.http import QueryDict

from activity import access
from activity.extraction import CHUNK, Extraction
from activity.filters import search_of
from exports import render_csv, render_json, render_ndjson
from exports.models import Export
from exports.rows import ExportedEntry
from signing.errors import LedgerNotFoundError
from signing.models import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from types import ModuleType

    from django.contrib.auth.models import AnonymousUser, User

    from activity.extraction import Span
    from signing.checkpoint import Checkpoint

Format = Export.Format


class Reader(Protocol):
    """Reads what an order asks for, as of one checkpoint; activity/extraction.py says what each promises."""

    def span(self) -> Span:
        """Return where to look."""

    def few(self, most: int) -> Span | None:
        """Return the span of what is found if that is little and found fast."""

    def exceeds(self, most: int) -> bool:
        """Tell whether more than `most` is found, as far as that is known before all is read."""

    def read(
        self, begin: int, end: int, complete: tuple[int, int] | None, *, step: int = CHUNK
    ) -> Iterator[ExportedEntry]:
        """Give what is found among the leaves [begin, end), in leaf order."""


class Source(NamedTuple):
    """A kind of ledgers. `asked` takes ledger and filters, and gives a reader as of a checkpoint, or BadQueryError."""

    formats: Sequence[str]
    renderers: Mapping[str, ModuleType]  # by format, NDJSON among them; the PDF report is made of that
    readable: Callable[[User | AnonymousUser], frozenset[str]]
    asked: Callable[[Ledger, Mapping[str, str]], Callable[[Checkpoint], Reader]]


class _Entries(Extraction):
    """Entries as exports hold them."""

    def read(  # type: ignore[override] # what is extracted, as it is exported
        self, begin: int, end: int, complete: tuple[int, int] | None, *, step: int = CHUNK
    ) -> Iterator[ExportedEntry]:
        for row, verdict, reason in super().read(begin, end, complete, step=step):
            yield ExportedEntry(
                row.leaf_index, row.record, row.detached_data, row.key_id, row.signature, verdict, reason
            )


def _readable_entries(user: User | AnonymousUser) -> frozenset[str]:
    granted = access.of_user(user).readable
    return granted - frozenset(Ledger.objects.filter(name__in=granted, kind__in=SOURCES).values_list("name", flat=True))


def _asked_of_entries(ledger: Ledger, filters: Mapping[str, str]) -> Callable[[Checkpoint], Reader]:
    query = QueryDict(mutable=True)
    query.update({**filters, "ledger": ledger.name})
    return partial(_Entries, search_of(query, {ledger.name}))


ENTRIES = Source(
    formats=Format.values,
    renderers={Format.NDJSON: render_ndjson, Format.CSV: render_csv, Format.JSON: render_json},
    readable=_readable_entries,
    asked=_asked_of_entries,
)
SOURCES: dict[str, Source] = {}  # by kind of ledger; every other one holds entries


def source_of(ledger: Ledger) -> Source:
    """Return the source to which a ledger belongs."""
    return SOURCES.get(ledger.kind, ENTRIES)


def exportable(user: User | AnonymousUser) -> frozenset[str]:
    """Return the names of the ledgers from which somebody may read for an export."""
    return frozenset().union(*(source.readable(user) for source in (ENTRIES, *SOURCES.values())))


def ledger_for(user: User, name: str) -> Ledger:
    """Return a ledger from which somebody may export. Raises LedgerNotFoundError, whether there is one or not."""
    if name not in exportable(user):
        raise LedgerNotFoundError(f"there is no ledger {name!r} that you may read")
    return Ledger.objects.get(name=name)
