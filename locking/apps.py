"""The app that makes entries read-only."""

from django.apps import AppConfig


class LockingConfig(AppConfig):
    """Floor 3: a use of the log; a stranger to exports."""

    name = "locking"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Have `verify` look at locks, and the model of entries know what only a policy tells."""
        from activity.models import FURTHER_LOCKED, FURTHER_LOCKS  # noqa: PLC0415 -- it needs the loaded models
        from activity.verification import FURTHER_CHECKS  # noqa: PLC0415 -- the same
        from locking.queries import locked_by_policy, overdue  # noqa: PLC0415 -- the same
        from locking.verification import verify_locks  # noqa: PLC0415 -- the same

        FURTHER_LOCKS.append(locked_by_policy)
        FURTHER_LOCKED.append(overdue)
        FURTHER_CHECKS.append(lambda ledger, whole: verify_locks(ledger, whole=whole))
