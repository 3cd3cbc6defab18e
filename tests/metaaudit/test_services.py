"""An access is recorded, committed, and verified like every other leaf."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test import override_settings

from activity.watch import verify
from metaaudit import services
from metaaudit.errors import NotRecordedError
from metaaudit.models import MetaLog
from metaaudit.record import Access, Who
from signing import anchors, trust
from signing.errors import ImmutableRowError, NoActiveKeyError
from signing.models import Ledger
from signing.queries import head, latest_checkpoint, ledger_named
from tests.clusters import Database

ACCESS = Access(
    Who("user:7", "ada\0"), "search", "GET", "/api/v1/logs", "api/v1/logs",
    query=[("actor", "a\0nn")], sizes={"activity": 3}, result_count=1, result_digest=b"\x01" * 32,
    leaves={"activity": [(1, 2)]}, status=200, duration_ms=3, bytes=10, ip="2001:db8::1", agent="x\0", request_id="r",
)  # fmt: skip


def outcomes(database: Database) -> dict[str, Any]:
    pinned = trust.parse((database.anchors / "trust.vkeys").read_text())
    anchored = anchors.read_all(database.anchors)
    reports = verify(Ledger.objects.order_by("pk"), pinned=pinned, anchored=anchored, since_last=False)
    return {report.ledger: (report.outcome, [finding.reason for finding in report.findings]) for report in reports}


@pytest.mark.django_db
def test_an_access_is_a_row_that_says_what_its_record_says() -> None:
    record_id = services.record(access=ACCESS)
    row = MetaLog.objects.get(pk=record_id)
    members = json.loads(bytes(row.record))
    assert (members["user_name"], row.user_name) == ("ada\0", "ada\u2400")
    assert (row.ledger.name, row.result_count, row.sizes) == ("meta", 1, {"activity": 3})
    assert (row.query, bytes(row.query_hash).hex()) == ([["actor", "a\u2400nn"]], members["query_hash"])
    with pytest.raises(ImmutableRowError):
        row.save()
    with pytest.raises(ImmutableRowError):
        MetaLog.objects.filter(pk=record_id).delete()


def test_a_record_is_committed_and_signed_and_verifies(fresh_database: Database) -> None:
    record_id = services.record(access=ACCESS)
    services.record_summary(access=replace(ACCESS, action="summary"))
    other = fresh_database.app()
    assert other.execute("SELECT count(*) FROM meta_logs WHERE id = %s", [record_id]).fetchone() == (1,)
    for name in ("meta", "meta-summaries"):
        newest = latest_checkpoint(ledger_named(name))
        assert newest is not None
        assert newest.size == head(ledger_named(name)).size == 1
    assert {outcome for outcome, _ in outcomes(fresh_database).values()} == {"valid"}


def test_what_could_be_rolled_back_is_refused(fresh_database: Database) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        services.record(access=ACCESS)
    assert not MetaLog.objects.exists()


def test_many_threads_leave_a_record_each(fresh_database: Database) -> None:
    def one(number: int) -> None:
        try:
            services.record(access=replace(ACCESS, request_id=f"request-{number}"))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(64)))
    rows = MetaLog.objects.order_by("leaf_index").values_list("leaf_index", "request_id")
    assert [leaf for leaf, _ in rows] == list(range(64))
    assert {name for _, name in rows} == {f"request-{number}" for number in range(64)}
    assert {outcome for outcome, _ in outcomes(fresh_database).values()} == {"valid"}


def test_what_cannot_be_written_is_an_error_without_details(fresh_database: Database) -> None:
    fresh_database.owner().execute("ALTER TABLE meta_logs ADD CONSTRAINT none CHECK (user_id <> 'user:7') NOT VALID")
    with pytest.raises(NotRecordedError, match=r"could not be recorded \(IntegrityError\)$"):
        services.record(access=ACCESS)
    services.record(access=replace(ACCESS, who=Who("user:8", "bob")))
    assert MetaLog.objects.count() == 1


def test_a_checkpoint_that_cannot_be_signed_takes_no_record_away(
    fresh_database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise NoActiveKeyError("there is none")

    monkeypatch.setattr(services, "sign_checkpoint", refuse)
    services.record(access=ACCESS)
    assert MetaLog.objects.count() == 1
    assert "could not be signed" in caplog.text


def test_set_up_opens_the_ledger_of_summaries_once(fresh_database: Database) -> None:
    assert Ledger.objects.get(name=services.SUMMARY_LEDGER).kind == Ledger.Kind.META
    assert services.bootstrap() == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("user_id = 'user:8'", "columns differ from the record: user_id"),
        ("user_name = ''", "columns differ from the record: user_name"),
        ("at = at + interval '1 second'", "columns differ from the record: at"),
        ("at = 'infinity'", "columns differ from the record: at"),
        ("action = 'list'", "columns differ from the record: action"),
        ("query = '[]'", "columns differ from the record: query"),
        ("query_hash = sha256('')", "columns differ from the record: query_hash"),
        ("result_digest = NULL", "columns differ from the record: result_digest"),
        ("result_count = 0, status = 404", "columns differ from the record: result_count, status"),
        ("sizes = '{}'", "columns differ from the record: sizes"),
        ("seen = NULL", "columns differ from the record: seen"),
        ("ip = '192.0.2.1'", "columns differ from the record: ip"),
        ("id = gen_random_uuid()", "columns differ from the record: id or ledger"),
        ("record = record || ' '", "its record is not the leaf that the ledger holds"),
        ("leaf_index = 7", "the leaf has no entry"),
    ],
)
def test_a_changed_meta_log_is_found(fresh_database: Database, change: str, reason: str) -> None:
    services.record(access=ACCESS)
    assert outcomes(fresh_database)["meta"][0] == "valid"
    intruder = fresh_database.superuser()
    intruder.execute("SET session_replication_role = replica")
    intruder.execute("ALTER TABLE meta_logs DISABLE TRIGGER ALL")
    intruder.execute(f"UPDATE meta_logs SET {change}".encode())
    outcome, reasons = outcomes(fresh_database)["meta"]
    assert outcome == "tampered"
    assert any(each.startswith(reason) for each in reasons), reasons


def test_a_removed_meta_log_and_one_in_a_strange_ledger_are_found(fresh_database: Database) -> None:
    services.record(access=ACCESS)
    services.record(access=ACCESS)
    intruder = fresh_database.superuser()
    intruder.execute("ALTER TABLE meta_logs DISABLE TRIGGER ALL")
    activity = ledger_named("activity").pk
    intruder.execute("UPDATE meta_logs SET ledger_id = %s, leaf_index = 9 WHERE leaf_index = 1", [activity])
    outcome, reasons = outcomes(fresh_database)["meta"]
    assert outcome == "tampered"
    assert "the leaf has no entry" in reasons
    assert any("is in no ledger of meta logs" in reason for reason in reasons)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement", ["UPDATE meta_logs SET user_id = 'x'", "DELETE FROM meta_logs", "TRUNCATE meta_logs"]
)
def test_the_application_may_not_change_its_trace(statement: str) -> None:
    services.record(access=ACCESS)
    with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


@override_settings(AUDITLOG_ANCHOR_DIR="/nonexistent/anchors")
def test_a_full_anchor_disk_stops_nobody_from_being_recorded(fresh_database: Database) -> None:
    services.record(access=ACCESS)
    assert MetaLog.objects.count() == 1
