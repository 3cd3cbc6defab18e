"""What the charts count, collected while the entries pass by. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from exports.report.cells import Printed

MOST_BARS = 42
_STEPS = tuple(
    [timedelta(seconds=seconds) for seconds in (1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600)]
    + [timedelta(days=days) for days in (1, 7, 28, 91, 364, 3640, 36400)]
)


@dataclass(slots=True)
class Summary:
    """Counts over the entries of an export."""

    entries: int = 0
    types: Counter[str] = field(default_factory=Counter)
    actors: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    moments: list[datetime] = field(default_factory=list)

    def add(self, entry: Printed, verdict: str) -> None:
        """Count one entry. A time that cannot be read is counted nowhere on the axis of time."""
        self.entries += 1
        self.types[entry.type] += 1
        self.actors[entry.actor] += 1
        self.verdicts[verdict] += 1
        try:
            moment = datetime.fromisoformat(entry.occurred_at)
        except ValueError:
            return
        self.moments.append(moment if moment.tzinfo else moment.replace(tzinfo=UTC))

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        """The first and the last time that an event is said to have happened."""
        return (min(self.moments), max(self.moments)) if self.moments else None

    def activity(self) -> tuple[timedelta, list[tuple[datetime, int]]]:
        """Return the width of a bar and the bars over the whole period: beginning, number of entries."""
        if self.period is None:
            return _STEPS[0], []
        first, last = self.period
        step = next((step for step in _STEPS if (last - first) / step < MOST_BARS - 1), _STEPS[-1])
        epoch = datetime(1, 1, 1, tzinfo=UTC)
        start = (first - epoch) // step
        counts = Counter((moment - epoch) // step - start for moment in self.moments)
        return step, [(epoch + (start + bar) * step, counts[bar]) for bar in range(max(counts) + 1)]
