"""Exports in Django's admin: looked at, never changed. Ordering and taking have pages of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator

from activity.visible import visible
from exports import queries
from exports.models import Export
from signing.admin.pages import Link, PlainChangeList, ReadOnlyAdmin, Section, code, text_block

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

_SHORT = 60  # characters of a purpose that the list shows


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    """The list and the facts of each."""

    change_list_class = PlainChangeList  # there are as many as people ordered: it may count, and sort
    sortable_by: ClassVar[Any] = None
    list_display = ("ordered_at", "state", "entries", "ordered_by", "purpose_in_short", "ledger", "formats", "page")
    list_filter = ("state", "ledger")
    search_fields = ("ordered_by", "purpose", "case", "file_sha256", "dataset_digest")
    date_hierarchy = "ordered_at"

    @admin.display(description="page")
    def page(self, export: Export) -> SafeString:
        """Lead to where it is followed and downloaded."""
        return format_html('<a href="{}">open</a>', reverse("export", args=[export.pk]))

    @admin.display(description="purpose", ordering="purpose")
    def purpose_in_short(self, export: Export) -> str:
        """Return how the purpose begins."""
        return Truncator(visible(export.purpose)).chars(_SHORT)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Show what the pages show; a superuser sees the facts of all, and the files of none."""
        if request.user.is_superuser:
            return super().get_queryset(request)
        return queries.visible(to=cast("User", request.user))

    def sections(self, request: HttpRequest, found: Export) -> list[Section]:
        """Return what was ordered, and what became of it."""
        del request
        return [Section("What was ordered", _ordered(found)), Section("What became of it", _became(found))]

    def links(self, request: HttpRequest, found: Export) -> list[Link]:
        """Lead to where it is followed and downloaded, by whoever may."""
        if not queries.visible(to=request.user).filter(pk=found.pk).exists():
            return []
        return [Link("Its page: follow, download", reverse("export", args=[found.pk]))]


def _ordered(export: Export) -> list[tuple[str, object]]:
    filters = "\n".join(f"{name}={visible(text)}" for name, text in export.filters.items())
    facts: list[tuple[str, object]] = [
        ("By", export.ordered_by),
        ("On", export.ordered_at),
        ("Purpose", visible(export.purpose)),
        ("Case", visible(export.case) or "none"),
        ("Formats", ", ".join(export.formats)),
        ("Filters", text_block(filters) if filters else "none: the whole ledger"),
        ("Ledger", f"{export.ledger.name}, as it stood at {export.size:,} leaves"),
    ]
    if export.is_complete:
        facts.append(("Complete", f"leaves {export.first_leaf:,} up to, not including, {export.end_leaf:,}"))
    return [*facts, ("Checkpoint", text_block(export.checkpoint))]


def _became(export: Export) -> list[tuple[str, object]]:
    verdicts = ", ".join(f"{count:,} {verdict}" for verdict, count in queries.verdicts(export))
    facts = [
        ("State", export.state),
        ("Why it failed", visible(export.failure)),
        ("Waits for", visible(export.waits_for) if export.is_open else ""),
        ("Begun", export.started_at),
        ("Ended", export.finished_at),
        ("Kept until", export.expires_at),
        ("Entries", "" if export.entries is None else f"{export.entries:,} ({verdicts or 'none'})"),
        ("Verification hash", export.dataset_digest and code(export.dataset_digest)),
        ("SHA-256 of the file", export.file_sha256 and code(export.file_sha256)),
        ("Certificate of the signer", export.signer_certificate_sha256 and code(export.signer_certificate_sha256)),
    ]
    return [(name, value) for name, value in facts if value]
