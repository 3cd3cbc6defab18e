"""Notices: what was told at one time, and to whom it came. The newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Count, OuterRef, Subquery

from activity import notices
from activity.models import Notice
from signing.admin.pages import ReadOnlyAdmin, Section

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

_FINDINGS = 200  # of a notice that its page lists


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    """What was told."""

    list_display = ("created_at", "about", "arrived")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the notices with their deliveries, and how many findings each tells."""
        pairs = Notice.findings.through.objects.filter(notice=OuterRef("pk")).values("notice")
        number = Subquery(pairs.annotate(found=Count("pk")).values("found"))  # type: ignore[misc] # the stubs err
        rows: QuerySet[Any] = super().get_queryset(request).annotate(number=number)
        return rows.prefetch_related("deliveries")

    def about(self, notice: Any) -> str:
        """Return what it tells."""
        return f"{notice.number:,} finding{'s' * (notice.number > 1)}" if notice.number else "a test"

    def arrived(self, notice: Notice) -> str:
        """Return how many receivers got it."""
        deliveries = list(notice.deliveries.all())
        return f"{sum(one.delivered_at is not None for one in deliveries)} of {len(deliveries)}"

    def sections(self, request: HttpRequest, found: Any) -> list[Section]:
        """Return to whom it went, and what it says."""
        del request
        findings = [(f"Finding {one.pk}", str(one)) for one in found.findings.order_by("pk")[:_FINDINGS]]
        if found.number and found.number > _FINDINGS:
            findings.append(("", f"and {found.number - _FINDINGS:,} more"))
        return [
            Section("Notice", [("Made", found.created_at), ("About", self.about(found))]),
            Section("Receivers", told(found) or [("Nobody", "No receiver was configured.")]),
            Section("What it says", findings or [("Test", "Notices reach this receiver.")]),
        ]


def told(notice: Notice) -> list[tuple[str, str]]:
    """Return the receivers of a notice and how it stands with each."""
    return [(notices.receiver(delivery), notices.state(delivery)) for delivery in notice.deliveries.all()]
