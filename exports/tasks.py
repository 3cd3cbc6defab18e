"""Making exports in the background. A message names an export and nothing else: what it is stands in its row.

A worker that dies gives its part back with its connection; whoever is left makes it, at the latest a minute later.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from celery import shared_task
from django.conf import settings
from kombu.exceptions import OperationalError

from exports import notices, services
from exports.models import Export

if TYPE_CHECKING:
    from exports.services import Ordered

_HOURS = 12 * 3600  # seconds that one worker may be at one export


def begin(ordered: Ordered) -> None:
    """Make a small export now, and have a large one made."""
    if ordered.at_once:
        services.work(export=ordered.export.pk)
        ordered.export.refresh_from_db()
        return
    with suppress(OperationalError):  # without a broker now, `resume` finds it later
        _send(ordered.export)


@shared_task(name="exports.work", ignore_result=True, time_limit=_HOURS)  # type: ignore[untyped-decorator] # no types
def work(export_id: str) -> None:
    """Work on an export; tell whoever ordered it when it is done."""
    try:
        services.work(export=UUID(export_id))
    finally:
        notices.tell(UUID(export_id))


@shared_task(name="exports.resume", ignore_result=True)  # type: ignore[untyped-decorator]
def resume() -> None:
    """Have every export that is under way worked on, for its workers may be gone."""
    now = datetime.now(UTC)
    for export in Export.objects.filter(state__in=Export.OPEN):
        if export.is_due(now):
            _send(export)


@shared_task(name="exports.expire", ignore_result=True)  # type: ignore[untyped-decorator]
def expire() -> None:
    """Remove the files whose time is over."""
    services.expire()


def _send(export: Export) -> None:
    waiting = export.parts.filter(done_at=None).count()
    for _ in range(max(1, min(settings.AUDITLOG_EXPORT_WORKERS, waiting))):
        work.delay(str(export.pk))
