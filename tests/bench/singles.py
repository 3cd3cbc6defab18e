"""One event at a time: record() against the audited create of django-auditlog.

The peer is AuditedEvent.objects.create with the model registered at django-auditlog as its manual says: one row of the
model, one LogEntry with every field of it. Both commit each event, so that an answer means that it is on disk.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from auditlog.registry import auditlog

from activity.services import record
from tests.bench import clocks, events
from tests.bench.figures import Figure, Measurement, Scale, at_least, percentile
from tests.bench.peers.models import AuditedEvent
from tests.bench.policies import require_signatures

if TYPE_CHECKING:
    from activity.event import Event
    from tests.clusters import Database


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Record and create in turns; the ratio is that of the medians over all single ones."""
    require_signatures(required=True)
    if not auditlog.contains(AuditedEvent):
        auditlog.register(AuditedEvent)
    recorded: list[float] = []
    created: list[float] = []
    for _ in range(scale.rounds):
        recorded += clocks.each_seconds([partial(record, event) for event in events.fresh(scale.single_events)])
        created += clocks.each_seconds([partial(_create, event) for event in events.fresh(scale.single_events)])
    return {
        "record_ratio": median(created) / median(recorded),
        "record_per_second": len(recorded) / sum(recorded),
        "record_p50_ms": 1000 * median(recorded),
        "record_p95_ms": 1000 * percentile(recorded, 95),
        "audited_create_per_second": len(created) / sum(created),
        "audited_create_p50_ms": 1000 * median(created),
    }


MEASUREMENT = Measurement(
    (
        Figure("record_ratio", "one record(), signed ÷ one audited create of django-auditlog (rates)", at_least(1)),
        Figure("record_per_second", "record(), signed, one after the other, events/s"),
        Figure("record_p50_ms", "one record(), signed, median, ms"),
        Figure("record_p95_ms", "one record(), signed, 95th percentile, ms"),
        Figure("audited_create_per_second", "audited create of django-auditlog, events/s"),
        Figure("audited_create_p50_ms", "one audited create of django-auditlog, median, ms"),
    ),
    measure,
)


def _create(event: Event) -> None:
    AuditedEvent._default_manager.create(
        event_id=event.event_id or "",
        type=event.type,
        actor=event.actor,
        action=event.action,
        target=event.target,
        outcome=event.outcome,
        severity=event.severity,
        source=event.source,
        ip=event.ip,
        occurred_at=event.occurred_at,
        data=event.data,
    )
