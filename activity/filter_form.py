"""The filters of a list of entries as a form. Its fields are the parameters of activity/filters.py, with differences.

times                            as browsers give them, without a zone: UTC
data_path=PATH data_text=TEXT    for data.PATH=TEXT, of which an address may hold any number
leaf_indexes                     may have spaces between its numbers
what is empty                    is not asked for
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from django import forms
from django.http import QueryDict

from activity.chosen import ENTRY
from activity.event import OUTCOMES, SEVERITIES
from activity.filters import TIMES
from activity.search import NAMED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from activity.errors import Problem

_ANY = ("", "any")
_LOCAL_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(\.\d{1,6})?")
_UTC_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,6})?(Z|\+00:00)")
_DATA = "data."
_PATH, _TEXT = "data_path", "data_text"
_NO_FILTERS = ("order", "limit", "cursor")
_NAMES = {ENTRY: "Chosen entries"}
_OFTEN = ("type", "actor", "action", "target", "occurred_from", "occurred_to", "outcome", "order")


def query_of(sent: QueryDict) -> QueryDict:
    """Return what the form asks for as parameters of the API."""
    query = QueryDict(mutable=True)
    for name in sent:
        if name in (_PATH, _TEXT):
            continue
        values = [value for value in sent.getlist(name) if value]
        if values:
            query.setlist(name, [_as_parameter(name, value) for value in values])
    if path := sent.get(_PATH):
        query[_DATA + path.removeprefix(_DATA)] = sent.get(_TEXT, "")
    return query


def _as_parameter(name: str, text: str) -> str:
    if name == NAMED:
        return "".join(text.split())
    return with_zone(text) if name in TIMES else text


def with_zone(text: str) -> str:
    """Return a time of a datetime-local field as the API takes it, in UTC; anything else as it is."""
    found = _LOCAL_TIME.fullmatch(text)
    return f"{found[1]}{found[2] or ':00'}{found[3] or ''}Z" if found else text


def without_zone(text: str) -> str:
    """Return a time in UTC as a datetime-local field takes it; anything else as it is."""
    found = _UTC_TIME.fullmatch(text)
    return f"{found[1]}{(found[2] or '')[:4]}" if found else text


class Chip(NamedTuple):
    """A filter that is on, and the query without it."""

    name: str
    text: str
    rest: str


def chips(query: QueryDict) -> list[Chip]:
    """Return the filters of a query."""
    found = []
    for name in query:
        if name in _NO_FILTERS:
            continue
        rest = query.copy()
        del rest[name]
        rest.pop("cursor", None)
        found.append(Chip(name.replace("_", " "), ", ".join(map(str, query.getlist(name))), rest.urlencode()))
    return found


class FilterForm(forms.Form):
    """Every filter; filled from a query, and complaining as the API does."""

    use_required_attribute = False

    type = forms.CharField(label="Type", help_text="exactly, as in auth.login")
    actor = forms.CharField(label="Actor")
    action = forms.CharField(label="Action")
    target = forms.CharField(label="Target")
    occurred_from = forms.CharField(label="Occurred from")
    occurred_to = forms.CharField(label="Occurred before")
    recorded_from = forms.CharField(label="Recorded from")
    recorded_to = forms.CharField(label="Recorded before")
    outcome = forms.ChoiceField(label="Outcome", choices=[_ANY, *((one, one) for one in OUTCOMES)])
    severity = forms.ChoiceField(label="Severity", choices=[_ANY, *((one, one) for one in SEVERITIES)])
    source = forms.CharField(label="Source")
    ip = forms.CharField(label="IP address")
    event_id = forms.CharField(label="Event id", help_text="with its source")
    leaf_index = forms.CharField(label="Leaf index")
    leaf_from = forms.CharField(label="Leaves from")
    leaf_to = forms.CharField(label="Leaves before")
    leaf_indexes = forms.CharField(label="Leaves one by one", help_text="3,7,12; with no filter beside it")
    data_path = forms.CharField(label="Data: path", help_text="user.roles.0; needs a time range with both ends")
    data_text = forms.CharField(label="Data: text")
    ledger = forms.ChoiceField(label="Ledger")
    order = forms.ChoiceField(
        label="Order",
        choices=[
            ("", "last recorded first"),
            ("id", "first recorded first"),
            ("-occurred_at", "last occurred first"),
            ("occurred_at", "first occurred first"),
        ],
    )

    def __init__(self, query: QueryDict, *, readable: Iterable[str], without: Iterable[str] = ()) -> None:
        filled: dict[str, Any] = {name: query[name] for name in query if name in self.base_fields}
        data = [name for name in query if name.startswith(_DATA)]
        self.further_data = [(name, query[name]) for name in data[:-1]]
        if data:
            filled |= {_PATH: data[-1].removeprefix(_DATA), _TEXT: query[data[-1]]}
        for name in TIMES:
            if name in filled:
                filled[name] = without_zone(filled[name])
        super().__init__(initial=filled)
        for name in TIMES:
            self.fields[name].widget = forms.DateTimeInput({"type": "datetime-local", "step": "1"}, "%Y-%m-%dT%H:%M:%S")
        ledgers = forms.ChoiceField(label="Ledger", choices=[_ANY, *((one, one) for one in sorted(readable))])
        self.fields["ledger"] = ledgers
        for name in without:
            del self.fields[name]

    @property
    def often(self) -> list[forms.BoundField]:
        """Return the fields that most people need."""
        return [self[name] for name in _OFTEN if name in self.fields]

    @property
    def rarely(self) -> list[forms.BoundField]:
        """Return the others."""
        return [self[name] for name in self.fields if name not in _OFTEN]

    @property
    def rare_in_use(self) -> bool:
        """Tell whether one of them is filled."""
        return any(self.initial.get(name) for name in self.fields if name not in _OFTEN)

    def complain(self, problems: Iterable[Problem]) -> list[str]:
        """Keep the complaints of the API and return them as sentences."""
        said = []
        for problem in problems:
            field = self.fields.get(problem.path)
            said.append(f"{field.label if field else _NAMES.get(problem.path, problem.path)}: {problem.reason}")
            if field is not None:
                field.widget.attrs["aria-invalid"] = "true"
        return said
