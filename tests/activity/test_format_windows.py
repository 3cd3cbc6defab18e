"""Windows events: the mapping, on the real file and on what the real file does not hold."""

import gzip
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activity.errors import BadEventsError
from activity.event import Event
from activity.formats import detect, windows
from activity.formats.options import Options
from activity.record import check

REAL_FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "windows_security_auditpol.jsonl.gz"

LOGON: dict[str, Any] = {
    "Channel": "Security",
    "Hostname": "desk-7",
    "TimeCreated": "2026-11-02T08:15:30.1234567Z",
    "EventID": 4625,
    "Level": "0",
    "Keywords": "0x8010000000000000",
    "Message": "An account failed to log on.\r\n\r\nSubject:\r\n\tSecurity ID:\t\tS-1-5-18",
    "SubjectUserName": "DESK-7$",
    "SubjectDomainName": "WORKGROUP",
    "TargetUserName": "ada",
    "TargetDomainName": "DESK-7",
    "WorkstationName": "-",
    "IpAddress": "192.0.2.9",
}


def mapped(**changes: object) -> Event:
    return windows.to_event(LOGON | changes, options=Options())


@pytest.fixture(scope="module")
def real_values() -> list[dict[str, Any]]:
    with gzip.open(REAL_FILE) as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def real_events(real_values: list[dict[str, Any]]) -> list[Event]:
    return [windows.to_event(value, options=Options()) for value in real_values]


def test_every_real_event_maps_to_an_event_that_can_be_recorded(real_events: list[Event]) -> None:
    assert len(real_events) == 13_645
    for event in real_events:
        check(event, max_detached_bytes=1024 * 1024)


def test_the_data_of_a_real_event_is_the_whole_original(
    real_events: list[Event], real_values: list[dict[str, Any]]
) -> None:
    assert [event.data for event in real_events] == real_values


def test_the_real_events_spread_as_the_file_says(real_events: list[Event]) -> None:
    assert Counter(event.type.split(".")[1] for event in real_events) == {
        "sysmon": 13_251,
        "security": 307,
        "powershell": 86,
        "system": 1,
    }
    assert Counter(event.outcome for event in real_events) == {"unknown": 13_338, "success": 275, "failure": 32}
    assert Counter(event.severity for event in real_events) == {
        "info": 13_457,
        "notice": 126,
        "warning": 33,
        "debug": 29,
    }
    assert len({event.type for event in real_events}) == len({event.action for event in real_events}) == 45
    assert {event.source for event in real_events} == {"pedro-computer"}
    assert Counter(event.ip for event in real_events if event.ip) == {"::1": 4, "192.168.56.44": 4}
    assert sum(not event.target for event in real_events) == 69
    assert sum(event.actor == event.source for event in real_events) == 31
    assert min(event.occurred_at for event in real_events) == datetime(2022, 8, 18, 6, 55, 56, 586000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("type_name", "action", "actor", "target"),
    [
        (
            "windows.security.4719",
            "System audit policy was changed",
            r"PEDRO-COMPUTER\pedro-admin",
            "{0cce923f-69ae-11d9-bed3-505054503030}",
        ),
        (
            "windows.security.4688",
            "A new process has been created",
            r"WORKGROUP\PEDRO-COMPUTER$",
            r"C:\Windows\System32\smartscreen.exe",
        ),
        ("windows.sysmon.1", "Process Create", r"PEDRO-COMPUTER\pedro", r"C:\Windows\System32\smartscreen.exe"),
        ("windows.powershell.800", "Pipeline execution details", r"PEDRO-COMPUTER\pedro-admin", ""),
        ("windows.security.4624", "An account was successfully logged on", r"NT AUTHORITY\SYSTEM", "pedro-computer"),
        ("windows.system.104", "Event log cleared", "pedro-computer", ""),
    ],
)
def test_the_first_real_event_of_a_type_says_who_did_what_to_what(
    real_events: list[Event], type_name: str, action: str, actor: str, target: str
) -> None:
    event = next(event for event in real_events if event.type == type_name)
    assert (event.action, event.actor, event.target) == (action, actor, target)


def test_each_field_comes_from_its_place() -> None:
    event = mapped()
    assert (event.type, event.action) == ("windows.security.4625", "An account failed to log on")
    assert (event.actor, event.target, event.source) == (r"DESK-7\ada", "desk-7", "desk-7")
    assert (event.outcome, event.severity, event.ip) == ("failure", "warning", "192.0.2.9")
    assert event.occurred_at == datetime(2026, 11, 2, 8, 15, 30, 123456, tzinfo=UTC)
    assert event.event_id is None


@pytest.mark.parametrize(
    ("changes", "outcome", "severity"),
    [
        ({"Keywords": "0x8020000000000000"}, "success", "info"),
        ({"Keywords": "0x0", "Level": "1"}, "unknown", "critical"),
        ({"Keywords": "0x0", "Level": 2}, "unknown", "error"),
        ({"Keywords": "0x0", "Level": "3"}, "unknown", "warning"),
        ({"Keywords": "Classic", "Level": "5"}, "unknown", "debug"),
        ({"Keywords": None, "Level": None}, "unknown", "info"),
        ({"Keywords": "0x8010000000000000", "Level": "2"}, "failure", "error"),
        ({"Keywords": "0x4020000000000000", "EventID": 1102}, "success", "warning"),
    ],
)
def test_outcome_and_severity_follow_keywords_level_and_event(
    changes: dict[str, Any], outcome: str, severity: str
) -> None:
    event = mapped(**changes)
    assert (event.outcome, event.severity) == (outcome, severity)


@pytest.mark.parametrize(
    ("channel", "word"),
    [
        ("Microsoft-Windows-Sysmon/Operational", "sysmon"),
        ("Windows PowerShell", "powershell"),
        ("Microsoft-Windows-TaskScheduler/Operational", "taskscheduler"),
        ("Microsoft-Windows-Bits-Client/Analytic", "bits-client-analytic"),
        ("Ereignisse für Ämter", "ereignisse-f-r-mter"),
        ("日本", "unknown"),
    ],
)
def test_the_channel_becomes_one_word_of_the_type(channel: str, word: str) -> None:
    assert mapped(Channel=channel).type == f"windows.{word}.4625"


def test_an_event_without_message_is_named_by_its_number() -> None:
    assert mapped(Message=None).action == "Event 4625"


def test_a_source_by_option_stands_instead_of_the_host() -> None:
    assert windows.to_event(LOGON, options=Options(source="dmz")).source == "dmz"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"EventID": "x"}, "$.EventID"),
        ({"EventID": None}, "$.EventID"),
        ({"Channel": "", "SourceName": ""}, "$.Channel"),
        ({"Hostname": "-"}, "$.Hostname"),
        ({"TimeCreated": None}, "$.TimeCreated"),
        ({"TimeCreated": "2026-11-02 08:15"}, "$.TimeCreated"),
    ],
)
def test_what_cannot_be_mapped_is_refused_with_its_place(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(BadEventsError) as refusal:
        mapped(**changes)
    assert [problem.path for problem in refusal.value.problems] == [path]


def test_windows_events_are_recognised() -> None:
    assert detect(LOGON) == "windows"
