"""The life of keys on a real database: rotation, overlap, compromise, destruction, while others write."""

import subprocess
import sys
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import orjson
import psycopg
import pytest
from django.conf import settings
from django.db import transaction

from activity.errors import LogTypeError
from activity.models import ActivityLog
from activity.services import record_many, set_log_type
from signing import ledger as ledgers
from signing import services
from signing.algorithms import ALGORITHMS
from signing.checkpoint import NoteKey, parse
from signing.errors import KeyNotFoundError, KeyStateError
from signing.models import KeyEvent, KeyWindow, Ledger, SigningKey
from signing.queries import latest_checkpoint, ledger_named
from signing.verdicts import Finding, Verdict
from tests.clusters import PROJECT, Database
from tests.signing.installation import (
    BY,
    active_key,
    anchor_all,
    event,
    findings,
    forge,
    in_thread,
    pinned,
    record,
    stolen_half,
    verify,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("fresh_database")


def rotate(algorithm: str = "Ed25519", purpose: str = "entry") -> SigningKey:
    return services.rotate_key(purpose=purpose, algorithm=algorithm, **BY)


def compromise(key: SigningKey, **trusted_until: int) -> SigningKey:
    return services.mark_compromised(key_id=key.id, trusted_until=trusted_until, **BY)


def leaf_findings(verdict: Verdict) -> list[Finding]:
    return [finding for finding in verify().findings if finding.verdict == verdict and finding.leaf_index is not None]


# The life of an entry key


def test_a_key_lives_from_creation_to_destruction_and_its_entries_stay_valid() -> None:
    old = active_key()
    record(3)
    new = rotate()
    record(2)
    services.destroy_key(key_id=old.id, **BY)
    old.refresh_from_db()
    assert (old.state, old.sealed_private_key) == ("destroyed", None)
    assert old.activated_at < old.retired_at < old.ended_at  # type: ignore[operator]
    assert active_key() == new
    anchor_all()
    assert verify().outcome == Verdict.VALID, findings(verify())


def test_every_step_is_a_record_of_the_keys_ledger_with_who_and_why() -> None:
    before = KeyEvent.objects.count()
    old = active_key()
    new = services.rotate_key(purpose="entry", algorithm="Ed25519", by="eve", reason="yearly")
    said = [orjson.loads(bytes(row)) for row in KeyEvent.objects.values_list("record", flat=True)][before:]
    assert [(step["event"], step["key"]) for step in said] == [
        ("key.created", new.id),
        ("key.retired", old.id),
        ("key.activated", new.id),
    ]
    assert {(step["by"], step["reason"]) for step in said} == {("eve", "yearly")}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_entries_of_every_algorithm_verify_before_and_after_its_rotation(algorithm: str) -> None:
    first = rotate(algorithm)
    set_log_type(pattern="paid.*", requires_signature=True, algorithm=algorithm, description="", **BY)
    record(2, type_name="paid.fee")
    rotate(algorithm)
    record(2, type_name="paid.fee")
    anchor_all()
    assert verify().outcome == Verdict.VALID, findings(verify())
    assert ActivityLog.objects.filter(key=first, type="paid.fee").count() == 2


def test_old_entries_verify_after_many_rotations() -> None:
    for _ in range(4):
        record(2)
        rotate()
    record(1)
    anchor_all()
    report = verify()
    assert report.outcome == Verdict.VALID, findings(report)
    assert ActivityLog.objects.filter(type="test.event").values("key").distinct().count() == 5


def test_windows_of_a_slot_meet_without_gap_or_overlap() -> None:
    record(2)
    old = active_key()
    new = rotate()
    ledger = ledger_named("activity")
    assert (
        KeyWindow.objects.get(key=old, ledger=ledger).until_leaf
        == KeyWindow.objects.get(key=new, ledger=ledger).first_leaf
    )


def test_a_signature_of_a_replaced_key_outside_its_window_is_tampering() -> None:
    record(2)
    old = active_key()
    thief = stolen_half(old)
    forged = forge(old, thief)
    anchor_all()
    assert verify().outcome == Verdict.VALID, "inside its window the same signature is good"
    rotate()
    forged = forge(old, thief)
    assert [finding.leaf_index for finding in leaf_findings(Verdict.TAMPERED)] == [forged]
    assert "its key was replaced at leaf" in leaf_findings(Verdict.TAMPERED)[0].reason


def test_the_ledger_refuses_a_key_that_was_replaced() -> None:
    old = active_key()
    rotate()
    with transaction.atomic():
        assert ledgers.append(ledger_named("activity"), [bytes(32)], key_ids=[old.id]) is None


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(KeyStateError, match="no algorithm 'RSA'; there are: Ed25519"):
        rotate("RSA")
    with pytest.raises(KeyStateError, match="no purpose 'export'"):
        rotate(purpose="export")
    with pytest.raises(KeyStateError, match="checkpoints are signed with Ed25519"):
        rotate("ES256", purpose="checkpoint")
    with pytest.raises(KeyNotFoundError, match="there is no key 'nobody'"):
        services.destroy_key(key_id="nobody", **BY)


def test_an_active_key_is_not_destroyed_and_a_destroyed_one_not_again() -> None:
    old = active_key()
    with pytest.raises(KeyStateError, match="is active: rotate it first"):
        services.destroy_key(key_id=old.id, **BY)
    rotate()
    services.destroy_key(key_id=old.id, **BY)
    with pytest.raises(KeyStateError, match="destroyed already"):
        services.destroy_key(key_id=old.id, **BY)


# One active entry key


def test_the_database_refuses_a_second_active_entry_key_and_none(fresh_database: Database) -> None:
    app = fresh_database.app(autocommit=False)
    waiting = services.create_key(purpose="entry", algorithm="Ed25519", **BY)
    with pytest.raises(psycopg.errors.UniqueViolation):
        app.execute("UPDATE signing_keys SET state = 'active' WHERE id = %s", (waiting.id,))
    app.rollback()
    app.execute("UPDATE signing_keys SET state = 'retired' WHERE id = %s", (active_key().id,))
    with pytest.raises(psycopg.DatabaseError, match="AL005: algorithm Ed25519 would be left without"):
        app.commit()


def test_of_concurrent_rotations_each_moment_sees_exactly_one_active_key(fresh_database: Database) -> None:
    seen: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        watcher = fresh_database.app()
        while not done.is_set():
            row = watcher.execute(
                "SELECT count(*) FROM signing_keys WHERE (purpose, algorithm, state) = ('entry', 'Ed25519', 'active')"
            ).fetchone()
            seen.add(row[0] if row else -1)

    watching = threading.Thread(target=watch)
    rotations = [threading.Thread(target=in_thread(lambda: [rotate() for _ in range(3)])) for _ in range(2)]
    watching.start()
    for thread in rotations:
        thread.start()
    for thread in rotations:
        thread.join()
    done.set()
    watching.join()
    assert seen == {1}
    assert SigningKey.objects.filter(purpose="entry", state="retired").count() == 6
    record(1)
    anchor_all()
    assert verify().outcome == Verdict.VALID, findings(verify())


_WRITER = """
import django; django.setup()
from tests.signing.installation import record
record(40)
"""


@pytest.mark.slow
def test_writers_in_threads_and_processes_never_sign_outside_a_window(fresh_database: Database) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER], cwd=PROJECT, env=fresh_database.environment(), stderr=subprocess.PIPE
    )
    batches = [event(number) for number in range(20)]
    threads = [threading.Thread(target=in_thread(lambda: record(40))) for _ in range(2)]
    threads.append(threading.Thread(target=in_thread(lambda: [record_many(batches) for _ in range(10)])))
    for thread in threads:
        thread.start()
    while writer.poll() is None or any(thread.is_alive() for thread in threads):
        rotate()
        time.sleep(0.2)  # a writer signs anew after a rotation, not after one every few milliseconds
    for thread in threads:
        thread.join()
    _, log = writer.communicate()
    assert writer.returncode == 0, log
    anchor_all()
    report = verify()
    assert report.outcome == Verdict.VALID, findings(report)
    assert ActivityLog.objects.filter(type="test.event").count() == 40 + 80 + 200
    assert ActivityLog.objects.values("key").distinct().count() > 2


