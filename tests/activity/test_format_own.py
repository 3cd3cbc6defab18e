"""Our own format: the fields of an event, and refusals by name."""

from datetime import UTC, datetime
from typing import Any

import pytest

from activity.errors import BadEventsError
from activity.formats import detect, own
from activity.formats.options import Options

COMPLETE: dict[str, Any] = {
    "type": "auth.login",
    "action": "login",
    "actor": "ada",
    "occurred_at": "2026-11-23T05:40:00.123456Z",
    "source": "shop-eu",
    "target": "account/17",
    "outcome": "denied",
    "severity": "warning",
    "ip": "192.0.2.7",
    "event_id": "e-1",
    "data": {"attempt": 3, "n": 2**53 + 1, "😀": [-0.0]},
}


def event(**changes: object) -> Any:
    return own.to_event(COMPLETE | changes, options=Options())


def test_every_field_arrives_as_it_was_sent() -> None:
    arrived = event()
    assert {name: getattr(arrived, name) for name in COMPLETE} == COMPLETE | {
        "occurred_at": datetime(2026, 11, 23, 5, 40, 0, 123456, tzinfo=UTC)
    }


def test_an_unknown_member_is_refused_by_name() -> None:
    with pytest.raises(BadEventsError) as refusal:
        event(colour="red", acter="ada")
    assert [problem.path for problem in refusal.value.problems] == ["$.colour", "$.acter"]


@pytest.mark.parametrize("missing", ["type", "action", "actor", "occurred_at", "source"])
def test_a_missing_member_is_refused_by_name(missing: str) -> None:
    value = {name: member for name, member in COMPLETE.items() if name != missing}
    with pytest.raises(BadEventsError) as refusal:
        own.to_event(value, options=Options())
    assert [problem.path for problem in refusal.value.problems] == [f"$.{missing}"]


@pytest.mark.parametrize(
    ("name", "value"), [("actor", 7), ("data", []), ("occurred_at", 1.5), ("target", None), ("ip", True)]
)
def test_a_member_of_the_wrong_type_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(BadEventsError) as refusal:
        event(**{name: value})
    assert [problem.path for problem in refusal.value.problems] == [f"$.{name}"]


def test_the_option_source_fills_in_and_never_overrides() -> None:
    value = {name: member for name, member in COMPLETE.items() if name != "source"}
    assert own.to_event(value, options=Options(source="mail")).source == "mail"
    assert own.to_event(COMPLETE, options=Options(source="mail")).source == "shop-eu"


def test_our_events_are_recognised() -> None:
    assert detect(COMPLETE) == "own"
    assert detect({"hello": "world"}) is None
