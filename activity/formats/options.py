"""What somebody may say about the events of a file before they are mapped. Pure.

--source NAME               where the events come from
--map actor=user.name       generic format: our field is read from that place of the event
--default severity=notice   generic format: our field where the event says nothing
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from activity.event import Event

MAPPABLE = tuple(member.name for member in fields(Event) if member.name != "data")


@dataclass(frozen=True, slots=True)
class Options:
    """`source` may be None; `mapping` and `defaults` have our field names (MAPPABLE) as keys."""

    source: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)


def assignments(texts: Iterable[str]) -> dict[str, str]:
    """Return `FIELD=TEXT` arguments as a mapping.

    Raises ValueError for an unknown field, a field named twice, or no equals sign.
    """
    result: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise ValueError(f"{text!r} is not FIELD=VALUE")
        if name not in MAPPABLE:
            raise ValueError(f"{name!r} is not one of our fields: {', '.join(MAPPABLE)}")
        if name in result:
            raise ValueError(f"{name!r} is given twice")
        result[name] = value
    return result
