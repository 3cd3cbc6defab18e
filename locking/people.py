"""Who may take a step that waits: people of a role who may read what it is about, never the one who asked. Reads."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from django.contrib.auth.models import Permission, User
from django.db.models import Q

from activity import access

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAMED = 5  # names that a page shows


def able(*, permission: str, but: str, ledgers: Iterable[str]) -> Iterator[User]:
    """Yield the active accounts that have a permission and may read all of these ledgers, but for one of them.

    Superusers have every right and are named nowhere: who is to act is whoever was given the role.
    """
    app, _, codename = permission.partition(".")
    right = Permission.objects.filter(content_type__app_label=app, codename=codename)
    held = Q(groups__permissions__in=right) | Q(user_permissions__in=right)
    wanted = frozenset(ledgers)
    for user in User.objects.filter(held, is_active=True).exclude(username=but).distinct().order_by("username"):
        if wanted <= access.of_user(user).readable:
            yield user


def who_can(*, permission: str, but: str, ledgers: Iterable[str]) -> list[str]:
    """Return names of people who may take a step about entries of these ledgers, some if there are many."""
    return [user.get_username() for user in islice(able(permission=permission, but=but, ledgers=ledgers), _NAMED)]
