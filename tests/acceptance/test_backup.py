"""The commands of docs/operations.md, Backup and Restore, typed as they stand there: the server is gone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connections
from django.test import override_settings
from psycopg import sql

from activity import authority
from activity.amending import remove
from activity.evidence import judge_receipt
from activity.models import ActivityLog, ApiKey
from activity.services import record, set_log_type
from auditlog_project.checks import check_posture
from auditlog_project.database import apply_grants, ensure_database
from auditlog_project.embedded.programs import postgres_programs
from auditlog_project.posture import database_problems
from exports import services as exports
from exports.errors import ExportRefusedError
from exports.models import Export
from metaaudit.models import MetaLog
from signing import continuity, providers
from signing.models import SigningKey
from signing.queries import head, ledger_named
from signing.services import rotate_key
from signing.tasks import anchor_ledgers
from signing.verdicts import Verdict
from tests.attacks.intruder import assert_clean, verify
from tests.clusters import EMBEDDED, PROJECT, ROLES, Database, system_servers
from tests.exports.ordering import made, person
from tests.locking.test_services import EVENT, Scene
from tests.metaaudit.conftest import LOGS, signed_in

SECTIONS = re.compile(r"^## Backup\n.*?^## Restore\n.*?^(?=## )", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
WEB = f"{sys.executable} -c 'import auditlog_project.wsgi'"
WORKER = (
    f"{sys.executable} -c 'import django; django.setup(); from auditlog_project.celery import refuse_weak_posture; "
    "refuse_weak_posture()'"
)
ANOTHER_KEY = "b3RoZXIga2V5IGZvciB0ZXN0cywgMzIgYnl0ZXMhISE="
STORAGE = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "backup"}}
LOST = 3  # a revocation, an event, a grant
GUARDS = """
SELECT tgrelid::regclass::text, tgname, tgenabled, md5(prosrc), pg_get_triggerdef(t.oid) FROM pg_trigger t
JOIN pg_proc p ON p.oid = tgfoid WHERE NOT tgisinternal ORDER BY 1, 2"""
ALL_ADDRESSES = ("default", "approver", "owner")


def blocks() -> list[str]:
    found = SECTIONS.search((PROJECT / "docs" / "operations.md").read_text(encoding="utf-8"))
    assert found
    return BLOCK.findall(found[0])


def programs(of: Database) -> Path:
    name = of.cluster.state.name
    return postgres_programs() if name == EMBEDDED else system_servers()[name]


def type_in(database: Database, line: str, *aliases: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run lines in the checkout, with the addresses of one database; stop at the first that fails."""
    path = {"PATH": f"{programs(database)}:{os.environ['PATH']}"}
    environment = database.environment(*aliases) | path | variables
    return subprocess.run(
        ["/bin/bash", "-euc", line],
        cwd=PROJECT,
        env={name: value for name, value in environment.items() if value},
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def elsewhere(of: Database) -> Iterator[Database]:
    """Name the database that a restore makes, and remove it."""
    restored = Database(f"{of.name}_restored", of.cluster, of.anchors)
    try:
        yield restored
    finally:
        restored.close()
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(restored.name))
        of.superuser().execute(drop)


def fill(restored: Database, dump: Path) -> None:
    """Do what the page says without its last line, and quicker."""
    with psycopg.connect(restored.cluster.server.superuser_url(), autocommit=True) as superuser:
        ensure_database(superuser, restored.name, ROLES)
    line = blocks()[3].splitlines()[1].replace("auditlog.dump", str(dump))
    assert type_in(restored, line, *ALL_ADDRESSES).returncode == 0
    apply_grants(restored.owner(), ROLES)


def with_new_anchors(restored: Database, directory: Path) -> Database:
    """Return the database as one that goes on, by decision."""
    new = Database(restored.name, restored.cluster, directory / "anchors-2")
    new.anchors.mkdir()
    (new.anchors / "trust.vkeys").write_bytes((restored.anchors / "trust.vkeys").read_bytes())
    return new


