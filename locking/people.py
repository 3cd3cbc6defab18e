"""Who may take a step that waits: people of a role, never the one who asked. Reads; writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import Permission, User
from django.db.models import Q

from activity import access

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.db.models import QuerySet

_NAMED = 5  # names that a page shows
_LOOKED_AT = 50


def able(*, permission: str, but: str) -> QuerySet[User]:
    """Return the active accounts that a role or a right of their own gives a permission, all but one of them.

    Superusers have every right and are named nowhere: who is to act is whoever was given the role.
    """
    app, _, codename = permission.partition(".")
    right = Permission.objects.filter(content_type__app_label=app, codename=codename)
    held = Q(groups__permissions__in=right) | Q(user_permissions__in=right)
    return User.objects.filter(held, is_active=True).exclude(username=but).distinct().order_by("username")


def who_can(*, permission: str, but: str, ledgers: Collection[str]) -> list[str]:
    """Return names of people who may take a step about entries of these ledgers, some if there are many."""
    wanted = frozenset(ledgers)
    candidates = able(permission=permission, but=but)[:_LOOKED_AT]
    names = (user.get_username() for user in candidates if wanted <= access.of_user(user).readable)
    return [name for name, _ in zip(names, range(_NAMED), strict=False)]
