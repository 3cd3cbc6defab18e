"""The record: the exact bytes of an entry that are hashed and signed. Pure: values in, bytes out.

    {"action":…,"actor":…,"data":{…},"event_id":…,"id":…,"ip":…,"kid":…,"ledger":…,"occurred_at":…,"outcome":…,
     "recorded_at":…,"revision":1,"severity":…,"source":…,"target":…,"type":…,"v":1}

Deterministic JSON: these members in this order (sorted by code point), no white space, UTF-8, at most MAX_RECORD bytes.
`event_id`, `ip` and `kid` are left out where there is none. Data that would push the record over its limit is detached:
`"data_sha256":"<hex>","data_size":n` stand in its place. From revision 2 on `"amendment":{…}` stands before `data` and
says what the record supersedes, by whom and why (`Amendment`). The bytes are made once; verification never re-encodes
them, it rebuilds what stands around `data` from the index columns and compares.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from json import JSONDecoder
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from activity.errors import BadEventsError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_RECORD = 65_535  # the limit of an entry in a tlog-tiles entry bundle
MAX_DEPTH = 32
MAX_CHARACTERS = {"type": 200, "action": 200, "actor": 500, "target": 500, "source": 200, "event_id": 200}
OUTCOMES = ("success", "failure", "denied", "unknown")
SEVERITIES = ("debug", "info", "notice", "warning", "error", "critical")
SYSTEM_PREFIX = "auditlog."
RESERVED_KEYS = frozenset({"_sd", "_sd_alg", "..."})  # SD-JWT (RFC 9901) gives them a meaning

TYPE_PATTERN = r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*"

_TYPE = re.compile(TYPE_PATTERN)
_PLAIN = frozenset({str, int, bool, type(None)})  # kinds of members with nothing inside, and no NaN
_RESERVED = re.compile(rb'"(?:_sd|\.\.\.")')  # any key or text that begins like one of RESERVED_KEYS
_MAY_BE_EMPTY = frozenset({"target"})
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_text: Callable[[Any], bytes] = orjson.dumps


@dataclass(frozen=True, slots=True)
class Event:
    """What a writer says happened. `occurred_at` is aware; `data` is JSON-like and kept as it is."""

    type: str
    action: str
    actor: str
    occurred_at: datetime
    source: str
    target: str = ""
    outcome: str = "unknown"
    severity: str = "info"
    ip: str | None = None
    event_id: str | None = None
    data: dict[str, Any] = field(default_factory=dict)


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
        return b',"amendment":' + orjson.dumps(said)


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


_AMENDMENT = b',"amendment":'


class Claims(NamedTuple):
    """An event that was checked, as the pieces of its record that do not depend on the server."""

    before: bytes  # {"action":…,"actor":…
    data: bytes  # ,"data":{…}   or   ,"data_sha256":…,"data_size":…
    detached: bytes | None
    occurred_at: str
    digest: bytes  # SHA-256 over what the writer sent, to tell a retry from a conflict


def timestamp(moment: datetime) -> str:
    """Return RFC 3339 in UTC with six digits and `Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    text = orjson.dumps(moment, option=orjson.OPT_UTC_Z).decode()
    return text[1:-1] if moment.microsecond else f"{text[1:-2]}.000000Z"


def check(event: Event, *, max_detached_bytes: int, reserved: int = 0) -> Claims:
    """Return the pieces of the event's record, leaving room in it for `reserved` further bytes.

    Raises BadEventsError naming every faulty field of this event.
    """
    problems = [] if _is_plain(event) else list(_field_problems(event))
    try:
        data = orjson.dumps(event.data, option=_OPTIONS)
    except TypeError as error:
        problems += _data_problems(event.data) or [Problem("$.data", str(error))]
        raise BadEventsError(problems) from error
    if not _is_flat(event.data) and (type(event.data) is not dict or _needs_a_walk(data)):
        problems += _data_problems(event.data)
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


@lru_cache(maxsize=4096)
def canonical_ip(text: str) -> str:
    """Return an address in the one form that records have: shortest, and an IPv4 address as such, never mapped.

    Python and PostgreSQL write some IPv6 addresses differently, and versions of Python mapped ones, so that both are
    brought to this form before they are compared. Raises ValueError for what is no address, and for a zone.
    """
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError("an address without a zone is needed")
        return str(address.ipv4_mapped or address)
    return str(address)


def event_from_json(value: object, *, source: str | None = None) -> Event:
    """Return the event that a JSON object of our own format says; `source` fills in for a missing one.

    Raises BadEventsError naming every unknown, missing or mistyped member.
    """
    if not isinstance(value, dict):
        raise BadEventsError([Problem("$", "an event is a JSON object")])
    problems = [Problem(f"$.{name}", "unknown member") for name in value if name not in _MEMBERS]
    members = {"source": source, **value} if source is not None else dict(value)
    problems += [Problem(f"$.{name}", "is required") for name in _REQUIRED if name not in members]
    for name, member in members.items():
        if name in _MEMBERS and not isinstance(member, _MEMBERS[name]):
            problems.append(Problem(f"$.{name}", f"must be {_KIND[_MEMBERS[name]]}, not {_kind_of(member)}"))
    occurred_at = members.get("occurred_at")
    if isinstance(occurred_at, str):
        try:
            members["occurred_at"] = parse_timestamp(occurred_at)
        except ValueError as error:
            problems.append(Problem("$.occurred_at", str(error)))
    if isinstance(members.get("ip"), str):
        try:
            members["ip"] = canonical_ip(members["ip"])
        except ValueError:
            problems.append(Problem("$.ip", f"not an IPv4 or IPv6 address: {members['ip'][:60]!r}"))
    if problems:
        raise BadEventsError(problems)
    return Event(**members)


def parse_timestamp(text: str) -> datetime:
    """Return the aware moment that an RFC 3339 text names.

    Raises ValueError for anything else, a missing offset included.
    """
    if not _RFC3339.fullmatch(text):
        message = f"not an RFC 3339 time such as 2026-11-23T05:40:00.123456Z: {text[:60]!r}"
        raise ValueError(message)
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as error:
        message = f"no such moment: {text!r} ({error})"
        raise ValueError(message) from error


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_REQUIRED = ("type", "action", "actor", "occurred_at", "source")
_OPTIONAL_TEXT = (str, type(None))
_MEMBERS: dict[str, Any] = {
    "type": str,
    "action": str,
    "actor": str,
    "occurred_at": str,
    "source": str,
    "target": str,
    "outcome": str,
    "severity": str,
    "ip": _OPTIONAL_TEXT,
    "event_id": _OPTIONAL_TEXT,
    "data": dict,
}
_KIND = {str: "a string", _OPTIONAL_TEXT: "a string or null", dict: "an object"}


def _kind_of(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _is_plain(event: Event) -> bool:
    """Tell quickly that no field is faulty, as in nearly every event; one that it doubts is looked at in full."""
    return (
        _is_short_ascii(event.action, MAX_CHARACTERS["action"])
        and _is_short_ascii(event.actor, MAX_CHARACTERS["actor"])
        and _is_short_ascii(event.source, MAX_CHARACTERS["source"])
        and (event.event_id is None or _is_short_ascii(event.event_id, MAX_CHARACTERS["event_id"]))
        and (event.target == "" or _is_short_ascii(event.target, MAX_CHARACTERS["target"]))
        and type(event.type) is str
        and _is_type(event.type)
        and event.outcome in OUTCOMES
        and event.severity in SEVERITIES
        and (event.ip is None or (type(event.ip) is str and _is_canonical_ip(event.ip)))
        and type(event.occurred_at) is datetime
        and event.occurred_at.tzinfo is UTC
    )


def _is_short_ascii(value: object, limit: int) -> bool:
    return type(value) is str and 0 < len(value) <= limit and value.isascii()


@lru_cache(maxsize=4096)
def _is_type(text: str) -> bool:
    return len(text) <= MAX_CHARACTERS["type"] and _TYPE.fullmatch(text) is not None


def _field_problems(event: Event) -> Iterator[Problem]:
    for name, limit in MAX_CHARACTERS.items():
        value = getattr(event, name)
        if value is not None or name != "event_id":
            reason = _text_fault(value, limit, may_be_empty=name in _MAY_BE_EMPTY)
            if reason is not None:
                yield Problem(f"$.{name}", reason)
    if type(event.type) is str and event.type and not _TYPE.fullmatch(event.type):
        yield Problem("$.type", "must be lower-case words of a-z, 0-9, _ and -, joined by dots, such as auth.login")
    if event.outcome not in OUTCOMES:
        yield Problem("$.outcome", f"must be one of {', '.join(OUTCOMES)}")
    if event.severity not in SEVERITIES:
        yield Problem("$.severity", f"must be one of {', '.join(SEVERITIES)}")
    if event.ip is not None and not (type(event.ip) is str and _is_canonical_ip(event.ip)):
        yield Problem("$.ip", "must be an IPv4 or IPv6 address in its shortest form")
    yield from _moment_problems(event.occurred_at)


def _text_fault(value: object, limit: int, *, may_be_empty: bool) -> str | None:
    if type(value) is not str:
        return f"must be a string, not {_kind_of(value)}"
    if len(value) > limit:
        return f"{len(value):,} characters; at most {limit} are taken"
    if not value and not may_be_empty:
        return "must not be empty"
    if not value.isascii() and _has_surrogate(value):
        return "holds an unpaired surrogate, which is not Unicode text"
    return None


def _moment_problems(moment: object) -> Iterator[Problem]:
    if not isinstance(moment, datetime):
        yield Problem("$.occurred_at", "must be a date and time")
    elif moment.tzinfo is None:
        yield Problem("$.occurred_at", "must carry its offset from UTC")
    elif moment.tzinfo is not UTC:
        try:
            moment.astimezone(UTC)
        except OverflowError:
            yield Problem("$.occurred_at", "lies outside the years 1 to 9999 in UTC")


def _has_surrogate(value: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in value)


def _is_canonical_ip(value: str) -> bool:
    try:
        return canonical_ip(value) == value
    except ValueError:
        return False


def _is_flat(data: object) -> bool:
    """Tell quickly that a walk finds nothing: data that could be written, all members plain and no key reserved."""
    return type(data) is dict and _PLAIN.issuperset(map(type, data.values())) and RESERVED_KEYS.isdisjoint(data)


def _needs_a_walk(data: bytes) -> bool:
    """Tell whether the bytes could hide what only a walk finds: NaN (written as null), reserved keys, deep nesting."""
    # Searches for one byte or a rare one first, and one pass for both brackets: this sees every byte of every event.
    may_be_reserved = b"_" in data or b'..."' in data
    return (
        b"null" in data
        or (may_be_reserved and _RESERVED.search(data) is not None)
        or len(data) - len(data.translate(None, b"{[")) > MAX_DEPTH
    )


def _data_problems(data: object) -> list[Problem]:
    if not isinstance(data, dict):
        return [Problem("$.data", f"must be an object, not {_kind_of(data)}")]
    return list(_walk(data, "$.data", 1))


def _walk(value: object, path: str, depth: int) -> Iterator[Problem]:  # noqa: C901 one branch a kind of JSON value
    if isinstance(value, dict | list | tuple):
        if depth > MAX_DEPTH:
            yield Problem(path, f"nesting deeper than {MAX_DEPTH} levels")
            return
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            if isinstance(value, dict):
                place = f"{path}.{key}" if isinstance(key, str) and key.isidentifier() else f"{path}[{key!r}]"
                yield from _key_problems(key, place)
            else:
                place = f"{path}[{key}]"
            yield from _walk(item, place, depth + 1)
    elif isinstance(value, str):
        if _has_surrogate(value):
            yield Problem(path, "holds an unpaired surrogate, which is not Unicode text")
    elif isinstance(value, int):
        if not _INT_MIN <= value <= _INT_MAX:
            yield Problem(path, "an integer beyond 64 bits would not come back equal")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield Problem(path, "NaN and Infinity are not JSON")
    elif value is not None:
        yield Problem(path, f"{type(value).__name__} is not a JSON value")


def _key_problems(key: object, path: str) -> Iterator[Problem]:
    if not isinstance(key, str):
        yield Problem(path, "a key must be a string")
    elif key in RESERVED_KEYS:
        yield Problem(path, "this key is reserved for selective disclosure (RFC 9901)")
    elif _has_surrogate(key):
        yield Problem(path, "the key holds an unpaired surrogate, which is not Unicode text")
