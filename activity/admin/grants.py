"""Ledger grants: let somebody see a ledger, and take it back. Both are recorded, with a reason; none is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.urls import reverse

from activity import authority
from activity.errors import AuthorityError
from activity.models import LedgerGrant
from signing.admin.pages import Link, PlainChangeList, ReadOnlyAdmin, Section
from signing.admin.steps import ReasonForm, posted, step_page, taken, username
from signing.models import Ledger

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

_LIST = "admin:activity_ledgergrant_changelist"


class GrantForm(forms.Form):
    """Who may see which ledger, and why."""

    ledger = forms.ModelChoiceField(Ledger.objects.all(), empty_label=None)
    group = forms.ModelChoiceField(
        Group.objects.order_by("name"), required=False, help_text="Every member, also one who joins later."
    )
    user = forms.CharField(required=False, label="Or user", help_text="The name of one account.")
    reason = ReasonForm.base_fields["reason"]

    def clean_user(self) -> User | None:
        """Return the account of this name."""
        name = self.cleaned_data["user"]
        user = User.objects.filter(username=name).first()
        if name and user is None:
            raise forms.ValidationError("There is no such account.")
        return user

    def clean(self) -> dict[str, Any]:
        """Take one holder, not two."""
        cleaned = super().clean() or {}
        if not self.errors and (cleaned["group"] is None) == (cleaned["user"] is None):
            raise forms.ValidationError("Name a group or a user.")
        return cleaned


@admin.register(LedgerGrant)
class GrantAdmin(ReadOnlyAdmin):
    """Grants are few: one list holds them all."""

    change_list_class = PlainChangeList
    add_label = "Grant a ledger"
    list_display = ("ledger", "holder", "given_by", "given_at")
    list_filter = ("ledger",)
    list_select_related = ("ledger", "user", "group")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Allow whoever may give."""
        return bool(request.user.has_perm("activity.add_ledgergrant"))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Allow whoever may take."""
        del obj
        return bool(request.user.has_perm("activity.delete_ledgergrant"))

    @admin.display(description="may see it")
    def holder(self, grant: LedgerGrant) -> str:
        """Return who may see the ledger."""
        return f"group {grant.group}" if grant.group else f"user {grant.user}"

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Give a grant."""
        del form_url, extra_context
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = GrantForm(posted(request))

        def step() -> None:
            asked = form.cleaned_data
            to = asked["group"] or asked["user"]
            authority.grant_ledger(ledger=asked["ledger"].name, to=to, by=username(request), reason=asked["reason"])

        if form.is_valid() and taken(form, step, (AuthorityError,)):
            messages.success(request, f"The ledger {form.cleaned_data['ledger']} is granted.")
            return HttpResponseRedirect(reverse(_LIST))
        return step_page(
            self,
            request,
            title="Grant a ledger",
            form=form,
            consequences=[
                "Whoever is granted a ledger, and has a role that reads, sees every entry in it from the first one on.",
                "The role comes from a security admin, so that it takes two people before somebody reads.",
            ],
            button="Grant",
            cancel=reverse(_LIST),
        )

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Take a grant back."""
        del extra_context
        if not self.has_delete_permission(request):
            raise PermissionDenied
        grant = self.get_object(request, unquote(object_id))
        if grant is None:
            raise Http404
        form = ReasonForm(posted(request))

        def step() -> None:
            authority.revoke_grant(
                ledger=grant.ledger.name,
                of=grant.group or grant.user,
                by=username(request),
                reason=form.cleaned_data["reason"],
            )

        if form.is_valid() and taken(form, step, (AuthorityError,)):
            messages.success(request, f"The grant {grant} is taken back.")
            return HttpResponseRedirect(reverse(_LIST))
        return step_page(
            self,
            request,
            title=f"Take back {grant.ledger} from {self.holder(grant)}",
            form=form,
            consequences=["From the next request on they see nothing of this ledger, unless another grant lets them."],
            button="Take back",
            cancel=reverse(_LIST),
            danger=True,
        )

    def title_of(self, found: Any) -> str:
        """Return who may see what."""
        return f"{found.ledger} for {self.holder(found)}"

    def sections(self, request: HttpRequest, found: Any) -> list[Section]:
        """Return who may see what, and who said so."""
        del request
        facts = [
            ("Ledger", found.ledger.name),
            ("May see it", self.holder(found)),
            ("Given", found.given_at),
            ("Given by", found.given_by),
        ]
        return [Section("Grant", facts)]

    def links(self, request: HttpRequest, found: Any) -> list[Link]:
        """Lead to the page that takes it."""
        if not self.has_delete_permission(request):
            return []
        return [Link("Take back", reverse("admin:activity_ledgergrant_delete", args=[found.pk]), danger=True)]
