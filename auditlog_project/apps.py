"""The project as an app: it carries the commands, the system checks and the Celery application."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class ProjectConfig(AppConfig):
    """Top floor; has no models."""

    name = "auditlog_project"
    verbose_name = "Audit log"

    def ready(self) -> None:
        """Register the system checks, and make `auditlog` the application that shared tasks belong to."""
        from auditlog_project import celery, checks  # noqa: F401, PLC0415 -- they need the settings


class ConsoleConfig(AdminConfig):
    """Django's admin, with our site as the one that every app registers with."""

    default = False
    default_site = "auditlog_project.console.ConsoleSite"
