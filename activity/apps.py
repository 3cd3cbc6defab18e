"""The app that records activity."""

from django.apps import AppConfig


class ActivityConfig(AppConfig):
    """Floor 2: builds on signing alone."""

    name = "activity"
    default_auto_field = "django.db.models.BigAutoField"