# Checkpoint keys


def test_checkpoint_keys_overlap_and_both_sign() -> None:
    rotate(purpose="checkpoint")
    record(1)
    for ledger in Ledger.objects.exclude(name="meta"):
        newest = latest_checkpoint(ledger)
        assert newest is not None
        assert len(parse(newest.note).signatures) == 2


def test_after_retirement_the_new_key_signs_alone_and_the_old_pin_is_still_believed() -> None:
    old = active_key("checkpoint")
    rotate(purpose="checkpoint")
    services.retire_key(key_id=old.id, **BY)
    record(2)
    anchor_all()
    newest = latest_checkpoint(ledger_named("activity"))
    assert newest is not None
    assert len(parse(newest.note).signatures) == 1
    assert verify(pins=pinned()).outcome == Verdict.VALID, findings(verify())


def test_an_unrelated_pin_shows_a_log_that_somebody_else_made() -> None:
    record(1)
    anchor_all()
    assert verify().outcome == Verdict.VALID
    _, public_key = ALGORITHMS["Ed25519"].generate()
    report = verify(pins=[NoteKey(f"{settings.AUDITLOG_ORIGIN}/activity", public_key)])
    assert report.outcome == Verdict.TAMPERED
    assert any("its key is not pinned" in finding for finding in findings(report))


