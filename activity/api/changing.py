"""`PATCH /api/v1/logs/{id}` amends an entry, `DELETE` puts a tombstone in its place. 200 with the new receipt.

PATCH   {"reason": "…", "changes": {"actor": "…", "data": {…}}}      members of amending.AMENDABLE
DELETE  {"reason": "…", "rule": "web logs: 90 days"}

A locked entry is 423 `entry_locked`: it needs an override first.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from activity import amending
from activity.api import descriptions
from activity.api.bodies import StrictJsonParser
from activity.api.writing import NOT_NOW, shown
from activity.errors import (
    AmendmentError,
    BadEventsError,
    EntryLockedError,
    EntryNotFoundError,
    Problem,
    TamperedEntryError,
)
from activity.event import event_from_json


class ChangeLog(APIView):
    """Amend an entry, or remove it under a retention rule."""

    parser_classes = (StrictJsonParser,)
    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = dict.fromkeys(
        ("PATCH", "DELETE"),
        (AmendmentError, BadEventsError, EntryNotFoundError, EntryLockedError, TamperedEntryError, *NOT_NOW),
    )

    @descriptions.amend_entry
    def patch(self, request: Request, entry_id: UUID) -> Response:
        """Give the entry a new version."""
        said = _members(request.data, reason=str, changes=dict)
        changes = event_from_json(_FRAME | said["changes"])
        amended = {name: getattr(changes, name) for name in said["changes"]}
        user = cast("Any", request.user)
        return Response(
            shown(amending.amend(entry_id=entry_id, changes=amended, by=user, reason=said["reason"])),
        )

    @descriptions.remove_entry
    def delete(self, request: Request, entry_id: UUID) -> Response:
        """Put a tombstone in the entry's place."""
        said = _members(request.data, reason=str, rule=str)
        user = cast("Any", request.user)
        return Response(
            shown(amending.remove(entry_id=entry_id, rule=said["rule"], by=user, reason=said["reason"])),
        )


# What a whole event needs besides the changes, so that they are read exactly as those of an event.
_FRAME = {"type": "x", "action": "x", "actor": "x", "source": "x", "occurred_at": "2026-01-01T00:00:00Z"}


def _members(sent: Any, **kinds: type) -> dict[str, Any]:
    if not isinstance(sent, dict):
        raise BadEventsError([Problem("$", "must be an object")])
    problems = [Problem(f"$.{name}", "unknown member") for name in sent if name not in kinds]
    problems += [
        Problem(f"$.{name}", f"is required, as {'an object' if kind is dict else 'a string'}")
        for name, kind in kinds.items()
        if not isinstance(sent.get(name), kind)
    ]
    if problems:
        raise BadEventsError(problems)
    return sent
