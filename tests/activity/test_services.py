"""Recording: whole batches or nothing, each event once, every receipt checkable by a stranger."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import orjson
import pytest
from django.db import connection, connections, transaction
from django.test import override_settings
from hypothesis import HealthCheck, given, settings

from activity import entry_rows, services
from activity.entry_check import EntryCheck
from activity.errors import BadEventsError, EventIdConflictError, LogTypeError, UnknownLogTypeError
from activity.event import Event, event_from_json
from activity.models import ActivityLog, LogType
from activity.recording import Receipt
from activity.services import record, record_many, remove_log_type, set_log_type
from activity.strict_json import parse
from signing import checkpoint, queries
from signing.algorithms import ALGORITHMS
from signing.errors import LedgerNotFoundError
from signing.merkle import leaf_hash, verify_inclusion
from signing.models import LedgerCheckpoint, SigningKey
from signing.queries import ledger_named
from signing.services import open_ledger, rotate_key
from signing.verdicts import Verdict
from tests.activity.test_record import EVENTS
from tests.signing.installation import BY, active_key, anchor_all, findings, trusted, verify

EVENT = Event("shop.order", "order", "ada", datetime(2026, 11, 23, 5, 40, tzinfo=UTC), "shop")
MIB = 1024 * 1024


TYPE: dict[str, Any] = {
    "pattern": "shop.*",
    "algorithm": "Ed25519",
    "description": "orders",
    "by": BY["by"],
    "reason": BY["reason"],
}


def numbered(count: int, **changes: Any) -> list[Event]:
    return [replace(EVENT, event_id=f"e-{number}", data={"number": number}, **changes) for number in range(count)]


def entry_of(receipt: Receipt) -> Any:
    return ActivityLog.objects.get(pk=receipt.id)


def size() -> int:
    return queries.head(ledger_named("activity")).size


@pytest.fixture
def real(fresh_database: Any) -> Any:
    """Give a database of its own, where commits are real."""
    return fresh_database


def assert_receipt_is_proved(receipt: Receipt) -> None:
    """Check a receipt as a stranger does: with the record, a proof, and the public key."""
    ledger = ledger_named(receipt.ledger)
    assert receipt.leaf_hash == leaf_hash(bytes(entry_of(receipt).record))
    assert receipt.checkpoint is not None
    head = checkpoint.verify(receipt.checkpoint, queries.note_keys(ledger)).checkpoint
    assert head.origin == f"auditlog.test/{receipt.ledger}"
    proof = queries.prove_inclusion(ledger, receipt.leaf_index, head.size)
    verify_inclusion(receipt.leaf_hash, receipt.leaf_index, head.size, proof, head.root)


def test_one_event_is_recorded_and_its_receipt_proved(real: Any) -> None:
    before = size()
    receipt = record(replace(EVENT, data={"total": 7}))
    assert (receipt.ledger, receipt.leaf_index, receipt.duplicate) == ("activity", before, False)
    assert_receipt_is_proved(receipt)
    assert orjson.loads(bytes(entry_of(receipt).record))["data"] == {"total": 7}


def test_a_batch_is_recorded_in_its_order(real: Any) -> None:
    before = size()
    receipts = record_many(numbered(600))
    assert [receipt.leaf_index for receipt in receipts] == list(range(before, before + 600))
    assert len({receipt.checkpoint for receipt in receipts}) == 1
    for receipt in receipts[::97]:
        assert_receipt_is_proved(receipt)
    entries = ActivityLog.objects.filter(source="shop").order_by("leaf_index")
    assert [entry.event_id for entry in entries] == [f"e-{number}" for number in range(600)]
    assert list(entries.order_by("id")) == list(entries), "the order of ids is the order of recording"


def test_the_id_carries_the_time_of_recording(real: Any) -> None:
    entry = entry_of(record(EVENT))
    assert entry.id.int >> 80 == int(entry.recorded_at.timestamp() * 1000)


def test_no_events_give_no_receipts(real: Any) -> None:
    assert record_many([]) == []


@pytest.mark.django_db
def test_one_bad_event_among_a_thousand_stops_them_all() -> None:
    before = size()
    events = numbered(1000)
    events[17] = replace(events[17], outcome="ok")
    events[700] = replace(events[700], actor="", data={"a": [1, float("nan")]})
    with pytest.raises(BadEventsError) as error:
        record_many(events)
    assert [(problem.index, problem.path) for problem in error.value.problems] == [
        (17, "$.outcome"),
        (700, "$.actor"),
        (700, "$.data.a[1]"),
    ]
    assert all(problem.reason for problem in error.value.problems)
    assert "event 17, $.outcome: must be one of" in str(error.value)
    assert size() == before
    assert not ActivityLog.objects.filter(source="shop").exists()


def test_a_retry_gets_the_first_receipt(real: Any) -> None:
    first = record_many(numbered(3))
    again = record_many(numbered(5))
    assert [receipt.duplicate for receipt in again] == [True, True, True, False, False]
    for old, new in zip(first, again, strict=False):
        assert (old.id, old.leaf_index, old.leaf_hash) == (new.id, new.leaf_index, new.leaf_hash)
        assert_receipt_is_proved(new)
    assert ActivityLog.objects.filter(source="shop").count() == 5
    alone = record(numbered(1)[0])
    assert (alone.id, alone.duplicate) == (first[0].id, True)


def test_an_event_id_with_other_content_is_a_conflict(real: Any) -> None:
    events = numbered(3)
    first = record_many(events)
    before = size()
    events[1] = replace(events[1], actor="mallory")
    with pytest.raises(EventIdConflictError) as error:
        record_many([*events, replace(EVENT, event_id="new")])
    assert [(problem.index, problem.path) for problem in error.value.problems] == [(1, "$.event_id")]
    assert first[1].id in error.value.problems[0].reason
    assert size() == before


@pytest.mark.django_db
def test_an_event_twice_in_a_batch_is_recorded_once() -> None:
    event = replace(EVENT, event_id="e")
    first, other, again = record_many([event, EVENT, event])
    assert (first.id, first.duplicate, again.id, again.duplicate) == (first.id, False, first.id, True)
    assert other.id != first.id
    assert ActivityLog.objects.filter(source="shop").count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize("other", [{"actor": "mallory"}, {"event_id": "e\u2400"}], ids=["content", "shown_alike"])
def test_an_event_id_twice_in_a_batch_for_different_content_is_a_conflict(other: dict[str, Any]) -> None:
    event = replace(EVENT, event_id="e\0")
    with pytest.raises(EventIdConflictError, match="is also event 0 of this batch, with other content"):
        record_many([event, replace(event, **other)])
    assert not ActivityLog.objects.filter(source="shop").exists()


def test_sources_and_ledgers_have_event_ids_of_their_own(real: Any) -> None:
    open_ledger(name="tenant", **BY)
    event = replace(EVENT, event_id="e")
    receipts = [record(event), record(replace(event, source="bar")), record(event, ledger="tenant")]
    assert len({receipt.id for receipt in receipts}) == 3
    assert not any(receipt.duplicate for receipt in receipts)
    assert_receipt_is_proved(receipts[2])


def test_two_writers_with_the_same_events_record_them_once(real: Any) -> None:
    together = Barrier(2)

    def write() -> list[Receipt]:
        try:
            together.wait()
            return record_many(numbered(200))
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        one, other = (future.result() for future in [pool.submit(write), pool.submit(write)])
    assert [receipt.id for receipt in one] == [receipt.id for receipt in other]
    assert {one[0].duplicate, other[0].duplicate} == {True, False}
    assert ActivityLog.objects.filter(source="shop").count() == 200
    anchor_all()
    assert verify().outcome == Verdict.VALID


@pytest.mark.django_db
@pytest.mark.parametrize("type_name", ["auditlog.log-type.set", "auditlog.x"])
def test_nobody_writes_what_the_application_says_of_itself(type_name: str) -> None:
    with pytest.raises(BadEventsError) as error:
        record_many([EVENT, replace(EVENT, type=type_name)])
    assert [(problem.index, problem.path) for problem in error.value.problems] == [(1, "$.type")]


@pytest.mark.django_db
def test_an_unknown_type_is_signed_under_the_default_policy() -> None:
    assert entry_of(record(EVENT)).key_id == active_key().id


@pytest.mark.django_db
@override_settings(AUDITLOG_UNKNOWN_TYPES="refuse")
def test_an_unknown_type_is_refused_by_setting() -> None:
    record(replace(EVENT, type="auth.login"))
    with pytest.raises(UnknownLogTypeError, match="no log type matches shop") as error:
        record_many([replace(EVENT, type="auth.login"), EVENT])
    assert error.value.problems[0].index == 1


@pytest.mark.django_db
def test_the_longest_pattern_decides_whether_an_entry_is_signed() -> None:
    sysmon, security = record_many([replace(EVENT, type=f"windows.{kind}.1") for kind in ("sysmon", "security")])
    assert (entry_of(sysmon).key_id, entry_of(sysmon).signature) == (None, None)
    assert b'"kid"' not in bytes(entry_of(sysmon).record)
    assert entry_of(security).key_id == active_key().id


@pytest.mark.django_db
@pytest.mark.parametrize("ledger", ["keys", "meta"])
def test_the_ledgers_of_the_application_take_no_events(ledger: str) -> None:
    with pytest.raises(BadEventsError, match="takes no events from writers"):
        record(EVENT, ledger=ledger)


@pytest.mark.django_db
def test_an_unknown_ledger_is_named_with_those_that_there_are() -> None:
    with pytest.raises(LedgerNotFoundError, match="there is no ledger 'gone'; there are: activity, keys, meta"):
        record(EVENT, ledger="gone")


@pytest.mark.django_db
@pytest.mark.parametrize("event", [None, {"type": "shop.order"}, replace(EVENT, type=None)])  # type: ignore[arg-type]
def test_what_is_no_event_is_refused(event: Any) -> None:
    with pytest.raises((BadEventsError, AttributeError, TypeError)):
        record(event)


def test_every_algorithm_signs_and_verifies(real: Any) -> None:
    events = []
    for algorithm in ALGORITHMS:
        if not SigningKey.objects.filter(algorithm=algorithm, purpose="entry").exists():
            rotate_key(purpose="entry", algorithm=algorithm, **BY)
        pattern = f"kind.{algorithm.lower()}"
        set_log_type(pattern=pattern, requires_signature=True, algorithm=algorithm, description="", **BY)
        events += [replace(EVENT, type=pattern)] * 2
    assert len(events) == 12
    receipts = record_many(events)
    keys = [entry_of(receipt).key.algorithm for receipt in receipts]
    assert keys == [algorithm for algorithm in ALGORITHMS for _ in range(2)]
    anchor_all()
    report = verify()
    assert findings(report) == []
    assert report.signed == size()


def test_an_entry_signed_just_before_a_rotation_is_signed_anew(real: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    record(EVENT)
    stale = queries.active_keys("entry")
    new = rotate_key(purpose="entry", algorithm="Ed25519", **BY)
    place = (str(connection.settings_dict["NAME"]), "entry")
    monkeypatch.setitem(queries._active_keys, place, stale)
    receipts = record_many(numbered(3))
    assert {entry_of(receipt).key_id for receipt in receipts} == {new.id}
    anchor_all()
    assert findings(verify()) == []


@pytest.mark.parametrize("now_signed", [True, False])
def test_an_event_follows_log_types_that_another_process_changed(real: Any, *, now_signed: bool) -> None:
    first, second, third = numbered(3, type="shop.order")
    set_log_type(**TYPE, requires_signature=not now_signed)
    assert (entry_of(record(first)).key_id is None) is now_signed
    # This process has seen the log types; now they change behind its back, and then are removed.
    real.app().execute("UPDATE log_types SET requires_signature = %s WHERE pattern = 'shop.*'", [now_signed])
    changed = entry_of(record(second))
    assert (changed.key_id is not None, changed.signature is not None) == (now_signed, now_signed)
    real.app().execute("DELETE FROM log_types WHERE pattern = 'shop.*'")
    with override_settings(AUDITLOG_UNKNOWN_TYPES="refuse"), pytest.raises(UnknownLogTypeError, match=r"shop\.order"):
        record(third)
    real.app().execute(
        "INSERT INTO log_types (pattern, requires_signature, algorithm, description, updated_at) "
        "VALUES ('shop.*', false, 'Ed25519', '', now())"
    )
    with override_settings(AUDITLOG_UNKNOWN_TYPES="refuse"):
        assert entry_of(record(third)).key_id is None
    assert size() == entry_of(record(first)).leaf_index + 3  # each was appended once


def test_inside_a_callers_transaction_the_checkpoint_follows_the_commit(real: Any) -> None:
    newest = LedgerCheckpoint.objects.filter(ledger=ledger_named("activity")).order_by("-size")
    with transaction.atomic():
        receipt = record(EVENT)
        assert receipt.checkpoint is None
        assert newest[0].size == receipt.leaf_index
    assert newest[0].size == receipt.leaf_index + 1


def test_a_callers_rollback_leaves_nothing(real: Any) -> None:
    before = size()
    with transaction.atomic():
        record_many(numbered(300))
        transaction.set_rollback(True)
    assert size() == before
    assert not ActivityLog.objects.filter(source="shop").exists()
    assert record(EVENT).leaf_index == before, "the next leaf leaves no gap"


@pytest.mark.parametrize("length", [65_536, MIB])
def test_large_data_lies_beside_its_record_and_is_verified(real: Any, length: int) -> None:
    data = {"a": "x" * (length - 8)}
    entry = entry_of(record(replace(EVENT, data=data)))
    assert orjson.loads(bytes(entry.detached_data)) == data
    assert len(bytes(entry.record)) < 1000
    anchor_all()
    assert findings(verify()) == []


@pytest.mark.django_db
def test_data_over_a_mebibyte_is_refused() -> None:
    with pytest.raises(BadEventsError, match="1,048,577 bytes; at most 1,048,576 are taken"):
        record(replace(EVENT, data={"a": "x" * (MIB - 7)}))


@pytest.mark.django_db
def test_values_come_back_equal_from_the_database() -> None:
    raw = b"""{"type":"shop.order","action":"a","actor":"b\\u0000","occurred_at":"2026-11-23T05:40:00Z","source":"s",
        "data":{"a":9007199254740993,"b":9223372036854775808,"c":0.1,"d":1e16,"e":-0.0,"f":"x\\u0000y","\xf0\x9f\x94\x91":1}}"""
    entry = entry_of(record(event_from_json(parse(raw))))
    back = orjson.loads(bytes(entry.record))
    assert repr(back["data"]) == repr(
        {"a": 2**53 + 1, "b": 2**63, "c": 0.1, "d": 1e16, "e": -0.0, "f": "x\0y", "🔑": 1}
    )
    assert (back["actor"], entry.actor) == ("b\0", "b\u2400")


@pytest.mark.django_db
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS)
def test_any_accepted_event_is_recorded_and_verifies(event: Event) -> None:
    ring = trusted().ring
    with transaction.atomic():
        receipt = record(event)
        ledger = ledger_named("activity")
        (row,) = entry_rows.rows(ledger, receipt.leaf_index, receipt.leaf_index + 1)
        assert EntryCheck("activity", ring, lambda _: None).finding(row) is None
        assert leaf_hash(row.record) == receipt.leaf_hash
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_a_log_type_is_changed_and_removed_with_a_system_entry() -> None:
    set_log_type(pattern="shop.*", requires_signature=False, algorithm="Ed25519", description="", **BY)
    assert entry_of(record(EVENT)).key_id is None
    remove_log_type(pattern="shop.*", **BY)
    assert entry_of(record(EVENT)).key_id is not None
    steps = ActivityLog.objects.filter(target="shop.*").order_by("leaf_index")
    assert [(step.type, step.actor) for step in steps] == [
        ("auditlog.log-type.set", BY["by"]),
        ("auditlog.log-type.removed", BY["by"]),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pattern": "No"}, "is no pattern"),
        ({"algorithm": "none"}, "no algorithm 'none'"),
        ({"algorithm": "ES256"}, "no active ES256 entry key"),
        ({"pattern": "auditlog.*", "requires_signature": False}, "always signed"),
        ({"description": "x" * 2001}, "2,001 characters"),
        ({"reason": " "}, "needs a reason"),
        ({"reason": "x" * 2001}, "2,001 characters"),
    ],
)
def test_a_log_type_that_cannot_be_is_refused(changes: dict[str, Any], sentence: str) -> None:
    asked: dict[str, Any] = {"pattern": "shop", "requires_signature": True, "algorithm": "Ed25519", "description": ""}
    before = list(LogType.objects.values())
    with pytest.raises(LogTypeError, match=sentence):
        set_log_type(**(asked | BY | changes))
    assert list(LogType.objects.values()) == before


@pytest.mark.django_db
def test_set_up_records_each_log_type_once() -> None:
    assert services.bootstrap() == [], "the template was set up already"
    LogType.objects.create(pattern="new", requires_signature=False)
    assert services.bootstrap() == ["log type new: recorded"]
    assert services.bootstrap() == []
