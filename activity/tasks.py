"""What Celery's beat does with entries. The schedule is fixed in settings.py; a task takes no arguments to forge."""

from __future__ import annotations

from celery import shared_task

from activity import notices, watch

_A_NIGHT = 12 * 3600  # seconds; 10 million signed entries take about half an hour


@shared_task(name="activity.verify_recent", ignore_result=True)  # type: ignore[untyped-decorator] # no types
def verify_recent() -> None:
    """Verify what was recorded since the last run."""
    watch.run(watch.RECENT)


@shared_task(name="activity.verify_whole", ignore_result=True, time_limit=_A_NIGHT)  # type: ignore[untyped-decorator]
def verify_whole() -> None:
    """Verify every ledger from its first leaf."""
    watch.run(watch.WHOLE)


@shared_task(name="activity.send_notices", ignore_result=True)  # type: ignore[untyped-decorator]
def send_notices() -> None:
    """Look whether verification still happens, and send what is to be sent."""
    watch.look_after()
    notices.deliver_due()