class Night:
    """A log with everything in it, its dump as the page makes it, and what came after the dump."""

    def __init__(self, database: Database, directory: Path) -> None:
        self.lost, self.directory, self.role = database, directory, f"{database.name}_backup"
        self.backup_url = database.cluster.server.url(self.role, "PW5", database.name)
        self.administrator = {"DATABASE_ADMIN_URL": database.cluster.server.superuser_url()}
        by = {"by": "ada", "reason": "a test"}
        self.key = rotate_key(purpose=SigningKey.Purpose.ENTRY, algorithm="ES256", **by)
        set_log_type(pattern="auth.*", requires_signature=True, algorithm="ES256", description="", **by)
        self.scene = scene = Scene(database)
        self.lock = scene.lock(1)
        scene.amend(2)
        remove(entry_id=scene.entry(3).pk, rule="r", by=scene.officer, reason="a test")
        signed_in("rita", "reader").get(f"{LOGS}/{scene.ids(1)[0]}")
        self.export = made(person("olivia"))
        self.api_key, _ = authority.create_api_key(
            name="shop", scopes=["logs:write"], ledger="activity", source="shop", by="ada", reason="a test"
        )
        anchor_ledgers()
        self.size = head(ledger_named("activity")).size
        self.dump()
        authority.revoke_api_key(prefix=self.api_key.pk, **by)
        self.later_key = rotate_key(purpose=SigningKey.Purpose.ENTRY, algorithm="ES256", **by)
        self.receipt = record(replace(EVENT, event_id="after the dump"))
        signed_in("rudi", "reader").get(f"{LOGS}/{scene.ids(1)[0]}")
        anchor_ledgers()

    def dump(self) -> None:
        role, dump, *_ = blocks()
        mine = role.replace("auditlog_backup", self.role).replace("DATABASE auditlog ", f"DATABASE {self.lost.name} ")
        done = type_in(self.lost, mine, **self.administrator)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        done = type_in(self.lost, f"cd {self.directory}\n{dump}", BACKUP_URL=self.backup_url)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert (self.directory / "auditlog.dump").stat().st_mode & 0o077 == 0

    def type_restore(self, into: Database) -> subprocess.CompletedProcess[str]:
        made_again = blocks()[3].replace("auditlog.dump", str(self.directory / "auditlog.dump"))
        return type_in(into, made_again, *ALL_ADDRESSES, **self.administrator)

    def restore(self, into: Database) -> None:
        fill(into, self.directory / "auditlog.dump")


@pytest.fixture
def night(fresh_database: Database, tmp_path: Path) -> Iterator[Night]:
    storage = {**STORAGE, "OPTIONS": {"location": str(tmp_path / "exports")}}
    try:
        with override_settings(STORAGES={**settings.STORAGES, "exports": storage}, CACHES=CACHES):
            yield Night(fresh_database, tmp_path)
    finally:
        role = sql.Identifier(f"{fresh_database.name}_backup")
        fresh_database.superuser().execute(sql.SQL("DROP OWNED BY {}").format(role))
        fresh_database.superuser().execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture
def restored(night: Night) -> Iterator[Database]:
    with elsewhere(night.lost) as new:
        yield new


