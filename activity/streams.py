"""A batch without signatures, stored by PostgreSQL while it is prepared (decision 0011). Called by services.py alone.

    ledger.begin: locks the head     COPY: run 1 … run n     end of COPY: the guard AL003 appends the leaves
                                     run 2 is prepared while PostgreSQL stores run 1

Whatever is wrong with it, nothing of the batch is stored and nothing is said here: who prepares it whole says it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db import DataError, IntegrityError, transaction

from activity import entries
from activity.drafts import compose_all, in_runs
from activity.errors import BadEventsError
from signing import ledger as ledgers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from activity.drafts import Draft
    from activity.event import Event
    from signing.merkle import Frontier
    from signing.models import Ledger


class Streamed(NamedTuple):
    """A batch that is stored, its leaves one after another from the first, and the tree with them."""

    drafts: list[Draft]
    first_leaf: int
    frontier: Frontier


class _NotAsItStandsError(Exception):
    """An event is faulty. Without more: a COPY that is broken off tells the server why."""


def store(
    ledger: Ledger, events: Sequence[Event], draft_run: Callable[[Sequence[Event]], list[Draft]]
) -> Streamed | None:
    """Prepare and store a batch of events that no key signs, in a transaction.

    Returns None, with nothing stored, if an event is faulty, was recorded before or stands twice in the batch.
    """
    drafts: list[Draft] = []

    def prepared() -> Iterator[Sequence[Draft]]:
        for part in in_runs(events):
            try:
                run = draft_run(part)
            except BadEventsError as error:
                raise _NotAsItStandsError from error
            compose_all(run, ledger=ledger.name)
            drafts.extend(run)
            yield run

    try:
        with transaction.atomic():
            first_leaf = ledgers.begin(ledger)
            entries.copy(ledger, prepared(), first_leaf)
            return Streamed(drafts, first_leaf, ledgers.begun(ledger))
    except (_NotAsItStandsError, IntegrityError, DataError):
        return None
