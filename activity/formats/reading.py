"""From a unit of a file to an event: strict JSON, the format, an event id where there is none. Pure."""

from __future__ import annotations

import dataclasses

from activity.errors import BadEventsError, BadJsonError, Problem
from activity.event import MAX_DEPTH, Event
from activity.formats import FORMATS, detect
from activity.formats.event_ids import LineIds
from activity.formats.options import Options
from activity.formats.stream import Unit
from activity.strict_json import parse

# `data` of our own format lies one level down; the depth of `data` itself is looked at with the other fields.
_MAX_LEVELS = MAX_DEPTH + 1


class EventReader:
    """Reads the units of one file, in order. `format_name` None: the first unit tells it for all."""

    def __init__(self, *, format_name: str | None, options: Options) -> None:
        self.format_name = format_name
        self._options = options
        self._ids: LineIds | None = None

    def event(self, unit: Unit) -> Event:
        """Return the event of the next unit.

        Raises BadEventsError with paths inside the file.
        """
        try:
            return self._event(unit)
        except BadJsonError as error:
            raise BadEventsError([Problem(unit.path + error.path[1:], error.reason)]) from error
        except BadEventsError as error:
            raise BadEventsError(
                [dataclasses.replace(each, path=unit.path + each.path[1:]) for each in error.problems]
            ) from error

    def path_in_file(self, unit: Unit, path: str) -> str:
        """Return where in the file a path of an event points: `data` of a foreign format is the unit itself."""
        if self.format_name == "own":
            return unit.path + path[1:]
        if path == "$.data" or path.startswith(("$.data.", "$.data[")):
            return unit.path + path.removeprefix("$.data")
        return f"{unit.path} (our field {path[2:]})"

    def _event(self, unit: Unit) -> Event:
        value = parse(unit.raw, max_levels=_MAX_LEVELS)
        if not isinstance(value, dict):
            raise BadEventsError([Problem("$", "an event is a JSON object")])
        if self.format_name is None:
            self.format_name = detect(value)
        if self.format_name is None:
            raise BadEventsError([Problem("$", _UNKNOWN)])
        event = FORMATS[self.format_name].to_event(value, options=self._options)
        if self._ids is None:
            self._ids = LineIds(self.format_name, self._options.source)
        line_id = self._ids.next_id(unit.raw)
        return event if event.event_id else dataclasses.replace(event, event_id=line_id)


_UNKNOWN = f"the event does not show its format; name it ({', '.join(FORMATS)})"
