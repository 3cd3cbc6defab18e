"""The app that makes entries read-only."""

from django.apps import AppConfig


class LockingConfig(AppConfig):
    """Floor 3: a use of the log; a stranger to exports."""

    name = "locking"
    default_auto_field = "django.db.models.BigAutoField"
