"""The record: the exact bytes of an entry that are hashed and signed. Pure: values in, bytes out.

    {"action":…,"actor":…,"data":{…},"event_id":…,"id":…,"ip":…,"kid":…,"ledger":…,"occurred_at":…,"outcome":…,
     "recorded_at":…,"revision":1,"severity":…,"source":…,"target":…,"type":…,"v":1}

Deterministic JSON: these members in this order (sorted by code point), no white space, UTF-8, at most MAX_RECORD bytes.
`event_id`, `ip` and `kid` are left out where there is none. Data that would push the record over its limit is detached:
`"data_sha256":"<hex>","data_size":n` stand in its place. From revision 2 on `"amendment":{…}` stands before `data` and
says what the record supersedes, by whom and why (amendment.py). The bytes are made once; verification never re-encodes
them, it rebuilds what stands around `data` from the index columns and compares.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from activity.errors import BadEventsError, Problem
from activity.event_faults import data_problems, field_problems
from activity.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from activity.amendment import Amendment
    from activity.event import Event

MAX_RECORD = 65_535  # the limit of an entry in a tlog-tiles entry bundle
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_text: Callable[[Any], bytes] = orjson.dumps


class Claims(NamedTuple):
    """An event that was checked, as the pieces of its record that do not depend on the server."""

    before: bytes  # {"action":…,"actor":…
    data: bytes  # ,"data":{…}   or   ,"data_sha256":…,"data_size":…
    detached: bytes | None
    occurred_at: str
    digest: bytes  # SHA-256 over what the writer sent, to tell a retry from a conflict


def check(event: Event, *, max_detached_bytes: int, reserved: int = 0) -> Claims:
    """Return the pieces of the event's record, leaving room in it for `reserved` further bytes.

    Raises BadEventsError naming every faulty field of this event.
    """
    problems = field_problems(event)
    try:
        data = orjson.dumps(event.data, option=_OPTIONS)
    except TypeError as error:
        problems += data_problems(event.data, None) or [Problem("$.data", str(error))]
        raise BadEventsError(problems) from error
    problems += data_problems(event.data, data)
    if len(data) > max_detached_bytes:
        problems.append(Problem("$.data", f"{len(data):,} bytes; at most {max_detached_bytes:,} are taken"))
    if problems:
        raise BadEventsError(problems)
    occurred_at = timestamp(event.occurred_at)
    before = before_data(event.action, event.actor)
    said = _text(
        (
            event.event_id,
            event.ip,
            occurred_at,
            event.outcome,
            event.severity,
            event.source,
            event.target,
            event.type,
        )
    )
    digest = claims_digest(before, data, said)
    if len(before) + len(data) + len(said) + _SERVER_SHARE + reserved <= MAX_RECORD:
        return Claims(before, b',"data":' + data, None, occurred_at, digest)
    stand_in = b',"data_sha256":"%b","data_size":%d' % (sha256(data).hexdigest().encode(), len(data))
    return Claims(before, stand_in, data, occurred_at, digest)


def claims_digest(before: bytes, data: bytes, said: bytes) -> bytes:
    """Return the SHA-256 over all that a writer sent: `before_data`, the data, and the others as JSON array."""
    return sha256(b"%b,%b%b" % (before, data, said)).digest()


_SERVER_SHARE = 400  # upper bound of what the server adds: id, kid, ledger, recorded_at, revision, v


def before_data(action: str, actor: str) -> bytes:
    """Return the bytes of a record that stand before `data`."""
    return orjson.dumps({"action": action, "actor": actor})[:-1]


def after_data(  # noqa: PLR0913 the members of the format, in its order
    *,
    event_id: str | None,
    entry_id: str,
    ip: str | None,
    kid: str | None,
    ledger: str,
    occurred_at: str,
    outcome: str,
    recorded_at: str,
    revision: int,
    severity: str,
    source: str,
    target: str,
    type_name: str,
) -> bytes:
    """Return the bytes of a record that stand after `data`; times are texts as `timestamp` makes them."""
    members: dict[str, str | int] = {} if event_id is None else {"event_id": event_id}
    members["id"] = entry_id
    if ip is not None:
        members["ip"] = ip
    if kid is not None:
        members["kid"] = kid
    members |= {
        "ledger": ledger,
        "occurred_at": occurred_at,
        "outcome": outcome,
        "recorded_at": recorded_at,
        "revision": revision,
        "severity": severity,
        "source": source,
        "target": target,
        "type": type_name,
        "v": 1,
    }
    return b"," + orjson.dumps(members)[1:]


def compose(
    event: Event,
    claims: Claims,
    *,
    entry_id: str,
    ledger: str,
    recorded_at: str,
    kid: str | None,
    revision: int = 1,
    amendment: Amendment | None = None,
) -> bytes:
    """Return the record of a checked event; `kid` names the key that signs it, if one does."""
    return (
        claims.before
        + (b"" if amendment is None else amendment.as_member())
        + claims.data
        + after_data(
            event_id=event.event_id,
            entry_id=entry_id,
            ip=event.ip,
            kid=kid,
            ledger=ledger,
            occurred_at=claims.occurred_at,
            outcome=event.outcome,
            recorded_at=recorded_at,
            revision=revision,
            severity=event.severity,
            source=event.source,
            target=event.target,
            type_name=event.type,
        )
    )


def shown(text: str) -> str:
    """Return a text as an index column holds it: PostgreSQL has no U+0000 in text, so it stands as U+2400."""
    return text.replace("\0", "\u2400") if "\0" in text else text
