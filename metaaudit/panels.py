"""What this app shows beside an entry on its page (AUDITLOG_ENTRY_PANELS): who looked at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activity.panels import Panel
from activity.visible import visible
from metaaudit import archives, queries
from metaaudit.visibility import sees_all

if TYPE_CHECKING:
    from django.http import HttpRequest

    from activity.models import ActivityLog

_SHOWN = 10


def seen_by(request: HttpRequest, entry: ActivityLog) -> Panel | None:
    """Return who was shown this entry last, for whoever may see everybody's accesses."""
    if not sees_all(request.user):
        return None
    wanted = queries.Wanted(None, saw={"pk": entry.pk}, limit=_SHOWN)
    logs = [line.log for line in queries.folded(queries.find(wanted).logs, wanted)]
    lines = [{"log": log, "who": visible(log.user_name or log.user_id)} for log in logs]
    shown = {"lines": lines, "entry": entry, "archived": archives.tombstones(entry.recorded_at)}
    return Panel("Who looked at this entry", "metaaudit/seen_by.html", shown)
