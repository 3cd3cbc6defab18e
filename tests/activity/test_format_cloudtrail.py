"""AWS CloudTrail: the mapping, on the real file and on what the real file does not hold."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activity.errors import BadEventsError
from activity.event import Event
from activity.formats import cloudtrail, detect
from activity.formats.options import Options
from activity.record import check

REAL_FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "cloudtrail_s3_exfiltration.jsonl"

DENIED: dict[str, Any] = {
    "eventVersion": "1.08",
    "userIdentity": {
        "type": "IAMUser",
        "principalId": "AIDA0",
        "arn": "arn:aws:iam::111122223333:user/ada",
        "accountId": "111122223333",
        "userName": "ada",
    },
    "eventTime": "2026-11-02T08:15:30Z",
    "eventSource": "s3.amazonaws.com",
    "eventName": "GetObject",
    "awsRegion": "eu-central-1",
    "sourceIPAddress": "192.0.2.17",
    "errorCode": "AccessDenied",
    "requestParameters": {"bucketName": "plans", "key": "2027/budget.xlsx"},
    "responseElements": None,
    "eventID": "0c1f6c52-0000-4000-8000-000000000001",
    "recipientAccountId": "111122223333",
}


def mapped(**changes: object) -> Event:
    return cloudtrail.to_event(DENIED | changes, options=Options())


@pytest.fixture(scope="module")
def real_events() -> list[Event]:
    values = [json.loads(line) for line in REAL_FILE.read_bytes().splitlines()]
    return [cloudtrail.to_event(value, options=Options()) for value in values]


def test_every_real_event_maps_to_an_event_that_can_be_recorded(real_events: list[Event]) -> None:
    assert len(real_events) == 103
    for event in real_events:
        check(event, max_detached_bytes=1024 * 1024)
    assert len({event.event_id for event in real_events}) == 103


def test_the_data_of_a_real_event_is_the_whole_original(real_events: list[Event]) -> None:
    assert [event.data for event in real_events] == [json.loads(line) for line in REAL_FILE.read_bytes().splitlines()]


def test_the_real_events_spread_as_the_file_says(real_events: list[Event]) -> None:
    services = Counter(event.type.split(".")[1] for event in real_events)
    assert services == {
        "ec2": 80,
        "s3": 11,
        "sts": 5,
        "elasticloadbalancing": 3,
        "monitoring": 2,
        "compute-optimizer": 2,
    }
    role = "assumed-role/MordorNginxStack-BankingWAFRole-9S3E0UAE1MM0/i-0317f6c6b66ae9c40"
    assert Counter(event.actor for event in real_events) == {
        "arn:aws:iam::123456789123:user/pedro": 87,
        f"arn:aws:sts::123456789123:{role}": 11,
        "ec2.amazonaws.com": 5,
    }
    assert Counter(event.ip for event in real_events) == {"1.2.3.4": 98, None: 5}
    assert {(event.source, event.outcome) for event in real_events} == {("aws/123456789123/us-east-1", "success")}
    theft = [event.target for event in real_events if event.type == "aws.s3.getobject"]
    assert theft == ["arn:aws:s3:::mordors3stack-s3bucket-llp2yingx64a/ring.txt"] * 2
    assert min(event.occurred_at for event in real_events) == datetime(2020, 9, 14, 0, 44, 20, tzinfo=UTC)


def test_each_field_comes_from_its_place() -> None:
    event = mapped()
    assert (event.type, event.action) == ("aws.s3.getobject", "GetObject")
    assert event.actor == "arn:aws:iam::111122223333:user/ada"
    assert event.target == "plans/2027/budget.xlsx"
    assert event.ip == "192.0.2.17"
    assert event.source == "aws/111122223333/eu-central-1"
    assert event.occurred_at == datetime(2026, 11, 2, 8, 15, 30, tzinfo=UTC)
    assert event.event_id == DENIED["eventID"]
    assert event.data == DENIED


@pytest.mark.parametrize(
    ("changes", "outcome", "severity"),
    [
        ({}, "denied", "warning"),
        ({"errorCode": "Client.UnauthorizedOperation"}, "denied", "warning"),
        ({"errorCode": "KMSAccessDeniedException"}, "denied", "warning"),
        ({"errorCode": "NoSuchKey"}, "failure", "notice"),
        ({"errorCode": None}, "success", "info"),
        ({"errorCode": None, "errorMessage": "Failed authentication"}, "failure", "notice"),
        ({"errorCode": None, "eventName": "ConsoleLogin"}, "success", "info"),
        (
            {"errorCode": None, "eventName": "ConsoleLogin", "responseElements": {"ConsoleLogin": "Failure"}},
            "failure",
            "notice",
        ),
        (
            {"errorCode": None, "eventName": "ConsoleLogin", "additionalEventData": {"MFAUsed": "No"}},
            "success",
            "notice",
        ),
        ({"errorCode": None, "eventName": "AttachUserPolicy"}, "success", "notice"),
        ({"errorCode": None, "eventName": "StopLogging"}, "success", "warning"),
        ({"errorCode": None, "userIdentity": {"type": "Root", "arn": "arn:aws:iam::1:root"}}, "success", "notice"),
    ],
)
def test_outcome_and_severity_follow_the_error_and_the_event(
    changes: dict[str, Any], outcome: str, severity: str
) -> None:
    event = mapped(**changes)
    assert (event.outcome, event.severity) == (outcome, severity)


@pytest.mark.parametrize(
    ("identity", "actor"),
    [
        ({"type": "IAMUser", "userName": "eve", "principalId": ""}, "eve"),
        ({"type": "SAMLUser", "principalId": "sts:ada@example.org"}, "sts:ada@example.org"),
        ({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}, "ec2.amazonaws.com"),
        ({"type": "AWSAccount", "accountId": "444455556666"}, "444455556666"),
        ({"type": "Unknown"}, "Unknown"),
        ({}, "unknown"),
        (None, "unknown"),
    ],
)
def test_the_actor_is_the_best_name_there_is(identity: object, actor: str) -> None:
    assert mapped(userIdentity=identity).actor == actor


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"resources": [{"ARNPrefix": "arn:x/"}, {"ARN": "arn:bucket"}]}, "arn:bucket"),
        ({"resources": [{"ARNPrefix": "arn:x/"}]}, "arn:x/"),
        ({"resources": ["odd"], "requestParameters": {"userName": "bob", "policyArn": "arn:p"}}, "bob"),
        ({"requestParameters": {"instancesSet": {"items": [{"instanceId": "i-7"}]}}}, "i-7"),
        ({"requestParameters": {"instancesSet": {"items": []}}}, ""),
        ({"requestParameters": {"bucketName": "plans"}}, "plans"),
        ({"requestParameters": None}, ""),
    ],
)
def test_the_target_comes_from_resources_and_then_from_the_request(changes: dict[str, Any], target: str) -> None:
    assert mapped(**changes).target == target


@pytest.mark.parametrize(
    ("address", "ip"),
    [
        ("2001:DB8:0::1", "2001:db8::1"),
        ("cloudformation.amazonaws.com", None),
        ("AWS Internal", None),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        (None, None),
    ],
)
def test_only_an_address_becomes_the_ip(address: object, ip: str | None) -> None:
    assert mapped(sourceIPAddress=address).ip == ip


def test_a_source_by_option_stands_instead_of_account_and_region() -> None:
    assert cloudtrail.to_event(DENIED, options=Options(source="prod-trail")).source == "prod-trail"


def test_the_type_has_one_word_each_for_service_and_event() -> None:
    event = mapped(eventSource="ec2.application-autoscaling.amazonaws.com", eventName="Create Distribution2020_05_31")
    assert event.type == "aws.ec2-application-autoscaling.create-distribution2020_05_31"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"eventName": None}, "$.eventName"),
        ({"eventSource": []}, "$.eventSource"),
        ({"eventTime": None}, "$.eventTime"),
        ({"eventTime": "yesterday"}, "$.eventTime"),
        ({"eventTime": "", "@timestamp": "2026-02-30T00:00:00Z"}, '$["@timestamp"]'),
    ],
)
def test_what_cannot_be_mapped_is_refused_with_its_place(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(BadEventsError) as refusal:
        mapped(**changes)
    assert [problem.path for problem in refusal.value.problems] == [path]


def test_a_very_long_target_is_cut_and_stands_whole_in_the_data() -> None:
    event = mapped(requestParameters={"bucketName": "b", "key": "k" * 1000})
    assert len(event.target) == 500
    assert event.target.endswith("…")
    assert event.data["requestParameters"]["key"] == "k" * 1000


def test_cloudtrail_events_are_recognised() -> None:
    assert detect(DENIED) == "cloudtrail"
