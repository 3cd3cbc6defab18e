"""Verification step by step, as activity/verification.py numbers them: each test breaks just that step."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.conf import settings

from activity.models import ActivityLog, LogType
from activity.queries import last_verified
from activity.record import claims_digest
from activity.report import MAX_FINDINGS, Report
from activity.services import record_many, record_verification
from activity.verification import LedgerCheck, verify_log_types
from signing import anchors
from signing.merkle import leaf_hash
from signing.queries import ledger_named
from signing.services import rotate_key
from signing.verdicts import Finding, Verdict
from tests.clusters import Database
from tests.signing.installation import (
    BY,
    active_key,
    anchor_all,
    event,
    findings,
    forge,
    record,
    stolen_half,
    trusted,
    unguarded,
    verify,
)


@pytest.fixture
def first(fresh_database: Database) -> int:
    """Record 20 entries that verify, the odd ones unsigned, and return the leaf of the first."""
    types = ("test.event", "windows.sysmon.1")
    receipts = record_many([event(number, type_name=types[number % 2]) for number in range(20)])
    anchor_all()
    assert findings(verify()) == []
    return receipts[0].leaf_index


def change(database: Database, sql: str, table: str = "activity_logs") -> None:
    with unguarded(database, table) as connection:
        connection.execute(sql)


def only(report: Report) -> Finding:
    assert len(report.findings) == 1, findings(report)
    return report.findings[0]


def since(last: Any) -> Report:
    check = LedgerCheck(
        ledger_named("activity"), trusted(), anchors.read_all(Path(settings.AUDITLOG_ANCHOR_DIR)), last=last
    )
    for _ in check.run():
        pass
    return check.report


def test_a_clean_ledger_is_valid(first: int) -> None:
    report = verify()
    assert report.outcome == Verdict.VALID
    assert (report.size, report.unsigned, report.first_bad_leaf) == (first + 20, 10, None)
    assert report.signed == first + 10, "the system entries of set-up are signed too"


def test_step_1_a_leaf_without_entry_is_missing(fresh_database: Database, first: int) -> None:
    change(fresh_database, f"DELETE FROM activity_logs WHERE leaf_index = {first + 3}")
    found = only(verify())
    assert (found.leaf_index, found.verdict) == (first + 3, Verdict.MISSING)


def test_step_1_two_entries_of_one_leaf_are_noticed(fresh_database: Database, first: int) -> None:
    with unguarded(fresh_database, "activity_logs") as connection:
        connection.execute("ALTER TABLE activity_logs DROP CONSTRAINT one_entry_per_leaf")
        connection.execute("CREATE TEMP TABLE twin AS SELECT * FROM activity_logs WHERE leaf_index = %s", [first + 3])
        connection.execute("UPDATE twin SET id = '01932f6e-0000-7000-8000-000000000000'")
        connection.execute("INSERT INTO activity_logs SELECT * FROM twin")
    assert any("two entries claim this leaf" in text and f"leaf {first + 3}:" in text for text in findings(verify()))


def test_step_1_an_entry_outside_the_ledger_is_noticed(fresh_database: Database, first: int) -> None:
    with unguarded(fresh_database, "activity_logs") as connection:
        connection.execute("CREATE TEMP TABLE stray AS SELECT * FROM activity_logs WHERE leaf_index = %s", [first])
        connection.execute("UPDATE stray SET id = '01932f6e-0000-7000-8000-000000000000', leaf_index = 9999")
        connection.execute("INSERT INTO activity_logs SELECT * FROM stray")
    found = only(verify())
    assert (found.leaf_index, found.reason) == (9999, "an entry stands here that is not in the ledger")


def test_step_2_a_changed_record_is_not_its_leaf(fresh_database: Database, first: int) -> None:
    change(
        fresh_database,
        f"UPDATE activity_logs SET record = set_byte(record, 40, 33) WHERE leaf_index = {first + 4}",
    )
    found = only(verify())
    assert (found.leaf_index, found.reason) == (first + 4, "its record is not the leaf that the ledger holds")


@pytest.mark.parametrize(
    ("assignment", "reason"),
    [
        ("actor = 'mallory'", "columns differ from the record: actor"),
        ("occurred_at = occurred_at - interval '1 hour'", "columns differ from the record: occurred_at"),
        ("ip = '10.0.0.1'", "columns differ from the record: ip"),
        ("event_digest = sha256('')", "columns differ from the record: event_digest"),
        ("detached_data = ''", "data lies beside a record that has its data inside"),
    ],
)
def test_step_3_a_column_that_says_otherwise_is_noticed(
    fresh_database: Database, first: int, assignment: str, reason: str
) -> None:
    change(fresh_database, f"UPDATE activity_logs SET {assignment} WHERE leaf_index = {first + 5}")
    found = only(verify())
    assert (found.leaf_index, found.verdict, found.reason) == (first + 5, Verdict.TAMPERED, reason)


def test_step_3_changed_detached_data_is_noticed(fresh_database: Database, first: int) -> None:
    receipt = record_many([replace(event(), data={"a": "x" * 70_000})])[0]
    anchor_all()
    assert findings(verify()) == []
    changed = f"set_byte(detached_data, 10, 33) WHERE leaf_index = {receipt.leaf_index}"
    change(fresh_database, f"UPDATE activity_logs SET detached_data = {changed}")
    found = only(verify())
    assert (found.leaf_index, found.reason) == (
        receipt.leaf_index,
        "the detached data is not what the record says",
    )


def test_step_4_a_changed_signature_is_noticed(fresh_database: Database, first: int) -> None:
    change(
        fresh_database,
        f"UPDATE activity_logs SET signature = set_byte(signature, 0, get_byte(signature, 0) # 1) "
        f"WHERE leaf_index = {first}",
    )
    found = only(verify())
    assert found.leaf_index == first
    assert "its signature is not that of entry-ed25519-" in found.reason


def test_step_4_a_missing_signature_is_noticed(fresh_database: Database, first: int) -> None:
    with unguarded(fresh_database, "activity_logs") as connection:
        connection.execute("ALTER TABLE activity_logs DROP CONSTRAINT signature_names_its_key")
        connection.execute("UPDATE activity_logs SET signature = NULL WHERE leaf_index = %s", [first])
    assert (only(verify()).leaf_index, only(verify()).verdict) == (first, Verdict.TAMPERED)


def test_step_4_a_signature_outside_its_keys_window_is_refused(first: int) -> None:
    old = active_key()
    sign = stolen_half(old)
    rotate_key(purpose="entry", algorithm="Ed25519", **BY)
    record()
    leaf = forge(old, sign)
    anchor_all()
    report = verify()
    assert report.outcome == Verdict.TAMPERED
    assert any(f"leaf {leaf}:" in text and "its key was replaced at leaf" in text for text in findings(report))


def test_step_5_a_forged_entry_with_its_leaf_does_not_make_the_signed_tree(
    fresh_database: Database, first: int
) -> None:
    entry: Any = ActivityLog.objects.get(leaf_index=first + 1, ledger=ledger_named("activity"))
    said = orjson.loads(bytes(entry.record))
    data = orjson.dumps({"number": 999})
    forged = bytes(entry.record).replace(orjson.dumps(said["data"]), data)
    before = forged[: forged.index(b',"data":')]
    names = ("event_id", "ip", "occurred_at", "outcome", "severity", "source", "target", "type")
    digest = claims_digest(before, data, orjson.dumps([said.get(name) for name in names]))
    with unguarded(fresh_database, "activity_logs") as connection, unguarded(fresh_database, "ledger_nodes"):
        connection.execute(
            "UPDATE activity_logs SET record = %s, event_digest = %s WHERE leaf_index = %s",
            [forged, digest, first + 1],
        )
        connection.execute(
            "UPDATE ledger_nodes SET hash = %s WHERE ledger_id = %s AND level = 0 AND node_index = %s",
            [leaf_hash(forged), entry.ledger_id, first + 1],
        )
    report = verify()
    assert report.outcome == Verdict.TAMPERED
    assert all("the tree of the first" in finding.reason for finding in report.findings)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE log_types SET requires_signature = false WHERE pattern = 'auth.*'",
        "DELETE FROM log_types WHERE pattern = 'auth.*'",
    ],
)
def test_step_6_a_log_type_changed_behind_our_back_is_noticed(fresh_database: Database, sql: str) -> None:
    assert verify_log_types(trusted()) == []
    fresh_database.app().execute(sql)
    found = verify_log_types(trusted())
    assert [finding.reason for finding in found] == ["the log type auth.* is not what its system entry says"]


def test_step_6_a_log_type_that_nobody_recorded_is_noticed(fresh_database: Database) -> None:
    LogType.objects.create(pattern="quiet", requires_signature=False)
    assert [finding.reason for finding in verify_log_types(trusted())] == [
        "the log type quiet is not what its system entry says"
    ]


def test_since_the_last_verification_only_new_leaves_are_read(fresh_database: Database) -> None:
    record_many([event(number) for number in range(600)])
    anchor_all()
    report = verify()
    assert findings(report) == []
    record_verification(report, started_at=active_key().created_at)
    record(2)
    anchor_all()
    last = last_verified(ledger_named("activity"))
    assert findings(since(last)) == []
    change(fresh_database, f"UPDATE activity_logs SET actor = 'mallory' WHERE leaf_index IN (20, {report.size})")
    second = since(last)
    assert (second.since, second.size) == (report.size, report.size + 2)
    assert [finding.leaf_index for finding in second.findings] == [report.size], "leaf 20 was not read again"
    assert {finding.leaf_index for finding in verify().findings} == {20, report.size}


def test_since_the_last_verification_a_changed_base_is_noticed(fresh_database: Database) -> None:
    record_many([event(number) for number in range(600)])
    anchor_all()
    record_verification(verify(), started_at=active_key().created_at)
    last = last_verified(ledger_named("activity"))
    assert findings(since(last)) == []
    change(
        fresh_database,
        "UPDATE ledger_nodes SET hash = sha256(hash) WHERE level = 1 AND node_index = 0 "
        "AND ledger_id = (SELECT id FROM ledgers WHERE name = 'activity')",
        "ledger_nodes",
    )
    assert since(last).outcome == Verdict.TAMPERED


def test_a_cut_off_end_is_noticed_since_the_last_verification(fresh_database: Database, first: int) -> None:
    record_verification(verify(), started_at=active_key().created_at)
    last = last_verified(ledger_named("activity"))
    assert last is not None
    found = since(replace(last, size=last.size + 5))
    assert found.outcome == Verdict.TAMPERED
    assert any("its end was cut off" in text for text in findings(found))


@pytest.mark.parametrize("record_bytes", [b"1", b"[]", b"{}", b"\xff", b'{"type":"auditlog.log-type.set"}'])
def test_a_record_that_is_no_record_is_a_finding_and_no_crash(
    fresh_database: Database, first: int, record_bytes: bytes
) -> None:
    """Whoever took over the application can append any bytes; verification must live to tell."""
    with unguarded(fresh_database, "activity_logs") as connection, unguarded(fresh_database, "ledger_nodes"):
        connection.execute(
            "UPDATE activity_logs SET record = %s, type = 'auditlog.log-type.set' WHERE leaf_index = %s",
            [record_bytes, first + 2],
        )
        connection.execute(
            "UPDATE ledger_nodes SET hash = %s WHERE level = 0 AND node_index = %s "
            "AND ledger_id = (SELECT id FROM ledgers WHERE name = 'activity')",
            [leaf_hash(record_bytes), first + 2],
        )
    assert any(finding.leaf_index == first + 2 for finding in verify().findings)
    verify_log_types(trusted())


def test_a_report_keeps_the_first_findings_and_counts_them_all() -> None:
    report = Report("activity", 0, 5000, b"")
    report.add(Finding("activity", leaf, Verdict.TAMPERED, "a test") for leaf in range(MAX_FINDINGS + 7))
    assert len(report.findings) == MAX_FINDINGS
    assert report.count[Verdict.TAMPERED] == MAX_FINDINGS + 7
