r"""Records of accesses, as ledgers of the kind `meta` hold them and exports take them along. Pure.

    {"action":"search","agent":…,"at":"…Z",…,"query":[[name,value],…],"query_hash":"<hex>",…,"v":1}

Deterministic JSON: members sorted by code point, no white space. docs/formats.md has every member. Nobody signs them
one by one: the tree holds them, and their query hash follows from the rest.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any

# The record of an entry has its actor after its action.
_START = re.compile(rb'\{"action":"[a-z_]{1,32}","a(?:gent|t)":')
_MOST = 2**53 - 1  # that every reader of JSON holds
_REQUIRED: dict[str, type] = {
    "action": str,
    "at": str,
    "id": str,
    "ledger": str,
    "path": str,
    "query": list,
    "query_hash": str,
    "sizes": dict,
    "user_id": str,
}


def is_access(record: bytes) -> bool:
    """Tell whether a record is one of an access, and not of an entry."""
    return _START.match(record) is not None


def members(record: bytes) -> dict[str, Any] | None:
    """Return the members of a record of an access, or None unless it is in the one spelling."""
    try:
        said = json.loads(record.decode(), parse_int=_whole, parse_float=_refused, parse_constant=_refused)
        if not isinstance(said, dict) or _spelled(said) != record:
            return None
    except (ValueError, RecursionError):
        return None
    return said if all(type(said.get(name)) is kind for name, kind in _REQUIRED.items()) else None


def fault(record: bytes, ledger: str | None) -> str | None:
    """Say what is wrong with a record that is exported as right, or None; `ledger` is where it must be from."""
    said = members(record)
    if said is None:
        return "its record is not one of an access"
    if ledger is not None and said["ledger"] != ledger:
        return "its record is of another ledger"
    return None if said["query_hash"] == _query_hash(said) else "its query hash is not that of its own query"


def _query_hash(said: dict[str, Any]) -> str | None:
    """Return the query hash as docs/formats.md says it, or None if the query is not one of names and values."""
    if not all(type(one) is list and [type(text) for text in one] == [str, str] for one in said["query"]):
        return None
    asked = {
        "action": said["action"],
        "ledgers": sorted(said["sizes"]),
        "parameters": sorted(said["query"]),
        "resource": said["path"],
        "user": said["user_id"],
    }
    return sha256(_spelled(asked)).hexdigest()


def _whole(text: str) -> int:
    number = int(text)
    if abs(number) > _MOST:
        raise ValueError(f"no such record has the number {text}")
    return number


def _refused(text: str) -> object:
    raise ValueError(f"no such record has the number {text}")


def _spelled(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
