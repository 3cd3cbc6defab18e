"""Who may see which meta logs: the auditor of auditors all of them, everybody else his own trace, a stranger none.

Being a superuser is not enough: who may do everything is exactly whose trace somebody else has to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Permission
from django.db.models import Q

from activity.models import ApiKey

if TYPE_CHECKING:
    from django.http import HttpRequest

CODENAME = "view_metalog"


def sees_all(user: Any) -> bool:
    """Tell whether a role or a permission of his own lets somebody see every meta log."""
    if not user.is_authenticated or not user.is_active or user.pk is None or not isinstance(user.pk, int):
        return False
    held = Q(group__user=user.pk) | Q(user=user.pk)
    return Permission.objects.filter(held, codename=CODENAME, content_type__app_label="metaaudit").exists()


def whose(request: HttpRequest | Any) -> str | None:
    """Return the id under which somebody's own accesses are recorded, or None if he may see everybody's.

    Raises PermissionError for a stranger, who has no trace.
    """
    key = getattr(request, "auth", None)
    if isinstance(key, ApiKey):
        return f"api-key:{key.prefix}"
    if not request.user.is_authenticated:
        raise PermissionError("a stranger has no trace")
    return None if sees_all(request.user) else f"user:{request.user.pk}"
