"""`/meta-logs/order/`: order a signed export of accesses; where it is followed and taken is a page of exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from exports.models import Export
from exports.views.orders import Order
from metaaudit.extraction import SOURCE
from metaaudit.views.forms import FilterForm, query_of
from metaaudit.visibility import sees_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.http import QueryDict


class OrderAccesses(Order):
    """The order form, with the filters of the list of accesses."""

    formats = SOURCE.formats
    chosen: ClassVar[Sequence[str]] = (Export.Format.CSV, Export.Format.NDJSON)
    words: ClassVar[Mapping[str, str]] = {
        "address": "order-accesses",
        "fields": "metaaudit/filter_fields.html",
        "which": "Which accesses",
    }

    def has_permission(self) -> bool:
        """Tell whether it is the auditor of auditors; an export has everybody's accesses."""
        return super().has_permission() and sees_all(self.request.user)

    def ledgers(self) -> frozenset[str]:
        """Return the ledgers to choose from."""
        return SOURCE.readable(self.request.user)

    def query_of(self, sent: QueryDict) -> QueryDict:
        """Return what the form asks for as filters of the API."""
        return query_of(sent)

    def filters(self, query: QueryDict) -> FilterForm:
        """Return the filters."""
        return FilterForm(query)
