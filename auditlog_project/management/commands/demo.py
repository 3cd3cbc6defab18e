"""`manage.py demo`: the main job end to end, on real PostgreSQL: record, verify, be checked, lock, tamper, alarm.

Everything is recorded in a ledger of its own, `demo`; what is tampered with is a copy of the database. Every step says
what it expects of the product and fails the command if it is not so. The step about locks is in locked_entry.py.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psycopg
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, connections
from joserfc import jws as strangers_jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import KeySet
from psycopg import sql

from activity.formats.options import Options
from activity.formats.reading import EventReader
from activity.formats.stream import EventStream
from activity.management.ingestion import Ingestion
from activity.models import ActivityLog
from activity.queries import entry_as_jws
from activity.report import Report
from activity.verification import FURTHER_CHECKS, LedgerCheck
from auditlog_project.management import locked_entry
from signing import anchors, services, tlog_proof, trust
from signing.ledger import sign_checkpoint
from signing.models import Ledger
from signing.queries import jwks, note_keys, prove_inclusion
from signing.verdicts import Verdict
from signing.verification import verify_keys

_LEDGER = "demo"
_SAMPLE = Path(settings.BASE_DIR) / "samples" / "cloudtrail_sample.jsonl"
_COPY_SUFFIX = "_demo_copy"


class Command(BaseCommand):
    help = (
        "Show the main job: record the bundled CloudTrail events, verify them, check one entry as a stranger would, "
        "lock one and change it under an override, tamper with a copy of the database as its superuser, and see the "
        "alarm. May be repeated; exit 0 if all went as it should. Needs DATABASE_ADMIN_URL for the copy and "
        "DATABASE_APPROVER_URL for the override, which the embedded PostgreSQL brings."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if not os.environ.get("DATABASE_ADMIN_URL"):
            raise CommandError("the demo copies the database: set DATABASE_ADMIN_URL to a superuser's address")
        if "approver" not in connections.databases:
            raise CommandError("the demo approves an override: set DATABASE_APPROVER_URL to the approver's address")
        ledger = self._open_ledger()
        self._record(ledger)
        self._verify(ledger)
        entry = _interesting_entry(ledger)
        self._check_as_a_stranger(ledger, entry)
        self._lock(ledger)
        self._tamper(ledger, entry)
        self._point_onward()

    def _open_ledger(self) -> Ledger:
        existing = Ledger.objects.filter(name=_LEDGER).first()
        return existing or services.open_ledger(name=_LEDGER, by="demo", reason="the demo's own ledger")

    def _record(self, ledger: Ledger) -> None:
        self._title("1  Record", f"{_SAMPLE.name}, a week of CloudTrail events, into the ledger “{_LEDGER}”")
        with _SAMPLE.open("rb") as file:
            ingestion = Ingestion(
                EventStream(file),
                EventReader(format_name="cloudtrail", options=Options(None, {}, {})),
                ledger=_LEDGER,
                batch_size=250,
            )
            for _ in ingestion.batches():
                pass
        new, known = ingestion.recorded, ingestion.already_there
        self._say(f"{new:,} events recorded, {known:,} already there from an earlier run")
        self._say(
            f"{ingestion.per_second:,.0f} events a second, each hashed, signed with Ed25519 and put into the tree"
        )
        self._say(_counts(ledger))
        self._say("checkpoint: " + " · ".join(sign_checkpoint(ledger, force_anchor=True).split("\n")[:3]))

    def _verify(self, ledger: Ledger) -> None:
        self._title("2  Verify", "every entry, signature and tree node, against the pinned key and the anchors")
        self._expect_valid(ledger)

    def _check_as_a_stranger(self, ledger: Ledger, entry: ActivityLog) -> None:
        self._title("3  A stranger checks one entry", "with nothing but public keys and somebody else's library")
        self._say(f"leaf {entry.leaf_index}: {entry.action} by {entry.actor}, {entry.outcome}")
        compact = entry_as_jws(entry) or ""
        self._say(f"as JWS: {compact[:66]}… ({len(compact):,} characters)")
        with warnings.catch_warnings():
            # RFC 9864 would call the algorithm Ed25519, which hardly a library knows yet.
            warnings.simplefilter("ignore", SecurityWarning)
            checked = strangers_jws.deserialize_compact(
                compact, KeySet.import_key_set(cast("Any", jwks())), algorithms=["EdDSA"]
            )
        if checked.payload != bytes(entry.record):
            raise CommandError("the library read another record than was stored")
        self._good("joserfc verifies the signature with the published JWKS")
        note = sign_checkpoint(ledger)
        size = int(note.split("\n")[1])
        proof = prove_inclusion(ledger, entry.leaf_index, size)
        text = tlog_proof.format(entry.leaf_index, proof, note)
        tlog_proof.verify(text, bytes(entry.record), note_keys(ledger))
        self._good(f"a proof of {len(proof)} hashes leads from the record to the signed root of {size} leaves")

    def _lock(self, ledger: Ledger) -> None:
        self._title("4  Lock", "with the password that the application has, and then as two people may")
        locked_entry.show(ledger, say=self._say, good=self._good)
        self._expect_valid(ledger)

    def _expect_valid(self, ledger: Ledger) -> None:
        report = _verified(ledger)
        self._say(f"{report.summary()}")
        if report.outcome != Verdict.VALID:
            raise CommandError("\n".join(["the untouched ledger should be valid:", *map(str, report.findings)]))
        self._good("valid")

    def _tamper(self, ledger: Ledger, entry: ActivityLog) -> None:
        self._title("5  Tamper", "as PostgreSQL superuser, guards switched off, in a copy of the database")
        admin_address = os.environ["DATABASE_ADMIN_URL"]
        with _copy_of_the_database(admin_address) as copy:
            _rewrite(copy, ledger, entry)
            self._say(f"leaf {entry.leaf_index}: “{entry.outcome}” made “success”, in the record and in its column")
            self._expect_alarm(ledger, entry.leaf_index)
            _restore_and_delete(copy, ledger, entry)
            self._say(f"leaf {entry.leaf_index}: deleted")
            self._expect_alarm(ledger, entry.leaf_index)
        self._say("the copy is dropped; the real database was not touched")

    def _expect_alarm(self, ledger: Ledger, leaf_index: int) -> None:
        report = _verified(ledger)
        for finding in report.findings[:2]:
            self._say(f"  verify: {finding}")
        if report.outcome != Verdict.TAMPERED or report.first_bad_leaf != leaf_index:
            raise CommandError(f"the tampering at leaf {leaf_index} should have been found there")
        self._good(f"caught: tampered, first bad leaf {report.first_bad_leaf}")

    def _point_onward(self) -> None:
        self._title("6  Next", "")
        self._say("./auditlog ingest FILE        your own events (--help: formats, mapping)")
        self._say("./auditlog verify             what you have just seen, exit code 0, 1 or 2")
        self._say("./auditlog keys list          the keys that signed; rotate them, mark one compromised")
        self._say(f"keep {settings.AUDITLOG_TRUST_FILE} where no database administrator can write")
        self._say("docs/architecture.md          how it works; docs/formats.md: write a verifier of your own")

    def _title(self, name: str, what: str) -> None:
        self.stdout.write("")
        self.stdout.write(self.style.MIGRATE_HEADING(name) + (f": {what}" if what else ""))

    def _say(self, line: str) -> None:
        self.stdout.write(f"   {line}")

    def _good(self, line: str) -> None:
        self.stdout.write("   " + self.style.SUCCESS(f"✓ {line}"))


def _counts(ledger: Ledger) -> str:
    rows = ActivityLog.objects.filter(ledger=ledger).values_list("actor", "type", "outcome")
    outcomes = Counter(outcome for _, _, outcome in rows)
    actors, services_used = len({actor for actor, _, _ in rows}), len({name.split(".")[1] for _, name, _ in rows})
    parts = ", ".join(f"{number:,} {outcome}" for outcome, number in outcomes.most_common())
    return f"{len(rows):,} entries, {actors} actors, {services_used} services: {parts}"


def _interesting_entry(ledger: Ledger) -> ActivityLog:
    """Return an entry that somebody would want to change: something was denied to him. It was never amended."""
    denied = ActivityLog.objects.filter(ledger=ledger, outcome="denied", key__isnull=False, revision=1)
    entry = denied.order_by("leaf_index").last()
    if entry is None:
        raise CommandError("the sample should hold signed entries of something denied")
    return entry


def _verified(ledger: Ledger) -> Report:
    """Verify a ledger in whatever database the connection points at now."""
    anchored = anchors.read_all(Path(settings.AUDITLOG_ANCHOR_DIR)) if settings.AUDITLOG_ANCHOR_DIR else []
    pinned = trust.parse(Path(settings.AUDITLOG_TRUST_FILE).read_text()) if settings.AUDITLOG_TRUST_FILE else []
    base = verify_keys(pinned, anchored)
    check = LedgerCheck(ledger, base, anchored, None)
    for _ in check.run():
        pass
    check.report.add(base.findings)
    for further in FURTHER_CHECKS:
        check.report.add(further(ledger, check.report.since == 0))
    return check.report


@contextmanager
def _copy_of_the_database(admin_address: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a superuser's connection to a copy, to which Django points meanwhile; the copy goes at the end."""
    name = str(connection.settings_dict["NAME"])
    copy = name + _COPY_SUFFIX
    connections.close_all()  # PostgreSQL copies a database only while nobody is connected to it
    with psycopg.connect(admin_address, autocommit=True) as admin:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(copy))
        admin.execute(drop)
        try:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(copy), sql.Identifier(name)))
        except psycopg.errors.ObjectInUse as error:
            message = (
                "the database is in use and cannot be copied: stop ./auditlog serve and other commands, then repeat"
            )
            raise CommandError(message) from error
        connection.settings_dict["NAME"] = copy
        try:
            with psycopg.connect(admin_address, dbname=copy, autocommit=True) as superuser:
                superuser.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
                yield superuser
        finally:
            connection.close()
            connection.settings_dict["NAME"] = name
            admin.execute(drop)


def _rewrite(superuser: psycopg.Connection[Any], ledger: Ledger, entry: ActivityLog) -> None:
    """Make a denial a success, as consistently as somebody without the signing key can."""
    old, new = (f'"outcome":"{outcome}"'.encode() for outcome in (entry.outcome, "success"))
    record = bytes(entry.record).replace(old, new)
    _execute(superuser, "UPDATE activity_logs SET record = %s, outcome = 'success'", [record], ledger, entry)


def _restore_and_delete(superuser: psycopg.Connection[Any], ledger: Ledger, entry: ActivityLog) -> None:
    values = [bytes(entry.record), entry.outcome]
    _execute(superuser, "UPDATE activity_logs SET record = %s, outcome = %s", values, ledger, entry)
    _execute(superuser, "DELETE FROM activity_logs", [], ledger, entry)


def _execute(
    superuser: psycopg.Connection[Any], statement: str, values: Sequence[Any], ledger: Ledger, entry: ActivityLog
) -> None:
    where = " WHERE ledger_id = %s AND leaf_index = %s"
    superuser.execute((statement + where).encode(), [*values, ledger.pk, entry.leaf_index])
