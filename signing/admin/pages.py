"""What every read-only page of the admin is made of: a list without counting, and the facts of one row.

A list begins where the page before it ended (`?after=` and the row's key), so that a page costs the same at any size.
`Section` and `Link` are what `templates/admin/facts.html` shows; values are escaped there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import capfirst

from signing.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin

AFTER = "after"
_KEY_DIGITS = 18  # fewer than those of the largest bigint
_STATES = {"active": "good", "compromised": "bad"}


def badge(word: str, tone: str = "") -> SafeString:
    """Return a verdict, outcome or state as the badge that it is everywhere; with `tone`, something else as one."""
    tone = tone or (Verdict(word).tone if word in set(Verdict) else _STATES.get(word, "plain"))
    return format_html('<span class="al-badge al-{}">{}</span>', tone, word.replace("_", " "))


def code(text: str) -> SafeString:
    """Return a hash or an id in the type in which one compares them."""
    return format_html('<code class="al-long">{}</code>', text)


def text_block(text: str) -> SafeString:
    """Return a text of several lines as it stands."""
    return format_html('<pre class="al-text">{}</pre>', text)


@dataclass(frozen=True, slots=True)
class Section:
    """A headed group of facts: names and values in the order in which they are read."""

    heading: str
    facts: Sequence[tuple[str, object]]


@dataclass(frozen=True, slots=True)
class Link:
    """Where somebody may go from a page; `danger` for what cannot be taken back."""

    label: str
    address: str
    danger: bool = False


class PlainChangeList(ChangeList):
    """Django's list with the name of its rows for a title; it counts, so it is for tables that stay small."""

    is_keyset = False

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.title = capfirst(str(self.opts.verbose_name_plural))


class KeysetChangeList(PlainChangeList):
    """A page of rows, the newest first, that begins after a key; nothing is counted."""

    is_keyset = True

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what filters; where the page begins is no filter."""
        return {name: value for name, value in super().get_filters_params(params).items() if name != AFTER}

    def get_query_string(self, new_params: dict[str, Any] | None = None, remove: Iterable[str] | None = None) -> str:
        """Return an address of this list; with another filter it begins at the beginning."""
        return super().get_query_string(new_params, [*(remove or ()), AFTER])

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Return the one order there is."""
        del request, queryset
        return ["-pk"]

    def get_results(self, request: HttpRequest) -> None:
        """Read one row more than a page holds: whether there is a next page is known without counting."""
        rows = self.queryset
        after = request.GET.get(AFTER)
        if after is not None:
            rows = rows.filter(pk__lt=key_of(after))
        found = list(rows[: self.list_per_page + 1])
        self.result_list = found[: self.list_per_page]
        self.next_page = (
            self.get_query_string({AFTER: str(self.result_list[-1].pk)}) if len(found) > self.list_per_page else None
        )
        self.first_page = self.get_query_string() if after is not None else None
        self.result_count = self.full_result_count = len(self.result_list)
        self.show_admin_actions = self.can_show_all = self.multi_page = False


def key_of(text: str) -> int:
    """Return where a page begins. Raises IncorrectLookupParameters for what no page of ours leads to."""
    if not (text.isascii() and text.isdigit() and len(text) <= _KEY_DIGITS):
        raise IncorrectLookupParameters
    return int(text)


class ReadOnlyAdmin(_ModelAdmin):
    """Rows to look at. Subclasses say what a row tells (`sections`) and what may be done with it (`links`)."""

    actions = None
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # they count
    sortable_by = ()
    change_list_template = "admin/keyset_list.html"
    facts_template = "admin/facts.html"
    change_list_class: type[ChangeList] = KeysetChangeList
    add_label = "Add"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: rows come from services."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse, as above."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse, as above."""
        del request, obj
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list that does not count, unless a subclass stays small."""
        del request, kwargs
        return self.change_list_class

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the facts of one row."""
        del form_url
        found = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, found) or request.method not in {"GET", "HEAD"}:
            raise PermissionDenied
        if found is None:
            # As Django does: somebody may have kept the address of what is not there any more, or never was for him.
            messages.warning(request, f"There is no {self.opts.verbose_name} {unquote(object_id)} that you may see.")
            return HttpResponseRedirect(reverse("admin:index"))
        context = self.page_context(
            request,
            title=self.title_of(found),
            original=found,
            **self.facts(request, found),
        )
        return TemplateResponse(request, self.facts_template, context | (extra_context or {}))

    def page_context(self, request: HttpRequest, **said: Any) -> dict[str, Any]:
        """Return what every page of this model has, and what is said."""
        return {**self.admin_site.each_context(request), "opts": self.opts, **said}

    def title_of(self, found: Model) -> str:
        """Return the heading of a row's page."""
        return f"{capfirst(str(self.opts.verbose_name))} {found}"

    def facts(self, request: HttpRequest, found: Any) -> dict[str, Any]:
        """Return what the template of a row's page shows."""
        return {"sections": self.sections(request, found), "links": self.links(request, found)}

    def sections(self, request: HttpRequest, found: Any) -> list[Section]:
        """Return what a row tells."""
        raise NotImplementedError

    def links(self, request: HttpRequest, found: Any) -> list[Link]:
        """Return where one may go from a row: nowhere, unless a subclass knows better."""
        del request, found
        return []
