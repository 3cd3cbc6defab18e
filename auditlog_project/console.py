"""The admin site: its names. What it shows of the application's own tables is registered by the apps."""

from __future__ import annotations

from django.contrib import admin


class ConsoleSite(admin.AdminSite):
    """The management console."""

    site_header = "auditlog"
    site_title = "auditlog"
    index_title = "Overview"
    site_url = None
