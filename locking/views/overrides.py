"""`/overrides/`: ask to change locked entries for some hours, decide it, close it, and review what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from activity.filter_form import query_of
from activity.retrieval import check_entries
from activity.views.lines import lines_of
from locking import overriding, queries, timeline
from locking.models import LockOverride
from locking.rights import ASK_OVERRIDE, DECIDE_OVERRIDE, OVERRIDE_HOLD, REVIEW_OVERRIDE, SEE_OVERRIDES
from locking.views.base import Locking, taken
from locking.views.forms import DecisionForm, NoteForm, OverrideForm, OverrideListForm
from locking.waiting import open_steps, step_of

if TYPE_CHECKING:
    from django import forms
    from django.db.models import QuerySet
    from django.http import HttpRequest, QueryDict

_PAGE = 50
_DIGITS = 18  # fewer than those of the largest bigint
State = LockOverride.State


class Overrides(Locking):
    """The list."""

    http_method_names = ["get", "head"]
    rights = (SEE_OVERRIDES,)

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show a page of overrides, the newest first."""
        query = query_of(request.GET)
        form = OverrideListForm(query)
        shown: dict[str, Any] = {"form": form, "may_ask": request.user.has_perm(ASK_OVERRIDE)}
        if not form.is_valid():
            return render(request, "locking/overrides.html", shown, status=400)
        rows = _filtered(queries.overrides_in(self.readable), form.cleaned_data)
        before = query.get("before", "")
        if before.isascii() and before.isdigit() and len(before) <= _DIGITS:
            rows = rows.filter(pk__lt=int(before))
        found = list(rows[: _PAGE + 1])
        shown |= {
            "overrides": found[:_PAGE],
            "is_asked": any(form.cleaned_data.values()),
            "query": _with(query, None),
            "is_first": "before" not in query,
            "waiting": sum(step.waits for step in open_steps(self.person)),
        }
        if len(found) > _PAGE:
            shown["next"] = _with(query, found[_PAGE - 1].pk)
        return render(request, "locking/overrides.html", shown)


def _filtered(rows: QuerySet[LockOverride], asked: dict[str, Any]) -> QuerySet[LockOverride]:
    if asked["state"] == "review":
        rows = rows.filter(queries.TO_REVIEW)
    elif asked["state"]:
        rows = rows.filter(state=asked["state"])
    return rows.filter(case_reference=asked["case"]) if asked["case"] else rows


def _with(query: QueryDict, before: int | None) -> str:
    rest = query.copy()
    rest.pop("before", None)
    if before is not None:
        rest["before"] = str(before)
    return rest.urlencode()


class Ask(Locking):
    """The request."""

    http_method_names = ["get", "head", "post"]
    rights = (ASK_OVERRIDE,)

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form, with the entries that the address names."""
        return self._page(self._form(initial={"entries": "\n".join(request.GET.getlist("entry"))}))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Ask, and lead to the page where it is followed."""
        form = self._form(request.POST)
        made: list[LockOverride] = []

        def step() -> None:
            asked = form.cleaned_data
            made.append(
                overriding.request_override(
                    entries=asked["entries"],
                    hours=asked["hours"],
                    by=self.person,
                    reason=asked["reason"],
                    case_reference=asked["case"],
                    lifts_holds=asked.get("lifts_holds", False),
                )
            )

        if not taken(form, step):
            return self._page(form, status=400)
        messages.success(request, f"{str(made[0]).capitalize()} is asked for. Another person decides it.")
        return redirect("override", made[0].pk)

    def _form(self, *sent: QueryDict, **said: Any) -> OverrideForm:
        may_lift_holds = self.request.user.has_perm(OVERRIDE_HOLD)
        return OverrideForm(*sent, may_lift_holds=may_lift_holds, **said)

    def _page(self, form: OverrideForm, *, status: int = 200) -> HttpResponse:
        return render(self.request, "locking/ask_override.html", {"form": form}, status=status)


