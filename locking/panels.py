"""What this app shows beside an entry on its page (AUDITLOG_ENTRY_PANELS): the timeline of its locks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from activity.models import ActivityLog
from activity.views.panels import Panel
from locking import queries, rights, timeline

if TYPE_CHECKING:
    from django.http import HttpRequest


def locks_of_entry(request: HttpRequest, entry: ActivityLog) -> Panel | None:
    """Return which locks hold an entry and what happened under them, for whoever may see locks."""
    if not request.user.has_perm(rights.SEE):
        return None
    compliance = entry.compliance_until is not None and entry.compliance_until > datetime.now(UTC)
    pending = entry.locked_error() or queries.locked_by_policy(ActivityLog.objects.filter(pk=entry.pk))
    content = {
        "entry": entry,
        "holding": list(queries.locks_of(entry)),
        "pending": pending,
        "moments": timeline.of_entry(entry),
        "may_lock": request.user.has_perm(rights.LOCK),
        "may_ask": (entry.locked or pending is not None)
        and not compliance
        and request.user.has_perm(rights.ASK_OVERRIDE),
    }
    return Panel("Locks", "locking/entry_panel.html", content)
