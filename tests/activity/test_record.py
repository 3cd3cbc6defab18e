"""Records: what is refused and why, and that what is accepted comes back equal."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activity import event_faults
from activity.errors import BadEventsError
from activity.event import MAX_DEPTH, RESERVED_KEYS, Event, canonical_ip
from activity.record import MAX_RECORD, check, compose
from activity.timestamps import timestamp

MIB = 1024 * 1024
ID = UUID("01932f6e-0000-7000-8000-000000000000")
EVENT = Event("auth.login", "login", "ada", datetime(2026, 11, 23, 5, 40, tzinfo=UTC), "shop")


def record_of(event: Event, *, ledger: str = "activity", kid: str | None = "entry-ed25519-0123456789ab") -> bytes:
    claims = check(event, max_detached_bytes=MIB)
    recorded_at = timestamp(datetime(2026, 11, 23, 5, 41, tzinfo=UTC))
    return compose(event, claims, entry_id=str(ID), ledger=ledger, recorded_at=recorded_at, kid=kid)


def faults(event: Event) -> list[tuple[str, str]]:
    with pytest.raises(BadEventsError) as error:
        check(event, max_detached_bytes=MIB)
    return [(problem.path, problem.reason) for problem in error.value.problems]


def nested(levels: int) -> dict[str, Any]:
    return {"in": nested(levels - 1)} if levels > 1 else {}


def test_the_record_is_the_one_of_the_format() -> None:
    event = replace(EVENT, event_id="e-1", ip="2001:db8::1", target="door", data={"b": 1, "a": [True, None, "ü"]})
    assert record_of(event).decode() == (
        '{"action":"login","actor":"ada","data":{"a":[true,null,"ü"],"b":1},"event_id":"e-1",'
        '"id":"01932f6e-0000-7000-8000-000000000000","ip":"2001:db8::1","kid":"entry-ed25519-0123456789ab",'
        '"ledger":"activity","occurred_at":"2026-11-23T05:40:00.000000Z","outcome":"unknown",'
        '"recorded_at":"2026-11-23T05:41:00.000000Z","revision":1,"severity":"info","source":"shop","target":"door",'
        '"type":"auth.login","v":1}'
    )


def test_what_is_not_there_is_left_out() -> None:
    members = json.loads(record_of(EVENT, kid=None))
    assert members.keys().isdisjoint({"event_id", "ip", "kid"})


def test_times_are_utc_with_six_digits() -> None:
    moment = datetime(2026, 11, 23, 5, 40, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert json.loads(record_of(replace(EVENT, occurred_at=moment)))["occurred_at"] == "2026-11-23T00:10:00.123456Z"


@pytest.mark.parametrize(
    "value",
    [2**53 + 1, 2**63, 2**64 - 1, -(2**63), 0.1, 1e16, -0.0, 5e-324, "a\0b", {"🔑": "🚪"}, "\u2028", [], {}, ""],
)
def test_a_value_comes_back_equal(value: object) -> None:
    record = record_of(replace(EVENT, data={"value": value}))
    for read in (json.loads(record), orjson.loads(record)):
        back = read["data"]["value"]
        assert back == value
        assert type(back) is type(value)
        assert str(back) == str(value), "the sign of zero"


@pytest.mark.parametrize(
    ("data", "path", "reason"),
    [
        ({"a": "\ud800"}, "$.data.a", "unpaired surrogate"),
        ({"\udc00": 1}, r"$.data['\udc00']", "unpaired surrogate"),
        ({"a": [1, float("nan")]}, "$.data.a[1]", "NaN and Infinity are not JSON"),
        ({"a": float("inf")}, "$.data.a", "NaN and Infinity are not JSON"),
        ({"a": {"b": 2**70}}, "$.data.a.b", "an integer beyond 64 bits would not come back equal"),
        ({"a": -(2**63) - 1}, "$.data.a", "an integer beyond 64 bits"),
        ({"_sd": []}, "$.data._sd", "reserved for selective disclosure"),
        ({"a": {"...": 1}}, "$.data.a['...']", "reserved for selective disclosure"),
        ({"a": {1: 1}}, "$.data.a[1]", "a key must be a string"),
        ({"a": b"bytes"}, "$.data.a", "bytes is not a JSON value"),
        ({"a": datetime(2026, 1, 1, tzinfo=UTC)}, "$.data.a", "datetime is not a JSON value"),
        ({"a": "x" * (2 * MIB)}, "$.data", "2,097,160 bytes; at most 1,048,576 are taken"),
        ([], "$.data", "must be an object, not an array"),
        (None, "$.data", "must be an object, not null"),
    ],
    ids=lambda value: str(value)[:20].encode("ascii", "replace").decode(),
)
def test_bad_data_is_refused_with_its_path(data: Any, path: str, reason: str) -> None:
    found = faults(replace(EVENT, data=data))
    assert found[0][0] == path
    assert reason in found[0][1]


def test_nesting_is_taken_to_32_levels() -> None:
    assert record_of(replace(EVENT, data=nested(32)))
    assert faults(replace(EVENT, data=nested(33))) == [("$.data" + ".in" * 32, "nesting deeper than 32 levels")]


def test_data_that_holds_itself_is_refused() -> None:
    data: dict[str, Any] = {}
    data["in"] = data
    assert "nesting deeper than 32 levels" in faults(replace(EVENT, data=data))[0][1]


@pytest.mark.parametrize(
    ("changes", "path", "reason"),
    [
        ({"type": "Auth Login"}, "$.type", "lower-case words"),
        ({"type": "auth..login"}, "$.type", "lower-case words"),
        ({"type": ""}, "$.type", "must not be empty"),
        ({"type": 7}, "$.type", "must be a string, not a number"),
        ({"actor": ""}, "$.actor", "must not be empty"),
        ({"actor": None}, "$.actor", "must be a string, not null"),
        ({"actor": "x" * 501}, "$.actor", "501 characters; at most 500 are taken"),
        ({"target": "\ud800"}, "$.target", "unpaired surrogate"),
        ({"event_id": ""}, "$.event_id", "must not be empty"),
        ({"outcome": "ok"}, "$.outcome", "must be one of success, failure, denied, unknown"),
        ({"severity": "bad"}, "$.severity", "must be one of debug"),
        ({"ip": "10.0.0.256"}, "$.ip", "must be an IPv4 or IPv6 address"),
        ({"ip": "2001:DB8::1"}, "$.ip", "in its shortest form"),
        ({"ip": "::ffff:0:0"}, "$.ip", "in its shortest form"),
        ({"ip": "fe80::1%eth0"}, "$.ip", "must be an IPv4 or IPv6 address"),
        ({"occurred_at": datetime(2026, 1, 1)}, "$.occurred_at", "offset from UTC"),  # noqa: DTZ001 that is the fault
        ({"occurred_at": "2026-01-01"}, "$.occurred_at", "must be a date and time"),
        (
            {"occurred_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))},
            "$.occurred_at",
            "years 1 to 9999",
        ),
    ],
    ids=lambda value: str(value)[:40].encode("ascii", "replace").decode(),
)
def test_a_bad_field_is_refused_with_its_path(changes: dict[str, Any], path: str, reason: str) -> None:
    assert record_of(EVENT), "the event is taken before the change"
    found = faults(replace(EVENT, **changes))
    assert len(found) == 1
    assert found[0][0] == path
    assert reason in found[0][1]


def test_every_fault_of_an_event_is_named() -> None:
    found = faults(replace(EVENT, actor="", outcome="ok", data={"a": 2**70, "b": float("nan")}))
    assert [path for path, _ in found] == ["$.actor", "$.outcome", "$.data.a", "$.data.b"]


def test_data_is_detached_where_the_record_would_be_too_long() -> None:
    kept = check(replace(EVENT, data={"a": "x" * 60_000}), max_detached_bytes=MIB)
    assert kept.detached is None
    for size in (65_536, MIB):
        data = {"a": "x" * (size - 8)}
        claims = check(replace(EVENT, data=data), max_detached_bytes=MIB)
        assert claims.detached == orjson.dumps(data)
        assert b'"data_size":%d' % size in claims.data
    assert faults(replace(EVENT, data={"a": "x" * (MIB - 7)}))[0][0] == "$.data"


@pytest.mark.parametrize("character", ['"', "\\", "\x01", "🔑", "x"])
def test_no_record_exceeds_its_limit_whatever_must_be_escaped(character: str) -> None:
    full = replace(
        EVENT, actor=character * 500, target=character * 500, source=character * 200, event_id=character * 200
    )
    # From the longest data that certainly stays inside to the first that certainly does not.
    for size in range(50_000, 66_000, 97):
        record = record_of(replace(full, data={"a": "x" * size}), ledger="l" * 63, kid="k" * 60)
        assert len(record) <= MAX_RECORD


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_KEY = _TEXT.filter(lambda key: key not in {"_sd", "_sd_alg", "..."})
_NUMBER = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_VALUE = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEY, inner, max_size=4),
    max_leaves=12,
)
EVENTS = st.builds(
    Event,
    type=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,9}(\.[a-z0-9_-]{1,9}){0,3}", fullmatch=True).filter(
        lambda name: not name.startswith("auditlog.")
    ),
    action=_NAME,
    actor=_NAME,
    occurred_at=st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    source=_NAME,
    target=_TEXT,
    outcome=st.sampled_from(["success", "failure", "denied", "unknown"]),
    severity=st.sampled_from(["debug", "info", "notice", "warning", "error", "critical"]),
    ip=st.none() | st.ip_addresses().map(str).filter(lambda ip: "%" not in ip).map(canonical_ip),
    event_id=st.none() | _NAME,
    data=st.dictionaries(_KEY, _VALUE, max_size=5),
)


@settings(max_examples=200, deadline=None)
@given(EVENTS)
def test_any_accepted_event_gives_a_canonical_record_that_says_the_same(event: Event) -> None:
    record = record_of(event)
    assert len(record) <= MAX_RECORD
    read = json.loads(record)
    assert orjson.dumps(read, option=orjson.OPT_SORT_KEYS) == record
    assert read["data"] == event.data
    assert repr(read["data"]) == repr(orjson.loads(record)["data"]), "also the kinds of numbers"
    for name in ("type", "action", "actor", "source", "target", "outcome", "severity"):
        assert read[name] == getattr(event, name)
    assert (read.get("ip"), read.get("event_id")) == (event.ip, event.event_id)
    assert datetime.fromisoformat(read["occurred_at"]) == event.occurred_at


_ODD_KEY = _TEXT | st.sampled_from([*RESERVED_KEYS, "_sd2", "..", "\ud800"])
_ODD_VALUE = st.recursive(
    st.none() | st.booleans() | st.floats() | _TEXT | st.integers(-(2**64), 2**65) | st.just("\udfff")
    | st.integers(MAX_DEPTH - 3, MAX_DEPTH + 2).map(nested),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_ODD_KEY, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(_ODD_KEY, _ODD_VALUE, max_size=3))
def test_quick_looks_at_data_refuse_and_let_pass_what_the_walk_does(data: dict[str, Any]) -> None:
    walked = [(problem.path, problem.reason) for problem in event_faults._walk(data, "$.data", 1)]
    found: list[tuple[str, str]] = []
    try:
        check(replace(EVENT, data=data), max_detached_bytes=MIB)
    except BadEventsError as error:
        found = [(problem.path, problem.reason) for problem in error.problems]
    assert found == walked
