"""Generic JSON lines: the mapping that options say."""

from datetime import UTC, datetime
from typing import Any

import pytest

from activity.errors import BadEventsError
from activity.event import Event
from activity.formats import detect, generic
from activity.formats.options import Options, assignments
from activity.record import check

VALUE: dict[str, Any] = {
    "event": {"kind": "User Login", "n": 4},
    "user": {"name": "ada", "roles": ["admin", "staff"]},
    "host.name": "web-1",
    "ts": 1793000000.25,
    "level": "WARN",
    "ok": False,
}
MAPPING = {"type": "event.kind", "actor": "user.name", "source": "host.name", "severity": "level", "outcome": "ok"}


def mapped(value: dict[str, Any] = VALUE, *, defaults: dict[str, str] | None = None, **mapping: str) -> Event:
    return generic.to_event(value, options=Options(mapping=MAPPING | mapping, defaults=defaults or {}))


def test_fields_are_read_from_where_the_mapping_says() -> None:
    event = mapped(target="user.roles.1")
    check(event, max_detached_bytes=1000)
    assert (event.type, event.action, event.actor) == ("user-login", "User Login", "ada")
    assert (event.source, event.target) == ("web-1", "staff")
    assert (event.severity, event.outcome) == ("warning", "failure")
    assert event.occurred_at == datetime(2026, 10, 26, 7, 33, 20, 250000, tzinfo=UTC)
    assert event.data == VALUE


def test_without_a_mapping_the_member_of_the_same_name_is_read() -> None:
    value = {"type": "a.b", "actor": "ada", "source": "s", "action": "go", "time": "2026-11-23 05:40:00Z", "ip": "::1"}
    event = generic.to_event(value, options=Options())
    assert (event.type, event.actor, event.source, event.action, event.ip) == ("a.b", "ada", "s", "go", "::1")


def test_defaults_stand_in_where_the_event_says_nothing() -> None:
    event = mapped({"ts": 0}, defaults={"type": "x", "actor": "nobody", "source": "s", "severity": "notice"})
    assert (event.type, event.actor, event.source, event.severity) == ("x", "nobody", "s", "notice")


def test_the_option_source_stands_in_for_a_missing_one() -> None:
    assert generic.to_event(VALUE, options=Options(mapping=MAPPING, source="other")).source == "web-1"
    without = {key: value for key, value in VALUE.items() if key != "host.name"}
    assert generic.to_event(without, options=Options(mapping=MAPPING, source="other")).source == "other"


@pytest.mark.parametrize(
    ("time", "moment"),
    [
        (1793000000, datetime(2026, 10, 26, 7, 33, 20, tzinfo=UTC)),
        (1793000000250, datetime(2026, 10, 26, 7, 33, 20, 250000, tzinfo=UTC)),
        ("2026-11-23T05:40:00+01:00", datetime(2026, 11, 23, 4, 40, tzinfo=UTC)),
    ],
)
def test_times_are_texts_with_offset_or_counts_since_1970(time: object, moment: datetime) -> None:
    assert mapped(VALUE | {"ts": time}).occurred_at == moment


@pytest.mark.parametrize("time", ["2026-11-23T05:40:00", "soon", 10**18, 1e300])
def test_a_time_that_is_no_moment_is_refused_with_its_place(time: object) -> None:
    with pytest.raises(BadEventsError) as refusal:
        mapped(VALUE | {"ts": time})
    assert [problem.path for problem in refusal.value.problems] == ["$.ts"]


def test_everything_that_is_missing_is_named_with_the_option_that_helps() -> None:
    with pytest.raises(BadEventsError) as refusal:
        mapped({"x": 1})
    assert [problem.path for problem in refusal.value.problems] == [
        "$.event.kind",
        "$.user.name",
        "$.host.name",
        "$.occurred_at",
    ]
    assert "--default actor=VALUE" in refusal.value.problems[1].reason


def test_words_we_do_not_know_do_not_stop_an_ingest() -> None:
    event = mapped(VALUE | {"ok": "perhaps", "level": "LOUD"})
    assert (event.outcome, event.severity) == ("unknown", "info")


def test_generic_events_are_not_recognised_because_any_object_could_be_one() -> None:
    assert detect(VALUE) is None


def test_options_are_read_field_by_field() -> None:
    assert assignments(["actor=user.name", "type=a=b"]) == {"actor": "user.name", "type": "a=b"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("actor", "not FIELD=VALUE"), ("actor=", "not FIELD=VALUE"), ("data=x", "not one of our fields")],
)
def test_an_option_that_is_no_assignment_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        assignments([text])
    with pytest.raises(ValueError, match="given twice"):
        assignments(["actor=a", "actor=b"])
