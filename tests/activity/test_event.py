"""Events as JSON objects of our own format: what is taken, and what is refused with its place."""

import pytest

from activity.errors import BadEventsError, BadJsonError
from activity.event import event_from_json
from activity.strict_json import parse

SENT = {"type": "auth.login", "action": "login", "actor": "ada", "occurred_at": "2026-11-23T05:40:00Z", "source": "s"}


def faults_of_json(value: object) -> list[tuple[str, str]]:
    with pytest.raises(BadEventsError) as error:
        event_from_json(value)
    return [(problem.path, problem.reason) for problem in error.value.problems]


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b'{"data":{"a":"\\ud800"}}', "$.data.a"),
        (b'{"data":{"a":1,"a":2}}', "$.data.a"),
        (b'{"data":{"a":NaN}}', "$.data.a"),
        (b'{"data":{"a":1e400}}', "$.data.a"),
        (b'{"data":{"a":1180591620717411303424}}', "$.data.a"),
    ],
)
def test_bad_json_never_becomes_an_event(raw: bytes, path: str) -> None:
    with pytest.raises(BadJsonError) as error:
        event_from_json(parse(raw))
    assert error.value.path == path


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        ([], "$", "an event is a JSON object"),
        (SENT | {"colour": "red"}, "$.colour", "unknown member"),
        ({name: text for name, text in SENT.items() if name != "actor"}, "$.actor", "is required"),
        (SENT | {"actor": 7}, "$.actor", "must be a string, not a number"),
        (SENT | {"actor": True}, "$.actor", "must be a string, not a boolean"),
        (SENT | {"data": []}, "$.data", "must be an object, not an array"),
        (SENT | {"ip": 7}, "$.ip", "must be a string or null, not a number"),
        (SENT | {"ip": "nowhere"}, "$.ip", "not an IPv4 or IPv6 address"),
        *(
            (SENT | {"occurred_at": text}, "$.occurred_at", "no")
            for text in (
                "yesterday",
                "2026-11-23",
                "2026-11-23T05:40:00",
                "2026-11-23 05:40:00Z",
                "2026-02-30T00:00:00Z",
                "2026-11-23T25:00:00Z",
                "2026-11-23T05:40:00.1234567Z",
                "\uff12026-11-23T05:40:00Z",
            )
        ),
        (SENT | {"occurred_at": 1_793_000_000}, "$.occurred_at", "must be a string, not a number"),
    ],
    ids=str,
)
def test_a_bad_member_is_refused_with_its_path(value: object, path: str, reason: str) -> None:
    assert event_from_json(SENT).actor == "ada", "the event is taken before the change"
    found = faults_of_json(value)
    assert found[0][0] == path
    assert reason in found[0][1]


def test_a_missing_source_is_filled_in_and_a_given_one_kept() -> None:
    without = {name: text for name, text in SENT.items() if name != "source"}
    assert event_from_json(without, source="given").source == "given"
    assert event_from_json(SENT, source="given").source == "s"


def test_an_address_is_taken_in_any_form_and_kept_in_its_shortest() -> None:
    assert event_from_json(SENT | {"ip": "2001:0DB8::0001"}).ip == "2001:db8::1"
    assert event_from_json(SENT | {"ip": "::ffff:192.0.2.1"}).ip == "192.0.2.1"
