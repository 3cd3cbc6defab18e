"""The query of a list of entries, in the API and on pages, from its parameters to a Search. Every wrong one is named.

ledger=NAME                              one of those that the sender may read; without it all of them
type= actor= action= target= outcome= severity= source= ip= leaf_index=      exactly this
event_id=                                exactly this, with source
kid= revision= locked=                   exactly this, within a time range with both ends
leaf_from= leaf_to=                      leaves; from inclusive, to exclusive
leaf_indexes=3,7,12                      these leaves, named one by one; beside it only ledger and paging
occurred_from= occurred_to= recorded_from= recorded_to=     RFC 3339; from inclusive, to exclusive
data.PATH=TEXT                           within a time range with both ends; data.user.roles.0=admin
order=-id|id|-occurred_at|occurred_at    -id: the last recorded first
limit=1..1000   cursor=…                 the page after the one that gave the cursor, of the same query
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core import signing as tokens

from activity.errors import BadQueryError, Problem
from activity.event import MAX_CHARACTERS, OUTCOMES, SEVERITIES, canonical_ip
from activity.search import EQUAL, MAX_LIMIT, NAMED, ORDERS, WITHIN, Place, Search
from activity.timestamps import parse_timestamp
from signing.errors import LedgerNotFoundError
from signing.queries import ledger_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.http import QueryDict

TIMES = ("occurred_from", "occurred_to", "recorded_from", "recorded_to")
LEAVES = ("leaf_from", "leaf_to")
MAX_NAMED = 1_000  # leaves that one query names
_PAGING = ("order", "limit", "cursor")
_DATA = "data."
PARAMETERS = frozenset({"ledger", NAMED, *EQUAL, *WITHIN, *LEAVES, *TIMES, *_PAGING})
_COLUMNS = {"kid": "key_id"}
_SALT = "activity.filters.cursor"
_MAX_LEAF = 2**63 - 1


def search_of(query: QueryDict, readable: Iterable[str]) -> Search:
    """Return what a query asks for. Raises BadQueryError naming every fault, LedgerNotFoundError."""
    said: dict[str, Any] = {"equal": {}, "data": {}}
    take_each(query, partial(_take, said))
    named = said.pop("ledger", None)
    cursor = said.pop("cursor", None)
    names = sorted(readable) if named is None else [named]
    if not set(names) <= set(readable):
        # The same answer whether there is such a ledger or not.
        raise LedgerNotFoundError(f"there is no ledger {named!r} that you may read")
    search = Search(ledgers=[ledger_named(name) for name in names], **said)
    if "event_id" in search.equal and "source" not in search.equal:
        raise BadQueryError([Problem("event_id", "is a source's own: give the source too")])
    if NAMED in query and not set(query) <= {NAMED, "ledger", *_PAGING}:
        raise BadQueryError([Problem(NAMED, "names entries one by one, so that no other filter stands beside it")])
    slow = ["data"] * bool(search.data) + [name for name in WITHIN if _COLUMNS.get(name, name) in search.equal]
    if slow and not search.has_time_range:
        needs = "needs a range: occurred_from and occurred_to, or the two of recorded"
        raise BadQueryError([Problem(name, needs) for name in slow])
    return search if cursor is None else _after(search, cursor)


def take_each(query: QueryDict, take: Callable[[str, str], None]) -> None:
    """Hand name and text of every parameter to `take`, which raises ValueError with what is wrong with one.

    Raises BadQueryError naming every fault.
    """
    problems = []
    for name in query:
        try:
            texts = query.getlist(name)
            if len(texts) > 1:
                raise ValueError("is given more than once")  # noqa: TRY301 -- a fault among the others
            take(name, texts[0])
        except ValueError as error:
            problems.append(Problem(name, str(error)))
    if problems:
        raise BadQueryError(problems)


def take_none(query: QueryDict) -> None:
    """Raise BadQueryError naming every parameter, where none is taken."""
    if query:
        raise BadQueryError([Problem(name, "there is no such parameter") for name in query])


def cursor_of(search: Search, place: Place) -> str:
    """Return the cursor of the next page: sealed, and good for this query only."""
    said = [place.occurred_at.isoformat(), str(place.id), _meaning(search)]
    return tokens.dumps(said, salt=_SALT, compress=True)


def _after(search: Search, cursor: str) -> Search:
    try:
        occurred_at, entry_id, meaning = tokens.loads(cursor, salt=_SALT)
    except tokens.BadSignature:
        raise BadQueryError([Problem("cursor", "is not one that this server gave")]) from None
    if meaning != _meaning(search):
        raise BadQueryError([Problem("cursor", "belongs to another query; begin again without it")])
    return replace(search, after=Place(datetime.fromisoformat(occurred_at), UUID(entry_id)))


def _meaning(search: Search) -> str:
    asked = (
        [ledger.name for ledger in search.ledgers],
        sorted(search.equal.items()),
        sorted(search.data.items()),
        [str(getattr(search, name)) for name in (*LEAVES, NAMED, *TIMES)],
        search.order,
    )
    return repr(asked)


def _take(said: dict[str, Any], name: str, text: str) -> None:
    """Add one parameter. Raises ValueError with what is wrong with it."""
    if "\0" in text:
        raise ValueError("U+0000 stands as U+2400 in what can be searched")
    if name.startswith(_DATA):
        said["data"][tuple(name.removeprefix(_DATA).split("."))] = text
    elif name in (*EQUAL, *WITHIN):
        said["equal"][_COLUMNS.get(name, name)] = (_EQUAL.get(name) or _text(name))(text)
    elif name in TIMES:
        said[name] = parse_timestamp(text)
    elif name in (*_PAGING, *LEAVES, NAMED, "ledger"):
        said[name] = _REST[name](text)
    else:
        raise ValueError(f"there is no such parameter; there are: {', '.join(sorted(PARAMETERS))}, data.…")


def _text(name: str) -> Callable[[str], str]:
    def take(text: str) -> str:
        if len(text) > MAX_CHARACTERS[name]:
            raise ValueError(f"longer than the {MAX_CHARACTERS[name]} characters that there can be")
        return text

    return take


def one_of(*choices: str) -> Callable[[str], str]:
    """Return what reads a parameter that is one of these words. It raises ValueError saying so."""

    def take(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return take


def whole_number(lowest: int, highest: int) -> Callable[[str], int]:
    """Return what reads a parameter that is a number within these bounds. It raises ValueError saying so."""

    def take(text: str) -> int:
        if not (
            text.isascii() and text.isdigit() and len(text) <= len(str(highest)) and lowest <= int(text) <= highest
        ):
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return int(text)

    return take


def _leaves(text: str) -> tuple[int, ...]:
    named = text.split(",")
    if len(named) > MAX_NAMED:
        raise ValueError(
            f"names {len(named):,} leaves, and {MAX_NAMED:,} can be named at once: use a filter or a range"
        )
    read = whole_number(0, _MAX_LEAF)
    leaves, wrong = set(), []
    for one in named:
        try:
            leaves.add(read(one))
        except ValueError:
            wrong.append(one)
    if wrong:
        raise ValueError(f"is a list of leaf indexes such as 3,7,12, and these are none: {', '.join(map(repr, wrong))}")
    return tuple(sorted(leaves))


def _ip(text: str) -> str:
    try:
        return canonical_ip(text)
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None


def _truth(text: str) -> bool:
    return one_of("true", "false")(text) == "true"


_EQUAL: dict[str, Callable[[str], Any]] = {
    "outcome": one_of(*OUTCOMES),
    "severity": one_of(*SEVERITIES),
    "ip": _ip,
    "leaf_index": whole_number(0, _MAX_LEAF),
    "kid": str,
    "revision": whole_number(1, 2**31 - 1),
    "locked": _truth,
}
_REST: dict[str, Callable[[str], Any]] = {
    "leaf_from": whole_number(0, _MAX_LEAF),
    "leaf_to": whole_number(0, _MAX_LEAF),
    NAMED: _leaves,
    "order": one_of(*ORDERS),
    "limit": whole_number(1, MAX_LIMIT),
    "cursor": str,
    "ledger": str,
}
