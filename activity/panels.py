"""Panels on the pages of an entry that come from apps above: named in the settings, unknown here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpRequest

    from activity.models import ActivityLog


class Panel(NamedTuple):
    """A part of the page: its heading, and a template that gets `panel`, which is `content`."""

    title: str
    template: str
    content: Any


def panels_of(request: HttpRequest, entry: ActivityLog, named: Iterable[str]) -> list[Panel]:
    """Return what these functions of apps above have to show of an entry to whoever asks."""
    made = (import_string(path)(request, entry) for path in named)
    return [panel for panel in made if panel is not None]
