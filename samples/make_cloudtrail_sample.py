"""Make samples/cloudtrail_sample.jsonl: a week of a small company in AWS CloudTrail's schema, with a break-in to find.

    python samples/make_cloudtrail_sample.py [--seed N] > samples/cloudtrail_sample.jsonl

Everything is invented: people, account numbers (those of Amazon's own documentation), addresses (192.0.2.0/24,
198.51.100.0/24, 203.0.113.0/24 and 2001:db8::/32, reserved for documentation). The same seed gives the same bytes.

The story (November 2026, UTC). Tuesday night somebody at 198.51.100.77 tries passwords and gets in as jonas.weber, who
has no second factor. He looks around, is denied much, and then makes himself administrator by a new default version of
the policy dev-base. He leaves a key for svc-reporting behind. Wednesday night that key, from 203.0.113.45, reads the
customer exports object by object, takes a database password, shares a snapshot with account 444455556666, and tries to
stop the trail. Thursday morning ines.silva finds it and cleans up.
"""  # noqa: INP001 a script, not a package

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

ACCOUNT = "111122223333"
STRANGER = "444455556666"
REGION = "eu-central-1"
MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
DAYS, WORKING_DAYS = 7, 5
_GLOBAL = frozenset({"iam", "sts", "signin", "organizations", "route53"})  # served from us-east-1
_READS = ("Describe", "Get", "List", "Lookup", "Head", "Scan", "Query")
_CONSOLE = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"
_CLI = "aws-cli/2.31.4 md/prompt#off ua/2.1 os/linux md/arch#x86_64 lang/python#3.13.7"
_SDK = "Boto3/1.40.40 md/Botocore#1.40.40 ua/2.1 os/linux lang/python#3.12.11"

Item = TypeVar("Item")
Call = tuple[str, str, dict[str, Any] | None]


@dataclass(frozen=True)
class Actor:
    """Who calls: an IAM user, or a role with the session that uses it."""

    name: str
    ip: str
    agent: str = _CLI
    session: str = ""
    mfa: bool = True

    def identity(self, key: str) -> dict[str, Any]:
        """Return userIdentity; `key` is the id of the access key."""
        if self.session:
            role = {"type": "Role", "principalId": f"AROA{_letters(self.name)}", "userName": self.name}
            role |= {"arn": f"arn:aws:iam::{ACCOUNT}:role/{self.name}", "accountId": ACCOUNT}
            return {
                "type": "AssumedRole",
                "principalId": f"AROA{_letters(self.name)}:{self.session}",
                "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{self.name}/{self.session}",
                "accountId": ACCOUNT,
                "accessKeyId": f"ASIA{key}EXAMPLE",
                "sessionContext": {"sessionIssuer": role, "attributes": {"mfaAuthenticated": "false"}},
            }
        return {
            "type": "IAMUser",
            "principalId": f"AIDA{_letters(self.name)}",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/{self.name}",
            "accountId": ACCOUNT,
            "accessKeyId": f"AKIA{key}EXAMPLE",
            "userName": self.name,
        }


def _letters(text: str) -> str:
    return ("".join(filter(str.isalpha, text)).upper() + "QRSTUVWXYZ")[:10] + "EXAMPLE"


ADA = Actor("ada.lindqvist", "192.0.2.10", _CONSOLE)
BRAM = Actor("bram.okafor", "192.0.2.21")
CHIARA = Actor("chiara.rossi", "2001:db8:20::21")
ELIF = Actor("elif.kaya", "192.0.2.23", _SDK)
FARID = Actor("farid.haddad", "192.0.2.31", _CONSOLE, mfa=False)
GRETA = Actor("greta.nilsson", "192.0.2.32", _CONSOLE)
HUGO = Actor("hugo.martin", "192.0.2.11")
INES = Actor("ines.silva", "2001:db8:20::12")
JONAS = Actor("jonas.weber", "192.0.2.24", mfa=False)
CI = Actor("ci-deploy", "192.0.2.50", _SDK, session="pipeline")
WEB = Actor("web-server", "192.0.2.60", _SDK, session="i-0a11ce0000000001")
REPORTS = Actor("report-lambda", "lambda.amazonaws.com", "lambda.amazonaws.com", session="weekly-report")
BACKUP = Actor("nightly-backup", "backup.amazonaws.com", "backup.amazonaws.com", session="AWSBackup")
INTRUDER = Actor("jonas.weber", "198.51.100.77", _CLI)
THIEF = Actor("svc-reporting", "203.0.113.45", "python-requests/2.32.5")

