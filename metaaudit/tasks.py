"""What Celery's beat does with counts: each minute that is over becomes one summary. A task takes no arguments."""

from __future__ import annotations

from datetime import UTC, datetime

from celery import shared_task

from metaaudit import counts, services
from metaaudit.record import Access, Who
from metaaudit.vocabulary import Auth

_WHO = Who("system:metaaudit.summarise", "system:metaaudit.summarise", Auth.SYSTEM)


@shared_task(name="metaaudit.summarise", ignore_result=True)  # type: ignore[untyped-decorator] # no types
def summarise() -> None:
    """Record a summary of every finished minute, then forget its counts.

    A worker that dies between the two leaves a minute that is summarised twice; its name shows it.
    """
    for minute, found in counts.finished_minutes().items():
        services.record_summary(access=_summary(minute, found))
        counts.forget(minute)


def _summary(minute: int, found: dict[str, int]) -> Access:
    most = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    kept, rest = most[: counts.MAX_NAMES], most[counts.MAX_NAMES :]
    if rest:
        kept.append((counts.OTHERS, sum(number for _, number in rest)))
    began = datetime.fromtimestamp(minute, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Access(
        _WHO,
        "summary",
        "RUN",
        f"counts:{began}",
        "metaaudit.summarise",
        query=[(name, str(number)) for name, number in sorted(kept)],
        result_count=sum(found.values()),
    )
