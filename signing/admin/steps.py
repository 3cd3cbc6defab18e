"""A step that somebody takes in the admin: a page that says what will happen, a reason, and one service call.

GET shows the page, POST takes the step. What the service refuses stands on the form in its own words. The reason is
recorded for good with the name of the account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.template.response import TemplateResponse
from django.urls import path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django.http import HttpRequest, HttpResponse, QueryDict
    from django.urls import URLPattern

    from signing.admin.pages import ReadOnlyAdmin

LONGEST_REASON = 2_000


def username(request: HttpRequest) -> str:
    """Return who takes a step, as it is recorded."""
    user = request.user
    return user.get_username() if isinstance(user, AbstractBaseUser) else ""


def posted(request: HttpRequest) -> QueryDict | None:
    """Return what a form is filled with: nothing before somebody sends it, be it empty."""
    return request.POST if request.method == "POST" else None


class ReasonForm(forms.Form):
    """Why a step is taken."""

    reason = forms.CharField(
        max_length=LONGEST_REASON,
        widget=forms.Textarea({"rows": 3}),
        help_text="Recorded with your name, for good. Somebody will read it in some years.",
    )


def taken(form: forms.Form, step: Callable[[], object], refusals: tuple[type[Exception], ...]) -> bool:
    """Take a step and tell whether it was taken; what was refused stands on the form."""
    try:
        step()
    except refusals as error:
        form.add_error(None, str(error))
        return False
    return True


def step_urls(
    pages: ReadOnlyAdmin,
    steps: Mapping[str, Callable[[HttpRequest, Any], HttpResponse]],
    *,
    may: Callable[[HttpRequest], bool],
) -> list[URLPattern]:
    """Return a URL for each step of one object, by name; who may not take them is refused before the object is read."""

    def page_of(step: Callable[[HttpRequest, Any], HttpResponse]) -> Callable[..., HttpResponse]:
        def page(request: HttpRequest, object_id: str) -> HttpResponse:
            if not may(request):
                raise PermissionDenied
            found = pages.get_object(request, unquote(object_id))
            if found is None:
                raise Http404
            return step(request, found)

        return page

    prefix = f"{pages.opts.app_label}_{pages.opts.model_name}"
    return [
        path(f"<path:object_id>/{name}/", pages.admin_site.admin_view(page_of(step)), name=f"{prefix}_{name}")
        for name, step in steps.items()
    ]


def step_page(
    pages: ReadOnlyAdmin,
    request: HttpRequest,
    *,
    title: str,
    form: forms.Form,
    consequences: Sequence[str],
    button: str,
    cancel: str,
    template: str = "admin/step.html",
    **said: Any,
) -> TemplateResponse:
    """Return the page of a step; `consequences` are whole sentences, `cancel` is where one goes instead.

    `danger=True` colours the button of what cannot be taken back; what else is said, is the template's.
    """
    context = pages.page_context(
        request, title=title, form=form, consequences=consequences, button=button, cancel=cancel, **said
    )
    return TemplateResponse(request, template, context)
