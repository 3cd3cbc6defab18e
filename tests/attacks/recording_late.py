"""The application with one rule broken, for gunicorn: it records accesses shortly after it has answered.

Nobody but the positive control in test_meta_kill.py starts it, to show that its check would notice.
"""

from __future__ import annotations

from threading import Timer
from typing import TYPE_CHECKING
from uuid import UUID

from auditlog_project.wsgi import application
from metaaudit import services

if TYPE_CHECKING:
    from metaaudit.record import Access

__all__ = ["application"]

LATE = 0.05  # seconds
record_now = services.record


def record_later(*, access: Access) -> UUID:
    """Promise a record, and write it when the answer is out."""
    timer = Timer(LATE, record_now, kwargs={"access": access})
    timer.daemon = True
    timer.start()
    return UUID(int=0)


services.record = record_later
