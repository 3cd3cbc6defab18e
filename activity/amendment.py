"""Why there is a further revision of an entry, as its record says it. Pure.

    ,"amendment":{"at":…,"by":…,"override":…,"reason":…,"supersedes":{"leaf_hash":"<hex>","leaf_index":n}}

It stands before the data of a record from revision 2 on; `override` only where a locked entry was changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from json import JSONDecoder
from typing import Any

import orjson

_AMENDMENT = b',"amendment":'


@dataclass(frozen=True, slots=True)
class Amendment:
    """Why there is a further revision of an entry: what it supersedes, who made it so, when and for what reason.

    `override` is the number of the override under which a locked entry was changed.
    """

    at: str
    by: str
    reason: str
    leaf_index: int
    leaf_hash: str  # in hex
    override: int | None = None

    def as_member(self) -> bytes:
        """Return the member of a record, with the comma before it."""
        said: dict[str, object] = {"at": self.at, "by": self.by}
        if self.override is not None:
            said["override"] = self.override
        said |= {"reason": self.reason, "supersedes": {"leaf_hash": self.leaf_hash, "leaf_index": self.leaf_index}}
        return _AMENDMENT + orjson.dumps(said)


def split_amendment(middle: bytes) -> tuple[Amendment | None, bytes]:
    """Return the amendment at the start of what stands before and in the data of a record, and the data's member.

    Raises ValueError if there is one that is not written as `Amendment.as_member` does.
    """
    if not middle.startswith(_AMENDMENT):
        return None, middle
    try:
        text = middle.decode()
        said, end = JSONDecoder().raw_decode(text, len(_AMENDMENT))
        amendment = _amendment(said)
        member = text[:end].encode()
        as_written = amendment.as_member() == member
    except (LookupError, TypeError, RecursionError) as error:
        raise ValueError("the amendment lacks a member, or has one that no amendment has") from error
    if not as_written:
        raise ValueError("the amendment is not written as this application writes it")
    return amendment, middle[len(member) :]


def _amendment(said: Any) -> Amendment:
    amendment = Amendment(
        said["at"],
        said["by"],
        said["reason"],
        said["supersedes"]["leaf_index"],
        said["supersedes"]["leaf_hash"],
        said.get("override"),
    )
    texts = (amendment.at, amendment.by, amendment.reason, amendment.leaf_hash)
    numbers = (amendment.leaf_index, 0 if amendment.override is None else amendment.override)
    if {type(text) for text in texts} != {str} or {type(number) for number in numbers} != {int}:
        raise TypeError("a member of an amendment is of another kind")
    return amendment


def amendment_of(record: bytes) -> Amendment | None:
    """Return what a record says that it supersedes, or None if that is nothing, or not said as `Amendment` does."""
    try:
        return _amendment(orjson.loads(record)["amendment"])
    except (LookupError, TypeError, ValueError):
        return None
