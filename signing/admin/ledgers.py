"""Ledgers: where each stands, its newest checkpoint, and all its checkpoints, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.template.response import TemplateResponse
from django.urls import path, reverse

from signing import queries
from signing.admin.pages import AFTER, Link, PlainChangeList, ReadOnlyAdmin, Section, code, key_of, text_block
from signing.models import Ledger, LedgerCheckpoint, LedgerHead

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

_PAGE = 50


@admin.register(Ledger)
class LedgerAdmin(ReadOnlyAdmin):
    """Ledgers are few: one list holds them all."""

    change_list_class = PlainChangeList
    list_display = ("name", "kind", "leaves", "newest_checkpoint", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the ledgers with their heads."""
        return super().get_queryset(request).select_related("head")

    @admin.display(description="leaves")
    def leaves(self, ledger: Ledger) -> str:
        """Return the size of the committed head."""
        return f"{ledger.head.size:,}"

    @admin.display(description="newest checkpoint")
    def newest_checkpoint(self, ledger: Ledger) -> str:
        """Return up to where the ledger is signed, and since when."""
        newest = queries.latest_checkpoint(ledger)
        return "none" if newest is None else f"{newest.size:,} leaves, {newest.signed_at:%Y-%m-%d %H:%M:%S} UTC"

    def get_urls(self) -> list[URLPattern]:
        """Add the page of a ledger's checkpoints."""
        page = path(
            "<path:object_id>/checkpoints/",
            self.admin_site.admin_view(self.checkpoints),
            name="signing_ledger_checkpoints",
        )
        return [page, *super().get_urls()]

    def sections(self, request: HttpRequest, found: Ledger) -> list[Section]:
        """Return where the ledger stands."""
        del request
        head = LedgerHead.objects.get(ledger=found)
        newest = queries.latest_checkpoint(found)
        return [
            Section(
                "Ledger",
                [
                    ("Name", found.name),
                    ("Origin in its checkpoints", found.origin),
                    ("Takes", found.kind),
                    ("Opened", found.created_at),
                    ("Leaves", f"{head.size:,}"),
                ],
            ),
            Section("Newest checkpoint", _checkpoint_facts(newest, head.size)),
        ]

    def links(self, request: HttpRequest, found: Ledger) -> list[Link]:
        """Lead to the checkpoints, and to what mirrors fetch."""
        links = [Link("Checkpoint as mirrors get it", reverse("ledger-checkpoint", args=[found.name]))]
        if request.user.has_perm("signing.view_ledgercheckpoint"):
            links.insert(
                0, Link("All checkpoints", reverse("admin:signing_ledger_checkpoints", args=[quote(found.pk)]))
            )
        return links

    def checkpoints(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show checkpoints of one ledger, the newest first, from below a tree size on."""
        if not request.user.has_perm("signing.view_ledgercheckpoint") or request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        ledger = self.get_object(request, unquote(object_id))
        if ledger is None:
            raise Http404
        rows = LedgerCheckpoint.objects.filter(ledger=ledger).order_by("-size")
        after = request.GET.get(AFTER)
        if after is not None:
            rows = rows.filter(size__lt=key_of(after))
        found = list(rows[: _PAGE + 1])
        context = self.page_context(
            request,
            title=f"Checkpoints of {ledger}",
            ledger=ledger,
            checkpoints=[(one, bytes(one.root).hex()) for one in found[:_PAGE]],
            next_page=f"?{AFTER}={found[_PAGE - 1].size}" if len(found) > _PAGE else None,
            first_page="?" if after else None,
        )
        return TemplateResponse(request, "admin/signing/ledger/checkpoints.html", context)


def _checkpoint_facts(newest: LedgerCheckpoint | None, size: int) -> list[tuple[str, object]]:
    if newest is None:
        return [("Signed up to", "There is none. ./auditlog setup_database ends an interrupted set-up.")]
    waiting = size - newest.size
    return [
        ("Signed up to", f"{newest.size:,} leaves" + (f", {waiting:,} wait for the next one" if waiting else "")),
        ("Signed at", newest.signed_at),
        ("Signed by", ", ".join(newest.key_ids)),
        ("Root", code(bytes(newest.root).hex())),
        ("Note", text_block(newest.note)),
    ]