_INSTANCE: dict[str, Any] = {"instancesSet": {"items": [{"instanceId": "i-0a11ce0000000001"}]}}
# What each of them does on a usual day: calls a day, and the calls to choose from.
ROUTINE: tuple[tuple[Actor, int, Sequence[Call]], ...] = (
    (
        ADA,
        7,
        (
            ("iam", "ListUsers", None),
            ("ec2", "DescribeInstances", _INSTANCE),
            ("organizations", "DescribeOrganization", None),
            ("route53", "ListHostedZones", None),
            ("kms", "DescribeKey", {"keyId": "alias/customer-data"}),
        ),
    ),
    (
        BRAM,
        9,
        (
            ("lambda", "UpdateFunctionCode20150331v2", {"functionName": "weekly-report"}),
            ("logs", "FilterLogEvents", {"logGroupName": "/aws/lambda/weekly-report"}),
            ("ecr", "DescribeImages", {"repositoryName": "shop"}),
            ("dynamodb", "DescribeTable", {"tableName": "carts"}),
        ),
    ),
    (
        CHIARA,
        9,
        (
            ("s3", "PutObject", {"bucketName": "rf-assets", "key": "img/{n}.webp"}),
            ("s3", "ListObjects", {"bucketName": "rf-assets", "prefix": "img/"}),
            ("cloudfront", "CreateInvalidation", {"distributionId": "E1EXAMPLE", "paths": ["/img/*"]}),
            ("ecr", "DescribeImages", {"repositoryName": "shop"}),
        ),
    ),
    (
        ELIF,
        8,
        (
            ("athena", "StartQueryExecution", {"queryString": "SELECT day, sum(total) FROM orders GROUP BY day"}),
            ("s3", "GetObject", {"bucketName": "rf-analytics", "key": "orders/2026-11-{n}.parquet"}),
            ("glue", "GetTables", {"databaseName": "shop"}),
        ),
    ),
    (
        FARID,
        3,
        (
            ("ce", "GetCostAndUsage", {"granularity": "DAILY"}),
            ("s3", "GetObject", {"bucketName": "rf-finance", "key": "invoices/{n}.pdf"}),
        ),
    ),
    (GRETA, 2, (("s3", "GetObject", {"bucketName": "rf-hr", "key": "contracts/{n}.pdf"}),)),
    (
        HUGO,
        8,
        (
            ("ec2", "DescribeInstances", _INSTANCE),
            ("ssm", "StartSession", {"target": "i-0a11ce0000000001"}),
            ("monitoring", "DescribeAlarms", {"maxRecords": 100}),
            ("rds", "DescribeDBInstances", {"dBInstanceIdentifier": "shop-prod"}),
            ("ec2", "RebootInstances", _INSTANCE),
        ),
    ),
    (
        INES,
        5,
        (
            ("cloudtrail", "LookupEvents", {"maxResults": 50}),
            ("iam", "GenerateCredentialReport", None),
            ("iam", "ListAccessKeys", {"userName": "svc-reporting"}),
            ("guardduty", "ListFindings", {"detectorId": "12abc34d567e8f4912ab3d45e67891f2"}),
        ),
    ),
    (
        JONAS,
        6,
        (
            ("s3", "ListObjects", {"bucketName": "rf-assets"}),
            ("logs", "DescribeLogGroups", None),
            ("ecr", "DescribeImages", {"repositoryName": "shop"}),
        ),
    ),
)
# What runs every day of the week, at any hour.
MACHINES: tuple[tuple[Actor, int, Sequence[Call]], ...] = (
    (
        CI,
        6,
        (
            ("ecr", "PutImage", {"repositoryName": "shop", "imageTag": "build-{n}"}),
            ("ssm", "GetParameter", {"name": "/shop/version"}),
            ("lambda", "PublishVersion20150331", {"functionName": "weekly-report"}),
        ),
    ),
    (
        WEB,
        14,
        (
            ("dynamodb", "DescribeTable", {"tableName": "carts"}),
            ("secretsmanager", "GetSecretValue", {"secretId": "prod/shop/payment"}),
            ("s3", "PutObject", {"bucketName": "rf-customer-exports", "key": "2026/customer-{n}.json"}),
            ("kms", "Decrypt", {"encryptionContext": {"app": "shop"}}),
            ("sns", "Publish", {"topicArn": "orders"}),
        ),
    ),
    (
        REPORTS,
        3,
        (
            ("s3", "GetObject", {"bucketName": "rf-analytics", "key": "orders/2026-11-{n}.parquet"}),
            ("sns", "Publish", {"topicArn": "reports"}),
        ),
    ),
    (
        BACKUP,
        3,
        (
            ("rds", "CreateDBSnapshot", {"dBSnapshotIdentifier": "shop-prod-{n}"}),
            ("kms", "GenerateDataKey", {"keyId": "alias/backup", "numberOfBytes": 32}),
        ),
    ),
)
# Now and then somebody tries what he may not, or asks for what is not there.
SLIPS: tuple[tuple[Actor, Call, str], ...] = (
    (BRAM, ("iam", "CreateRole", {"roleName": "bram-test"}), "AccessDenied"),
    (CHIARA, ("s3", "GetObject", {"bucketName": "rf-finance", "key": "invoices/plan.xlsx"}), "AccessDenied"),
    (ELIF, ("s3", "GetObject", {"bucketName": "rf-analytics", "key": "orders/2026-13-01.parquet"}), "NoSuchKey"),
    (ELIF, ("athena", "StartQueryExecution", {"queryString": "SELEC 1"}), "InvalidRequestException"),
    (HUGO, ("ec2", "TerminateInstances", _INSTANCE), "Client.UnauthorizedOperation"),
    (JONAS, ("dynamodb", "DescribeTable", {"tableName": "orders"}), "ResourceNotFoundException"),
    (WEB, ("dynamodb", "UpdateTable", {"tableName": "carts"}), "ThrottlingException"),
    (CI, ("ecr", "PutImage", {"repositoryName": "shop", "imageTag": "latest"}), "ImageAlreadyExistsException"),
)


