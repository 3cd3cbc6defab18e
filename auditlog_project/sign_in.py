"""Signing in, for the pages and for the admin: by name and password, and never too often.

Wrong pairs are counted by address and by the account they were tried on, whether there is one or not; beyond
AUDITLOG_RATE_SIGN_IN nobody is even asked. What is refused says nothing about which part was wrong.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import PermissionDenied
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods

from activity.api.throttling import RefusedKeys

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse, HttpResponseBase


class RefusedAddresses(RefusedKeys):
    """Counts wrong pairs by address."""

    scope = "sign-in"


class RefusedAccounts(RefusedKeys):
    """Counts wrong pairs by the account's name. The key is a hash: a name may be long, or a password by mistake."""

    scope = "sign-in"

    def get_cache_key(self, request: Any, view: Any) -> str:
        """Return whose count it is."""
        del view
        name = str(request.POST.get("username", ""))
        ident = sha256(name.casefold().encode(errors="replace")).hexdigest()
        return self.cache_format % {"scope": "sign-in-account", "ident": ident}


@method_decorator(require_http_methods(["GET", "HEAD", "POST"]), name="dispatch")
class SignIn(LoginView):
    """Take name and password and lead to where somebody was going."""

    template_name = "sign_in.html"
    authentication_form = AuthenticationForm
    redirect_authenticated_user = True

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Ask only if not too many pairs were wrong lately. Raises Throttled."""
        counts = (RefusedAddresses(), RefusedAccounts())
        for each in counts:
            each.require_few(request)  # type: ignore[arg-type] # Django's request has what is looked at
        response = super().post(request, *args, **kwargs)
        if not request.user.is_authenticated:
            for each in counts:
                each.count(request)  # type: ignore[arg-type] # as above
        return response


@method_decorator(require_http_methods(["GET", "HEAD", "POST"]), name="dispatch")
class AdminSignIn(SignIn):
    """The same at the admin's own address, where it also sends people who are signed in and may not enter."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Refuse those, for to lead them on would lead them here again."""
        if request.user.is_authenticated and not (request.user.is_active and request.user.is_staff):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)
