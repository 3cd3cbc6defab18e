"""The tree alone: what an append costs in a small and in a large ledger, and what a proof from the large one takes."""

from __future__ import annotations

import random
from statistics import median
from typing import TYPE_CHECKING

from django.db import transaction

from signing import ledger as ledgers
from signing.models import Ledger
from signing.queries import head, ledger_named, prove_inclusion
from signing.services import open_ledger
from tests.bench import clocks
from tests.bench.figures import Figure, Measurement, Scale, at_most, percentile

if TYPE_CHECKING:
    from tests.clusters import Database

_SMALL = 10_000  # leaves
_GROWTH_STEP = 10_000
_BATCH = 1_000
_SINGLES = 50  # appends of one leaf in one round


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Grow two ledgers, then append to both in turns."""
    small = _grown("bench-small", _SMALL)
    large = _grown("bench-large", scale.large_ledger_leaves)
    batches: dict[str, list[float]] = {"small": [], "large": []}
    singles: dict[str, list[float]] = {"small": [], "large": []}
    for _ in range(3 * scale.rounds):
        for name, ledger in (("small", small), ("large", large)):
            batches[name].append(clocks.seconds(lambda ledger=ledger: _append(ledger, _BATCH)))  # type: ignore[misc]
            singles[name] += clocks.each_seconds([lambda ledger=ledger: _append(ledger, 1)] * _SINGLES)  # type: ignore[misc]
    proofs = _proofs(large, scale.proofs)
    return {
        "append_batch_growth": median(batches["large"]) / median(batches["small"]),
        "append_single_growth": median(singles["large"]) / median(singles["small"]),
        "append_leaves_per_second": _BATCH / median(batches["large"]),
        "proof_p50_ms": 1000 * median(proofs),
        "proof_p95_ms": 1000 * percentile(proofs, 95),
    }


MEASUREMENT = Measurement(
    (
        Figure("append_batch_growth", "append of 1,000 leaves at 1,000,000 leaves ÷ at 10,000 (time)", at_most(1.3)),
        Figure("append_single_growth", "append of one leaf at 1,000,000 leaves ÷ at 10,000 (time)", at_most(1.3)),
        Figure("append_leaves_per_second", "ledger alone at 1,000,000 leaves, batches of 1,000, leaves/s"),
        Figure("proof_p50_ms", "inclusion proof from 1,000,000 leaves, nothing cached, median, ms"),
        Figure("proof_p95_ms", "inclusion proof from 1,000,000 leaves, nothing cached, 95th percentile, ms"),
    ),
    measure,
)


def _grown(name: str, leaves: int) -> Ledger:
    ledger = open_ledger(name=name, by="bench", reason="bench")
    for _ in range(leaves // _GROWTH_STEP):
        _append(ledger, _GROWTH_STEP)
    return ledger


def _append(ledger: Ledger, leaves: int) -> None:
    hashes = random.randbytes(32 * leaves)
    with transaction.atomic():
        ledgers.append(ledger, [hashes[at : at + 32] for at in range(0, len(hashes), 32)])


def _proofs(ledger: Ledger, number: int) -> list[float]:
    size = head(ledger).size
    indexes = [random.randrange(size) for _ in range(number)]
    return clocks.each_seconds(
        [lambda index=index: prove_inclusion(ledger_named(ledger.name), index, size) for index in indexes]  # type: ignore[misc]
    )
