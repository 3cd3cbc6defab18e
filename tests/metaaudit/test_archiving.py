"""Archiving: what is verified and compared before a row goes, what stands in its place, and a crash at any step."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client, override_settings

from activity.amending import key_for
from auditlog_project.roles import AUDITOR
from exports.container import open_container
from exports.manifest import Manifest
from exports.models import Export
from metaaudit import archiving, terminal, verification
from metaaudit.errors import ArchiveRefusedError
from metaaudit.extraction import AccessReader
from metaaudit.models import MetaArchive, MetaLog
from metaaudit.queries import Wanted
from metaaudit.tombstone import tombstone_of
from signing import checkpoint
from signing.ledger import sign_checkpoint
from signing.models import LedgerCheckpoint
from signing.queries import ledger_named
from signing.services import rotate_key
from tests.attacks.intruder import assert_clean, verify
from tests.clusters import Database
from tests.metaaudit.conftest import LOGS, Taken, archive, container, keyed, ordered


def examined(path: Path, *, now: datetime | None = None) -> archiving.Prefix:
    with path.open("rb") as source:
        return archiving.examine(source, path.name, now=now or datetime.now(UTC))


def refused(path: Path, reason: str) -> None:
    """Nothing is archived, and the reason is told; and a row more or less is noticed."""
    before = MetaLog.objects.count()
    with pytest.raises(CommandError, match=reason):
        archive(path)
    assert (MetaArchive.objects.count(), MetaLog.objects.count()) == (0, before)


def test_a_verified_export_takes_the_place_of_the_rows(taken: Taken) -> None:
    path = taken()
    export = Export.objects.get()
    assert_clean()
    said = archive(path)
    assert f"{export.size} rows removed" in said
    assert export.file_sha256 in said
    made = MetaArchive.objects.get()
    assert (made.first_leaf, made.end_leaf) == (0, export.size)
    assert not MetaLog.objects.filter(leaf_index__lt=export.size, ledger__name="meta").exists()
    found = verify()
    assert (found.exit_code, found.reports["meta"]["archived"]) == (0, export.size), found.findings("meta")
    assert f"meta: {found.reports['meta']['size']:,} leaves, {export.size:,} archived: nothing amiss" in _verified()


def test_the_tombstone_says_what_who_and_why_and_is_signed_and_anchored(taken: Taken, site: Database) -> None:
    path = taken()
    export = Export.objects.get()
    youngest = MetaLog.objects.filter(leaf_index=export.size - 1, ledger__name="meta").get().at
    archive(path, "--by", "olga")
    made = MetaArchive.objects.get()
    log = MetaLog.objects.get(pk=made.pk)
    assert (bytes(log.record), log.leaf_index, log.action) == (bytes(made.record), made.leaf_index, "archive")
    told = tombstone_of(bytes(made.record))
    assert (told.first_leaf, told.end_leaf, told.count) == (0, export.size, export.size)
    assert (told.export, told.export_sha256) == (str(export.pk), sha256(path.read_bytes()).hexdigest())
    assert (told.by, told.reason, told.until_moment, told.kid) == ("olga", "policy 7", youngest, made.key_id)
    claim = json.loads(_member(path, "manifest.json"))["claim"]
    assert told.root == claim["root"]  # the export is of the whole ledger as it was
    assert LedgerCheckpoint.objects.filter(ledger=made.ledger, size__gt=made.leaf_index).exists()
    assert list((site.anchors / "meta").glob(f"*-{made.leaf_index + 1:020}.checkpoint"))


def test_the_next_archive_begins_where_the_last_one_ends(taken: Taken, ada: Client) -> None:
    archive(taken())
    (first,) = MetaArchive.objects.all()
    ada.get(LOGS)
    again = taken("ndjson")
    export = Export.objects.order_by("ordered_at").last()
    assert export is not None
    assert export.complete_range == (first.end_leaf, export.size)
    archive(again)
    second = MetaArchive.objects.get(first_leaf=first.end_leaf)
    assert (
        second.leaf_index >= second.end_leaf > first.leaf_index
    )  # the first tombstone's row is archived with the rest
    assert not MetaLog.objects.filter(pk=first.pk).exists()
    assert_clean()


def test_a_range_of_times_is_enough_and_whatever_came_later_stays(taken: Taken, ada: Client) -> None:
    until = MetaLog.objects.order_by("leaf_index").last()
    assert until is not None
    later = until.at + timedelta(milliseconds=1)
    ada.get(LOGS)
    archive(taken("json", to=later.isoformat().replace("+00:00", "Z")))
    assert MetaArchive.objects.get().end_leaf == until.leaf_index + 1
    assert MetaLog.objects.filter(leaf_index=until.leaf_index + 1, ledger__name="meta").exists()
    assert_clean()


def test_a_dry_run_archives_nothing(taken: Taken) -> None:
    path = taken()
    before = MetaLog.objects.count()
    assert "can be archived" in archive(path, "--dry-run")
    assert (MetaArchive.objects.count(), MetaLog.objects.count()) == (0, before)
    archive(path)
    assert "0 rows removed" in archive(path, "--dry-run")


def test_what_is_archived_already_is_not_archived_again(taken: Taken) -> None:
    path = taken()
    archive(path)
    assert "0 rows removed" in archive(path)
    assert MetaArchive.objects.count() == 1
    assert_clean()


@pytest.mark.parametrize("step", ["archive", "sign_checkpoint", "_REMOVE"])
def test_after_a_crash_the_same_command_goes_on(taken: Taken, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = taken()
    monkeypatch.setattr(archiving, "CHUNK", 2)
    with monkeypatch.context() as crashing:
        if step == "_REMOVE":
            # Its second chunk divides by nothing.
            broken = archiving._REMOVE + " AND leaf_index <> 2 / (CASE WHEN leaf_index = 2 THEN 0 ELSE 1 END)"
            crashing.setattr(archiving, step, broken)
        else:
            crashing.setattr(archiving, step, _crash)
        with pytest.raises(Exception, match=r"crash|division"):
            archive(path)
    sign_checkpoint(ledger_named("meta"))  # as beat does
    assert_clean()
    assert MetaLog.objects.filter(leaf_index=0, ledger__name="meta").exists() == (step != "_REMOVE")
    assert MetaLog.objects.filter(leaf_index=2, ledger__name="meta").exists()
    archive(path)
    made = MetaArchive.objects.get()
    assert not MetaLog.objects.filter(leaf_index__lt=made.end_leaf, ledger=made.ledger).exists()
    assert_clean()


def test_a_tombstone_that_rolls_back_leaves_nothing(taken: Taken, site: Database) -> None:
    path = taken()
    size = verify().reports["meta"]["size"]
    site.superuser().execute("ALTER TABLE meta_archives ADD CHECK (false)")
    with pytest.raises(Exception, match="check"):
        archive(path)
    assert (verify().reports["meta"]["size"], MetaArchive.objects.count()) == (size, 0)


def test_what_is_archived_during_a_verification_is_not_missing(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    path = taken()
    read = verification.rows_of

    def archived_first(*arguments: Any) -> Iterator[Any]:
        monkeypatch.setattr(verification, "rows_of", read)
        archive(path)
        yield from read(*arguments)

    monkeypatch.setattr(verification, "rows_of", archived_first)
    prefix = Export.objects.get().size
    found = verify("--ledger", "meta")
    assert (found.outcome, found.reports["meta"]["archived"]) == ("valid", prefix), found.findings("meta")


def test_a_young_access_is_kept(taken: Taken) -> None:
    path = taken()
    youngest = MetaLog.objects.filter(leaf_index=Export.objects.get().size - 1, ledger__name="meta").get().at
    with override_settings(AUDITLOG_META_RETENTION_DAYS=2192):
        refused(path, "each is kept for 2,192 days")
        years = timedelta(days=2192)
        with pytest.raises(ArchiveRefusedError, match="youngest"):
            examined(path, now=youngest + years - timedelta(seconds=1))
        assert examined(path, now=youngest + years).first_leaf == 0


def test_an_altered_export_is_refused(taken: Taken) -> None:
    path = taken("ndjson")
    path.write_bytes(path.read_bytes().replace(b'"limit"', b'"lim1t"').replace(b"ann", b"amn"))
    refused(path, "verifier does not find everything right")


def test_an_export_whose_signer_is_not_believed_any_more_is_refused(taken: Taken, site: Database) -> None:
    path = taken()
    site.superuser().execute(
        "ALTER TABLE export_certificates DISABLE TRIGGER ALL; UPDATE export_certificates SET certificate = NULL"
    )
    refused(path, "cannot tell +signer")


def test_an_export_of_another_installation_is_refused(taken: Taken, site: Database) -> None:
    path = taken()
    intruder = site.superuser()
    intruder.execute("ALTER TABLE exports DISABLE TRIGGER ALL")
    intruder.execute("UPDATE exports SET file_sha256 = repeat('0', 64)")
    refused(path, "no export of this installation")


def test_a_part_is_no_prefix(taken: Taken, ada: Client) -> None:
    refused(taken(user="ada"), "does not claim to be complete")
    first = MetaLog.objects.order_by("leaf_index").first()
    assert first is not None
    later = (first.at + timedelta(milliseconds=1)).isoformat().replace("+00:00", "Z")
    refused(taken(**{"from": later}), "leaf 0 is the first to be archived")
    refused(taken(user="ada", **{"from": "2026-01-01T00:00:00Z"}), "as hashes only")


def test_entries_are_not_archived(taken: Taken, place: Path) -> None:
    anna = keyed("anna", AUDITOR)
    path = place / "entries.asice"
    path.write_bytes(container(anna, ordered(anna, "csv", ledger="activity")))
    refused(path, "activity is no ledger of accesses")


CHANGES = {
    "its column": ("user_name = 'mallory'", "columns differ from the record: user_name"),
    "its record": ("record = record || ' '", "not the leaf that the ledger holds"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_row_that_is_not_the_exported_one_is_refused(taken: Taken, site: Database, what: str) -> None:
    path = taken()
    change, reason = CHANGES[what]
    intruder = site.superuser()
    intruder.execute("ALTER TABLE meta_logs DISABLE TRIGGER ALL")
    intruder.execute(f"UPDATE meta_logs SET {change} WHERE leaf_index = 1".encode())
    refused(path, reason)


def test_a_row_that_is_gone_is_refused(taken: Taken, site: Database) -> None:
    path = taken()
    intruder = site.superuser()
    intruder.execute("ALTER TABLE meta_logs DISABLE TRIGGER ALL")
    intruder.execute("DELETE FROM meta_logs WHERE leaf_index = 1")
    refused(path, "leaf 1 of meta is missing")


def test_records_of_another_export_are_refused(taken: Taken) -> None:
    """Rows and export may each be right, and yet not the same: the digest of the claim is compared."""
    path = taken()
    claim = Manifest.from_json(_member(path, "manifest.json")).claim
    prefix = examined(path)
    head = checkpoint.parse(_member(path, "checkpoint").decode()).checkpoint
    reader = AccessReader(prefix.ledger, Wanted(None), head)
    archiving._require_same_records(claim, reader, 0, prefix.end_leaf)
    with pytest.raises(ArchiveRefusedError, match="not those of the rows"):
        archiving._require_same_records(replace(claim, dataset_digest="0" * 64), reader, 0, prefix.end_leaf)


def test_a_key_that_was_rotated_meanwhile_signs_no_tombstone(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    path = taken()
    before = key_for("Ed25519").id
    keys = [key_for("Ed25519")]
    rotate_key(purpose="entry", algorithm="Ed25519", by="test", reason="test")
    monkeypatch.setattr(archiving, "key_for", lambda algorithm: keys.pop() if keys else key_for(algorithm))
    archive(path)
    assert MetaArchive.objects.get().key_id != before
    assert_clean()


def test_who_and_why_have_a_bound_as_records_have_one(taken: Taken) -> None:
    path = taken()
    for by, reason in (("o" * 151, "r"), ("olga", "r" * 2_001)):
        with pytest.raises(CommandError, match="at most"):
            archive(path, "--by", by, "--reason", reason)
    archive(path, "--by", "o" * 150, "--reason", "r" * 2_000)


def test_only_the_owner_archives(taken: Taken, monkeypatch: pytest.MonkeyPatch) -> None:
    path = taken()
    with monkeypatch.context() as without, override_settings():
        databases = {name: one for name, one in connections.settings.items() if name != "owner"}
        without.setattr("django.conf.settings.DATABASES", databases)
        refused(path, "DATABASE_OWNER_URL is not set")
    monkeypatch.setattr(archiving, "OWNER", "default")
    with pytest.raises(Exception, match="permission denied"):
        archive(path)


def test_the_command_is_an_access_itself(taken: Taken) -> None:
    said = terminal.command_access("archive_accesses", query=(("--reason", "policy 7"),))
    assert (said.action, said.path) == ("archive", "manage.py archive_accesses")


def _crash(*_: Any, **__: Any) -> None:
    raise RuntimeError("crash")


def _verified() -> str:
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("verify", stdout=out)
    return out.getvalue()


def _member(path: Path, name: str) -> bytes:
    with path.open("rb") as source:
        return open_container(source).read(name)
