"""API keys: make one, which is shown once, and revoke one. Both are recorded, with a reason.

A key that writes is made by whoever administers keys (`add_apikey`). A key that reads lets a system see a ledger, so
that it takes the right to grant ledgers (`add_ledgergrant`): a security admin, who reads no entry, would otherwise
make himself a key that does.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from activity import authority
from activity.errors import AuthorityError
from activity.models import ApiKey
from signing.admin.pages import Link, PlainChangeList, ReadOnlyAdmin, Section, badge
from signing.admin.steps import ReasonForm, posted, step_page, taken, username
from signing.models import Ledger

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

# Whoever may give a scope.
_GIVERS = {ApiKey.Scope.WRITE: "activity.add_apikey", ApiKey.Scope.READ: "activity.add_ledgergrant"}
_LIST = "admin:activity_apikey_changelist"


class ApiKeyForm(forms.Form):
    """What a new key may do, and why it is made."""

    name = forms.CharField(max_length=100, help_text="For people: which system uses it.")
    scopes = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    ledger = forms.ChoiceField(help_text="The one ledger that it may write to or read.")
    source = forms.CharField(max_length=200, strip=False, help_text="The one source that it writes as.")
    expires_on = forms.DateTimeField(
        label="Expires at (UTC)",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text="Empty: it is good until it is revoked.",
    )
    reason = ReasonForm.base_fields["reason"]

    def __init__(self, *args: Any, scopes: list[str]) -> None:
        super().__init__(*args)
        choices = {"scopes": [(name, name) for name in scopes], "ledger": [(str(one), str(one)) for one in _ledgers()]}
        for name, offered in choices.items():
            field = self.fields[name]
            if isinstance(field, forms.ChoiceField):
                field.choices = offered
        if len(scopes) == 1:
            self.fields["scopes"].initial = scopes


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """API keys are few: one list holds them all. The key itself stands nowhere."""

    change_list_class = PlainChangeList
    add_label = "Make an API key"
    list_display = ("name", "prefix", "state", "scopes_shown", "ledger", "source", "expires_at", "created_by")
    list_select_related = ("ledger",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Allow whoever may give at least one scope."""
        return bool(_scopes_of(request))

    def get_urls(self) -> list[URLPattern]:
        """Add the page that revokes one."""
        revoke = self.admin_site.admin_view(self.revoke)
        return [path("<path:object_id>/revoke/", revoke, name="activity_apikey_revoke"), *super().get_urls()]

    def state(self, key: ApiKey) -> SafeString:
        """Return whether the key is good."""
        return badge(_state(key))

    @admin.display(description="scopes")
    def scopes_shown(self, key: ApiKey) -> str:
        """Return what it may do."""
        return ", ".join(key.scopes)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Make a key, and show it this once: it goes into no session and no address."""
        del form_url, extra_context
        scopes = _scopes_of(request)
        if not scopes:
            raise PermissionDenied
        form = ApiKeyForm(posted(request), scopes=scopes)
        made: list[tuple[ApiKey, str]] = []

        def step() -> None:
            asked = dict(form.cleaned_data)
            asked["expires_at"] = asked.pop("expires_on")
            made.append(authority.create_api_key(**asked, by=username(request)))

        if form.is_valid() and taken(form, step, (AuthorityError,)):
            ((row, key),) = made
            context = self.page_context(request, title=f"API key {row.name}", key=key, original=row)
            return TemplateResponse(request, "admin/activity/apikey/made.html", context)
        return step_page(
            self,
            request,
            title="Make an API key",
            form=form,
            consequences=[
                "The key is shown once, on the next page, and cannot be shown again: only its hash is kept.",
                "Whoever has it may do what its scopes say, from anywhere, until it expires or is revoked.",
            ],
            button="Make the key",
            cancel=reverse(_LIST),
        )

    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make a key useless, for good."""
        key = self.get_object(request, unquote(object_id))
        if not _may_revoke(request):
            raise PermissionDenied
        if key is None:
            raise Http404
        form = ReasonForm(posted(request))

        def step() -> None:
            authority.revoke_api_key(prefix=key.prefix, by=username(request), reason=form.cleaned_data["reason"])

        if form.is_valid() and taken(form, step, (AuthorityError,)):
            messages.success(request, f"The API key {key} is revoked.")
            return HttpResponseRedirect(reverse(_LIST))
        return step_page(
            self,
            request,
            title=f"Revoke API key {key}",
            form=form,
            consequences=[
                "From the next request on, whoever sends it is refused. It never becomes good again.",
                "What was recorded with it stays as it is.",
            ],
            button="Revoke",
            cancel=reverse("admin:activity_apikey_change", args=[quote(key.pk)]),
            danger=True,
        )

    def sections(self, request: HttpRequest, found: Any) -> list[Section]:
        """Return all that is known of a key."""
        del request
        facts = [
            ("State", badge(_state(found))),
            ("Name", found.name),
            ("Prefix", found.prefix),
            ("Scopes", self.scopes_shown(found)),
            ("Ledger", found.ledger.name),
            ("Source", found.source),
            ("Made", found.created_at),
            ("Made by", found.created_by),
            ("Expires", found.expires_at or "never"),
            ("Revoked", found.revoked_at),
        ]
        return [Section("API key", [(name, value) for name, value in facts if value is not None])]

    def links(self, request: HttpRequest, found: Any) -> list[Link]:
        """Lead to its revocation."""
        if found.revoked_at is not None or not _may_revoke(request):
            return []
        return [Link("Revoke", reverse("admin:activity_apikey_revoke", args=[quote(found.pk)]), danger=True)]


def _scopes_of(request: HttpRequest) -> list[str]:
    return [scope.value for scope, permission in _GIVERS.items() if request.user.has_perm(permission)]


def _may_revoke(request: HttpRequest) -> bool:
    return any(map(request.user.has_perm, ("activity.change_apikey", "activity.delete_ledgergrant")))


def _ledgers() -> list[Ledger]:
    # The one for events first, for that is what most keys are for.
    return sorted(Ledger.objects.all(), key=lambda ledger: (ledger.kind != Ledger.Kind.ACTIVITY, ledger.name))


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else "active"
