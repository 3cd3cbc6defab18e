"""What every page of locks and overrides has: who may see it, and how a refused step is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import PermissionDenied

from activity.views.logs import Reading
from locking.errors import LockRefusedError
from locking.wording import sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from django import forms
    from django.contrib.auth.models import User
    from django.http import HttpRequest


class Locking(Reading):
    """A page for people who may read a ledger and have one of the rights that the page needs."""

    rights: ClassVar[tuple[str, ...]] = ()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Refuse whoever is signed in and has none of them. Raises PermissionDenied."""
        user = request.user
        if user.is_authenticated and not any(user.has_perm(right) for right in self.rights):
            raise PermissionDenied(f"this needs one of: {', '.join(self.rights)}")
        return super().dispatch(request, *args, **kwargs)

    @property
    def person(self) -> User:
        """Whoever asks: somebody with an account, for he has a right."""
        user: Any = self.request.user
        return user  # type: ignore[no-any-return] # dispatch looked


def taken(form: forms.Form, step: Callable[[], object]) -> bool:
    """Take a step and tell whether it was taken; what was refused stands on the form, which keeps what was typed."""
    if not form.is_valid():
        return False
    try:
        step()
    except LockRefusedError as error:
        form.add_error(None, sentence(error))
        return False
    return True
