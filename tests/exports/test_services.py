"""Ordering and making exports."""

import csv
import errno
import io
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.files.storage import storages
from django.db import connections
from django.test import override_settings

from activity import amending, authority
from activity.errors import BadQueryError
from activity.models import ActivityLog
from activity.services import record, record_many
from auditlog_project.roles import READER
from exports import files as files_of_exports
from exports import making, names, proofs, queries, render_ndjson, render_pdf, services
from exports.container import open_container
from exports.errors import BadOrderError, ExportRefusedError, QuotaError
from exports.judging import own_pins
from exports.manifest import Claim, Manifest
from exports.models import Export, ExportPart
from exports.verifier import pdf
from exports.verifier.files import check_files
from exports.verifier.pins import Pins
from exports.verifier.report import Name, Report, State
from signing import certificates, cms, export_keys
from signing.errors import ExportKeyError, LedgerNotFoundError
from signing.merkle import leaf_hash
from signing.models import ExportCertificate
from signing.queries import export_signer
from tests.clusters import Database
from tests.exports.exporting import members, packed
from tests.exports.ordering import EVENT, made, orders, person
from tests.signing.installation import wait_until


def opened(export: Export) -> dict[str, bytes]:
    raw = b"".join(services.download(export=export, by=User.objects.get(pk=export.ordered_by_id)).pieces)
    container = open_container(io.BytesIO(raw))
    return {name: container.read(name) for name in container.files}


def said(files: dict[str, bytes]) -> Claim:
    return Manifest.from_json(files[names.MANIFEST]).claim


def steps(export: Export) -> list[str]:
    entries = ActivityLog.objects.filter(type__startswith="auditlog.export.", target=str(export.pk))
    return [entry.type.removeprefix("auditlog.export.") for entry in entries.order_by("leaf_index")]


def rows(files: dict[str, bytes]) -> list[Any]:
    return [render_ndjson.parse_row(line) for line in files["entries.ndjson"].splitlines()]


