"""The query of a list of locks, in the API and on pages, from its parameters to what is wanted.

ledger=  kind=  state=  case=      exactly this; without a ledger: all that whoever asks may read
limit=1..1000   cursor=…           the page after the one that gave the cursor
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from activity.filters import one_of, take_each, whole_number
from locking.models import LogLock
from locking.queries import MAX_LIMIT, MAX_LOCK_ID, Wanted
from signing.errors import LedgerNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.http import QueryDict

_EQUAL: dict[str, tuple[str, Callable[[str], Any]]] = {
    "ledger": ("ledger", str),
    "kind": ("kind", one_of(*LogLock.Kind.values)),
    "state": ("state", one_of(*LogLock.State.values)),
    "case": ("case_reference", str),
}
_REST: dict[str, tuple[str, Callable[[str], Any]]] = {
    "limit": ("limit", whole_number(1, MAX_LIMIT)),
    "cursor": ("before", whole_number(1, MAX_LOCK_ID)),
}
PARAMETERS = (*_EQUAL, *_REST)


def wanted_of(query: QueryDict, readable: Iterable[str]) -> Wanted:
    """Return what a query asks for. Raises BadQueryError naming every fault, LedgerNotFoundError."""
    said: dict[str, Any] = {"equal": {}}
    take_each(query, partial(_take, said))
    ledgers = frozenset(readable)
    named = said["equal"].pop("ledger", None)
    if named is None:
        return Wanted(ledgers=ledgers, **said)
    if named not in ledgers:
        # The same answer whether there is such a ledger or not.
        raise LedgerNotFoundError(f"there is no ledger {named!r} that you may read")
    return Wanted(ledgers=frozenset({named}), **said)


def _take(said: dict[str, Any], name: str, text: str) -> None:
    if "\0" in text:
        raise ValueError("U+0000 is in none of them")
    if name in _EQUAL:
        column, read = _EQUAL[name]
        said["equal"][column] = read(text)
    elif name in _REST:
        column, read = _REST[name]
        said[column] = read(text)
    else:
        raise ValueError(f"there is no such parameter; there are: {', '.join(PARAMETERS)}")