class Week:
    """The events so far, and the dice."""

    def __init__(self, seed: int) -> None:
        # random() alone is promised to give the same numbers in every version of Python.
        self._random = random.Random(seed)  # noqa: S311 an invented story needs no secrecy
        self.events: list[dict[str, Any]] = []

    def number(self, below: int) -> int:
        """Return a number from 0 to below - 1."""
        return int(self._random.random() * below)

    def pick(self, items: Sequence[Item]) -> Item:
        """Return one of the items."""
        return items[self.number(len(items))]

    def uuid(self) -> str:
        """Return a UUID of version 4 that depends on the seed alone."""
        return str(UUID(int=(self.number(2**50) << 78) | (self.number(2**50) << 28) | self.number(2**28), version=4))

    def call(self, at: datetime, actor: Actor, call: Call, *, error: str | None = None, **more: Any) -> None:
        """Record one API call; `more` is merged into the event."""
        service, name, parameters = call
        request = json.loads(json.dumps(parameters).replace("{n}", f"{1 + self.number(28):02d}"))
        data_event = service == "s3" and name in ("GetObject", "PutObject", "ListObjects")
        event: dict[str, Any] = {
            "eventVersion": "1.11",
            "userIdentity": actor.identity(_letters(actor.name)[:5] + ("NIGHT" if actor is INTRUDER else "USUAL")),
            "eventTime": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "eventSource": f"{service}.amazonaws.com",
            "eventName": name,
            "awsRegion": "us-east-1" if service in _GLOBAL else REGION,
            "sourceIPAddress": actor.ip,
            "userAgent": actor.agent,
        }
        if error:
            who = event["userIdentity"]["arn"]
            event |= {"errorCode": error, "errorMessage": f"{who} called {service}:{name} and got {error}"}
        event |= {"requestParameters": request, "responseElements": None}
        if data_event:
            bucket = f"arn:aws:s3:::{request['bucketName']}"
            objects = [{"type": "AWS::S3::Object", "ARN": f"{bucket}/{request['key']}"}] if "key" in request else []
            event["resources"] = [*objects, {"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": bucket}]
            sent = 0.0 if error or name == "PutObject" else float(1024 + self.number(400_000))
            event["additionalEventData"] = {"SignatureVersion": "SigV4", "bytesTransferredOut": sent}
        event |= {
            "requestID": self.uuid(),
            "eventID": self.uuid(),
            "readOnly": name.startswith(_READS),
            "eventType": "AwsApiCall",
            "managementEvent": not data_event,
            "recipientAccountId": ACCOUNT,
            "eventCategory": "Data" if data_event else "Management",
        }
        self.events.append(event | more)

    def sign_in(self, at: datetime, actor: Actor, *, success: bool = True) -> None:
        """Record a sign-in to the console, with a second factor where the actor has one."""
        more: dict[str, Any] = {
            "userAgent": _CONSOLE,
            "responseElements": {"ConsoleLogin": "Success" if success else "Failure"},
            "additionalEventData": {"MobileVersion": "No", "MFAUsed": "Yes" if success and actor.mfa else "No"},
            "eventType": "AwsConsoleSignIn",
        }
        if not success:
            more["errorMessage"] = "Failed authentication"
        self.call(at, actor, ("signin", "ConsoleLogin", None), **more)

    def jsonl(self) -> str:
        """Return the events in the order of their times, one a line."""
        ordered = sorted(self.events, key=lambda event: str(event["eventTime"]))
        return "".join(json.dumps(event, separators=(",", ":"), ensure_ascii=False) + "\n" for event in ordered)


