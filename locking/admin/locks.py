"""Locks: what each is for, how far it is, until when. What is done with one is done on its own page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from locking import queries, rights, timeline
from locking.admin.rows import LedgerFilter, LockingAdmin
from locking.models import LogLock
from locking.wording import end_words, moment_words, scope_words
from signing.admin.pages import Link, Section, badge, code

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

State = LogLock.State
_TONES: dict[str, str] = {State.APPLYING: "doubt", State.IN_FORCE: "good"}


@admin.register(LogLock)
class LockAdmin(LockingAdmin):
    """The list, the newest first, and the facts of each."""

    add_label = "Lock entries"
    list_display = ("number", "kind", "scope_shown", "count_shown", "state_shown", "lasts")
    list_filter = ("state", "kind", LedgerFilter)
    list_select_related = ("ledger",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the locks of the granted ledgers."""
        return queries.locks_in(self.readable(request))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Allow whoever may lock."""
        return bool(request.user.has_perm(rights.LOCK))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Lead to the page that locks; what the address asks for goes along."""
        del form_url, extra_context
        if not self.has_add_permission(request):
            raise PermissionDenied
        query = request.GET.urlencode()
        return HttpResponseRedirect(reverse("lock-entries") + (f"?{query}" if query else ""))

    @admin.display(description="lock")
    def number(self, lock: LogLock) -> str:
        """Return its name, in one line."""
        return str(lock).replace(" ", "\N{NO-BREAK SPACE}")

    @admin.display(description="for")
    def scope_shown(self, lock: LogLock) -> str:
        """Return what it locks, in words."""
        return f"{scope_words(lock.scope)} in {lock.ledger.name}"

    @admin.display(description="entries")
    def count_shown(self, lock: LogLock) -> str:
        """Return how many entries it has locked."""
        return f"{lock.count:,}"

    @admin.display(description="state")
    def state_shown(self, lock: LogLock) -> SafeString:
        """Return the state, with how far it is while it is applied, extended or lifted."""
        percent = queries.progress(lock)
        shown = [badge(lock.get_state_display(), _TONES.get(lock.state, ""))]
        if lock.is_being_extended:
            shown.append(badge("being extended", "doubt"))
        if percent is not None:
            shown.append(format_html("{}&nbsp;%", percent))
        if lock.state == State.IN_FORCE and lock.release_requested_by:
            shown.append(badge("release asked for", "doubt"))
        return format_html_join(" ", "{}", ((one,) for one in shown))

    def lasts(self, lock: LogLock) -> str:
        """Return when it ends."""
        return end_words(lock.kind, lock.until)

    def title_of(self, found: Any) -> str:
        """Return its name: what it is stands in it."""
        return str(found).capitalize()

    def sections(self, request: HttpRequest, found: LogLock) -> list[Section]:
        """Return what it locks, where the ledger stood, and what became of it."""
        del request
        policy = queries.policy_name(found)
        facts: list[tuple[str, object]] = [
            ("State", self.state_shown(found)),
            ("Kind", found.get_kind_display()),
            ("For", scope_words(found.scope)),
            ("Ledger", found.ledger.name),
            ("Entries", f"{found.count:,}"),
            ("Lasts", end_words(found.kind, found.until)),
            ("Reason", found.reason),
            ("Case", found.case_reference or "none"),
            ("By", found.locked_by + (f", policy {policy}" if policy else "")),
        ]
        if found.size is not None and found.root is not None:
            root = code(bytes(found.root).hex())
            facts += [("Ledger when it came into force", f"{found.size:,} leaves"), ("Root then", root)]
        if found.release_requested_by:
            facts.append(("Release asked for by", f"{found.release_requested_by}: {found.release_reason}"))
        if found.declined_at:
            facts.append(
                ("Release declined", f"{moment_words(found.declined_at)}, {found.declined_by}: {found.decline_reason}")
            )
        if found.released_at:
            facts.append(("Ended", moment_words(found.released_at)))
        return [Section("Lock", facts), Section("Timeline, as the ledger tells it", moments(found))]

    def links(self, request: HttpRequest, found: LogLock) -> list[Link]:
        """Lead to the page where it is extended and released."""
        del request
        return [Link("Extend, release, its entries", reverse("lock", args=[found.pk]))]


def moments(subject: Any) -> list[tuple[str, object]]:
    """Return the recorded steps of a lock or an override as facts."""
    return [
        (
            moment_words(step.at),
            format_html("{}, {}. {} {}", step.what, step.by, step.why, badge(step.verdict) if step.verdict else ""),
        )
        for step in timeline.of_subject(subject)
    ]