def test_from_the_dump_to_a_log_that_goes_on(night: Night, restored: Database, tmp_path: Path) -> None:
    *_, look, go_on = blocks()
    stopped = night.type_restore(restored)
    assert stopped.returncode == 1
    assert f"database {restored.name}: created\n" in stopped.stdout
    assert "migrations: already there\ngrants: already there\nposture: the guards hold\n" in stopped.stdout
    assert re.search(
        r"\d+ leaves are anchored in \S+, the database has \d+: the database was rolled back", stopped.stderr
    )

    # 3 what is lost, of every ledger, to the leaf; and nobody has written a word yet
    accesses = restored.owner().execute("SELECT count(*), max(leaf_index) FROM meta_logs").fetchall()
    found = type_in(restored, look)
    assert found.returncode == 1
    assert re.search(rf"activity, leaf {night.size}: missing: .* covers {night.size + LOST} leaves", found.stdout)
    assert re.search(rf"meta, leaf {accesses[0][1] + 1}: missing: ", found.stdout)
    assert ": tampered: " not in found.stdout
    assert "it runs all the same" in found.stderr
    assert restored.owner().execute("SELECT count(*), max(leaf_index) FROM meta_logs").fetchall() == accesses
    refused = type_in(restored, "./auditlog keys list")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "the database was rolled back" in refused.stderr
    refused = type_in(restored, WEB)
    assert refused.returncode != 0
    assert "auditlog.E071" in refused.stderr

    # 4 the decision
    new = Database(restored.name, restored.cluster, tmp_path / "anchors-2")
    went_on = type_in(restored, go_on, *ALL_ADDRESSES, NEW_ANCHOR_DIR=str(new.anchors))
    assert went_on.returncode == 0, went_on.stderr
    with new.as_django_databases():
        assert ActivityLog.objects.get(type="operations.restore").leaf_index == night.size
        # 5 beat
        anchor_ledgers()
        assert_clean()
        old = verify("--anchor", night.lost.anchors)
        assert (old.exit_code, old.outcome) == (1, "tampered")
        # 6 make good
        assert ApiKey.objects.get(pk=night.api_key.pk).revoked_at is None
        first = record(replace(EVENT, event_id="e-5"))
        assert first.leaf_index == night.scene.receipts[5].leaf_index
        again = record(replace(EVENT, event_id="after the dump"))
        assert again.leaf_index == night.size + 1
        told = judge_receipt(
            entry=UUID(night.receipt.id),
            ledger="activity",
            leaf_index=night.receipt.leaf_index,
            hash_of_leaf=night.receipt.leaf_hash,
            note=str(night.receipt.checkpoint),
        )
        assert told.verdict == Verdict.TAMPERED
        assert_clean()
        assert type_in(new, WEB, "default", "approver").returncode == 0


def test_everything_of_the_log_is_back_and_goes_on(night: Night, restored: Database, tmp_path: Path) -> None:
    night.restore(restored)
    kept = {model: list(model.objects.values().order_by("pk")) for model in (ActivityLog, MetaLog, Export)}
    with with_new_anchors(restored, tmp_path).as_django_databases():
        providers._signer.cache_clear()  # this is another process
        for model, rows in kept.items():
            back = list(model.objects.values().order_by("pk"))
            assert back == rows[: len(back)], model
            assert len(rows) - len(back) == {ActivityLog: LOST, MetaLog: 1, Export: 0}[model]
        assert SigningKey.objects.get(pk=night.key.pk).state == SigningKey.State.ACTIVE
        assert not SigningKey.objects.filter(pk=night.later_key.pk).exists()
        olga = User.objects.get(username="olga")
        assert night.scene.lock(4).pk > night.lock.pk
        assert ActivityLog.objects.get(pk=record(replace(EVENT, event_id="new")).id).signature
        remove(entry_id=night.scene.entry(6).pk, rule="r", by=olga, reason="a test")
        made(User.objects.get(username="olivia"))
        anchor_ledgers()
        assert_clean()


def test_the_guards_are_back_as_they_were(night: Night, restored: Database) -> None:
    night.restore(restored)
    guards = restored.superuser().execute(GUARDS.encode()).fetchall()
    assert guards == night.lost.superuser().execute(GUARDS.encode()).fetchall()
    assert len(guards) > 20
    assert {enabled for _, _, enabled, *_ in guards} == {"A"}
    assert database_problems(restored.app()) == []
    assert database_problems(restored.approver(), "approver") == []
    for number, rule in ((1, "AL002"), (5, "AL001")):
        with pytest.raises(psycopg.Error) as refused:
            restored.app().execute("UPDATE activity_logs SET actor = 'eve' WHERE id = %s", [night.scene.ids(number)[0]])
        assert refused.value.sqlstate == rule
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        restored.app().execute("DELETE FROM meta_logs")


