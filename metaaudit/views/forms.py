"""The filters of a list of accesses as a form, for people; the API has all of them (metaaudit/filters.py).

Times are as browsers give them, without a zone: UTC. What is empty is not asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.http import QueryDict

from activity.filter_form import with_zone, without_zone
from metaaudit.vocabulary import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from activity.errors import Problem

_TIME = {"type": "datetime-local", "step": "1"}
_TIMES = ("from", "to")


class FilterForm(forms.Form):
    """The filters that people use; the API has all of them."""

    use_required_attribute = False

    user = forms.CharField(label="User", required=False, help_text="Name, or an id such as user:7.")
    action = forms.ChoiceField(
        label="Action", required=False, choices=[("", "any"), *((name, name) for name in sorted(ACTIONS))]
    )
    saw_target = forms.CharField(label="Was shown entries about", required=False, help_text="The target, exactly.")
    saw_entry = forms.CharField(label="Was shown the entry", required=False, help_text="Its id.")
    route = forms.CharField(label="Route", required=False)
    status = forms.CharField(label="Status", required=False)
    query_hash = forms.CharField(label="Query hash", required=False)
    to = forms.CharField(label="To (UTC)", required=False, widget=forms.TextInput(_TIME))

    def __init__(self, query: QueryDict) -> None:
        filled: dict[str, Any] = {name: query[name] for name in query}
        super().__init__(initial=filled | {name: without_zone(filled[name]) for name in _TIMES if name in filled})
        # A word of Python's own, so it cannot be declared above.
        self.fields["from"] = forms.CharField(label="From (UTC)", required=False, widget=forms.TextInput(_TIME))
        self.order_fields(["user", "action", "saw_target", "saw_entry", "from", "to"])

    def complain(self, problems: Iterable[Problem]) -> list[str]:
        """Mark the fields that the API complains of, and return its complaints as sentences."""
        said = []
        for problem in problems:
            field = self.fields.get(problem.path)
            said.append(f"{(field and field.label) or problem.path}: {problem.reason}")
            if field is not None:
                field.widget.attrs["aria-invalid"] = "true"
        return said


def query_of(sent: QueryDict) -> QueryDict:
    """Return what a form asks for as parameters of the API: nothing that is empty, times in UTC."""
    query = QueryDict(mutable=True)
    for name in sent:
        values = [value for value in sent.getlist(name) if value]
        if values:
            query.setlist(name, [with_zone(value) for value in values] if name in _TIMES else values)
    return query