def usual_days(week: Week) -> None:
    """People work on five days, machines on seven."""
    for day in range(DAYS):
        midnight = MONDAY + timedelta(days=day)
        for actor, calls_a_day, calls in (*(ROUTINE if day < WORKING_DAYS else ()), *MACHINES):
            machine = bool(actor.session)
            opens, hours = (0, 24) if machine else (7, 9)
            if not machine:
                start = midnight + timedelta(hours=opens, minutes=-20 + week.number(18), seconds=week.number(60))
                if week.number(9) == 0:
                    week.sign_in(start, actor, success=False)
                week.sign_in(start + timedelta(seconds=25), actor)
            for _ in range(calls_a_day + week.number(4)):
                week.call(midnight + timedelta(hours=opens, seconds=week.number(hours * 3600)), actor, week.pick(calls))
    for at, (actor, call, error) in enumerate(SLIPS):
        moment = MONDAY + timedelta(days=at % WORKING_DAYS, hours=8 + week.number(8), seconds=week.number(3600))
        for attempt in range(1 + week.number(3)):
            week.call(moment + timedelta(seconds=9 * attempt), actor, call, error=error)
    root = {"type": "Root", "principalId": ACCOUNT, "arn": f"arn:aws:iam::{ACCOUNT}:root", "accountId": ACCOUNT}
    week.call(
        MONDAY + timedelta(hours=9),
        ADA,
        ("signin", "ConsoleLogin", None),
        userIdentity=root,
        responseElements={"ConsoleLogin": "Success"},
        additionalEventData={"MFAUsed": "Yes"},
        eventType="AwsConsoleSignIn",
    )
    services = {"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}
    assumed = {"roleArn": f"arn:aws:iam::{ACCOUNT}:role/web-server", "roleSessionName": WEB.session}
    for hours in range(0, DAYS * 24, 6):
        week.call(
            MONDAY + timedelta(hours=hours, minutes=7),
            Actor("ec2", "ec2.amazonaws.com", "ec2.amazonaws.com"),
            ("sts", "AssumeRole", assumed),
            userIdentity=services,
        )


def break_in(week: Week) -> None:
    """Tuesday night: a guessed password, a look around, and an administrator."""
    night = MONDAY + timedelta(days=1, hours=2, minutes=11)
    for attempt, victim in enumerate((ADA, BRAM, CHIARA, ELIF, FARID, GRETA, HUGO, INES, JONAS, FARID, JONAS)):
        attacker = Actor(victim.name, INTRUDER.ip, _CONSOLE, mfa=False)
        week.sign_in(night + timedelta(seconds=47 * attempt), attacker, success=False)
    week.sign_in(night + timedelta(minutes=20), Actor(JONAS.name, INTRUDER.ip, _CONSOLE, mfa=False))
    policy = f"arn:aws:iam::{ACCOUNT}:policy/dev-base"
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    administrator = "arn:aws:iam::aws:policy/AdministratorAccess"
    steps: Sequence[tuple[Call, str | None]] = (
        (("sts", "GetCallerIdentity", None), None),
        (("iam", "ListUsers", None), "AccessDenied"),
        (("iam", "ListAttachedUserPolicies", {"userName": JONAS.name}), None),
        (("iam", "GetPolicyVersion", {"policyArn": policy, "versionId": "v3"}), None),
        (("secretsmanager", "ListSecrets", None), "AccessDenied"),
        (("secretsmanager", "GetSecretValue", {"secretId": "prod/shop/database"}), "AccessDenied"),
        (("s3", "ListObjects", {"bucketName": "rf-customer-exports"}), "AccessDenied"),
        (("iam", "CreateUser", {"userName": "helpdesk2"}), "AccessDenied"),
        (("iam", "AttachUserPolicy", {"userName": JONAS.name, "policyArn": administrator}), "AccessDenied"),
        (
            (
                "iam",
                "CreatePolicyVersion",
                {"policyArn": policy, "policyDocument": json.dumps(everything), "setAsDefault": True},
            ),
            None,
        ),
        (("iam", "ListUsers", None), None),
        (("iam", "CreateAccessKey", {"userName": THIEF.name}), None),
        (("secretsmanager", "ListSecrets", None), None),
    )
    for step, (call, error) in enumerate(steps):
        week.call(night + timedelta(minutes=24, seconds=38 * step), INTRUDER, call, error=error)


def theft(week: Week) -> None:
    """Wednesday night: what was taken, and what was tried against the traces."""
    night = MONDAY + timedelta(days=2, hours=3, minutes=2)
    week.call(night, THIEF, ("sts", "GetCallerIdentity", None))
    week.call(night + timedelta(seconds=20), THIEF, ("s3", "ListBuckets", None))
    week.call(night + timedelta(seconds=41), THIEF, ("s3", "ListObjects", {"bucketName": "rf-customer-exports"}))
    for number in range(48):
        key = f"2026/customer-{number + 1:02d}.json"
        at = night + timedelta(seconds=60 + 2 * number)
        week.call(at, THIEF, ("s3", "GetObject", {"bucketName": "rf-customer-exports", "key": key}))
    snapshot: dict[str, Any] = {"dBSnapshotIdentifier": "shop-prod-copy"}
    share = snapshot | {"attributeName": "restore", "valuesToAdd": [STRANGER]}
    trail = {"name": f"arn:aws:cloudtrail:{REGION}:{ACCOUNT}:trail/company"}
    steps: Sequence[tuple[Call, str | None]] = (
        (("secretsmanager", "GetSecretValue", {"secretId": "prod/shop/database"}), None),
        (("rds", "CreateDBSnapshot", snapshot | {"dBInstanceIdentifier": "shop-prod"}), None),
        (("rds", "ModifyDBSnapshotAttribute", share), None),
        (("cloudtrail", "DescribeTrails", None), None),
        (("cloudtrail", "StopLogging", trail), "InsufficientDependencyServiceAccessPermissionException"),
        (("cloudtrail", "DeleteTrail", trail), "AccessDenied"),
        (("ec2", "DeleteFlowLogs", {"DeleteFlowLogsRequest": {"FlowLogId": "fl-0badc0ffee0000001"}}), None),
    )
    for step, (call, error) in enumerate(steps):
        week.call(night + timedelta(minutes=6, seconds=53 * step), THIEF, call, error=error)


def clean_up(week: Week) -> None:
    """Thursday morning: found, closed, undone."""
    morning = MONDAY + timedelta(days=3, hours=7, minutes=40)
    policy = f"arn:aws:iam::{ACCOUNT}:policy/dev-base"
    share = {"dBSnapshotIdentifier": "shop-prod-copy", "attributeName": "restore", "valuesToRemove": [STRANGER]}
    steps: Sequence[Call] = (
        *(
            ("cloudtrail", "LookupEvents", {"lookupAttributes": [{"attributeKey": "Username", "attributeValue": name}]})
            for name in (THIEF.name, JONAS.name)
        ),
        ("iam", "UpdateAccessKey", {"userName": THIEF.name, "status": "Inactive"}),
        ("iam", "DeleteLoginProfile", {"userName": JONAS.name}),
        ("iam", "SetDefaultPolicyVersion", {"policyArn": policy, "versionId": "v3"}),
        ("iam", "DeletePolicyVersion", {"policyArn": policy, "versionId": "v4"}),
        ("rds", "ModifyDBSnapshotAttribute", share),
        ("rds", "DeleteDBSnapshot", {"dBSnapshotIdentifier": "shop-prod-copy"}),
        ("secretsmanager", "RotateSecret", {"secretId": "prod/shop/database"}),
        ("ec2", "CreateFlowLogs", {"CreateFlowLogsRequest": {"ResourceId": "vpc-0a11ce0000000001"}}),
        ("iam", "EnableMFADevice", {"userName": JONAS.name}),
        ("iam", "EnableMFADevice", {"userName": FARID.name}),
    )
    for step, call in enumerate(steps):
        week.call(morning + timedelta(minutes=3 * step, seconds=week.number(60)), INES, call)


def make(seed: int) -> str:
    """Return the sample as JSON lines."""
    week = Week(seed)
    for chapter in (usual_days, break_in, theft, clean_up):
        chapter(week)
    return week.jsonl()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the sample to standard output.")
    parser.add_argument("--seed", type=int, default=2026, help="another seed, another week (2026)")
    sys.stdout.write(make(parser.parse_args().seed))
