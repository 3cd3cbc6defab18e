"""Entries as rows of a table (templates/activity/lines.html), on pages here and in apps above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from activity import retrieval
from activity.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from activity.models import ActivityLog
    from activity.retrieval import Checked

_TEXTS = ("type", "actor", "action", "target", "outcome", "severity", "source", "ip", "event_id")


@dataclass(frozen=True, slots=True)
class Line:
    """An entry in the list; of one that is not to be served, `texts` is empty."""

    checked: Checked
    texts: dict[str, str]


def lines_of(entries: Iterable[Checked]) -> list[Line]:
    """Return a row for each entry."""
    return [Line(one, {} if retrieval.is_blocked(one) else texts_of(one.entry)) for one in entries]


def texts_of(entry: ActivityLog) -> dict[str, str]:
    """Return the texts of an entry so that what is there is what is seen."""
    return {name: visible(getattr(entry, name) or "") for name in _TEXTS}
