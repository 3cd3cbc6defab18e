"""The query of a list of meta logs, in the API and on pages, from its parameters to what is wanted.

user=ID or name  action=  route=  status=  auth=  phase=  path=  request_id=  query_hash=HEX     exactly this
from= to=                                   RFC 3339; from inclusive, to exclusive
saw_entry=UUID                              who was shown this entry, whatever was asked for
saw_target= saw_actor=                      who was shown an entry about this target, or of this actor
limit=1..1000   cursor=…                    the page after the one that gave the cursor
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

from activity.filters import one_of, take_each, whole_number
from activity.timestamps import parse_timestamp
from metaaudit.queries import MAX_LIMIT, Wanted
from metaaudit.vocabulary import ACTIONS, Auth, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import QueryDict

_USER_ID = re.compile(r"(user|api-key|os|system):.*|anonymous")
_MAX_TEXT = 2_048
_HASH_BYTES = 32


def wanted_of(query: QueryDict, visible_to: str | None) -> Wanted:
    """Return what a query asks for, within what somebody may see. Raises BadQueryError naming every fault."""
    said: dict[str, Any] = {"equal": {}, "saw": {}}
    take_each(query, partial(_take, said))
    return Wanted(visible_to=visible_to, **said)


def _take(said: dict[str, Any], name: str, text: str) -> None:
    if "\0" in text:
        raise ValueError("U+0000 stands as U+2400 in what can be searched")
    if len(text) > _MAX_TEXT:
        raise ValueError(f"longer than {_MAX_TEXT} characters")
    if name == "user":
        said["equal"]["user_id" if _USER_ID.fullmatch(text) else "user_name"] = text
    elif name in _EQUAL:
        said["equal"][name] = _EQUAL[name](text)
    elif name in _SAW:
        column, read = _SAW[name]
        said["saw"][column] = read(text)
    elif name in _REST:
        column, read = _REST[name]
        said[column] = read(text)
    else:
        raise ValueError(f"there is no such parameter; there are: {', '.join(PARAMETERS)}")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ValueError("must be a UUID") from None


def _hash(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text) if text.isascii() else b""
    except ValueError:
        raw = b""
    if len(raw) != _HASH_BYTES:
        raise ValueError(f"must be {2 * _HASH_BYTES} hexadecimal digits")
    return raw


_EQUAL: dict[str, Callable[[str], Any]] = {
    "action": one_of(*ACTIONS),
    "route": str,
    "status": whole_number(0, 999),
    "query_hash": _hash,
    "auth": one_of(*Auth),
    "phase": one_of(*Phase),
    "path": str,
    "request_id": str,
}
_SAW: dict[str, tuple[str, Callable[[str], Any]]] = {
    "saw_entry": ("pk", _uuid),
    "saw_target": ("target", str),
    "saw_actor": ("actor", str),
}
_REST: dict[str, tuple[str, Callable[[str], Any]]] = {
    "from": ("at_from", parse_timestamp),
    "to": ("at_to", parse_timestamp),
    "limit": ("limit", whole_number(1, MAX_LIMIT)),
    "cursor": ("after", _uuid),
}
PARAMETERS = ("user", *_EQUAL, *_SAW, *_REST)
