"""A large batch without signatures is stored while it is prepared; entries, receipts, refusals are as otherwise."""

import time
from dataclasses import replace
from typing import Any

import pytest
from django.db import transaction

from activity import copy_rows, streams
from activity.drafts import in_runs
from activity.errors import BadEventsError, EventIdConflictError
from activity.models import ActivityLog
from activity.services import record_many, set_log_type
from signing import ledger as ledgers
from signing.errors import LedgerRefusedError
from signing.models import Ledger
from signing.queries import ledger_named
from tests.activity.test_services import EVENT, TYPE, assert_receipt_is_proved, entry_of, numbered, size
from tests.signing.installation import anchor_all, findings, verify

MANY = 300  # more than a tile


@pytest.fixture
def unsigned(fresh_database: Any) -> int:
    """Give a database of its own, in which no key signs the events, and the size of its ledger."""
    set_log_type(**TYPE, requires_signature=False)
    return size()


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Give a list that says of each batch that went this way whether it was stored."""
    said: list[bool] = []
    store = streams.store

    def told(*arguments: Any) -> Any:
        done = store(*arguments)
        said.append(done is not None)
        return done

    monkeypatch.setattr(streams, "store", told)
    return said


def assert_nothing_amiss(*, signed: int, unsigned: int) -> None:
    anchor_all()
    report = verify()
    assert findings(report) == []
    assert (report.signed, report.unsigned) == (signed, unsigned)


def test_a_large_batch_is_stored_while_it_is_prepared(unsigned: int, streamed: list[bool]) -> None:
    receipts = record_many(numbered(MANY))
    assert streamed == [True]
    assert [receipt.leaf_index for receipt in receipts] == list(range(unsigned, unsigned + MANY))
    assert not any(receipt.duplicate for receipt in receipts)
    for receipt in (receipts[0], receipts[64], receipts[-1]):
        assert_receipt_is_proved(receipt)
        assert entry_of(receipt).leaf_index == receipt.leaf_index
    assert_nothing_amiss(signed=unsigned, unsigned=MANY)


def test_rows_are_sent_before_the_last_event_is_looked_at(unsigned: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[int] = []

    def watched(items: Any) -> Any:
        for run in in_runs(items):
            looked_at.append(len(run))
            yield run

    monkeypatch.setattr(streams, "in_runs", watched)
    sent: list[int] = []
    row = copy_rows.row

    def sent_row(*of: Any) -> bytes:
        sent.append(sum(looked_at))
        return row(*of)

    monkeypatch.setattr(copy_rows, "row", sent_row)
    record_many(numbered(MANY))
    assert sent[0] < MANY
    assert sent[-1] == MANY


def test_postgresql_inserts_rows_before_the_last_one_is_sent(
    unsigned: int, fresh_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = fresh_database.owner()

    def pages() -> int:
        return int(beside.execute("SELECT pg_relation_size('activity_logs')").fetchone()[0])

    before = pages()
    grown: list[int] = []

    def watched(items: Any) -> Any:
        *first, last = in_runs(items)
        yield from first
        deadline = time.monotonic() + 10
        while pages() == before and time.monotonic() < deadline:
            time.sleep(0.01)
        grown.append(pages() - before)
        yield last

    monkeypatch.setattr(streams, "in_runs", watched)
    record_many(numbered(MANY))
    assert grown[0] > 0


def test_small_batches_and_those_with_a_signature_are_prepared_whole(unsigned: int, streamed: list[bool]) -> None:
    record_many(numbered(63, source="a"))
    record_many([*numbered(MANY, source="b"), replace(EVENT, type="other.kind", source="b")])
    assert streamed == []
    record_many(numbered(64, source="c"))
    assert streamed == [True]
    assert_nothing_amiss(signed=unsigned + 1, unsigned=63 + MANY + 64)


def test_faults_of_all_runs_are_named_and_nothing_is_stored(unsigned: int, streamed: list[bool]) -> None:
    events = numbered(MANY)
    events[3], events[-1] = replace(events[3], outcome="odd"), replace(events[-1], actor="")
    with pytest.raises(BadEventsError) as error:
        record_many(events)
    named = [(problem.index, problem.path) for problem in error.value.problems]
    assert named == [(3, "$.outcome"), (MANY - 1, "$.actor")]
    assert streamed == [False]
    assert size() == unsigned
    assert not ActivityLog.objects.filter(source="shop").exists()


def test_a_copy_that_breaks_off_tells_the_server_nothing_of_the_event() -> None:
    assert str(streams._NotAsItStandsError()) == ""


def test_a_system_type_in_a_large_batch_is_refused(unsigned: int, streamed: list[bool]) -> None:
    with pytest.raises(BadEventsError, match="written by this application alone"):
        record_many([*numbered(MANY), replace(EVENT, type="auditlog.lock.made")])
    assert streamed == []


def test_a_retry_of_a_part_stores_the_rest(unsigned: int, streamed: list[bool]) -> None:
    first = record_many(numbered(MANY)[:100])
    again = record_many(numbered(MANY))
    assert streamed == [True, False]
    assert [receipt.id for receipt in again[:100]] == [receipt.id for receipt in first]
    assert [receipt.duplicate for receipt in again] == [True] * 100 + [False] * (MANY - 100)
    assert_nothing_amiss(signed=unsigned, unsigned=MANY)


def test_an_event_twice_is_recorded_once_and_refused_with_other_content(unsigned: int) -> None:
    events = numbered(MANY)
    receipts = record_many([*events, events[7]])
    assert receipts[-1].duplicate
    assert receipts[-1].id == receipts[7].id
    assert size() == unsigned + MANY
    with pytest.raises(EventIdConflictError):
        record_many([*numbered(MANY, source="b"), replace(EVENT, source="b", event_id="e-7", data={"number": 8})])
    assert size() == unsigned + MANY


def test_inside_a_callers_transaction_a_batch_comes_and_goes_with_that(unsigned: int, streamed: list[bool]) -> None:
    with transaction.atomic():
        receipts = record_many(numbered(MANY))
        assert receipts[0].checkpoint is None
        transaction.set_rollback(True)
    assert size() == unsigned
    with transaction.atomic():
        record_many(numbered(MANY))
        record_many(numbered(MANY, source="again"))
    assert streamed == [True, True, True]
    assert_nothing_amiss(signed=unsigned, unsigned=2 * MANY)


@pytest.mark.django_db
def test_an_append_begins_in_a_ledger_that_there_is() -> None:
    with pytest.raises(LedgerRefusedError, match="no such ledger"), transaction.atomic():
        ledgers.begin(Ledger(id=999))


def test_an_append_begins_in_a_transaction(unsigned: int) -> None:
    with pytest.raises(RuntimeError, match="in the transaction that stores its rows"):
        ledgers.begin(ledger_named("activity"))
