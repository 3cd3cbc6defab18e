"""What a scope is for as things stand: how many entries, and the latest of them. Reads; locks nothing.

Counting goes through the whole ledger, so that it is given some seconds and then left: a page says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from django.db import OperationalError, connection, transaction

from activity.models import ActivityLog
from locking.wording import counted

if TYPE_CHECKING:
    from locking.models import LogLock
    from signing.models import Ledger

SAMPLE = 10  # entries that are shown
_LATEST = f"ORDER BY a.id DESC LIMIT {SAMPLE}"
_SECONDS = 15  # that counting may take
_MATCHING = "FROM public.activity_logs a WHERE a.ledger_id = %s AND public.lock_matches(%s::jsonb, a)"
_NAMED = "FROM public.activity_logs a WHERE a.ledger_id = %s AND a.id = ANY (%s::uuid[])"


class Preview(NamedTuple):
    """What a lock of a scope would hold now, and what of it is locked already; None where counting took too long."""

    matching: int | None
    locked_already: int | None
    sample: list[ActivityLog]

    @property
    def words(self) -> str:
        """Return how many entries it would hold: "1 entry"."""
        return "more entries than were counted" if self.matching is None else counted(self.matching, "entry", "entries")

    @property
    def locked_words(self) -> str:
        """Return how many of them are locked already."""
        return f"{self.locked_already or 0:,}"


def preview(ledger: Ledger, scope: dict[str, Any]) -> Preview:
    """Return how many entries a checked scope is for, with the latest of them."""
    counted = _rows("SELECT count(*), count(*) FILTER (WHERE a.locked)", "", ledger, scope)
    matching, locked = counted[0] if counted else (None, None)
    return Preview(matching, locked, sample(ledger, scope))


def sample(ledger: Ledger, scope: dict[str, Any]) -> list[ActivityLog]:
    """Return the latest entries that a checked scope is for; none if finding them takes too long."""
    return _entries(_rows("SELECT a.id", _LATEST, ledger, scope))


def held_sample(lock: LogLock) -> list[ActivityLog]:
    """Return the latest entries that a lock holds; none if it has ended, or if finding them takes too long."""
    held = f"AND a.held_by @> ARRAY[{lock.pk:d}]::bigint[] {_LATEST}"
    return _entries(_rows("SELECT a.id", held, lock.ledger, lock.scope))


def _entries(rows: list[tuple[Any, ...]]) -> list[ActivityLog]:
    ids = [row[0] for row in rows]
    return list(ActivityLog.objects.filter(pk__in=ids).select_related("ledger", "key"))


def _rows(what: str, further: str, ledger: Ledger, scope: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return rows about the entries of a scope, or none if that takes too long."""
    named = scope.get("entries")
    asked = f"{what} {_MATCHING if named is None else _NAMED} {further}"
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [_SECONDS * 1000])
            cursor.execute(asked, [ledger.pk, orjson.dumps(scope).decode() if named is None else named])
            return list(cursor.fetchall())
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) != "57014":  # statement_timeout
            raise
        return []
