"""Overrides: who asked, who decided, what was done, who reviewed it. The steps are taken on its own page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.urls import reverse

from locking import queries
from locking.admin.locks import moments
from locking.admin.rows import LockingAdmin
from locking.models import LockOverride
from locking.waiting import step_of
from locking.wording import counted, moment_words
from signing.admin.pages import Link, Section, badge, code

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

State = LockOverride.State


@admin.register(LockOverride)
class OverrideAdmin(LockingAdmin):
    """The list, the newest first, and the facts of each."""

    list_display = ("number", "requested_at", "requested_by", "entries_shown", "state_shown", "decided_by")
    list_filter = ("state",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the overrides of entries in the granted ledgers."""
        return queries.overrides_in(self.readable(request))

    @admin.display(description="override")
    def number(self, made: LockOverride) -> str:
        """Return its name, in one line."""
        return str(made).replace(" ", "\N{NO-BREAK SPACE}")

    @admin.display(description="entries")
    def entries_shown(self, made: LockOverride) -> str:
        """Return how many entries it names."""
        return f"{len(made.entries):,}"

    @admin.display(description="state")
    def state_shown(self, made: LockOverride) -> SafeString:
        """Return the state; what waits for a review says so."""
        if made.waits_for_review:
            return badge(f"{made.state}, review open")
        return badge("running" if made.state == State.APPROVED else made.state)

    def title_of(self, found: Any) -> str:
        """Return its name: what it is stands in it."""
        return str(found).capitalize()

    def sections(self, request: HttpRequest, found: LockOverride) -> list[Section]:
        """Return what was asked, what is open, and what became of it."""
        asked: list[tuple[str, object]] = [
            ("State", self.state_shown(found)),
            ("Asked for by", found.requested_by),
            ("Reason", found.reason),
            ("Case", found.case_reference or "none"),
            ("For", f"{counted(found.hours, 'hour', 'hours')} from the approval on"),
            ("Legal holds", "lifted for these entries, too" if found.lifts_holds else "not lifted"),
            ("Changes made", f"{found.used_count:,}"),
        ]
        if found.runs_until is not None:
            asked.append(("Ran until" if found.ended_at else "Runs until", moment_words(found.runs_until)))
        sections = [
            Section("Override", asked),
            Section("Entries, and no others", [(f"{n}", code(str(one))) for n, one in enumerate(found.entries, 1)]),
            Section("Timeline, as the ledger tells it", moments(found)),
        ]
        if found.state in {State.REQUESTED, State.APPROVED} or found.waits_for_review:
            step = step_of(found, request.user)
            sections.insert(0, Section("What is open", [("What", step.what), ("Who must act", step.who)]))
        return sections

    def links(self, request: HttpRequest, found: LockOverride) -> list[Link]:
        """Lead to the page where it is decided, closed and reviewed."""
        del request
        return [Link("Decide, close, review", reverse("override", args=[found.pk]))]
