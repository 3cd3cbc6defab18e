"""What the three lists have in common: of the granted ledgers alone, like everything that is said of entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from activity import access
from signing.admin.pages import ReadOnlyAdmin

if TYPE_CHECKING:
    from django.http import HttpRequest


class LockingAdmin(ReadOnlyAdmin):
    """Rows to look at, those of ledgers that whoever looks may read; being a superuser grants none."""

    def readable(self, request: HttpRequest) -> frozenset[str]:
        """Return the ledgers whose rows are shown."""
        return access.of_user(request.user).readable
