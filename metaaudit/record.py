"""The record of a meta log: the exact bytes that are hashed, and what follows from them. Pure: values in, bytes out.

    {"action":…,"agent":…,"at":"…Z","auth":…,"auth_id":…,"bytes":n,"completes":"<id>","duration_ms":n,"id":"<UUIDv7>",
     "ip":…,"leaves":{"activity":[[first,last],…]},"ledger":"meta","method":…,"path":…,"phase":…,
     "query":[[name,value],…],"query_hash":"<hex>","request_id":…,"result_count":n,"result_digest":"<hex>","route":…,
     "searches":[{…}],"sizes":{"activity":n},"status":n,"tombstone":{…},"user_id":…,"user_name":…,"v":1}

Deterministic JSON: members sorted by code point, no white space, UTF-8; what there is none of is left out. Only the
record of an archive has a tombstone (tombstone.py).

    query hash     SHA-256 over {"action":…,"ledgers":[…],"parameters":[[name,value],…],"resource":…,"user":…}:
                   `ledgers` names those in `sizes`, `parameters` is `query` sorted, `resource` the path, `user` the id
    result digest  SHA-256 over the leaf hashes (32 bytes each) in the order in which the entries were returned

So both follow from the record and the ledger alone. The milliseconds of `id` are those of `at`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from uuid_utils import uuid7

from activity.record import MAX_RECORD, shown
from activity.timestamps import timestamp
from metaaudit.errors import UnknownActionError
from metaaudit.redaction import search_without
from metaaudit.vocabulary import ACTIONS, Auth, Phase
from signing.merkle import leaf_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from metaaudit.tombstone import Tombstone

MAX_QUERY = 8_192  # characters of all names and values; a longer query is refused before it is answered
MAX_PATH = 2_048
MAX_AGENT = 500
_MAX_NAME = 150
_LEDGER_SHIFT = 48  # a column of leaves holds (ledger id << 48) + leaf index
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, and by what he is known."""

    id: str  # user:7, api-key:Xy12Ab34, os:root, system:activity.verify_recent, or anonymous
    name: str
    auth: Auth = Auth.NONE
    auth_id: str | None = None


ANONYMOUS = Who("anonymous", "")


@dataclass(frozen=True, slots=True)
class Access:
    """One access as it is recorded. `leaves` are ranges of first and last leaf, by ledger."""

    who: Who
    action: str
    method: str
    path: str
    route: str
    phase: Phase = Phase.ACCESS
    query: Sequence[tuple[str, str]] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    result_count: int | None = None
    result_digest: bytes | None = None
    leaves: Mapping[str, Sequence[tuple[int, int]]] | None = None
    searches: Sequence[Mapping[str, Any]] = ()
    status: int | None = None
    duration_ms: int | None = None
    bytes: int | None = None
    ip: str | None = None
    agent: str | None = None
    request_id: str | None = None
    completes: UUID | None = None
    tombstone: Tombstone | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A record on its way into its ledger."""

    id: UUID
    record: bytes
    leaf_hash: bytes


def draft(access: Access, ledger: str) -> Draft:
    """Return the record of an access. Raises UnknownActionError for an action that is not in the vocabulary."""
    if access.action not in ACTIONS:
        raise UnknownActionError(f"there is no action {access.action!r}; metaaudit/vocabulary.py lists them")
    record_id = UUID(bytes=uuid7().bytes)
    query = [[_clean(name, MAX_QUERY), _clean(value, MAX_QUERY)] for name, value in access.query]
    said: dict[str, Any] = {
        "action": access.action,
        "agent": access.agent and _clean(access.agent, MAX_AGENT),
        "at": timestamp(moment_of(record_id)),
        "auth": access.who.auth,
        "auth_id": access.who.auth_id,
        "bytes": access.bytes,
        "completes": access.completes and str(access.completes),
        "duration_ms": access.duration_ms,
        "id": str(record_id),
        "ip": access.ip,
        "leaves": access.leaves or None,
        "ledger": ledger,
        "method": _clean(access.method, 16),
        "path": _clean(access.path, MAX_PATH),
        "phase": access.phase,
        "query": query,
        "request_id": access.request_id and _clean(access.request_id, 64),
        "result_count": access.result_count,
        "result_digest": access.result_digest and access.result_digest.hex(),
        "route": _clean(access.route, 300),
        "searches": [search_without(each) for each in access.searches] or None,
        "sizes": dict(access.sizes),
        "status": access.status,
        "tombstone": access.tombstone and access.tombstone.as_member(),
        "user_id": _clean(access.who.id, _MAX_NAME),
        "user_name": _clean(access.who.name, _MAX_NAME),
        "v": 1,
    }
    said["query_hash"] = query_hash(said)
    record = _dumps({name: value for name, value in said.items() if value is not None})
    if len(record) > MAX_RECORD:
        # Only the list of leaves can be this long; count and digest still say what was shown.
        record = _dumps({name: value for name, value in said.items() if value is not None and name != "leaves"})
    return Draft(record_id, record, leaf_hash(record))


def moment_of(record_id: UUID) -> datetime:
    """Return the time that the milliseconds of a UUIDv7 name."""
    return _EPOCH + timedelta(milliseconds=record_id.int >> 80)


def canonical_query(said: Mapping[str, Any]) -> bytes:
    """Return the canonical query of a record's members: what the query hash is taken over."""
    asked = {
        "action": said["action"],
        "ledgers": sorted(said["sizes"]),
        "parameters": sorted(said["query"]),
        "resource": said["path"],
        "user": said["user_id"],
    }
    return _dumps(asked)