def test_the_only_checkpoint_key_an_entry_key_and_a_retired_key_are_not_retired() -> None:
    old = active_key("checkpoint")
    with pytest.raises(KeyStateError, match="the only checkpoint key: rotate first"):
        services.retire_key(key_id=old.id, **BY)
    with pytest.raises(KeyStateError, match="is an entry key: rotate it"):
        services.retire_key(key_id=active_key().id, **BY)
    rotate(purpose="checkpoint")
    services.retire_key(key_id=old.id, **BY)
    with pytest.raises(KeyStateError, match="is retired: only an active key"):
        services.retire_key(key_id=old.id, **BY)


def test_no_key_is_retired_before_a_checkpoint_bridges_to_its_successor(monkeypatch: pytest.MonkeyPatch) -> None:
    old = active_key("checkpoint")
    with monkeypatch.context() as crash:
        crash.setattr(ledgers, "sign_checkpoint", lambda _: None)
        rotate(purpose="checkpoint")
    with pytest.raises(KeyStateError, match="under no checkpoint yet"):
        services.retire_key(key_id=old.id, **BY)
    anchor_all()
    services.retire_key(key_id=old.id, **BY)


# Compromise


def test_a_stolen_entry_key_is_trusted_up_to_the_last_anchor_whatever_the_entries_say() -> None:
    record(3)
    stolen = active_key()
    anchor_all()
    size = latest_checkpoint(ledger_named("activity")).size  # type: ignore[union-attr]
    assert verify().outcome == Verdict.VALID
    forged = [
        forge(stolen, stolen_half(stolen)),
        forge(stolen, stolen_half(stolen), recorded_at=datetime.now(UTC) - timedelta(days=365)),
    ]
    compromise(stolen, activity=size)
    record(2)
    anchor_all()
    report = verify()
    assert report.outcome == Verdict.CANNOT_TELL, findings(report)
    assert [finding.leaf_index for finding in leaf_findings(Verdict.UNTRUSTED_KEY)] == forged == [size, size + 1]


def test_recording_goes_on_with_a_new_key_after_a_compromise() -> None:
    stolen = active_key()
    compromise(stolen)
    record(1)
    assert active_key() != stolen
    assert ActivityLog.objects.order_by("leaf_index").last().key == active_key()  # type: ignore[union-attr]


def test_a_key_that_is_trusted_nowhere_proves_nothing() -> None:
    record(2)
    compromise(active_key())
    anchor_all()
    untrusted = leaf_findings(Verdict.UNTRUSTED_KEY)
    assert len(untrusted) == ActivityLog.objects.exclude(key=None).count()


def test_distrust_moves_to_earlier_leaves_alone() -> None:
    record(5)
    stolen = active_key()
    compromise(stolen, activity=4, meta=0)
    with pytest.raises(KeyStateError, match="from leaf 4 on, never from a later one"):
        compromise(stolen, activity=5)
    compromise(stolen, activity=2)
    anchor_all()
    assert leaf_findings(Verdict.UNTRUSTED_KEY)[0].leaf_index == 2
    assert not leaf_findings(Verdict.TAMPERED)


def test_trust_beyond_the_end_of_a_ledger_is_cut_to_its_size() -> None:
    record(1)
    stolen = active_key()
    compromise(stolen, activity=10**12)
    size = ledger_named("activity").head.size
    assert KeyWindow.objects.get(key=stolen, ledger__name="activity").untrusted_from_leaf == size


