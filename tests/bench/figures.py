"""What a figure is, and which bound it must hold. Pure.

    {"name": "record_many_signed_ratio", "value": 4.9, "bound": {"at_least": 3.0}, "holds": true}

`bound` and `holds` are null for a figure that is told for information.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.clusters import Database


@dataclass(frozen=True, slots=True)
class Bound:
    """The number that a value must reach, or must not pass."""

    kind: str  # "at_least" or "at_most"
    number: float

    def holds(self, value: float) -> bool:
        """Tell whether the value keeps within the bound."""
        return value >= self.number if self.kind == "at_least" else value <= self.number

    def __str__(self) -> str:
        return f"{'≥' if self.kind == 'at_least' else '≤'} {self.number:g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its stable name; `what` says it in words, with the unit."""

    name: str
    what: str
    bound: Bound | None = None

    def judged(self, value: float) -> dict[str, object]:
        """Return the figure as the command prints it with --json."""
        bound = None if self.bound is None else {self.bound.kind: self.bound.number}
        holds = None if self.bound is None else self.bound.holds(value)
        return {"name": self.name, "value": float(f"{value:.4g}"), "bound": bound, "holds": holds}


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured: the sizes of the full bench, or of `--quick`."""

    rounds: int
    batch_events: int  # events of one round of record_many and of each peer
    single_events: int  # events of one round of record() and of the audited create
    verified_events: int
    large_ledger_leaves: int
    proofs: int
    contended_seconds: float  # of one round of record() beside a verify
    memory_events: int
    pages: int
    single_http_seconds: float  # of eight clients, all rounds together
    listed_entries: int
    exported_events: int
    report_entries: int
    locked_entries: int
    waited_reports: int


FULL = Scale(
    rounds=7,
    batch_events=10_000,
    single_events=200,
    verified_events=100_000,
    large_ledger_leaves=1_000_000,
    proofs=2_000,
    contended_seconds=4.0,
    memory_events=1_000_000,
    pages=20,
    single_http_seconds=60.0,
    listed_entries=10_000_000,
    exported_events=1_000_000,
    report_entries=10_000,
    locked_entries=1_000_000,
    waited_reports=60,
)
QUICK = Scale(
    rounds=3,
    batch_events=3_000,
    single_events=100,
    verified_events=20_000,
    large_ledger_leaves=1_000_000,
    proofs=500,
    contended_seconds=2.0,
    memory_events=50_000,
    pages=5,
    single_http_seconds=6.0,
    listed_entries=1_000_000,
    exported_events=100_000,
    report_entries=1_000,
    locked_entries=50_000,
    waited_reports=12,
)


class Measure(Protocol):
    """Measures on a fresh clone of the migrated database, which Django's connections point at."""

    def __call__(self, database: Database, scale: Scale) -> dict[str, float]:
        """Return the value of each figure by name."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Figures that come out of one run; `full_only` ones take too long for `--quick`, which leaves them out."""

    figures: tuple[Figure, ...]
    measure: Measure
    full_only: bool = False


def at_least(number: float) -> Bound:
    """Return the bound from below."""
    return Bound("at_least", number)


def at_most(number: float) -> Bound:
    """Return the bound from above."""
    return Bound("at_most", number)


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median of the ratios of rounds that were measured side by side, so that a slow minute cancels out."""
    return median(above / below for above, below in zip(numerators, denominators, strict=True))


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` of the values do not pass."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def chosen(measurements: Sequence[Measurement], names: Sequence[str]) -> list[Measurement]:
    """Return the measurements that give the named figures, all of them without names.

    Raises ValueError for a name that no figure has.
    """
    known = {figure.name for measurement in measurements for figure in measurement.figures}
    if unknown := sorted({*names} - known):
        message = f"no figure is named {', '.join(unknown)}; --list shows the names"
        raise ValueError(message)
    return [
        measurement
        for measurement in measurements
        if not names or any(figure.name in names for figure in measurement.figures)
    ]


def judged(measurement: Measurement, values: Mapping[str, float], names: Sequence[str]) -> list[dict[str, object]]:
    """Return the figures of one measurement as they are printed, only the named ones if there are names."""
    return [figure.judged(values[figure.name]) for figure in measurement.figures if not names or figure.name in names]