def test_a_missing_or_another_master_key_is_found_before_anything_is_recorded(night: Night, restored: Database) -> None:
    night.restore(restored)
    accesses = restored.owner().execute("SELECT count(*) FROM meta_logs").fetchall()
    another = "holds another master key than the one that sealed it"
    for given, said, process, aliases in (
        ("", "is not set", WEB, ("default", "approver")),
        (ANOTHER_KEY, another, WORKER, ()),
        (ANOTHER_KEY, another, "./auditlog setup_database", ALL_ADDRESSES),
        (ANOTHER_KEY, another, "./auditlog keys list", ()),
    ):
        refused = type_in(restored, process, *aliases, AUDITLOG_MASTER_KEY=given)
        assert refused.returncode != 0, process
        assert said in refused.stderr, process
        assert "safe" in refused.stderr, process
    looked = type_in(restored, "./auditlog verify", AUDITLOG_MASTER_KEY="")
    assert f"activity, leaf {night.size}: missing: " in looked.stdout, looked.stderr
    assert restored.owner().execute("SELECT count(*) FROM meta_logs").fetchall() == accesses


def test_the_role_of_the_backup_only_reads(night: Night) -> None:
    with psycopg.connect(night.backup_url, autocommit=True) as backup:
        assert backup.execute("SELECT count(*) FROM activity_logs").fetchone() is not None
        for statement in (
            "UPDATE signing_keys SET state = 'retired'",
            "DELETE FROM auth_user",
            "CREATE TEMP TABLE t ()",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                backup.execute(statement.encode())


def test_an_export_whose_file_is_lost_is_refused_and_its_hash_told(night: Night, tmp_path: Path) -> None:
    olivia = User.objects.get(username="olivia")
    assert exports.download(export=night.export, by=olivia).size
    (tmp_path / "exports" / night.export.file).unlink()
    for name in ("", "manifest.json"):
        with pytest.raises(ExportRefusedError, match=rf"lost or changed.* SHA-256 is {night.export.file_sha256}$"):
            exports.download(export=night.export, by=olivia, name=name)


def test_a_dump_that_is_made_while_events_come_is_of_one_moment(fresh_database: Database, tmp_path: Path) -> None:
    stop, came = threading.Event(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            record(EVENT)
            came.set()
        connections.close_all()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert came.wait(30)
        dump = tmp_path / "auditlog.dump"
        typed = blocks()[1].replace(dump.name, str(dump))
        assert type_in(fresh_database, typed, BACKUP_URL=fresh_database.url(ROLES.owner)).returncode == 0
    finally:
        stop.set()
        writer.join()
    written = head(ledger_named("activity")).size
    with elsewhere(fresh_database) as restored:
        fill(restored, dump)
        with with_new_anchors(restored, tmp_path).as_django_databases():
            assert head(ledger_named("activity")).size < written
            anchor_ledgers()
            assert_clean()


def test_a_dump_is_restored_on_every_server(every_server_database: Database, tmp_path: Path) -> None:
    database = every_server_database
    record(EVENT)
    anchor_ledgers()
    with elsewhere(database) as new:
        file = str(tmp_path / "auditlog.dump")
        administrator: dict[str, Any] = {"DATABASE_ADMIN_URL": database.cluster.server.superuser_url()}
        dump = blocks()[1].replace("auditlog.dump", file)
        assert type_in(database, dump, BACKUP_URL=database.url(ROLES.owner)).returncode == 0
        again = type_in(new, blocks()[3].replace("auditlog.dump", file), *ALL_ADDRESSES, **administrator)
        assert again.returncode == 0, again.stderr
        assert again.stdout.endswith("posture: the guards hold\n")
        with new.as_django_databases():
            continuity.require_continuity()
            assert_clean()


def test_the_system_checks_name_a_database_behind_its_anchors(night: Night, restored: Database) -> None:
    assert check_posture(databases=["default"]) == []
    night.restore(restored)
    with restored.as_django_databases():
        (error,) = check_posture(databases=["default"])
    assert (error.id, "rolled back" in error.msg) == ("auditlog.E071", True)
    assert "docs/operations.md, Restore" in str(error.hint)