def proved(files: dict[str, bytes]) -> proofs.Proved:
    """Return what the proof shows; that it leads to the root that was signed is part of it."""
    leaves = [(row.leaf_index, leaf_hash(row.record), row.verdict not in render_ndjson.SOUND) for row in rows(files)]
    shown = proofs.verify(io.BytesIO(files[proofs.NAME]), leaves)
    assert shown.root.hex() == said(files).root
    return shown


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every export as a large one, in parts of 256 leaves."""
    monkeypatch.setattr(services, "FEW", -1)
    monkeypatch.setattr(services, "PART_LEAVES", 256)


def test_an_export_is_one_signed_container_with_all_that_a_stranger_needs(olivia: User) -> None:
    record_many(orders(10))
    export = made(olivia, ("csv", "ndjson", "json"), type="shop.order")
    files = opened(export)
    claim = said(files)
    assert (claim.entries, claim.verdicts, claim.exported_by) == (10, {"valid": 10}, "olivia")
    assert claim.dataset_digest == sha256(b"".join(row.record + b"\n" for row in rows(files))).hexdigest()
    assert len(list(csv.DictReader(io.StringIO(files["entries.csv"].decode())))) == 10
    assert len(json.loads(files["entries.json"])["entries"]) == 10
    assert proved(files).exported == 10
    listed = {file.name: file.sha256 for file in Manifest.from_json(files[names.MANIFEST]).files}
    assert listed == {name: sha256(raw).hexdigest() for name, raw in files.items() if name != names.MANIFEST}
    assert files[names.VERIFY].startswith(b"# How to check")
    assert (export.entries, export.dataset_digest) == (10, claim.dataset_digest)
    assert steps(export) == ["ordered", "made", "downloaded"]


def test_the_signature_is_that_of_whoever_ordered(olivia: User) -> None:
    export = made(olivia)
    raw = b"".join(services.download(export=export, by=olivia).pieces)
    container = open_container(io.BytesIO(raw))
    signature = cms.verify(container.signature, sha256(container.xml).digest())
    assert certificates.facts(signature.certificate).subject.startswith("CN=olivia,")
    assert certificates.fingerprint(signature.certificate) == export.signer_certificate_sha256
    assert sha256(raw).hexdigest() == export.file_sha256


def test_the_report_is_in_the_container(olivia: User) -> None:
    record_many(orders(5))
    files = opened(made(olivia, ("pdf", "csv"), type="shop.order"))
    assert {names.REPORT, "entries.csv"} <= files.keys()
    assert "entries.ndjson" not in files
    report = Report(names.REPORT)
    embedded = pdf.check(files[names.REPORT], report, Pins(), said(files))
    assert not any(check.state is State.WRONG for check in report.checks), report.table()
    assert embedded[names.CLAIM] == said(files).to_json()
    assert len(embedded["entries.ndjson"].splitlines()) == 5


def test_a_report_alone_is_proved_as_rows_are(olivia: User) -> None:
    record_many(orders(5))
    export = made(olivia, ("pdf",), type="shop.order")
    raw = b"".join(services.download(export=export, by=olivia).pieces)
    signer = export_signer("olivia")
    pins = own_pins()
    (report,) = check_files([(io.BytesIO(raw), "export")], pins)
    assert report.exit_code == 0, report.table()
    assert "5 entries are leaves of the tree" in report.table()
    assert "5 entries are signed by pinned keys" in report.table()
    files = opened(export)
    claim = said(files)
    contents = {one.name: (one.media_type, files[one.name]) for one in Manifest.from_json(files[names.MANIFEST]).files}
    media_type, proof = contents[proofs.NAME]
    hashes = proof.splitlines(keepends=True)
    place = next(at for at, line in enumerate(hashes) if len(line) > 40 and at > 3)
    hashes[place] = hashes[place][:-6] + (b"AAAA=\n" if hashes[place][-6:] != b"AAAA=\n" else b"BBBB=\n")
    contents[proofs.NAME] = (media_type, b"".join(hashes))
    (report,) = check_files([(io.BytesIO(packed(members(contents, claim), signer)), "export")], pins)
    assert any(check.state is State.WRONG and check.name == Name.PROOFS for check in report.checks), report.table()


def test_parts_together_are_what_one_would_be(olivia: User, large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    record_many(orders(600))
    every = ("csv", "ndjson", "json")
    in_parts = made(olivia, every, leaf_to="590", actor="actor-1")
    monkeypatch.setattr(services, "PART_LEAVES", 65_536)
    at_once = made(olivia, every, leaf_to="590", actor="actor-1")
    assert (in_parts.parts.count(), at_once.parts.count()) == (3, 1)
    one, other = opened(in_parts), opened(at_once)
    for name in ("entries.csv", "entries.ndjson"):
        assert one[name] == other[name]
    assert json.loads(one["entries.json"])["entries"] == json.loads(other["entries.json"])["entries"]
    assert proved(one).exported == proved(other).exported == said(one).entries


def test_what_is_written_meanwhile_is_in_no_export(olivia: User, large: None) -> None:
    record_many(orders(300))
    ordered = services.order(
        by=olivia, ledger="activity", filters={"type": "shop.order"}, formats=["ndjson"], purpose="audit"
    ).export
    first = ActivityLog.objects.filter(type="shop.order").earliest("leaf_index")
    before = bytes(first.record)
    amending.amend(entry_id=first.pk, changes={"actor": "somebody else"}, by=olivia, reason="a typing mistake")
    record_many(orders(300))
    services.work(export=ordered.pk)
    ordered.refresh_from_db()
    files = opened(ordered)
    assert (said(files).entries, said(files).ledger_size) == (300, ordered.size)
    assert rows(files)[0].record == before
    assert proved(files).exported == 300
    later = opened(made(olivia, ("ndjson",), type="shop.order"))
    assert before not in [row.record for row in rows(later)]
    assert said(later).entries == 600


def test_a_range_is_shown_without_a_gap(olivia: User) -> None:
    record_many(orders(30))
    low = ActivityLog.objects.filter(type="shop.order").earliest("leaf_index").leaf_index
    files = opened(made(olivia, leaf_from=str(low + 3), leaf_to=str(low + 24), actor="actor-1"))
    claim = said(files)
    assert claim.complete_range == (low + 3, low + 24)
    assert (claim.entries, claim.withheld) == (7, 14)
    assert proved(files).withheld == 14


def test_a_range_of_recording_times_is_one_of_leaves(olivia: User) -> None:
    record_many(orders(5))
    edge = ActivityLog.objects.latest("leaf_index")
    record_many(orders(5))
    since = (edge.recorded_at + timedelta(milliseconds=1)).isoformat().replace("+00:00", "Z")
    claim = said(opened(made(olivia, recorded_from=since)))
    assert claim.complete_range == (edge.leaf_index + 1, claim.ledger_size)
    assert claim.withheld == 0


def test_nothing_at_all_is_an_export_too(olivia: User) -> None:
    files = opened(made(olivia, ("csv", "ndjson", "json"), actor="nobody"))
    assert (said(files).entries, rows(files), json.loads(files["entries.json"])["entries"]) == (0, [], [])
    assert proved(files).exported == 0


def test_entries_that_are_named_one_by_one_are_exported_and_no_other(olivia: User) -> None:
    leaves = [receipt.leaf_index for receipt in record_many(orders(9))]
    named = f"{leaves[6]},{leaves[1]},{leaves[2]}"
    files = opened(made(olivia, ("pdf", "csv", "ndjson", "json"), leaf_indexes=named))
    claim = said(files)
    assert (claim.entries, claim.filters, claim.complete_range) == (3, {"leaf_indexes": named}, None)
    assert [row.leaf_index for row in rows(files)] == [leaves[1], leaves[2], leaves[6]]
    assert claim.named_leaves == frozenset({leaves[1], leaves[2], leaves[6]})
    assert proved(files).exported == 3


def test_a_named_entry_that_somebody_took_away_is_missing(site: Database, olivia: User) -> None:
    receipts = record_many(orders(3))
    intruder = site.superuser()
    intruder.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    intruder.execute("DELETE FROM activity_logs WHERE id = %s", [receipts[1].id])
    files = opened(made(olivia, leaf_indexes=",".join(str(one.leaf_index) for one in receipts)))
    assert said(files).verdicts == {"valid": 2, "missing": 1}
    assert proved(files).mismatched == 1


def test_a_named_entry_is_exported_as_it_stood_when_it_was_ordered(olivia: User) -> None:
    receipt = record_many(orders(2))[0]
    named = {"leaf_indexes": str(receipt.leaf_index)}
    export = services.order(by=olivia, ledger="activity", filters=named, formats=["ndjson"], purpose="audit").export
    before = bytes(ActivityLog.objects.get(pk=receipt.id).record)
    amending.amend(entry_id=UUID(receipt.id), changes={"actor": "somebody else"}, by=olivia, reason="a typing mistake")
    services.work(export=export.pk)
    export.refresh_from_db()
    assert [row.record for row in rows(opened(export))] == [before]


def test_each_named_leaf_that_does_not_stand_is_refused_by_name(olivia: User) -> None:
    receipts = record_many(orders(3))
    amending.amend(entry_id=UUID(receipts[1].id), changes={"actor": "ann"}, by=olivia, reason="a typing mistake")
    named = f"{receipts[0].leaf_index},{receipts[1].leaf_index},900,901"
    with pytest.raises(BadQueryError) as refused:
        made(olivia, leaf_indexes=named)
    told = [f"{problem.path}: {problem.reason}" for problem in refused.value.problems]
    assert [text.split(" leaf ")[1].split(":")[0].split(" ")[0] for text in told] == [
        "900",
        "901",
        str(receipts[1].leaf_index),
    ]
    assert "amended or removed" in told[2]
    assert not Export.objects.exists()


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        ({"leaf_indexes": "1,two,3,-4"}, "these are none: 'two', '-4'"),
        ({"leaf_indexes": ""}, "these are none: ''"),
        ({"leaf_indexes": "1", "actor": "ann"}, "no other filter stands beside it"),
        ({"leaf_indexes": ",".join(map(str, range(1001)))}, "names 1,001 leaves, and 1,000 can be named at once"),
    ],
)
def test_names_that_cannot_be_are_refused(olivia: User, filters: dict[str, str], told: str) -> None:
    with pytest.raises(BadQueryError, match=told):
        services.order(by=olivia, ledger="activity", filters=filters, formats=["csv"], purpose="audit")


def test_data_is_searched_as_in_the_log(olivia: User) -> None:
    record_many(orders(20))
    day = {"occurred_from": "2026-11-23T00:00:00Z", "occurred_to": "2026-11-24T00:00:00Z"}
    files = opened(made(olivia, ("ndjson",), **{"data.n": "7", **day}))
    assert [json.loads(row.record)["data"] for row in rows(files)] == [{"n": 7}]


def test_every_filter_of_the_log_is_taken(olivia: User) -> None:
    record_many(orders(4))
    day = {"occurred_from": "2026-11-23T00:00:00Z", "occurred_to": "2026-11-24T00:00:00Z"}
    some = ActivityLog.objects.filter(type="shop.order").latest("leaf_index")
    asked = {"kid": str(some.key_id), "revision": "1", "locked": "false", "ip": "192.0.2.7", **day}
    assert said(opened(made(olivia, ("csv",), **asked))).entries == 4


def test_a_tampered_entry_goes_out_marked_and_counted(site: Database, olivia: User) -> None:
    receipts = record_many(orders(6))
    changed, replaced, gone = (receipts[at] for at in (1, 2, 4))
    intruder = site.superuser()
    intruder.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    intruder.execute("UPDATE activity_logs SET action = 'forged' WHERE id = %s", [changed.id])
    intruder.execute("UPDATE activity_logs SET record = 'no record at all' WHERE id = %s", [replaced.id])
    intruder.execute("DELETE FROM activity_logs WHERE id = %s", [gone.id])
    files = opened(made(olivia, leaf_from=str(receipts[0].leaf_index), leaf_to=str(receipts[-1].leaf_index + 1)))
    assert said(files).verdicts == {"valid": 3, "tampered": 2, "missing": 1}
    by_leaf = {row.leaf_index: row for row in rows(files)}
    assert "columns differ from the record: action" in by_leaf[changed.leaf_index].reason
    assert by_leaf[replaced.leaf_index].record == b"no record at all"
    assert (by_leaf[gone.leaf_index].verdict, by_leaf[gone.leaf_index].record) == ("missing", b"")
    assert proved(files).mismatched == 2
    assert b"3 entries did not verify" in files[names.VERIFY]


def test_a_report_of_too_many_entries_is_refused_when_it_is_ordered(
    olivia: User, large: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_many(orders(30))
    monkeypatch.setattr(render_pdf, "MOST_ENTRIES", 9)
    with pytest.raises(BadOrderError, match="more than 9 entries, and a PDF report holds at most 9: narrow the filter"):
        made(olivia, ("pdf", "csv"), type="shop.order")
    assert not Export.objects.exists()
    assert made(olivia, ("csv",), type="shop.order").entries == 30


def test_one_that_only_reading_shows_to_be_too_many_ends_before_all_is_read(
    olivia: User, large: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render_pdf, "MOST_ENTRIES", 100)
    day = {"occurred_from": "2026-11-23T00:00:00Z", "occurred_to": "2026-11-25T00:00:00Z"}
    record_many([replace(EVENT, data={"v": 1}) for _ in range(900)])
    export = services.order(
        by=olivia, ledger="activity", filters={"data.v": "1", **day}, formats=["pdf"], purpose="audit"
    ).export
    services.work(export=export.pk)
    export.refresh_from_db()
    assert (export.state, "a PDF report holds at most 100" in export.failure) == (Export.State.FAILED, True)
    assert export.parts.filter(done_at=None).exists()


def test_a_removed_entry_is_a_tombstone(olivia: User) -> None:
    receipt = record(EVENT)
    amending.remove(entry_id=UUID(receipt.id), by=olivia, reason="not ours", rule="90 days")
    files = opened(made(olivia, leaf_from=str(receipt.leaf_index)))
    assert said(files).verdicts["removed"] == 1
    assert said(files).withheld == 1


def test_a_part_that_somebody_makes_is_left_to_him(site: Database, olivia: User, large: None) -> None:
    record_many(orders(600))
    export = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="audit").export
    other = site.app(autocommit=False)
    other.execute("SELECT FROM export_parts WHERE export_id = %s AND number = 0 FOR UPDATE", [export.pk])
    services.work(export=export.pk)
    export.refresh_from_db()
    assert export.state == Export.State.RUNNING
    assert [part.done_at is None for part in export.parts.order_by("number")] == [True, False, False]
    other.close()  # he died

    def is_ready() -> bool:
        services.work(export=export.pk)
        export.refresh_from_db()
        return export.state == Export.State.READY

    # The server notices in its own time that the session is gone.
    wait_until(is_ready)


def test_a_worker_that_dies_costs_its_part_alone(olivia: User, large: None, monkeypatch: pytest.MonkeyPatch) -> None:
    record_many(orders(600))
    export = services.order(by=olivia, ledger="activity", filters={}, formats=["ndjson"], purpose="audit").export
    real, calls = making.make_part, []

    def dying(*args: Any) -> making.Made:
        calls.append(args)
        made = real(*args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return made

    monkeypatch.setattr(services, "make_part", dying)
    with pytest.raises(KeyboardInterrupt):
        services.work(export=export.pk)
    assert queries.progress(export).percent in range(1, 100)
    services.work(export=export.pk)
    export.refresh_from_db()
    assert export.state == Export.State.READY
    assert len(calls) == 4
    assert proved(opened(export)).exported == export.size


def test_parts_go_when_the_container_is_there(olivia: User, large: None) -> None:
    record_many(orders(300))
    export = made(olivia)
    kept = [path.name for path in Path(storages["exports"].path(str(export.pk))).iterdir()]
    assert kept == [f"auditlog-export-{export.pk}.asice"]


def test_a_single_file_is_taken_out_of_the_container(olivia: User) -> None:
    record_many(orders(3))
    export = made(olivia)
    taken = services.download(export=export, by=olivia, name="entries.csv")
    raw = b"".join(taken.pieces)
    assert (taken.media_type, len(raw)) == ("text/csv", taken.size)
    assert raw == opened(export)["entries.csv"]
    with pytest.raises(ExportRefusedError, match="there is no file"):
        services.download(export=export, by=olivia, name="../../etc/passwd")


def test_who_may_order(site: Database, olivia: User) -> None:
    rita = person("rita", READER)
    wanted: dict[str, Any] = {"filters": {}, "formats": ["csv"], "purpose": "audit"}
    with pytest.raises(PermissionDenied):
        services.order(by=rita, ledger="activity", **wanted)
    with pytest.raises(LedgerNotFoundError):
        services.order(by=olivia, ledger="keys", **wanted)
    keyless = person("keyless", has_key=False)
    with pytest.raises(ExportKeyError, match="keyless has no export key"):
        services.order(by=keyless, ledger="activity", **wanted)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"formats": []}, "formats are one or more of"),
        ({"formats": ["xls"]}, "formats are one or more of"),
        ({"purpose": "  "}, "needs a purpose"),
        ({"purpose": " ", "how": "by command, ada"}, "needs a purpose"),
        ({"purpose": "x" * 490, "how": "by command, ada"}, "at most 500"),
        ({"purpose": "x" * 501}, "at most 500"),
        ({"case": "a\0b"}, "none of them NUL"),
    ],
)
def test_an_order_makes_sense(olivia: User, changes: dict[str, Any], why: str) -> None:
    wanted: dict[str, Any] = {"ledger": "activity", "filters": {}, "formats": ["csv"], "purpose": "audit"}
    with pytest.raises(BadOrderError, match=why):
        services.order(by=olivia, **wanted | changes)


def test_a_wrong_filter_is_named(olivia: User) -> None:
    with pytest.raises(BadQueryError, match="ip must be"):
        services.order(by=olivia, ledger="activity", filters={"ip": "x"}, formats=["csv"], purpose="audit")


def test_nobody_has_more_than_his_share(olivia: User) -> None:
    wanted: dict[str, Any] = {"ledger": "activity", "filters": {}, "formats": ["csv"], "purpose": "audit"}
    with override_settings(AUDITLOG_EXPORTS_AT_ONCE=1):
        first = services.order(by=olivia, **wanted).export
        with pytest.raises(QuotaError, match="are under way"):
            services.order(by=olivia, **wanted)
        services.work(export=first.pk)
        services.order(by=olivia, **wanted)
    with override_settings(AUDITLOG_EXPORT_QUOTA_BYTES=10), pytest.raises(QuotaError, match="10 are yours"):
        services.order(by=olivia, **wanted)


def test_an_export_is_cancelled_by_whoever_ordered_it(olivia: User, large: None) -> None:
    export = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="audit").export
    with pytest.raises(PermissionDenied):
        services.cancel(export=export, by=person("otto"))
    services.cancel(export=export, by=olivia)
    services.work(export=export.pk)
    export.refresh_from_db()
    assert (export.state, steps(export)) == ("cancelled", ["ordered", "cancelled"])
    with pytest.raises(ExportRefusedError, match="not under way"):
        services.cancel(export=export, by=olivia)
    with pytest.raises(ExportRefusedError, match="it is cancelled"):
        services.download(export=export, by=olivia)


def test_what_is_made_of_an_export_that_was_cancelled_goes_too(
    olivia: User, large: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_many(orders(600))
    export = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="audit").export
    real = making.make_part

    def make_while_it_is_cancelled(of: Export, part: ExportPart) -> making.Made:
        made = real(of, part)
        if part.number == 1:
            run_in_thread(lambda: services.cancel(export=Export.objects.get(pk=of.pk), by=olivia))
        return made

    monkeypatch.setattr(services, "make_part", make_while_it_is_cancelled)
    services.work(export=export.pk)
    export.refresh_from_db()
    assert export.state == Export.State.CANCELLED
    assert kept_of(export) == []


def test_a_full_storage_ends_an_export_with_advice(olivia: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    record_many(orders(3))
    export = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="audit").export
    monkeypatch.setattr(files_of_exports, "store", full)
    services.work(export=export.pk)
    export.refresh_from_db()
    assert (export.state, steps(export)) == ("failed", ["ordered", "failed"])
    assert export.failure == (
        "its files could not be written or read (No space left on device): tell whoever runs the server, and order it "
        "again when that is mended"
    )


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_file_that_the_storage_lost_is_said_to_be_lost(olivia: User, damage: Callable[[Path], object]) -> None:
    record_many(orders(3))
    export = made(olivia)
    damage(Path(storages["exports"].path(export.file)))
    for name in ("", "entries.csv"):
        with pytest.raises(ExportRefusedError, match="not in the storage any more as it was made: tell whoever runs"):
            services.download(export=export, by=olivia, name=name)
    assert steps(export) == ["ordered", "made"]


def test_a_file_that_cannot_be_removed_is_tried_again_and_holds_up_no_other(
    olivia: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_many(orders(3))
    stays, goes = made(olivia), made(olivia)
    assert goes.expires_at is not None
    real = files_of_exports.remove

    def remove(given: Iterable[str]) -> None:
        given = list(given)
        if stays.file in given:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(given)

    with monkeypatch.context() as patched:
        patched.setattr(files_of_exports, "remove", remove)
        assert services.expire(now=goes.expires_at) == 1
    stays.refresh_from_db()
    assert (stays.state, steps(stays)) == ("ready", ["ordered", "made"])
    assert services.expire(now=goes.expires_at) == 1
    assert not storages["exports"].exists(stays.file)


def test_parts_that_a_dead_worker_left_go_with_the_file(olivia: User, monkeypatch: pytest.MonkeyPatch) -> None:
    record_many(orders(3))
    with monkeypatch.context() as patched:
        patched.setattr(services, "_remove_parts", lambda _: None)
        export = made(olivia)
    assert len(kept_of(export)) > 1
    assert export.expires_at is not None
    services.expire(now=export.expires_at)
    assert kept_of(export) == []


def kept_of(export: Export) -> list[str]:
    """Return the files of an export that lie in the storage."""
    directory = Path(storages["exports"].path(str(export.pk)))
    return sorted(path.name for path in directory.iterdir()) if directory.exists() else []


def run_in_thread(do: Callable[[], object]) -> None:
    """Run something on a connection of its own, and wait for it."""

    def run() -> None:
        try:
            do()
        finally:
            connections.close_all()

    thread = Thread(target=run)
    thread.start()
    thread.join()


def test_a_file_goes_when_its_time_is_over_and_its_facts_stay(olivia: User) -> None:
    export = made(olivia)
    assert export.expires_at is not None
    assert services.expire(now=export.expires_at - timedelta(seconds=1)) == 0
    assert services.expire(now=export.expires_at) == 1
    assert services.expire(now=export.expires_at) == 0
    export.refresh_from_db()
    assert (export.state, steps(export)[-1]) == ("expired", "expired")
    assert export.file_sha256
    assert not storages["exports"].exists(export.file)


def _ledger_is_taken(of: User) -> None:
    authority.revoke_grant(ledger="activity", of=of, by="ada", reason="another task")


def _role_is_taken(of: User) -> None:
    of.groups.clear()


def _account_is_closed(of: User) -> None:
    of.is_active = False
    of.save()


@pytest.mark.parametrize("taken", [_ledger_is_taken, _role_is_taken, _account_is_closed])
def test_nothing_is_signed_for_who_may_not_export_any_more(olivia: User, taken: Callable[[User], None]) -> None:
    record_many(orders(3))
    export = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="audit").export
    taken(olivia)
    services.work(export=export.pk)
    export.refresh_from_db()
    assert (export.state, export.failure) == (
        Export.State.FAILED,
        "olivia may not export from the ledger activity any more",
    )


def test_a_file_is_for_who_may_read_its_ledger_still(olivia: User) -> None:
    record_many(orders(3))
    export = made(olivia)
    assert services.download(export=export, by=olivia).size
    _ledger_is_taken(olivia)
    with pytest.raises(PermissionDenied):
        services.download(export=export, by=User.objects.get(pk=olivia.pk))


def test_a_key_that_was_revoked_meanwhile_signs_nothing(olivia: User) -> None:
    export = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="audit").export
    key = ExportCertificate.objects.get(person="olivia")
    export_keys.revoke(key_id=key.key_id, by="ada", reason="lost")
    services.work(export=export.pk)
    export.refresh_from_db()
    assert export.state == Export.State.FAILED
    assert "was revoked" in export.failure
    assert steps(export) == ["ordered", "failed"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE exports SET purpose = 'another'",
        "UPDATE exports SET ordered_by = 'somebody'",
        "UPDATE exports SET entries = 0",
        "UPDATE exports SET file_sha256 = ''",
        "UPDATE exports SET state = 'running'",
        "UPDATE export_parts SET entries = 0",
        "DELETE FROM export_parts",
        "DELETE FROM exports",
        "TRUNCATE exports CASCADE",
    ],
)
def test_what_was_exported_never_changes(site: Database, olivia: User, change: str) -> None:
    made(olivia)
    with pytest.raises(psycopg.Error, match="AL001"):
        site.superuser().execute(change)
    with pytest.raises(psycopg.Error):
        site.app().execute(change)
