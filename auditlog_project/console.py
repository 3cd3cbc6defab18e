"""The admin site: its names, and its start page. What it shows of tables is registered by the apps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.template.response import TemplateResponse


class ConsoleSite(admin.AdminSite):
    """The management console."""

    site_header = "auditlog"
    site_title = "auditlog"
    index_title = "Overview"

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        """Say how it stands before anything else."""
        from auditlog_project import overview  # noqa: PLC0415 -- the site is made before the models are there

        return super().index(request, overview.context(request.user) | (extra_context or {}))
