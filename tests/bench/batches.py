"""record_many against Django's bulk_create: what hash, signature, ledger and guards cost a batch.

The peer is the plain Django way: an ordinary model table with the columns of an entry that prove nothing, the event's
JSON as bytes, the same primary key and the same secondary indexes (PlainEntry), written by bulk_create in batches,
1,000 rows and a transaction each, in the same database with the same durability. Both begin with the same Event
objects: the peer makes instances and JSON of them on the clock, as record_many does its checks, JSON and rows. It
checks nothing. Told beside are the ratios to a peer that has it easier: instances made before the clock starts, and
the same table without secondary indexes (BareEntry).
"""

from __future__ import annotations

import itertools
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from activity.models import ActivityLog
from activity.services import record_many
from tests.bench import clocks, events
from tests.bench.figures import Figure, Measurement, Scale, at_least, median_ratio
from tests.bench.peers.models import BareEntry, PlainEntry
from tests.bench.peers.rows import plain_row
from tests.bench.policies import require_signatures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from activity.event import Event
    from tests.clusters import Database

BATCH = 1_000


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Record rounds of fresh events signed, unsigned and in the ways of the peer, in turns."""
    ways: dict[str, Callable[[Sequence[Event]], float]] = {
        "signed": partial(_record, signed=True),
        "unsigned": partial(_record, signed=False),
        "plain": partial(_create, PlainEntry),
        "made": partial(_create_made, PlainEntry),
        "bare": partial(_create, BareEntry),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(scale.rounds):
        for way, measured in ways.items():
            taken[way].append(measured(events.fresh(scale.batch_events)))
    return {
        "record_many_signed_ratio": median_ratio(taken["plain"], taken["signed"]),
        "record_many_unsigned_ratio": median_ratio(taken["plain"], taken["unsigned"]),
        "record_many_signed_ratio_to_made_instances": median_ratio(taken["made"], taken["signed"]),
        "record_many_unsigned_ratio_to_made_instances": median_ratio(taken["made"], taken["unsigned"]),
        "record_many_signed_ratio_to_bare_table": median_ratio(taken["bare"], taken["signed"]),
        "record_many_unsigned_ratio_to_bare_table": median_ratio(taken["bare"], taken["unsigned"]),
        "record_many_signed_per_second": scale.batch_events / median(taken["signed"]),
        "record_many_unsigned_per_second": scale.batch_events / median(taken["unsigned"]),
        "bulk_create_per_second": scale.batch_events / median(taken["plain"]),
        "bulk_create_made_instances_per_second": scale.batch_events / median(taken["made"]),
        "bulk_create_bare_table_per_second": scale.batch_events / median(taken["bare"]),
    }


MEASUREMENT = Measurement(
    (
        Figure(
            "record_many_signed_ratio",
            "record_many, Ed25519 on every entry ÷ bulk_create of the same rows",
            at_least(3),
        ),
        Figure("record_many_unsigned_ratio", "record_many, no signature ÷ bulk_create of the same rows", at_least(6)),
        Figure(
            "record_many_signed_ratio_to_made_instances",
            "record_many, Ed25519 on every entry ÷ bulk_create of instances made before",
        ),
        Figure(
            "record_many_unsigned_ratio_to_made_instances",
            "record_many, no signature ÷ bulk_create of instances made before",
        ),
        Figure(
            "record_many_signed_ratio_to_bare_table",
            "record_many, Ed25519 on every entry ÷ bulk_create without secondary indexes",
        ),
        Figure(
            "record_many_unsigned_ratio_to_bare_table",
            "record_many, no signature ÷ bulk_create without secondary indexes",
        ),
        Figure("record_many_signed_per_second", "record_many, Ed25519 on every entry, events/s"),
        Figure("record_many_unsigned_per_second", "record_many, no signature, events/s"),
        Figure("bulk_create_per_second", "Django bulk_create from events, rows/s"),
        Figure("bulk_create_made_instances_per_second", "Django bulk_create of instances made before, rows/s"),
        Figure("bulk_create_bare_table_per_second", "Django bulk_create without secondary indexes, rows/s"),
    ),
    measure,
)


def _record(batch: Sequence[Event], *, signed: bool) -> float:
    require_signatures(required=signed)
    unsigned_before = _unsigned()
    took = clocks.seconds(lambda: [record_many(part) for part in _parts(batch)])
    if _unsigned() - unsigned_before != (0 if signed else len(batch)):
        raise RuntimeError("the log types did not do what this figure is about")
    return took


def _parts(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (rows[first : first + BATCH] for first in range(0, len(rows), BATCH))


def _unsigned() -> int:
    return ActivityLog.objects.filter(key=None).count()


def _create(model: Any, batch: Sequence[Event]) -> float:
    """Return how long bulk_create takes from the events on."""
    first = model.objects.count()

    def create() -> None:
        for start, part in zip(itertools.count(first, BATCH), _parts(batch), strict=False):
            model.objects.bulk_create(_instances(model, part, start), batch_size=BATCH)

    return clocks.seconds(create)


def _create_made(model: Any, batch: Sequence[Event]) -> float:
    """Return how long bulk_create takes from the instances on."""
    rows = _instances(model, batch, model.objects.count())
    return clocks.seconds(lambda: [model.objects.bulk_create(part, batch_size=BATCH) for part in _parts(rows)])


def _instances(model: Any, batch: Sequence[Event], first_leaf: int) -> list[Any]:
    return [plain_row(model, event, leaf_index) for leaf_index, event in enumerate(batch, start=first_leaf)]
