"""`/exports/`: order an export, follow it, take it, cancel it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.mixins import PermissionRequiredMixin
from django.http import HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views import View

from activity import search
from activity.chosen import ENTRY, chosen
from activity.errors import BadQueryError
from activity.filter_form import FilterForm, query_of
from activity.filters import MAX_NAMED, search_of
from activity.retrieval import check_entries
from activity.search import NAMED
from activity.views.lines import lines_of
from exports import queries, services, tasks
from exports.downloads import as_attachment, contents
from exports.errors import BadOrderError, ExportRefusedError, QuotaError
from exports.models import Export
from exports.services import ORDER_PERMISSION
from exports.sources import ENTRIES, source_of
from exports.views.forms import OrderForm
from signing.errors import ExportKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.contrib.auth.models import User
    from django.http import HttpRequest

    from activity.errors import Problem


_LISTED = 100
_PREVIEWED = 20  # entries that were chosen one by one, and are shown again


class Exporting(PermissionRequiredMixin, View):
    """A page for people who may export; whoever is not signed in is led to the login."""

    permission_required = ORDER_PERMISSION

    @property
    def person(self) -> User:
        """Whoever asks: somebody with an account, for he has the permission."""
        user: Any = self.request.user
        return user  # type: ignore[no-any-return] # PermissionRequiredMixin looked

    def seen(self, export_id: UUID) -> Export:
        """Return an export that whoever asks may see. Raises Http404."""
        return get_object_or_404(queries.visible(to=self.request.user), pk=export_id)


class Exports(Exporting):
    """The list."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show a page of the exports that somebody may see, the last ordered first."""
        rows = queries.visible(to=request.user).order_by("-pk")  # an id begins with its time
        with suppress(ValueError):
            rows = rows.filter(pk__lt=UUID(request.GET.get("before", "")))
        found = list(rows[: _LISTED + 1])
        shown: dict[str, Any] = {"exports": found[:_LISTED], "query": "", "is_first": "before" not in request.GET}
        if len(found) > _LISTED:
            shown["next"] = urlencode({"before": found[_LISTED - 1].pk})
        return render(request, "exports/list.html", shown)


class Filters(Protocol):
    """A form of filters: it is shown, and keeps the complaints of the API."""

    def complain(self, problems: Iterable[Problem]) -> list[str]:
        """Return complaints as sentences, and mark the fields that they are about."""


