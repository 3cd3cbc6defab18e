"""Panels on the page of an entry that come from apps above: named in AUDITLOG_ENTRY_PANELS, unknown here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from django.http import HttpRequest

    from activity.models import ActivityLog


class Panel(NamedTuple):
    """A part of the page: its heading, and a template that gets `panel`, which is `content`."""

    title: str
    template: str
    content: Any


def panels_of(request: HttpRequest, entry: ActivityLog) -> list[Panel]:
    """Return what the apps above have to show of an entry to whoever asks."""
    made = (import_string(path)(request, entry) for path in settings.AUDITLOG_ENTRY_PANELS)
    return [panel for panel in made if panel is not None]
