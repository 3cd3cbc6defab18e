"""The app that records every access to the log."""

from django.apps import AppConfig


class MetaauditConfig(AppConfig):
    """Floor 4: watches all below; named in settings and wiring, imported by no other app."""

    name = "metaaudit"
    default_auto_field = "django.db.models.BigAutoField"
