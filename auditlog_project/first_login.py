"""The page behind the one-time link of `./auditlog first_admin`: somebody chooses the password of a new account.

The link is Django's signed password token: good for PASSWORD_RESET_TIMEOUT seconds and until the password is set. It is
moved from the address into the session at once, so that it stands in no history and no Referer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.views.decorators.http import require_http_methods

from activity import authority

if TYPE_CHECKING:
    _PasswordForm = SetPasswordForm[User]
else:
    _PasswordForm = SetPasswordForm


def one_time_path(user: User) -> str:
    """Return the path with which the holder of an account without password chooses one, once."""
    return reverse(
        "first-login", args=[urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)]
    )


class FirstPasswordForm(_PasswordForm):
    """A password, twice, under the rules of AUTH_PASSWORD_VALIDATORS."""

    def save(self, commit: bool = True) -> User:  # noqa: FBT001, FBT002 Django's
        """Let the service write."""
        del commit
        authority.set_first_password(user=self.user, password=self.cleaned_data["new_password1"])
        return self.user


@method_decorator(require_http_methods(["GET", "HEAD", "POST"]), name="dispatch")
class FirstLogin(PasswordResetConfirmView):
    """Take the password and lead to the login."""

    form_class = FirstPasswordForm
    success_url: Any = reverse_lazy("login")
    template_name = "first_login.html"
    title = "Choose your password"

    def get_user(self, uidb64: str) -> User | None:
        """Return the account if it waits for its first password; every other one has its own ways."""
        user: User | None = super().get_user(uidb64)
        return user if user is not None and user.is_active and not user.has_usable_password() else None

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Keep the title where the link is bad."""
        return {**super().get_context_data(**kwargs), "title": self.title}
