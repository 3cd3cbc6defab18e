"""Entries that were recorded some time ago, as the application records them, and beats of other days."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from uuid_utils import uuid7

from activity.recording import Receipt
from activity.services import record
from locking import policies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from activity.event import Event
    from tests.clusters import Database


def recording_earlier(ago: timedelta) -> Any:
    """Record with a clock that is behind."""
    return patch("activity.drafts.uuid7", lambda: uuid7(nanoseconds=time.time_ns() - int(ago.total_seconds() * 10**9)))


def record_earlier(event: Event, ago: timedelta) -> Receipt:
    """Record an event with a clock that is behind."""
    with recording_earlier(ago):
        return record(event)


@contextmanager
def beginning_earlier(database: Database, days: int) -> Iterator[None]:
    """Have locks begin as if it were some days ago, also in the eyes of the database."""
    superuser, ago = database.superuser(), f"interval '{days} days'"
    superuser.execute("ALTER TABLE log_locks DISABLE TRIGGER stronger_only")
    superuser.execute(
        "CREATE FUNCTION earlier() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'INSERT' THEN NEW.created_at := clock_timestamp() - {ago}; "
        f"ELSIF OLD.in_force_at IS NULL THEN NEW.in_force_at := NEW.in_force_at - {ago}; END IF; "
        "RETURN NEW; END $$; CREATE TRIGGER earlier BEFORE INSERT OR UPDATE ON log_locks FOR EACH ROW "
        "EXECUTE FUNCTION earlier()".encode()
    )
    with recording_earlier(timedelta(days=days)), patch("locking.services.datetime", clock_of(-days)):
        yield
    superuser.execute("DROP TRIGGER earlier ON log_locks")
    superuser.execute("DROP FUNCTION earlier")
    superuser.execute("ALTER TABLE log_locks ENABLE ALWAYS TRIGGER stronger_only")


def clock_of(days_from_now: int) -> type[datetime]:
    """Return the clock of another day."""

    class OnThatDay(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=days_from_now)

    return OnThatDay


def run_on(days_from_now: int) -> int:
    """Run the policies as a beat did or does on another day."""
    with patch("locking.due.datetime", clock_of(days_from_now)):
        return policies.run_all()
