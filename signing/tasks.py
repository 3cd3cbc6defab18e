"""What Celery's beat does with ledgers. The schedule is fixed in settings.py."""

from __future__ import annotations

from celery import shared_task

from signing.errors import SigningError
from signing.ledger import sign_checkpoint
from signing.models import Ledger


@shared_task(name="signing.anchor_ledgers", ignore_result=True)  # type: ignore[untyped-decorator] # no types
def anchor_ledgers() -> None:
    """Sign and anchor where every ledger stands, idle or not; this also heals a crash between commit and checkpoint.

    A ledger that cannot be anchored does not keep the others from it; afterwards the task fails with what went wrong.
    """
    problems: list[Exception] = []
    for ledger in Ledger.objects.order_by("pk"):
        try:
            sign_checkpoint(ledger, force_anchor=True)
        except (SigningError, OSError) as error:
            error.add_note(f"ledger: {ledger}")
            problems.append(error)
    if problems:
        raise ExceptionGroup("not every ledger could be signed and anchored", problems)
