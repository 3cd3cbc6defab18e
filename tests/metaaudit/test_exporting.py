"""Exports of accesses: the same container, order, command and API as of entries, and the same verifier."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from activity.errors import BadQueryError
from activity.models import ActivityLog
from activity.services import record
from auditlog_project.roles import AUDITOR, AUDITOR_OF_AUDITORS
from exports import access_records, proofs, services
from exports.container import open_container
from exports.errors import BadOrderError
from exports.models import Export
from exports.render_ndjson import parse_row
from exports.verifier.files import check_files
from exports.verifier.pins import read_pins
from exports.verifier.report import Report
from metaaudit import queries
from metaaudit.models import MetaLog
from metaaudit.record import query_hash
from signing import certificates
from signing.errors import LedgerNotFoundError
from signing.queries import export_signer
from tests.clusters import Database
from tests.metaaudit.conftest import EVENT, LOGS, ORDERS, container, keyed, ordered, signed_in


def files(raw: bytes) -> dict[str, bytes]:
    opened = open_container(io.BytesIO(raw))
    return {name: opened.read(name) for name in opened.files}


def records(raw: bytes) -> list[dict[str, Any]]:
    return [json.loads(parse_row(line).record) for line in files(raw)["entries.ndjson"].splitlines()]


def verified(raw: bytes, place: Path, *more: bytes) -> Report:
    """Return what the offline verifier says, which pins what the operator hands out."""
    root = certificates.fingerprint(export_signer("rex").chain[-1])
    keys = place / "trust.vkeys"
    keys.write_text(Path(settings.AUDITLOG_TRUST_FILE).read_text())
    given = [(io.BytesIO(one), "file") for one in (raw, *more)]
    return check_files(given, read_pins([root, str(keys)]))[0]


def test_an_export_of_accesses_is_evidence_like_any_other(ada: Client, rex: Client, place: Path) -> None:
    ada.get(LOGS, {"actor": "=cmd|' /C calc'!A0"})
    ada.get("/logs/")
    export = ordered(rex)
    raw = container(rex, export)
    report = verified(raw, place)
    assert report.exit_code == 0, report.table()
    told = records(raw)
    assert [one["action"] for one in told if one["user_name"] == "ada"] == ["search", "list"]
    assert (export.entries, export.verdicts) == (len(told), {"unsigned": len(told)})
    assert export.complete_range == (0, export.size)


def test_the_table_shows_what_the_records_say_and_no_formula(ada: Client, rex: Client) -> None:
    ada.get(LOGS, {"actor": "=1+1", "type": "-x"}, headers={"User-Agent": "=HYPERLINK(1)"})
    taken = files(container(rex, ordered(rex, "csv", user="ada")))
    (row,) = csv.DictReader(io.StringIO(taken["accesses.csv"].decode()))
    log = MetaLog.objects.get(user_name="ada")
    assert (row["user_name"], row["action"], row["status"]) == ("ada", "search", "200")
    assert row["query"] == '[["actor","=1+1"],["type","-x"]]'
    assert row["agent"] == "'=HYPERLINK(1)"
    assert (row["query_hash"], row["leaf_index"]) == (bytes(log.query_hash).hex(), str(log.leaf_index))
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())


def test_the_filters_of_the_viewer_choose_and_what_they_leave_out_is_counted(ada: Client, rex: Client) -> None:
    receipt = record(EVENT)
    ada.get(LOGS)
    ada.get(f"{LOGS}/{receipt.id}")
    ada.get("/api/v1/nothing")
    chosen = ordered(rex, "ndjson", user="ada", status="404")
    assert [one["path"] for one in records(container(rex, chosen))] == ["/api/v1/nothing"]
    assert chosen.complete_range is None
    saw = ordered(rex, "ndjson", saw_target="patient/4711", **{"from": "2026-01-01T00:00:00Z"})
    assert [one["action"] for one in records(container(rex, saw))] == ["list", "retrieve"]
    assert saw.complete_range == (0, saw.size)
    proof = files(container(rex, saw))[proofs.NAME].decode().splitlines()
    assert sum(line.startswith("w ") for line in proof) == saw.size - 2


def test_only_the_auditor_of_auditors_orders_them(ada: Client, rex: Client, place: Path) -> None:
    said = {"ledger": "meta", "formats": ["csv"], "purpose": "curiosity"}
    auditor = keyed("anna", AUDITOR, ledger="meta")
    root = keyed("root", is_superuser=True, is_staff=True, ledger="meta")
    for client in (auditor, root):
        answer = client.post(ORDERS, said, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (404, "ledger-not-found")
    assert ada.post(ORDERS, said, content_type="application/json").status_code == 403
    answer = rex.post(ORDERS, {**said, "ledger": "activity"}, content_type="application/json")
    assert answer.status_code == 404
    assert [client.get("/meta-logs/order/").status_code for client in (rex, auditor, root, ada)] == [200, 403, 403, 403]


def test_an_export_of_accesses_is_seen_by_those_who_may_see_accesses(ada: Client, rex: Client) -> None:
    export = ordered(rex, "csv")
    ruth, anna = keyed("ruth", AUDITOR_OF_AUDITORS), keyed("anna", AUDITOR, ledger="meta")
    assert [client.get(f"{ORDERS}/{export.pk}").status_code for client in (rex, ruth, anna)] == [200, 200, 404]


@pytest.mark.parametrize(
    ("formats", "filters", "error"),
    [
        (["pdf"], {}, BadOrderError),
        ([], {}, BadOrderError),
        (["csv"], {"actor": "ann"}, BadQueryError),
        (["csv"], {"action": "dance"}, BadQueryError),
        (["csv"], {"from": "yesterday"}, BadQueryError),
    ],
)
def test_what_cannot_be_ordered_is_refused(
    rex: Client, formats: list[str], filters: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        services.order(
            by=User.objects.get(username="rex"), ledger="meta", filters=filters, formats=formats, purpose="review"
        )
    assert not Export.objects.exists()


def test_more_entries_than_are_looked_at_are_no_filter(rex: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    record(EVENT)
    record(EVENT)
    monkeypatch.setattr(queries, "MAX_ENTRIES", 1)
    with pytest.raises(BadQueryError, match="export in parts"):
        services.order(
            by=User.objects.get(username="rex"),
            ledger="meta",
            filters={"saw_target": "patient/4711"},
            formats=["csv"],
            purpose="review",
        )


def test_there_is_no_such_ledger_for_a_stranger_to_it(rex: Client) -> None:
    for name in ("activity", "nowhere", "keys"):
        with pytest.raises(LedgerNotFoundError):
            services.order(by=User.objects.get(username="rex"), ledger=name, filters={}, formats=["csv"], purpose="x")


def test_a_large_export_is_made_in_parts(
    ada: Client, rex: Client, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        ada.get(LOGS)
    monkeypatch.setattr(services, "FEW", -1)
    monkeypatch.setattr(services, "PART_LEAVES", 2)
    user = User.objects.get(username="rex")
    large = services.order(by=user, ledger="meta", filters={}, formats=["csv", "json"], purpose="x").export
    assert large.parts.count() > 2
    services.work(export=large.pk)
    raw = container(rex, large)
    report = verified(raw, place)
    assert report.exit_code == 0, report.table()


def test_what_was_tampered_with_is_exported_marked(ada: Client, rex: Client, place: Path, site: Database) -> None:
    for _ in range(3):
        ada.get(LOGS)
    first, second, third = MetaLog.objects.filter(user_name="ada").order_by("leaf_index")
    intruder = site.connect("superuser")
    intruder.execute("ALTER TABLE meta_logs DISABLE TRIGGER USER")
    intruder.execute("DELETE FROM meta_logs WHERE id = %s", [first.pk])
    intruder.execute("UPDATE meta_logs SET user_name = 'eve' WHERE id = %s", [second.pk])
    intruder.execute("UPDATE meta_logs SET record = %s WHERE id = %s", [b"\xff not JSON", third.pk])
    intruder.execute("ALTER TABLE meta_logs ENABLE ALWAYS TRIGGER in_ledger")
    export = ordered(rex)
    assert {name: count for name, count in export.verdicts.items() if name != "unsigned"} == {
        "missing": 1,
        "tampered": 2,
    }
    raw = container(rex, export)
    report = verified(raw, place)
    assert report.exit_code == 2, report.table()
    assert "1 missing, 2 tampered" in report.table()


def test_the_command_and_the_page_order_the_same(ada: Client, rex: Client, place: Path) -> None:
    ada.get(LOGS)
    out = io.StringIO()
    call_command(
        "export", "meta", "--as", "rex", "--purpose", "x", "--filter", "user=ada", "--to", str(place), stdout=out
    )
    (path,) = place.glob("*.asice")
    assert "1 entries (1 unsigned)" in out.getvalue()
    assert verified(path.read_bytes(), place).exit_code == 0
    form = {"ledger": "meta", "formats": ["csv"], "purpose": "x", "user": "ada", "to": "2036-01-01T00:00"}
    answer = rex.post("/meta-logs/order/", form)
    assert answer.status_code == 302, answer.content
    export = Export.objects.get(pk=UUID(answer["Location"].strip("/").rpartition("/")[2]))
    assert (export.entries, export.filters) == (1, {"user": "ada", "to": "2036-01-01T00:00:00Z"})
    assert rex.get(answer["Location"]).status_code == 200
    signed_in("anna", AUDITOR)
    with pytest.raises(CommandError, match="no ledger"):
        call_command("export", "meta", "--as", "anna", "--purpose", "x", "--to", str(place))


def test_the_page_says_what_is_wrong_with_an_order(rex: Client) -> None:
    answer = rex.post("/meta-logs/order/", {"ledger": "meta", "formats": ["csv"], "purpose": "x", "status": "many"})
    assert answer.status_code == 400
    assert "Status: must be" in answer.content.decode()
    shown = rex.get("/meta-logs/order/", {"user": "ada", "from": "2026-03-01T00:00:00Z"}).content.decode()
    assert 'value="2026-03-01T00:00:00"' in shown
    assert "PDF" not in shown


def test_an_order_of_accesses_is_an_access_and_an_entry(rex: Client) -> None:
    export = ordered(rex, "csv", user="ada")
    intent, done = MetaLog.objects.filter(action="export").order_by("leaf_index")
    assert (intent.phase, done.phase, done.completes, done.status) == ("intent", "completion", intent.pk, 201)
    entry = ActivityLog.objects.get(type="auditlog.export.ordered", target=str(export.pk))
    assert json.loads(bytes(entry.record))["data"]["filters"] == {"user": "ada"}


def test_whoever_forges_a_record_in_an_export_is_found_out(ada: Client, rex: Client) -> None:
    ada.get(LOGS, {"actor": "ann", "limit": "5"})
    record_bytes = bytes(MetaLog.objects.get(user_name="ada").record)
    assert access_records.fault(record_bytes, "meta") is None
    assert access_records.fault(record_bytes, "activity") == "its record is of another ledger"
    forged = record_bytes.replace(b'["actor","ann"]', b'["actor","eve"]')
    assert access_records.fault(forged, "meta") == "its query hash is not that of its own query"
    for spoilt in (record_bytes + b" ", record_bytes.replace(b'"v":1', b'"v":1.0'), record_bytes[:-1], b"[]", b"\xff"):
        assert access_records.fault(spoilt, "meta") == "its record is not one of an access"


def test_the_verifier_takes_the_query_hash_as_the_recorder_does(ada: Client) -> None:
    ada.get(LOGS, {"actor": "é\u2028\U0001f600", "type": "a"})
    ada.get("/api/v1/nothing")
    for log in MetaLog.objects.all():
        said = access_records.members(bytes(log.record))
        assert said is not None
        assert said["query_hash"] == query_hash(said)
