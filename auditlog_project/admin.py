"""Accounts in Django's admin. A security admin makes them and gives roles, but cannot raise himself.

    nobody                 deletes or renames an account: entries name it for ever; it is closed (`active`) instead
    who is no superuser    makes no superuser, gives no single permissions, changes no superuser and not his own rights

What one person with two accounts can do is not prevented here; every change is a system entry with the roles.
Roles are made by roles.py alone, so that groups are only looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction

from activity import authority

if TYPE_CHECKING:
    from django.contrib.admin.models import LogEntry
    from django.http import HttpRequest, HttpResponse

    _UserAdmin = UserAdmin[User]
else:
    _UserAdmin = UserAdmin

_RIGHTS = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")
_SUPERUSERS_TO_GIVE = ("is_superuser", "user_permissions")
_FACTS = ("last_login", "date_joined")

admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class AccountAdmin(_UserAdmin):
    """Make and close accounts, give and take roles."""

    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")
    actions = None

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Refuse: an account is closed, not deleted."""
        del request, obj
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Let superusers alone change a superuser, whose password would otherwise be the way up."""
        if obj is not None and obj.is_superuser and not _is_superuser(request):
            return False
        return super().has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Fix the name, and what somebody must not give to others or to himself."""
        fixed = _FACTS if obj is None else ("username", *_FACTS)
        if _is_superuser(request):
            return fixed
        return (*fixed, *(_RIGHTS if obj is not None and obj.pk == request.user.pk else _SUPERUSERS_TO_GIVE))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002 Django's
        """Set a password and record it, or neither."""
        with transaction.atomic():
            response: HttpResponse = super().user_change_password(request, id, form_url)
        return response

    def log_addition(self, request: HttpRequest, obj: User, message: Any) -> LogEntry:
        """Record the new account."""
        return self._recorded(request, obj, super().log_addition(request, obj, message))

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> LogEntry:
        """Record what was changed, also where it is the password."""
        return self._recorded(request, obj, super().log_change(request, obj, message))

    def _recorded(self, request: HttpRequest, account: User, step: LogEntry) -> LogEntry:
        said = step.get_change_message()
        authority.record_account(account=account, by=request.user.get_username(), step=said)
        return step


@admin.register(Group)
class RoleAdmin(GroupAdmin):
    """See which permissions a role has."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: roles come from the release."""
        del request
        return False

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Refuse, as above."""
        del request, obj
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        """Refuse, as above."""
        del request, obj
        return False


def _is_superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_superuser)
