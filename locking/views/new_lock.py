"""`/locks/new/`: lock entries. First one sees what it would be; only exactly that is then locked.

GET  /locks/new/?…          the form, filled with filters (ordering.py), and what they find
POST /locks/new/preview/    the same, and in sentences what will happen; nothing is locked
POST /locks/new/            locks, if this very order was seen within the last hour; otherwise shows it first
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from activity.chosen import ENTRY
from activity.errors import BadQueryError
from activity.filter_form import FilterForm, query_of
from activity.retrieval import check_entries
from activity.views.lines import lines_of
from locking import seen, services
from locking.errors import LockRefusedError
from locking.models import LogLock
from locking.previews import Preview, preview
from locking.rights import LOCK
from locking.views import ordering
from locking.views.base import Locking
from locking.views.forms import LockForm
from locking.views.ordering import Order
from locking.wording import consequences, counted, scope_words, sentence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest, QueryDict

    from activity.errors import Problem

# Fields that no lock has.
_WITHOUT = ("ledger", "order", "event_id", "leaf_index", "leaf_indexes", "data_path", "data_text")


class NewLock(Locking):
    """The order, and locking."""

    http_method_names = ["get", "head", "post"]
    rights = (LOCK,)

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form with what the filters of the address find."""
        query = query_of(request.GET)
        form = self._form(query, initial={"ledger": self._ledger(query)})
        if not ordering.asks_for_something(query):
            return self._page(query, form)
        try:
            ledger, scope = self._target(query, ledger=self._ledger(query), everything=False)
        except BadQueryError as error:
            return self._page(query, form, problems=error.problems, status=400)
        return self._page(query, form, found=preview(ledger, scope), scope=scope)

    def post(self, request: HttpRequest) -> HttpResponse:
        """Lock what was seen, and lead to the lock."""
        return self._answer(request, is_meant=True)

    def _answer(self, request: HttpRequest, *, is_meant: bool) -> HttpResponse:
        query = self._filters_of(request.POST)
        form = self._form(query, request.POST)
        try:
            order = self._order(form, query)
        except BadQueryError as error:
            return self._page(query, form, problems=error.problems, status=400)
        if order is None:
            return self._page(query, form, status=400)
        name = self.person.get_username()
        if is_meant and seen.is_seen(form.cleaned_data["seen"], by=name, what=order.said()):
            try:
                return self._lock(request, order, form)
            except LockRefusedError as error:
                form.add_error(None, sentence(error))
                return self._page(query, form, status=400)
        found = preview(order.ledger, order.scope)
        seal = seen.seal(by=name, what=order.said())
        return self._page(query, form, found=found, scope=order.scope, order=order, seal=seal, is_changed=is_meant)

    def _lock(self, request: HttpRequest, order: Order, form: LockForm) -> HttpResponse:
        lock = services.lock(
            ledger=order.ledger.name,
            scope=order.scope,
            kind=order.kind,
            reason=form.cleaned_data["reason"],
            by=self.person,
            case_reference=form.cleaned_data["case"],
            until=order.until,
        )
        held = f"It holds {counted(lock.count, 'entry', 'entries')}."
        said = held if lock.state == LogLock.State.IN_FORCE else "It is being applied."
        messages.success(request, f"{str(lock).capitalize()} was made. {said}")
        return redirect("lock", lock.pk)

    def _order(self, form: LockForm, query: QueryDict) -> Order | None:
        """Return what is ordered, or None if the form is not filled well. Raises BadQueryError."""
        is_valid = form.is_valid()
        ledger = form.cleaned_data.get("ledger") or self._ledger(query)
        everything = bool(form.cleaned_data.get("everything"))
        in_ledger, scope = self._target(query, ledger=ledger, everything=everything)
        if not is_valid:
            return None
        return Order(in_ledger, scope, form.cleaned_data["kind"], form.cleaned_data["until"])

    def _form(self, query: QueryDict, *sent: QueryDict, **said: Any) -> LockForm:
        return LockForm(*sent, readable=self.readable, by_ids=ENTRY in query, **said)

    def _target(self, query: QueryDict, *, ledger: str, everything: bool) -> Any:
        return ordering.target_of(query, self.readable, ledger=ledger, everything=everything)

    def _ledger(self, query: QueryDict) -> str:
        asked = str(query.get("ledger", ""))
        return asked if asked in self.readable else min(self.readable)

    def _filters_of(self, sent: QueryDict) -> QueryDict:
        """Return the filters that came with the form."""
        query = query_of(sent)
        for name in ("csrfmiddlewaretoken", *LockForm.base_fields):
            query.pop(name, None)
        return query

    def _page(
        self,
        query: QueryDict,
        form: LockForm,
        *,
        problems: Sequence[Problem] = (),
        found: Preview | None = None,
        scope: dict[str, Any] | None = None,
        order: Order | None = None,
        status: int = 200,
        **said: Any,
    ) -> HttpResponse:
        which = FilterForm(query, readable=self.readable, without=_WITHOUT)
        which.fields["type"].help_text = "exactly, as in auth.login, or all that begin so, as in auth.*"
        shown = said | {
            "form": which,
            "lock": form,
            "faults": _faults(which, problems),
            "entries": query.getlist(ENTRY),
            "found": found,
            "scope": scope_words(scope) if scope is not None else "",
            "order": order,
            "consequences": consequences(order.kind, order.until) if order is not None else [],
            "can_lock": order is not None and found is not None and found.matching != 0,
            "lines": lines_of(check_entries(found.sample)) if found is not None else [],
        }
        return render(self.request, "locking/new_lock.html", shown, status=status)


class PreviewLock(NewLock):
    """What a lock would be."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """Show it; nothing is locked."""
        return self._answer(request, is_meant=False)


def _faults(which: FilterForm, problems: Sequence[Problem]) -> list[str]:
    named = {ENTRY: "Entries", "everything": "Which entries"}
    others = [problem for problem in problems if problem.path not in named]
    return [f"{named[one.path]}: {one.reason}" for one in problems if one.path in named] + which.complain(others)
