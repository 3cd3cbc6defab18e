"""The app that signs bytes and keeps ledgers."""

from django.apps import AppConfig


class SigningConfig(AppConfig):
    """Floor 1: knows no model above it."""

    name = "signing"
    verbose_name = "Keys and ledgers"
    default_auto_field = "django.db.models.BigAutoField"
