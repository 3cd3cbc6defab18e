"""AWS CloudTrail events (schema 1.0x), as delivered to S3 or through Logstash. Pure.

    our field     from
    event_id      eventID
    occurred_at   eventTime, else @timestamp
    type          aws.<service>.<event>: s3.amazonaws.com GetObject → aws.s3.getobject, so that aws.iam.* are all of IAM
    action        eventName
    actor         userIdentity: arn, else userName, principalId, invokedBy (a service), accountId, type, else "unknown"
    target        resources: first ARN, else first ARN prefix; else requestParameters by _TARGETS
    ip            sourceIPAddress where it is an address (it can be the name of a service)
    outcome       errorCode: denied if it speaks of access or authorisation, failure otherwise; failed ConsoleLogin:
                  failure; else success
    severity      denied: warning, failure: notice; else by _SEVERITIES, root user and sign-in without MFA: notice;
                  else info
    source        aws/<recipientAccountId>/<awsRegion>, unless --source says otherwise

`data` is the whole event. Source: AWS CloudTrail User Guide, "CloudTrail record contents".
"""

from __future__ import annotations

import re
from typing import Any

from activity.errors import BadEventsError, Problem
from activity.event import Event
from activity.formats.options import Options
from activity.formats.values import first_text, fitted, ip_of, member, moment, text_of, type_word

_DENIED = re.compile(r"access_?denied|unauthorized|notauthorized|forbidden|authfailure", re.IGNORECASE)

_ACTORS = ("arn", "userName", "principalId", "invokedBy", "accountId", "type")

# What a request is about, most telling first: an S3 request names bucket and key, an IAM request a user and a policy.
_TARGETS = (
    ("bucketName", "key"),
    ("bucketName",),
    ("instanceId",),
    ("roleArn",),
    ("userName",),
    ("roleName",),
    ("groupName",),
    ("policyArn",),
    ("functionName",),
    ("secretId",),
    ("keyId",),
    ("tableName",),
    ("dBInstanceIdentifier",),
    ("dBSnapshotIdentifier",),
    ("snapshotId",),
    ("volumeId",),
    ("groupId",),
    ("logGroupName",),
    ("topicArn",),
    ("queueUrl",),
    ("stackName",),
    ("repositoryName",),
    ("trailName",),
    ("name",),
)
# The first of a set of resources: {"instancesSet": {"items": [{"instanceId": "i-0…"}]}}
_TARGET_SETS = (("instancesSet", "instanceId"), ("volumeSet", "volumeId"), ("snapshotSet", "snapshotId"))

_SEVERITIES = dict.fromkeys(
    (
        *("StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"),
        *("DeleteFlowLogs", "DeleteDetector", "DisableSecurityHub", "DeleteConfigurationRecorder"),
        *("DisableKey", "ScheduleKeyDeletion", "DeactivateMFADevice", "DeleteBucketEncryption"),
    ),
    "warning",
) | dict.fromkeys(
    (
        *("CreateUser", "CreateAccessKey", "CreateLoginProfile", "UpdateLoginProfile", "AddUserToGroup"),
        *("AttachUserPolicy", "AttachRolePolicy", "AttachGroupPolicy", "PutUserPolicy", "PutRolePolicy"),
        *("CreatePolicyVersion", "SetDefaultPolicyVersion", "UpdateAssumeRolePolicy"),
        *("PutBucketPolicy", "PutBucketAcl", "DeletePublicAccessBlock", "PutKeyPolicy"),
        *("AuthorizeSecurityGroupIngress", "ModifySnapshotAttribute", "ModifyDBSnapshotAttribute"),
    ),
    "notice",
)


def recognises(value: dict[str, Any]) -> bool:
    """Tell whether an object looks like a CloudTrail event."""
    return {"eventSource", "eventName", "userIdentity"} <= value.keys()


def to_event(value: dict[str, Any], *, options: Options) -> Event:
    """Return the event.

    Raises BadEventsError naming every member that is missing and that nothing stands in for.
    """
    _require(value, "eventSource", "eventName")
    name = text_of(value["eventName"])
    identity = member(value, "userIdentity")
    outcome = _outcome(value)
    return Event(
        type=_type(text_of(value["eventSource"]), name),
        action=fitted("action", name),
        actor=fitted("actor", first_text(identity, _ACTORS) or "unknown"),
        occurred_at=_occurred_at(value),
        source=options.source or _source(value, identity),
        target=fitted("target", _target(value)),
        outcome=outcome,
        severity=_severity(value, name, identity, outcome),
        ip=ip_of(value.get("sourceIPAddress")),
        event_id=text_of(value.get("eventID")) or None,
        data=value,
    )


def _require(value: dict[str, Any], *names: str) -> None:
    missing = [
        Problem(f"$.{name}", "a CloudTrail event has it as text") for name in names if not text_of(value.get(name))
    ]
    if missing:
        raise BadEventsError(missing)


def _occurred_at(value: dict[str, Any]) -> Any:
    for key, path in (("eventTime", "$.eventTime"), ("@timestamp", '$["@timestamp"]')):
        if text := text_of(value.get(key)):
            return moment(text, path)
    raise BadEventsError([Problem("$.eventTime", "is missing, and so is @timestamp")])


def _type(event_source: str, name: str) -> str:
    service = type_word(event_source.removesuffix(".amazonaws.com").removesuffix(".aws.internal"))
    return f"aws.{service or 'unknown'}.{type_word(name) or 'unknown'}"[:200]


def _source(value: dict[str, Any], identity: dict[str, Any]) -> str:
    account = text_of(value.get("recipientAccountId")) or text_of(identity.get("accountId"))
    parts = ("aws", account, text_of(value.get("awsRegion")))
    return fitted("source", "/".join(part for part in parts if part))


def _target(value: dict[str, Any]) -> str:
    resources = value.get("resources")
    entries = [entry for entry in resources if isinstance(entry, dict)] if isinstance(resources, list) else []
    for keys in (("ARN", "arn"), ("ARNPrefix", "resourceName")):
        for entry in entries:
            if text := first_text(entry, keys):
                return text
    parameters = member(value, "requestParameters")
    for names in _TARGETS:
        if all(texts := [text_of(parameters.get(name)) for name in names]):
            return "/".join(texts)
    for name, key in _TARGET_SETS:
        items = member(parameters, name).get("items")
        if isinstance(items, list) and items and isinstance(items[0], dict):
            return text_of(items[0].get(key))
    return ""


def _outcome(value: dict[str, Any]) -> str:
    if code := text_of(value.get("errorCode")):
        return "denied" if _DENIED.search(code) else "failure"
    login = text_of(member(value, "responseElements").get("ConsoleLogin"))
    return "failure" if login == "Failure" or text_of(value.get("errorMessage")) else "success"


def _severity(value: dict[str, Any], name: str, identity: dict[str, Any], outcome: str) -> str:
    if outcome != "success":
        return "warning" if outcome == "denied" or _SEVERITIES.get(name) == "warning" else "notice"
    if name in _SEVERITIES:
        return _SEVERITIES[name]
    without_mfa = name == "ConsoleLogin" and member(value, "additionalEventData").get("MFAUsed") == "No"
    return "notice" if without_mfa or identity.get("type") == "Root" else "info"