class Order(Exporting):
    """The order form. Of another kind of records than entries, a subclass says what differs."""

    http_method_names = ["get", "head", "post"]
    formats: ClassVar[Sequence[str]] = ENTRIES.formats
    chosen: ClassVar[Sequence[str]] = (Export.Format.PDF, Export.Format.CSV)
    words: ClassVar[Mapping[str, str]] = {
        "address": "order-export",
        "fields": "activity/filter_fields.html",
        "which": "Which entries",
    }

    def ledgers(self) -> frozenset[str]:
        """Return the ledgers to choose from."""
        return ENTRIES.readable(self.request.user)

    def query_of(self, sent: QueryDict) -> QueryDict:
        """Return what the form, or boxes that were ticked in a list, ask for as filters. Raises BadQueryError."""
        if ENTRY not in sent:
            return query_of(sent)
        ledger, entries = chosen(sent, self.ledgers(), most=MAX_NAMED)
        query = QueryDict(mutable=True)
        query.update({"ledger": ledger.name, NAMED: ",".join(str(entry.leaf_index) for entry in entries)})
        return query

    def filters(self, query: QueryDict) -> Filters:
        """Return the filters alone: the ledger is chosen with the order, and entries come in the order of leaves."""
        return FilterForm(query, readable=self.ledgers(), without=("ledger", "order"))

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show it, filled with the filters of the address."""
        try:
            query = self.query_of(request.GET)
        except BadQueryError as error:
            return self._page(QueryDict(), self._form(None), status=400, problems=error.problems)
        return self._page(query, self._form(query.get("ledger")))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Order, and lead to where it can be followed."""
        form = OrderForm(request.POST, readable=self.ledgers(), formats=self.formats)
        query = self.query_of(request.POST)
        for name in ("csrfmiddlewaretoken", *services.NO_FILTERS, *form.fields):
            query.pop(name, None)
        if not form.is_valid():
            return self._page(query, form, status=400)
        try:
            ordered = services.order(
                by=self.person, filters={name: str(query[name]) for name in query}, **form.cleaned_data
            )
        except BadQueryError as error:
            return self._page(query, form, status=400, problems=error.problems)
        except (BadOrderError, QuotaError, ExportKeyError) as error:
            form.add_error(None, f"{str(error)[:1].upper()}{str(error)[1:]}.")
            return self._page(query, form, status=400)
        tasks.begin(ordered)
        return redirect("export", ordered.export.pk)

    def _form(self, ledger: str | None) -> OrderForm:
        initial = {"ledger": ledger, "formats": self.chosen}
        return OrderForm(initial=initial, readable=self.ledgers(), formats=self.formats)

    def _page(
        self, query: QueryDict, form: OrderForm, *, status: int = 200, problems: Iterable[Problem] = ()
    ) -> HttpResponse:
        which = self.filters(query)
        shown = {
            "form": which,
            "order": form,
            "faults": which.complain(problems),
            "signer": queries.signer_of(self.request.user),
            "words": self.words,
        }
        if NAMED in query:
            shown |= self._named(query, form)
        return render(self.request, "exports/order.html", shown, status=status)

    def _named(self, query: QueryDict, form: OrderForm) -> dict[str, Any]:
        """Return what the page shows of entries that are named one by one: their number, and the first of them."""
        count = str(query[NAMED]).count(",") + 1
        ledger = form["ledger"].value()
        if ledger not in self.ledgers():
            return {"named": count}
        form.offer(ledger)  # the same leaves of another ledger are other entries
        asked = QueryDict(mutable=True)
        asked.update({NAMED: str(query[NAMED]), "ledger": ledger, "limit": str(_PREVIEWED), "order": "id"})
        try:
            found = search.find(search_of(asked, {ledger}))
        except BadQueryError:  # said on the page when it is ordered
            return {"named": count}
        return {"named": count, "lines": lines_of(check_entries(found.entries)), "more": found.next is not None}


class Follow(Exporting):
    """One export: how far it is, what came out, its files."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, export_id: UUID) -> HttpResponse:
        """Show it."""
        export = self.seen(export_id)
        shown: dict[str, Any] = {"export": export, "progress": queries.progress(export)}
        shown["verdicts"] = queries.verdicts(export)
        shown["filters"] = [
            (name, text.replace(",", ", ") if name == NAMED else text) for name, text in sorted(export.filters.items())
        ]
        shown["is_own"] = export.ordered_by_id == request.user.pk
        if export.state == Export.State.READY:
            try:
                shown["files"] = contents(export)
            except ExportRefusedError as error:
                shown["lost"] = str(error)
        if not export.is_open and "files" not in shown and source_of(export.ledger) is ENTRIES:
            asked = urlencode({**export.filters, "ledger": export.ledger.name})
            shown["again"] = f"{reverse('order-export')}?{asked}"
        return render(request, "exports/follow.html", shown)


class Progress(Exporting):
    """How far an export is, as a piece of its page."""

    http_method_names = ["get", "head"]

    def get(self, request: HttpRequest, export_id: UUID) -> HttpResponse:
        """Show it; have the whole page loaded again once the export has ended."""
        export = self.seen(export_id)
        response = render(request, "exports/progress.html", {"export": export, "progress": queries.progress(export)})
        if not export.is_open:
            response["HX-Refresh"] = "true"
        return response


class Cancel(Exporting):
    """Stopping an export."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest, export_id: UUID) -> HttpResponse:
        """Cancel it. Raises ExportRefusedError if it has ended."""
        del request
        export = self.seen(export_id)
        services.cancel(export=export, by=self.person)
        return redirect("export", export.pk)


class TakeFile(Exporting):
    """Downloading an export, or one file of it."""

    http_method_names = ["get"]

    def get(self, request: HttpRequest, export_id: UUID, name: str = "") -> StreamingHttpResponse:
        """Answer with the file; it is recorded who took it. Raises ExportRefusedError, Http404."""
        del request
        return as_attachment(services.download(export=self.seen(export_id), by=self.person, name=name))
