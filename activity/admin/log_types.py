"""Log types in Django's admin. The pages only ask: every change goes through services.py, with a reason and a name.

Entries, revisions and verification runs come with the admin's own issue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from activity import services
from activity.errors import LogTypeError
from activity.models import LogType
from activity.services import MAX_EXPLANATION

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractUser
    from django.http import HttpRequest, HttpResponse

    _ModelForm = forms.ModelForm[LogType]
    _ModelAdmin = admin.ModelAdmin[LogType]
else:
    _ModelForm, _ModelAdmin = forms.ModelForm, admin.ModelAdmin

_REASON_HELP = "Recorded with your name in the activity ledger, for good."


def _reason_field() -> forms.CharField:
    return forms.CharField(max_length=MAX_EXPLANATION, widget=forms.Textarea({"rows": 2}), help_text=_REASON_HELP)


class LogTypeForm(_ModelForm):
    """A log type and the reason for its change."""

    reason = _reason_field()

    class Meta:
        model = LogType
        fields = ("pattern", "requires_signature", "algorithm", "description")

    def clean(self) -> dict[str, Any]:
        """Refuse here what the service would refuse, so that its sentence stands on the form."""
        cleaned = super().clean() or {}
        if not self.errors:
            try:
                services.require_log_type(
                    pattern=cleaned.get("pattern", self.instance.pattern),
                    requires_signature=cleaned["requires_signature"],
                    algorithm=cleaned["algorithm"],
                    description=cleaned["description"],
                )
            except LogTypeError as error:
                raise ValidationError(str(error)) from error
        return cleaned


class RemovalForm(forms.Form):
    """The reason for removing a log type."""

    reason = _reason_field()

    def __init__(self, *args: Any, pattern: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._pattern = pattern

    def clean(self) -> dict[str, Any]:
        """Refuse here what the service would refuse."""
        try:
            services.require_removable(pattern=self._pattern)
        except LogTypeError as error:
            raise ValidationError(str(error)) from error
        return super().clean() or {}


@admin.register(LogType)
class LogTypeAdmin(_ModelAdmin):
    """Add, change and remove log types, one at a time: there is no bulk removal, for each needs its reason."""

    form = LogTypeForm
    list_display = ("pattern", "requires_signature", "algorithm", "description", "updated_at")
    list_filter = ("requires_signature", "algorithm")
    search_fields = ("pattern", "description")
    actions = None

    def get_readonly_fields(self, request: HttpRequest, obj: LogType | None = None) -> tuple[str, ...]:
        """Keep the pattern, for it is what a log type is: to rename one is to remove it and add another."""
        del request
        return () if obj is None else ("pattern", "updated_at")

    def save_model(self, request: HttpRequest, obj: LogType, form: Any, change: bool) -> None:  # noqa: FBT001 Django's
        """Let the service write; the system entry names the user and the reason."""
        del change
        services.set_log_type(
            pattern=obj.pattern,
            requires_signature=obj.requires_signature,
            algorithm=obj.algorithm,
            description=obj.description,
            by=_username(request),
            reason=form.cleaned_data["reason"],
        )

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for the reason, then let the service remove the log type."""
        log_type = self.get_object(request, unquote(object_id))
        if not self.has_delete_permission(request, log_type):
            raise PermissionDenied
        if log_type is None:
            raise Http404
        form = RemovalForm(request.POST or None, pattern=log_type.pattern)
        if form.is_valid():
            services.remove_log_type(
                pattern=log_type.pattern, by=_username(request), reason=form.cleaned_data["reason"]
            )
            self.message_user(request, f"The log type {log_type} was removed.", messages.SUCCESS)
            return HttpResponseRedirect(reverse("admin:activity_logtype_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Remove log type {log_type}",
            "object": log_type,
            "opts": self.opts,
            "form": form,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/activity/logtype/delete_confirmation.html", context)


def _username(request: HttpRequest) -> str:
    return cast("AbstractUser", request.user).get_username()