class OneOverride(Locking):
    """One override."""

    http_method_names = ["get", "head"]
    rights: ClassVar[tuple[str, ...]] = (SEE_OVERRIDES,)

    def get(self, request: HttpRequest, override_id: int) -> HttpResponse:
        """Show it with its entries, its timeline, and what may be done with it."""
        del request
        return self.page(self.seen(override_id))

    def seen(self, override_id: int) -> LockOverride:
        """Return an override whose entries whoever asks may read. Raises Http404."""
        known = override_id <= queries.MAX_LOCK_ID
        made = queries.overrides_in(self.readable).filter(pk=override_id).first() if known else None
        if made is None:
            raise Http404(f"there is no override {override_id} that you may see")
        return made

    def page(self, made: LockOverride, *, refused: forms.Form | None = None, status: int = 200) -> HttpResponse:
        """Return the page of an override; a form that was refused is shown as it was sent."""
        is_open = made.state in {State.REQUESTED, State.APPROVED} or made.waits_for_review
        shown = {
            "made": made,
            "moments": timeline.of_subject(made),
            "lines": lines_of(check_entries(list(queries.entries_of(made)))),
            "step": step_of(made, self.person) if is_open else None,
            "form": refused or self._form(made),
            "may_close": made.state == State.APPROVED and self._may(ASK_OVERRIDE, DECIDE_OVERRIDE),
            "is_own": made.requested_by == self.person.get_username(),
        }
        return render(self.request, "locking/override.html", shown, status=status)

    def _form(self, made: LockOverride) -> forms.Form | None:
        """Return the form of the step that whoever looks may take."""
        if made.requested_by == self.person.get_username():
            return None
        if made.state == State.REQUESTED and self._may(DECIDE_OVERRIDE):
            return DecisionForm()
        return NoteForm() if made.waits_for_review and self._may(REVIEW_OVERRIDE) else None

    def _may(self, *rights: str) -> bool:
        return any(self.request.user.has_perm(right) for right in rights)


class Decide(OneOverride):
    """Giving an override, or not."""

    http_method_names = ["post"]
    rights = (DECIDE_OVERRIDE,)

    def post(self, request: HttpRequest, override_id: int) -> HttpResponse:
        """Decide it; never what one has asked for oneself."""
        made = self.seen(override_id)
        form = DecisionForm(request.POST)

        def step() -> None:
            approve = form.cleaned_data["decision"] == "approve"
            overriding.decide_override(
                override_id=made.pk, approve=approve, by=self.person, reason=form.cleaned_data["reason"]
            )

        if not taken(form, step):
            return self.page(self.seen(override_id), refused=form, status=400)
        said = "runs from now on" if form.cleaned_data["decision"] == "approve" else "is denied"
        messages.success(request, f"{str(made).capitalize()} {said}.")
        return redirect("override", made.pk)


class Close(OneOverride):
    """Ending an override before its time."""

    http_method_names = ["post"]
    rights = (ASK_OVERRIDE, DECIDE_OVERRIDE)

    def post(self, request: HttpRequest, override_id: int) -> HttpResponse:
        """Close it. Raises LockRefusedError."""
        made = overriding.close_override(override_id=self.seen(override_id).pk, by=self.person)
        messages.success(request, f"{str(made).capitalize()} is closed. Its entries are locked again.")
        return redirect("override", made.pk)


class Review(OneOverride):
    """Signing off what was done."""

    http_method_names = ["post"]
    rights = (REVIEW_OVERRIDE,)

    def post(self, request: HttpRequest, override_id: int) -> HttpResponse:
        """Sign it off; never what one has asked for oneself."""
        made = self.seen(override_id)
        form = NoteForm(request.POST)

        def step() -> None:
            overriding.review_override(override_id=made.pk, by=self.person, note=form.cleaned_data["note"])

        if not taken(form, step):
            return self.page(made, refused=form, status=400)
        messages.success(request, f"{str(made).capitalize()} is reviewed.")
        return redirect("override", made.pk)
