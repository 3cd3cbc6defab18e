"""An event as an instance of a peer's model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from uuid_utils import compat

if TYPE_CHECKING:
    from activity.event import Event


def plain_row(model: Any, event: Event, leaf_index: int, *, ledger_id: int = 1) -> Any:
    """Return the row of an event, not saved yet, with the event's data as JSON bytes."""
    return model(
        id=compat.uuid7(),
        ledger_id=ledger_id,
        leaf_index=leaf_index,
        record=orjson.dumps(event.data),
        event_id=event.event_id,
        type=event.type,
        actor=event.actor,
        action=event.action,
        target=event.target,
        outcome=event.outcome,
        severity=event.severity,
        source=event.source,
        ip=event.ip,
        occurred_at=event.occurred_at,
        recorded_at=event.occurred_at,
    )
