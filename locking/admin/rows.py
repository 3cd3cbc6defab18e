"""What the three lists have in common: of the granted ledgers alone, like everything that is said of entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from activity import access
from locking import queries
from signing.admin.pages import ReadOnlyAdmin

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest


class LedgerFilter(admin.SimpleListFilter):
    """One of the ledgers that whoever looks may read; there are no locks in the others for him."""

    title = "ledger"
    parameter_name = "ledger"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the granted ledgers."""
        del model_admin
        return [(name, name) for name in sorted(access.of_user(request.user).readable)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows of the ledger that was chosen; of one that is not granted there are none."""
        name = self.value()
        if name is None:
            return queryset
        is_readable = name in access.of_user(request.user).readable
        return queryset.filter(ledger__in=queries.rows_of([name])) if is_readable else queryset.none()


class LockingAdmin(ReadOnlyAdmin):
    """Rows to look at, those of ledgers that whoever looks may read; being a superuser grants none."""

    def readable(self, request: HttpRequest) -> frozenset[str]:
        """Return the ledgers whose rows are shown."""
        return access.of_user(request.user).readable
