"""Who asks: a system with `Authorization: Api-Key <key>`, or a person with a session."""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from activity import access
from activity.amending import AMEND_PERMISSION, REMOVE_PERMISSION
from activity.api.throttling import RefusedKeys
from activity.models import ApiKey

KEYWORD = "Api-Key"


class KeyHolder(AnonymousUser):
    """The system that sent an API key. It is nobody in the table of users and has none of their permissions."""

    is_authenticated: Any = True  # DRF asks; AnonymousUser says no

    username: Any  # throttles count by pk
    pk: Any

    def __init__(self, key: ApiKey) -> None:
        super().__init__()
        self.username = self.pk = f"api-key-{key.prefix}"


class ApiKeyAuthentication(BaseAuthentication):
    """Takes an API key; a wrong, revoked or expired one is refused, not ignored."""

    def authenticate(self, request: Request) -> tuple[KeyHolder, ApiKey] | None:
        """Return holder and key, or None if the header holds no API key."""
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != KEYWORD.lower():
            return None
        refused = RefusedKeys()
        refused.require_few(request)
        key = access.key_of(text.strip())
        if key is None:
            refused.count(request)
            raise AuthenticationFailed("the API key is unknown, revoked or expired")
        return KeyHolder(key), key

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme, so that a refusal is 401."""
        del request
        return KEYWORD


def access_of(request: Request) -> access.Access:
    """Return what the sender of a request may do."""
    if isinstance(request.auth, ApiKey):
        return access.of_key(request.auth)
    return access.of_user(cast("Any", request.user))


class Nobody(BasePermission):
    """The default: a view that does not say who may use it serves nobody."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """Refuse."""
        del request, view
        return False


class MayWrite(BasePermission):
    """Whoever may write at least one ledger; the view looks at which."""

    message = "this needs an API key with the scope logs:write, or a role that writes and a granted ledger"

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether there is a ledger to write."""
        del view
        return bool(access_of(request).writable)


class MayRead(BasePermission):
    """Whoever may read at least one ledger; the view looks at which."""

    message = "this needs an API key with the scope logs:read, or a role that reads and a granted ledger"

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether there is a ledger to read."""
        del view
        return bool(access_of(request).readable)


class MayChange(BasePermission):
    """A person with the right to amend (PATCH) or remove (DELETE) entries. No API key changes what was recorded."""

    message = "this needs a login, a role that amends or removes entries, and a granted ledger"

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether there is an entry that the sender may change so; amending.py looks at which."""
        del view
        right = REMOVE_PERMISSION if request.method == "DELETE" else AMEND_PERMISSION
        return request.auth is None and bool(access_of(request).readable) and request.user.has_perm(right)


class MayReadOrWrite(BasePermission):
    """Whoever may read or write a ledger."""

    message = "this needs an API key, or a role and a granted ledger"

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether there is a ledger to read or write."""
        del view
        may = access_of(request)
        return bool(may.readable or may.writable)
