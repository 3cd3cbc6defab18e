"""The tombstone of archived accesses: what stands for ever where their rows were. Pure.

    "tombstone":{"by":…,"count":n,"end_leaf":n,"export":"<id>","export_sha256":"<hex>","first_leaf":n,"kid":…,
                 "reason":…,"root":"<hex>","until":"…Z"}

A member of a record of the action `archive` (record.py), a leaf of the ledger whose leaves [first_leaf, end_leaf) it is
about. `root` is that of the first `end_leaf` leaves, `until` the time of the youngest access among them, `export` the
export that holds them all, and `kid` the key that signed the record.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import orjson

from activity.timestamps import parse_timestamp

if TYPE_CHECKING:
    from datetime import datetime

ACTION = "archive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """The members of a tombstone; hashes are lower-case hex, `until` is RFC 3339."""

    by: str
    count: int
    end_leaf: int
    export: str
    export_sha256: str
    first_leaf: int
    kid: str
    reason: str
    root: str
    until: str

    def as_member(self) -> dict[str, Any]:
        """Return the member of the record."""
        return asdict(self)

    @property
    def until_moment(self) -> datetime:
        """The time of the youngest access."""
        return parse_timestamp(self.until)

    @property
    def sentence(self) -> str:
        """Say where these accesses are now."""
        leaves = f"leaves {self.first_leaf} to {self.end_leaf - 1}"
        where = f"the export {self.export}, file SHA-256 {self.export_sha256}"
        return f"Accesses up to {self.until_moment:%Y-%m-%d %H:%M:%S} UTC ({leaves}) are archived in {where}."


def tombstone_of(record: bytes) -> Tombstone:
    """Return the tombstone in a record. Raises ValueError for a record that has none, or not of this form."""
    try:
        said = orjson.loads(record)["tombstone"]
        found = Tombstone(**said)
    except (orjson.JSONDecodeError, LookupError, TypeError) as error:
        raise ValueError("the record has no tombstone") from error
    kinds = {each.name: int if each.type == "int" else str for each in fields(Tombstone)}
    if any(type(said[name]) is not kind for name, kind in kinds.items()):
        raise ValueError("the record has no tombstone of this form")
    parse_timestamp(found.until)
    return found
