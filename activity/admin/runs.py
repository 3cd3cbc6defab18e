"""Verification runs: what was verified when, and what came out. The newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import F, Func, IntegerField

from activity.models import VerificationRun
from signing.admin.pages import ReadOnlyAdmin, Section, badge, code

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

_FINDINGS = 200  # of a run that its page lists


@admin.register(VerificationRun)
class RunAdmin(ReadOnlyAdmin):
    """Finished verifications, of one ledger each."""

    list_display = ("finished_at", "outcome_shown", "ledger", "leaves", "finding_count", "seconds")
    list_filter = ("outcome", "ledger")
    list_select_related = ("ledger",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the runs without their findings, which may be many, but with their number."""
        number = Func(F("findings"), function="jsonb_array_length", output_field=IntegerField())
        runs: QuerySet[Any] = super().get_queryset(request).defer("findings").annotate(number=number)
        return runs

    @admin.display(description="outcome")
    def outcome_shown(self, run: VerificationRun) -> SafeString:
        """Return the outcome as a badge."""
        return badge(run.outcome)

    def leaves(self, run: VerificationRun) -> str:
        """Return which leaves were read."""
        return f"{run.since:,} to {run.size:,}" if run.since else f"all {run.size:,}"

    @admin.display(description="findings")
    def finding_count(self, run: Any) -> int:
        """Return how many findings were kept."""
        return int(run.number)

    def seconds(self, run: VerificationRun) -> str:
        """Return how long it took."""
        return f"{(run.finished_at - run.started_at).total_seconds():,.1f}"

    def title_of(self, found: Any) -> str:
        """Return which run it is."""
        return f"Verification of {found.ledger}, {found.finished_at:%Y-%m-%d %H:%M} UTC"

    def sections(self, request: HttpRequest, found: Any) -> list[Section]:
        """Return what was verified, and what was found."""
        del request
        run = [
            ("Outcome", badge(found.outcome)),
            ("Ledger", found.ledger.name),
            ("Leaves read", self.leaves(found)),
            ("Started", found.started_at),
            ("Finished", found.finished_at),
            ("Root of the tree", code(bytes(found.root).hex())),
        ]
        facts = [(_place(said), f"{said['verdict'].replace('_', ' ')}: {said['reason']}") for said in found.findings]
        if len(facts) > _FINDINGS:
            facts = [*facts[:_FINDINGS], ("", f"and {len(facts) - _FINDINGS:,} more")]
        return [Section("Run", run), Section("Findings", facts or [("None", "Nothing is amiss.")])]


def _place(said: dict[str, Any]) -> str:
    return said["ledger"] if said["leaf_index"] is None else f"{said['ledger']}, leaf {said['leaf_index']}"
