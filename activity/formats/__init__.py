"""Formats of other people's events, and the mapping of each to our Event. Pure.

A format is a module with the two functions of `Format`; its docstring is the mapping table. `data` of the event is
always the whole original (in our own format: its member `data`), so that nothing is lost by mapping.
"""

from __future__ import annotations

from typing import Any, Protocol

from activity.event import Event
from activity.formats import cloudtrail, generic, own, windows
from activity.formats.options import Options


class Format(Protocol):
    """One way to write events."""

    def recognises(self, value: dict[str, Any]) -> bool:
        """Tell whether an object looks like an event of this format."""

    def to_event(self, value: dict[str, Any], *, options: Options) -> Event:
        """Return the event. Raises BadEventsError with paths inside `value`."""


FORMATS: dict[str, Format] = {"own": own, "cloudtrail": cloudtrail, "windows": windows, "generic": generic}


def detect(value: dict[str, Any]) -> str | None:
    """Return the name of the format that an event shows, or None."""
    return next((name for name, form in FORMATS.items() if form.recognises(value)), None)