def query_hash(said: Mapping[str, Any]) -> str:
    """Return the query hash of a record's members, in hex."""
    return sha256(canonical_query(said)).hexdigest()


def columns_of(said: Mapping[str, Any], ledger_id: Callable[[str], int]) -> dict[str, Any]:
    """Return the index columns that a record's members make, beside id, ledger, leaf index and the record itself.

    Raises KeyError or TypeError for members that no record of ours has.
    """
    return {
        "at": said["at"],
        "user_id": shown(said["user_id"]),
        "user_name": shown(said["user_name"]),
        "auth": said["auth"],
        "auth_id": said.get("auth_id"),
        "action": said["action"],
        "phase": said["phase"],
        "completes": said.get("completes"),
        "method": shown(said["method"]),
        "path": shown(said["path"]),
        "route": shown(said["route"]),
        "query": [[shown(name), shown(value)] for name, value in said["query"]],
        "query_hash": said["query_hash"],
        "result_count": said.get("result_count"),
        "result_digest": said.get("result_digest"),
        "sizes": said["sizes"],
        "status": said.get("status"),
        "duration_ms": said.get("duration_ms"),
        "bytes": said.get("bytes"),
        "ip": said.get("ip"),
        "agent": shown(said["agent"]) if "agent" in said else None,
        "request_id": shown(said["request_id"]) if "request_id" in said else None,
        "seen": seen_text(said.get("leaves"), ledger_id),
    }


def seen_text(leaves: Mapping[str, Sequence[Sequence[int]]] | None, ledger_id: Callable[[str], int]) -> str | None:
    """Return leaves by ledger as PostgreSQL writes an int8multirange, or None."""
    if not leaves:
        return None
    return spans_text((ledger_id(name), first, last) for name, ranges in leaves.items() for first, last in ranges)


def spans_text(spans: Iterable[tuple[int, int, int]]) -> str | None:
    """Return (ledger id, first leaf, last leaf) as an int8multirange, or None if there are none."""
    starts = ((ledger << _LEDGER_SHIFT, first, last) for ledger, first, last in spans)
    ends = sorted((start + first, start + last + 1) for start, first, last in starts)
    return "{" + ",".join(f"[{first},{end})" for first, end in ends) + "}" if ends else None


def _clean(text: str, limit: int) -> str:
    """Return a text that JSON can hold, cut where it is too long to be kept."""
    whole = text.encode("utf-8", "replace").decode()
    return whole if len(whole) <= limit else f"{whole[: limit - 1]}…"


def _dumps(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
