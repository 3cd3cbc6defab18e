"""Exports in Django's admin: looked at, never changed. Ordering and taking have pages of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html

from exports import queries
from exports.models import Export

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    _ModelAdmin = admin.ModelAdmin[Export]
else:
    _ModelAdmin = admin.ModelAdmin


@admin.register(Export)
class ExportAdmin(_ModelAdmin):
    """The list and the facts of each."""

    list_display = ("ordered_at", "ordered_by", "purpose", "ledger", "formats", "entries", "state", "page")
    list_filter = ("state", "ledger")
    search_fields = ("ordered_by", "purpose", "case", "file_sha256", "dataset_digest")
    date_hierarchy = "ordered_at"
    actions = None

    @admin.display(description="page")
    def page(self, export: Export) -> SafeString:
        """Lead to where it is followed and downloaded."""
        return format_html('<a href="{}">open</a>', reverse("export", args=[export.pk]))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Export]:
        """Show what the pages show; a superuser sees the facts of all, and the files of none."""
        if request.user.is_superuser:
            return super().get_queryset(request)
        return queries.visible(to=cast("User", request.user))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: an export is ordered on its own page, where it is signed."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: Export | None = None) -> bool:
        """Refuse: what was exported stays."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Export | None = None) -> bool:
        """Refuse: what was exported stays."""
        del request, obj
        return False