def test_that_a_destroyed_key_had_been_stolen_may_be_learned_later() -> None:
    record(2)
    old = active_key()
    rotate()
    services.destroy_key(key_id=old.id, **BY)
    compromise(old, activity=1)
    old.refresh_from_db()
    assert (old.state, old.sealed_private_key) == ("compromised", None)
    anchor_all()
    assert leaf_findings(Verdict.UNTRUSTED_KEY)[0].leaf_index == 1
    assert not leaf_findings(Verdict.TAMPERED)


def test_two_who_report_the_same_theft_make_one_replacement(fresh_database: Database) -> None:
    stolen = active_key()
    refused: list[str] = []

    def report() -> None:
        try:
            compromise(stolen)
        except KeyStateError as error:
            refused.append(str(error))

    holder = fresh_database.superuser(autocommit=False)
    holder.execute("SELECT FROM ledger_heads FOR UPDATE")
    threads = [threading.Thread(target=in_thread(report)) for _ in range(2)]
    for thread in threads:
        thread.start()
    observer = fresh_database.superuser()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    wait_until(lambda: observer.execute(waiting).fetchone() == (2,))
    holder.rollback()
    for thread in threads:
        thread.join()
    assert [text.partition(" in this")[0] for text in refused] == [f"{stolen.id} became compromised"]
    assert SigningKey.objects.filter(purpose="entry", state="active").count() == 1
    assert SigningKey.objects.count() == 3


def test_checkpoints_of_a_stolen_checkpoint_key_are_believed_up_to_the_anchor() -> None:
    record(2)
    anchor_all()
    sizes = {ledger.name: ledger.head.size for ledger in Ledger.objects.all()}
    stolen = active_key("checkpoint")
    assert verify().outcome == Verdict.VALID
    record(1)
    anchor_all()
    compromise(stolen, **sizes)
    record(1)
    anchor_all()
    only_old = verify(pins=pinned())
    assert only_old.outcome == Verdict.TAMPERED, "nothing that is trusted leads to the new key: it must be pinned"
    new = NoteKey(f"{settings.AUDITLOG_ORIGIN}/keys", bytes(active_key("checkpoint").public_key))
    report = verify(pins=[*pinned(), new])
    assert report.outcome == Verdict.CANNOT_TELL, findings(report)
    doubts = [finding.reason for finding in report.findings if finding.verdict == Verdict.UNTRUSTED_KEY]
    assert any("was compromised, and is trusted up to size" in reason for reason in doubts)


# Ledgers and set-up


def test_a_new_ledger_takes_the_active_keys_from_its_first_leaf_on() -> None:
    opened = services.open_ledger(name="shop", **BY)
    record_many([event()], ledger="shop")
    anchor_all()
    assert opened.origin == f"{settings.AUDITLOG_ORIGIN}/shop"
    assert KeyWindow.objects.get(key=active_key(), ledger=opened).first_leaf == 0
    assert verify("shop").outcome == Verdict.VALID, findings(verify("shop"))
    with pytest.raises(KeyStateError, match="'shop' is open already"):
        services.open_ledger(name="shop", **BY)


def test_a_ledger_that_is_opened_during_a_retirement_is_not_forgotten(fresh_database: Database) -> None:
    old = active_key("checkpoint")
    rotate(purpose="checkpoint")
    holder = fresh_database.superuser(autocommit=False)
    holder.execute("SELECT FROM ledger_heads FOR UPDATE")

    def retire() -> None:
        with suppress(KeyStateError):  # the ledger that was opened is under no checkpoint yet
            services.retire_key(key_id=old.id, **BY)

    works = [lambda: services.open_ledger(name="shop", **BY), retire]
    observer = fresh_database.superuser()
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    threads = []
    for number, work in enumerate(works, start=1):
        threads.append(threading.Thread(target=in_thread(work)))
        threads[-1].start()
        wait_until(lambda number=number: observer.execute(waiting).fetchone() == (number,))
    holder.rollback()
    for thread in threads:
        thread.join()
    anchor_all()
    assert verify("shop").outcome == Verdict.VALID, findings(verify("shop"))
    old.refresh_from_db()
    assert old.state in {"active", "retired"}


def test_set_up_twice_makes_nothing_twice() -> None:
    assert services.bootstrap() == []


def test_a_log_type_is_not_given_an_algorithm_without_a_key() -> None:
    with pytest.raises(LogTypeError, match="there is no active HS256 entry key"):
        set_log_type(pattern="a.*", requires_signature=True, algorithm="HS256", description="", **BY)
