"""Entries that were recorded some time ago, as the application records them, and beats of other days."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from uuid_utils import uuid7

from activity.recording import Receipt
from activity.services import record
from locking import policies

if TYPE_CHECKING:
    from activity.event import Event


def record_earlier(event: Event, ago: timedelta) -> Receipt:
    """Record an event with a clock that is behind."""
    with patch("activity.drafts.uuid7", lambda: uuid7(nanoseconds=time.time_ns() - int(ago.total_seconds() * 10**9))):
        return record(event)


def run_on(days_from_now: int) -> int:
    """Run the policies as a beat did or does on another day."""

    class OnThatDay(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=days_from_now)

    with patch("locking.due.datetime", OnThatDay):
        return policies.run_all()
