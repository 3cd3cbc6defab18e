"""Findings: what is wrong or cannot be told, from the run that showed it first to the run that showed it no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.urls import reverse

from activity import access, queries
from activity.admin.notices import told
from activity.models import Notice, OpenFinding
from signing.admin.pages import Link, ReadOnlyAdmin, Section, badge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

_NOTICES = 20  # that the page of a finding names


class GoneFilter(admin.SimpleListFilter):
    """Open ones, which have an index, or all."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        """Return the one choice beside all."""
        del request, model_admin
        return [("open", "open")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return what is open, if that was asked for."""
        del request
        return queryset.filter(gone_at=None) if self.value() == "open" else queryset


@admin.register(OpenFinding)
class FindingAdmin(ReadOnlyAdmin):
    """What verification found."""

    list_display = ("found_at", "verdict_shown", "ledger", "leaf_index", "reason", "gone")
    list_filter = (GoneFilter,)

    @admin.display(description="verdict")
    def verdict_shown(self, finding: OpenFinding) -> SafeString:
        """Return the verdict as a badge."""
        return badge(finding.verdict)

    @admin.display(description="gone since")
    def gone(self, finding: OpenFinding) -> str:
        """Return since when it is gone."""
        return "open" if finding.gone_at is None else f"{finding.gone_at:%Y-%m-%d %H:%M} UTC"

    def title_of(self, found: Any) -> str:
        """Return where it was found."""
        place = "Every ledger" if found.ledger == "*" else f"Ledger {found.ledger}"
        return place if found.leaf_index is None else f"{place}, leaf {found.leaf_index}"

    def sections(self, request: HttpRequest, found: Any) -> list[Section]:
        """Return what was found, and who was told."""
        del request
        finding = [
            ("Verdict", badge(found.verdict)),
            ("Reason", found.reason),
            ("Found", found.found_at),
            ("Gone", found.gone_at or "It is open: a whole verification that does not show it any more closes it."),
        ]
        notices = Notice.objects.filter(findings=found).prefetch_related("deliveries")[:_NOTICES]
        facts = [fact for notice in notices for fact in told(notice)]
        nobody = [("Nobody", "No receiver was configured (AUDITLOG_NOTICE_EMAILS, AUDITLOG_NOTICE_WEBHOOKS).")]
        return [Section("Finding", finding), Section("Who was told", facts or nobody)]

    def links(self, request: HttpRequest, found: Any) -> list[Link]:
        """Lead to the entry, if there is one that the reader may see."""
        readable = access.of_user(request.user).readable
        entry = queries.entry_at(found.ledger, found.leaf_index) if found.ledger in readable else None
        return [] if entry is None else [Link("Entry", reverse("admin:activity_activitylog_change", args=[entry]))]
