"""Forms of locks and overrides. Each wrong field says what is wrong with it; what was typed stays."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django import forms

from activity.services import MAX_EXPLANATION
from locking.models import LockOverride, LogLock
from locking.overriding import MAX_OVERRIDDEN
from locking.steps import MAX_CASE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Kind = LogLock.Kind
_RECORDED = "Recorded with your name, for good. Somebody will read it in some years."
_KINDS = [
    (Kind.GOVERNANCE, "Retention, governance: two people can end it before its time"),
    (Kind.COMPLIANCE, "Retention, compliance: nobody can end it before its time"),
    (Kind.HOLD, "Legal hold: lasts until two people release it"),
]


class ReasonForm(forms.Form):
    """Why a step is taken."""

    use_required_attribute = False

    reason = forms.CharField(
        label="Reason",
        max_length=MAX_EXPLANATION,
        help_text=_RECORDED,
        widget=forms.Textarea({"rows": 2, "class": "prose"}),
    )


class EndForm(ReasonForm):
    """Until when a retention lasts: a moment, or for good, and one of them must be said."""

    until = forms.DateTimeField(
        label="Until (UTC)",
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}, "%Y-%m-%dT%H:%M"),
        error_messages={"invalid": "Give a day and a time."},
    )
    for_good = forms.BooleanField(label="For good, without an end", required=False)
    field_order: Sequence[str] = ("until", "for_good", "reason")

    def clean_until(self) -> datetime | None:
        """Refuse the past."""
        until: datetime | None = self.cleaned_data["until"]
        if until is not None and until <= datetime.now(UTC):
            raise forms.ValidationError("This is over already. A lock ends in the future.")
        return until

    def clean(self) -> dict[str, Any]:
        """Take one end, and not none."""
        cleaned = super().clean() or {}
        self._require_end(cleaned)
        return cleaned

    def _require_end(self, cleaned: dict[str, Any]) -> None:
        if "until" not in cleaned:  # what is wrong with it stands there already
            return
        has_end, is_for_good = cleaned["until"] is not None, bool(cleaned.get("for_good"))
        if has_end == is_for_good:
            said = "It has an end, or none: not both." if has_end else "Say when it ends, or that it has no end."
            self.add_error("until", said)


class LockForm(EndForm):
    """How something is locked. Which entries are meant is said by the filters beside it."""

    ledger = forms.ChoiceField(label="Ledger")
    kind = forms.ChoiceField(label="Kind", choices=_KINDS, widget=forms.RadioSelect, required=True)
    case = forms.CharField(label="Case or file number", max_length=MAX_CASE, required=False)
    everything = forms.BooleanField(label="Every entry of the ledger", required=False)
    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    field_order = ("kind", "until", "for_good", "reason", "case", "ledger", "everything", "seen")

    def __init__(self, *args: object, readable: Iterable[str], by_ids: bool, **kwargs: object) -> None:
        """Leave out what says which entries are meant where they are named by their ids."""
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # Form's own
        self.fields["ledger"] = forms.ChoiceField(label="Ledger", choices=[(one, one) for one in sorted(readable)])
        if by_ids:
            del self.fields["ledger"], self.fields["everything"]

    def _require_end(self, cleaned: dict[str, Any]) -> None:
        if cleaned.get("kind") != Kind.HOLD:
            super()._require_end(cleaned)
        elif cleaned.get("until") is not None or cleaned.get("for_good"):
            self.add_error("until", "A legal hold lasts until it is released: it is given no end.")


class OverrideForm(ReasonForm):
    """A request to change exactly named locked entries."""

    entries = forms.CharField(
        label="Entries",
        help_text=f"Their ids, one a line, at most {MAX_OVERRIDDEN}. Exactly these may be changed, and nothing else.",
        widget=forms.Textarea({"rows": 3}),
    )
    hours = forms.IntegerField(
        label="Hours", min_value=1, max_value=24, initial=1, help_text="From the approval on; a day at most."
    )
    case = forms.CharField(label="Case or file number", max_length=MAX_CASE, required=False)
    lifts_holds = forms.BooleanField(label="Also where a legal hold applies", required=False)
    field_order = ("entries", "hours", "reason", "case", "lifts_holds")

    def __init__(self, *args: object, may_lift_holds: bool, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # Form's own
        if not may_lift_holds:
            del self.fields["lifts_holds"]

    def clean_entries(self) -> list[UUID]:
        """Return the ids. Names each one that is none."""
        named = self.cleaned_data["entries"].split()
        wrong = [one for one in named if not _is_id(one)]
        if wrong:
            raise forms.ValidationError([f"{one[:80]} is not the id of an entry." for one in wrong[:5]])
        if len(named) > MAX_OVERRIDDEN:
            raise forms.ValidationError(f"These are {len(named):,}; an override names at most {MAX_OVERRIDDEN}.")
        return [UUID(one) for one in named]


class DecisionForm(ReasonForm):
    """Whether an override is given, and why."""

    decision = forms.ChoiceField(
        label="Decision",
        choices=[("approve", "Approve: the entries can be changed from now on"), ("deny", "Deny")],
        widget=forms.RadioSelect,
    )
    field_order = ("decision", "reason")


class NoteForm(forms.Form):
    """What somebody found who looked at what was done under an override."""

    use_required_attribute = False

    note = forms.CharField(
        label="What you found",
        max_length=MAX_EXPLANATION,
        help_text=_RECORDED,
        widget=forms.Textarea({"rows": 3, "class": "prose"}),
    )


class LockListForm(forms.Form):
    """The filters of the list of locks."""

    kind = forms.ChoiceField(label="Kind", choices=[("", "any"), *Kind.choices], required=False)
    state = forms.ChoiceField(label="State", choices=[("", "any"), *LogLock.State.choices], required=False)
    case = forms.CharField(label="Case", help_text="exactly", required=False)
    ledger = forms.ChoiceField(label="Ledger", required=False)

    def __init__(self, *args: object, readable: Iterable[str], **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type] # Form's own
        ledgers = [("", "any"), *((one, one) for one in sorted(readable))]
        self.fields["ledger"] = forms.ChoiceField(label="Ledger", choices=ledgers, required=False)


class OverrideListForm(forms.Form):
    """The filters of the list of overrides."""

    state = forms.ChoiceField(
        label="State",
        choices=[("", "any"), ("review", "waiting for a review"), *LockOverride.State.choices],
        required=False,
    )
    case = forms.CharField(label="Case", help_text="exactly", max_length=MAX_CASE, required=False)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
