"""A step that somebody takes in the admin: a page that says what will happen, a reason, and one service call.

GET shows the page, POST takes the step. What the service refuses stands on the form in its own words. The reason is
recorded for good with the name of the account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.models import AbstractBaseUser
from django.template.response import TemplateResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.http import HttpRequest, QueryDict

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
