"""Appending, signing and anchoring with real commits, and what survives a crash between them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction
from django.test import override_settings

from activity.models import ActivityLog
from signing import anchors, checkpoint
from signing import ledger as ledgers
from signing.errors import AnchorConflictError, LedgerRefusedError
from signing.merkle import Frontier
from signing.models import Ledger
from signing.queries import head, latest_checkpoint, ledger_named, note_keys
from signing.tasks import anchor_ledgers
from signing.verdicts import Verdict
from tests.clusters import EMBEDDED, PROJECT, Clusters, Database
from tests.signing.installation import active_key, anchor_all, findings, record, verify

pytestmark = pytest.mark.usefixtures("fresh_database")


def activity() -> Ledger:
    return ledger_named("activity")


def signed_size() -> int:
    newest = latest_checkpoint(activity())
    assert newest is not None
    return newest.size


def append(*leaves: bytes) -> ledgers.Appended:
    with transaction.atomic():
        appended = ledgers.append(activity(), leaves)
    assert appended is not None
    return appended


# Appending


def test_leaves_follow_each_other_without_a_gap() -> None:
    start = head(activity()).size
    assert append(bytes(32), b"1" * 32).first_leaf == start
    assert append(b"2" * 32).first_leaf == start + 2


def test_the_returned_tree_is_the_stored_one() -> None:
    appended = append(b"1" * 32)
    assert appended.frontier.root() == head(activity()).root()


def test_leaves_outside_a_transaction_are_refused() -> None:
    with pytest.raises(RuntimeError, match="in the transaction that stores their rows"):
        ledgers.append(activity(), [bytes(32)])


@pytest.mark.parametrize("leaves", [[], [b"short"]])
def test_what_is_no_hash_is_refused(leaves: list[bytes]) -> None:
    with pytest.raises(LedgerRefusedError, match="AL004"), transaction.atomic():
        ledgers.append(activity(), leaves)


def test_a_ledger_that_does_not_exist_is_refused() -> None:
    with pytest.raises(LedgerRefusedError, match="no such ledger"), transaction.atomic():
        ledgers.append(Ledger(id=999), [bytes(32)])


def test_a_ledger_without_a_proper_name_is_refused() -> None:
    with pytest.raises(LedgerRefusedError, match="no ledger can have this name"), transaction.atomic():
        ledgers.open_ledger("../etc", "origin", "activity")


def test_all_ledgers_are_locked_with_their_sizes() -> None:
    with transaction.atomic():
        assert ledgers.lock_all() == {ledger.pk: ledger.head.size for ledger in Ledger.objects.all()}


# Signing


def test_a_checkpoint_is_signed_over_the_committed_head() -> None:
    append(bytes(32))
    note = ledgers.sign_checkpoint(activity())
    signed = checkpoint.verify(note, note_keys(activity())).checkpoint
    assert (signed.origin, signed.size, signed.root) == (
        activity().origin,
        head(activity()).size,
        head(activity()).root(),
    )


def test_signing_inside_a_transaction_is_refused() -> None:
    with pytest.raises(RuntimeError, match="only a committed head is signed"), transaction.atomic():
        ledgers.sign_checkpoint(activity())


def test_a_transaction_that_is_rolled_back_is_never_signed() -> None:
    size = signed_size()
    with transaction.atomic():
        ledgers.append(activity(), [bytes(32)])
        transaction.set_rollback(True)
    ledgers.sign_checkpoint(activity())
    assert signed_size() == size
    append(b"1" * 32)
    ledgers.sign_checkpoint(activity())
    assert latest_checkpoint(activity()).root == head(activity()).root()  # type: ignore[union-attr]


def test_an_append_that_is_not_committed_yet_is_not_signed(fresh_database: Database) -> None:
    size = signed_size()
    other = fresh_database.app(autocommit=False)
    other.execute("SELECT ledger_append(%s::smallint, %s, '{}')", (activity().pk, bytes(32)))
    ledgers.sign_checkpoint(activity())
    assert signed_size() == size
    other.rollback()


def test_a_size_that_the_ledger_has_not_reached_is_refused_by_the_database() -> None:
    tree = Frontier()
    tree.extend([bytes(32)] * (head(activity()).size + 1))
    with pytest.raises(Exception, match="AL004: the ledger has not reached"):
        ledgers.sign_checkpoint(activity(), tree)


def test_who_comes_late_gets_the_checkpoint_that_covers_more() -> None:
    old = head(activity())
    append(bytes(32))
    newest = ledgers.sign_checkpoint(activity())
    assert ledgers.sign_checkpoint(activity(), old) == newest


def test_an_entry_key_signs_no_checkpoint(fresh_database: Database) -> None:
    note = ledgers.sign_checkpoint(activity())
    arguments = (activity().pk, signed_size(), head(activity()).root(), note)
    call = "SELECT size FROM checkpoint_store(%s::smallint, %s, %s, %s, %s)"
    app = fresh_database.app()
    assert app.execute(call, (*arguments, [active_key("checkpoint").id])).fetchone() == (signed_size(),)
    assert app.execute(call, (*arguments, [active_key("entry").id])).fetchone() is None


# Crashes

_DIES_BEFORE_THE_CHECKPOINT = """
import django, os, signal
django.setup()
from signing import ledger
ledger.sign_checkpoint = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
from tests.signing.installation import record
record(1)
"""


def test_a_crash_between_commit_and_checkpoint_loses_nothing_and_is_healed(fresh_database: Database) -> None:
    record(2)
    anchor_all()
    assert verify().outcome == Verdict.VALID
    for heal in (lambda: record(1), anchor_ledgers):
        size = signed_size()
        command = [sys.executable, "-c", _DIES_BEFORE_THE_CHECKPOINT]
        died = subprocess.run(command, cwd=PROJECT, env=fresh_database.environment(), check=False, capture_output=True)
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert (signed_size(), head(activity()).size) == (size, size + 1)
        assert ActivityLog.objects.filter(ledger=activity(), leaf_index=size).exists()
        assert "under no signed checkpoint yet" in findings(verify())[0]
        heal()
        assert signed_size() == head(activity()).size
        assert verify().outcome == Verdict.VALID, findings(verify())


# Anchors


def test_a_forced_anchor_is_written_for_an_idle_ledger_too() -> None:
    folder = Path(settings.AUDITLOG_ANCHOR_DIR) / "activity"
    before = len(anchors.read_all(folder))
    anchor_all()
    anchor_all()
    assert len(anchors.read_all(folder)) == before + 2


def test_without_an_anchor_directory_nothing_is_anchored() -> None:
    with override_settings(AUDITLOG_ANCHOR_DIR=""):
        assert ledgers.sign_checkpoint(activity(), force_anchor=True)
    assert os.environ.get("AUDITLOG_ANCHOR_DIR") is None


def test_a_database_that_was_rolled_back_under_its_anchors_is_noticed_at_once(clusters: Clusters) -> None:
    record(3)
    anchor_all()
    taken = settings.AUDITLOG_ANCHOR_DIR
    assert verify().outcome == Verdict.VALID
    # A copy of the template is the same database as it was before those entries.
    with (
        clusters[EMBEDDED].clone() as older,
        older.as_django_databases(),
        override_settings(AUDITLOG_ANCHOR_DIR=taken),
    ):
        with pytest.raises(AnchorConflictError, match="the database was rolled back or rebuilt"):
            ledgers.sign_checkpoint(activity(), force_anchor=True)
        assert verify().outcome == Verdict.TAMPERED


def test_a_rebuilt_database_of_the_same_size_is_noticed(clusters: Clusters) -> None:
    record(2)
    anchor_all()
    taken = settings.AUDITLOG_ANCHOR_DIR
    with (
        clusters[EMBEDDED].clone() as rebuilt,
        rebuilt.as_django_databases(),
        override_settings(AUDITLOG_ANCHOR_DIR=taken),
    ):
        append(bytes(32), bytes(32))
        with pytest.raises(AnchorConflictError, match="another tree of"):
            ledgers.sign_checkpoint(activity(), force_anchor=True)
