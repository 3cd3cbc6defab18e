"""What this app shows beside an entry on its pages: the timeline of its locks.

On the page for people (AUDITLOG_ENTRY_PANELS) all of it, with what can be done; in the admin
(AUDITLOG_ADMIN_ENTRY_PANELS) the newest, to look at: a page of the admin reads little, whatever the entry went through.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from activity.models import ActivityLog
from activity.panels import Panel
from locking import queries, rights, timeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest

    from locking.models import LogLock
    from locking.timeline import Moment

NEWEST = 10  # moments, and locks that hold it, on its page in the admin


def locks_of_entry(request: HttpRequest, entry: ActivityLog) -> Panel | None:
    """Return which locks hold an entry and what happened under them, for whoever may see locks."""
    if not request.user.has_perm(rights.SEE):
        return None
    compliance = entry.compliance_until is not None and entry.compliance_until > datetime.now(UTC)
    seen = _seen(entry, list(queries.locks_of(entry)), timeline.of_entry(entry))
    content = {
        **seen,
        "may_lock": request.user.has_perm(rights.LOCK),
        "may_ask": (entry.locked or seen["pending"] is not None)
        and not compliance
        and request.user.has_perm(rights.ASK_OVERRIDE),
    }
    return Panel("Locks", "locking/entry_panel.html", content)


def newest_of_entry(request: HttpRequest, entry: ActivityLog) -> Panel | None:
    """Return the newest of the same, with nothing to be done there."""
    if not request.user.has_perm(rights.SEE):
        return None
    moments = timeline.newest_of_entry(entry, NEWEST)
    content = {**_seen(entry, list(queries.locks_of(entry)[:NEWEST]), moments), "most": NEWEST}
    return Panel("Timeline", "locking/entry_panel.html", content)


def _seen(entry: ActivityLog, holding: Sequence[LogLock], moments: Sequence[Moment]) -> dict[str, Any]:
    pending = entry.locked_error() or queries.locked_by_policy(ActivityLog.objects.filter(pk=entry.pk))
    more = len(entry.held_by or ()) - len(holding)
    return {"entry": entry, "holding": holding, "more_holding": more, "pending": pending, "moments": moments}
