"""The app that makes and verifies exports."""

from django.apps import AppConfig


class ExportsConfig(AppConfig):
    """Floor 3: a use of the log; a stranger to locking."""

    name = "exports"
    default_auto_field = "django.db.models.BigAutoField"
