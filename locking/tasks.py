"""What a beat does for locks. It carries no arguments: what is to be done stands in the tables.

A beat that was missed loses nothing: the guard AL002 obeys deadlines by itself, and the next beat goes on.
"""

from celery import shared_task

from locking import policies


@shared_task(name="locking.run_policies", ignore_result=True)  # type: ignore[untyped-decorator] # celery has no types
def run_policies() -> None:
    """Run every policy, go on with locks that are being applied, extended or lifted, and end what is over."""
    policies.run_all()
