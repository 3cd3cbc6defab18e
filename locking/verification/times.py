"""Whether a time that a record claims fits its place in the ledger. Reads only.

Nobody moves a leaf that a checkpoint covers, so what was recorded before and after it bounds when it was made: a change
cannot have been made before the entries that precede it, nor after those that follow, nor in the future. Where nothing
else was recorded for a while, there is nothing to contradict a claim within that while.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django.db import connection

from activity.timestamps import parse_timestamp

if TYPE_CHECKING:
    from signing.models import Ledger

SLACK = timedelta(minutes=5)  # between a step and its record, between clocks, and for what is being recorded
_AROUND = 256  # leaves that are asked on each side
_BOUNDS = """
    SELECT (SELECT max(e.recorded_at) FROM (
              SELECT a.recorded_at FROM public.activity_logs a
               WHERE a.ledger_id = %(ledger)s AND a.leaf_index < %(leaf)s AND a.revision = 1
               ORDER BY a.leaf_index DESC LIMIT %(around)s) e),
           (SELECT min(l.recorded_at) FROM (
              SELECT a.recorded_at FROM public.activity_logs a
               WHERE a.ledger_id = %(ledger)s AND a.leaf_index > %(leaf)s AND a.revision = 1
               ORDER BY a.leaf_index LIMIT %(around)s) l)"""


def earliest(ledger: Ledger, leaf_index: int) -> datetime | None:
    """Return a time before which a leaf was not made, as far as the ledger shows."""
    return _bounds(ledger, leaf_index)[0]


def contradicted(ledger: Ledger, leaf_index: int, at: datetime) -> str | None:
    """Say why a leaf cannot have been made at a time, or None."""
    before, after = _bounds(ledger, leaf_index)
    if before is not None and at < before - SLACK:
        return "it claims a time before that of what was recorded before it"
    if at > datetime.now(UTC) + SLACK or (after is not None and at > after + SLACK):
        return "it claims a time after that of what was recorded after it"
    return None


def moment(text: object) -> datetime | None:
    """Return the time that a text says, or None if it says none."""
    try:
        return parse_timestamp(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _bounds(ledger: Ledger, leaf_index: int) -> tuple[datetime | None, datetime | None]:
    with connection.cursor() as cursor:
        cursor.execute(_BOUNDS, {"ledger": ledger.pk, "leaf": leaf_index, "around": _AROUND})
        before, after = cursor.fetchone()
    return before, after
