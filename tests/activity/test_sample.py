"""The bundled sample: realistic, varied, and made again byte for byte by the script beside it."""

import json
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from activity.event import Event
from activity.formats import cloudtrail
from activity.formats.options import Options
from activity.record import check
from activity.strict_json import parse

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
DOCUMENTATION = [
    ip_network(network) for network in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]


@pytest.fixture(scope="module")
def events() -> list[Event]:
    lines = (SAMPLES / "cloudtrail_sample.jsonl").read_bytes().splitlines()
    values: list[Any] = [parse(line) for line in lines]
    return [cloudtrail.to_event(value, options=Options()) for value in values]


def made(*arguments: str) -> bytes:
    script = [sys.executable, "make_cloudtrail_sample.py", *arguments]
    return subprocess.run(script, cwd=SAMPLES, check=True, capture_output=True).stdout


def test_the_script_makes_the_same_bytes_and_another_seed_another_week() -> None:
    assert made() == (SAMPLES / "cloudtrail_sample.jsonl").read_bytes()
    assert made("--seed", "1") != made()


def test_all_events_can_be_recorded_and_have_ids_of_their_own(events: list[Event]) -> None:
    assert len(events) >= 600
    for event in events:
        check(event, max_detached_bytes=1024 * 1024)
    assert len({event.event_id for event in events}) == len(events)


def test_users_services_and_outcomes_vary(events: list[Event]) -> None:
    assert len({event.actor for event in events}) >= 15
    assert len({event.type.split(".")[1] for event in events}) >= 15
    outcomes = Counter(event.outcome for event in events)
    assert outcomes["success"] > 500
    assert min(outcomes["denied"], outcomes["failure"]) >= 10
    assert {event.severity for event in events} == {"info", "notice", "warning"}
    days = {event.occurred_at.date() for event in events}
    assert len(days) == 7
    assert [event.occurred_at for event in events] == sorted(event.occurred_at for event in events)
    sign_ins = [event for event in events if event.action == "ConsoleLogin"]
    assert {event.data["additionalEventData"]["MFAUsed"] for event in sign_ins} == {"Yes", "No"}


def test_every_address_is_one_for_documentation(events: list[Event]) -> None:
    addresses = {ip_address(event.ip) for event in events if event.ip}
    assert len(addresses) >= 12
    assert all(any(address in network for network in DOCUMENTATION) for address in addresses)


def test_the_break_in_can_be_found_again(events: list[Event]) -> None:
    guesses = [event for event in events if event.ip == "198.51.100.77" and event.action == "ConsoleLogin"]
    assert [event.outcome for event in guesses] == ["failure"] * 11 + ["success"]
    assert guesses[-1].actor.endswith("user/jonas.weber")
    escalation = next(event for event in events if event.action == "CreatePolicyVersion")
    assert (escalation.severity, escalation.ip) == ("notice", "198.51.100.77")
    theft = [event for event in events if event.ip == "203.0.113.45" and event.type == "aws.s3.getobject"]
    assert len(theft) == 48
    assert all(event.target.startswith("arn:aws:s3:::rf-customer-exports/") for event in theft)
    assert all(event.occurred_at.date() == datetime(2026, 11, 4, tzinfo=UTC).date() for event in theft)
    assert any(event.action == "StopLogging" and event.outcome == "failure" for event in events)


def test_numbers_in_the_sample_are_floats_too(events: list[Event]) -> None:
    sent = [json.dumps(event.data["additionalEventData"]) for event in events if event.type == "aws.s3.getobject"]
    assert any(".0" in text for text in sent)
