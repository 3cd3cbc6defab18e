"""From what a page was asked to what is to be locked: the filters of a list of entries, or entries by their ids.

    type= severity= outcome= source= actor= action= target= ip=      exactly this; type also as auth.*
    occurred_from= occurred_to= recorded_from= recorded_to= leaf_from= leaf_to=
    leaf_index=         one leaf
    entry=ID            any number of times, and nothing beside it

What a list can filter by and a lock cannot (data, event id, key, revision) is refused by name, never left out: a lock
would hold more than the list showed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from activity import filters
from activity.chosen import ENTRY, chosen
from activity.errors import BadQueryError, Problem
from locking import scopes
from locking.wording import WHOLE
from signing.queries import ledger_named

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import QueryDict

    from signing.models import Ledger

_LEAF = "leaf_index"
_LISTING = ("ledger", "order", "limit", "cursor")
_ASKED = frozenset({*scopes.TEXTS, *scopes.TIMES, *scopes.LEAVES, _LEAF})
_NOT_IN_SCOPES = "a lock cannot be for this; filter by something else, or choose single entries in the administration"


class Order(NamedTuple):
    """What is to be locked, and how."""

    ledger: Ledger
    scope: dict[str, Any]
    kind: str
    until: datetime | None

    def said(self) -> dict[str, Any]:
        """Return what of it somebody must have seen before it is done."""
        until = self.until and self.until.isoformat()
        return {"ledger": self.ledger.name, "scope": self.scope, "kind": self.kind, "until": until}


def asks_for_something(query: QueryDict) -> bool:
    """Tell whether a query names entries or filters them."""
    return any(name not in _LISTING for name in query)


def target_of(
    query: QueryDict, readable: frozenset[str], *, ledger: str, everything: bool
) -> tuple[Ledger, dict[str, Any]]:
    """Return in which ledger which scope a query asks for. Raises BadQueryError naming every fault."""
    if ENTRY in query:
        return _named_entries(query, readable)
    asked = query.copy()
    for name in _LISTING:
        asked.pop(name, None)
    problems = [Problem(name, _NOT_IN_SCOPES) for name in asked if name not in _ASKED]
    try:
        filters.search_of(asked, readable)
    except BadQueryError as error:
        problems += [problem for problem in error.problems if problem.path in _ASKED]
    scope = {} if problems else _scope_of(asked)
    if not problems and bool(scope) == everything:
        problems.append(Problem("everything", _one_or_the_other(filtered=bool(scope))))
    if problems:
        raise BadQueryError(problems)
    return ledger_named(ledger), scopes.checked(scope or dict(WHOLE))


def _one_or_the_other(*, filtered: bool) -> str:
    if filtered:
        return "there are filters, so that it cannot be every entry: take one of the two away"
    return "give a filter, or say that every entry of the ledger is meant"


def _scope_of(asked: QueryDict) -> dict[str, Any]:
    scope: dict[str, Any] = {
        name: int(str(asked[name])) if name in scopes.LEAVES else str(asked[name]) for name in asked if name != _LEAF
    }
    if _LEAF in asked:
        leaf = int(str(asked[_LEAF]))
        scope |= {
            "leaf_from": max(leaf, scope.get("leaf_from", 0)),
            "leaf_to": min(leaf + 1, scope.get("leaf_to", leaf + 1)),
        }
    return scope


def _named_entries(query: QueryDict, readable: frozenset[str]) -> tuple[Ledger, dict[str, Any]]:
    ledger, entries = chosen(query, readable, most=scopes.MAX_ENTRIES)
    return ledger, scopes.checked({"entries": [str(entry.pk) for entry in entries]})
