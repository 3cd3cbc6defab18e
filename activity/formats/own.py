"""Our own format: a JSON object whose members are the fields of an event. Pure.

    {"type": "auth.login", "action": "login", "actor": "ada", "occurred_at": "2026-11-23T05:40:00.123456Z",
     "source": "shop-eu", "target": "account/17", "outcome": "success", "severity": "info",
     "ip": "192.0.2.7", "event_id": "01HX…", "data": {"anything": ["you", "like"]}}

Required: type, action, actor, occurred_at, source (which --source fills in). A member we do not know is refused by
name. The rules of each field stand in activity/event.py and event_faults.py.
"""

from __future__ import annotations

from typing import Any

from activity.event import Event, event_from_json
from activity.formats.options import Options


def recognises(value: dict[str, Any]) -> bool:
    """Tell whether an object looks like an event of ours."""
    return {"type", "action", "actor", "occurred_at"} <= value.keys()


def to_event(value: dict[str, Any], *, options: Options) -> Event:
    """Return the event.

    Raises BadEventsError naming every member that is unknown, missing or mistyped.
    """
    return event_from_json(value, source=options.source)
