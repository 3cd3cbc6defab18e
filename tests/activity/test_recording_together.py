"""Single events of several threads: one transaction and one checkpoint for all, and each event judged by itself."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, connections, transaction

from activity import entries, recording
from activity.errors import BadEventsError, EventIdConflictError
from activity.event import Event
from activity.models import ActivityLog
from activity.queries import policies
from activity.recording import Receipt
from activity.services import record
from signing import ledger as ledgers
from signing import queries
from signing.queries import ledger_named
from signing.services import open_ledger, rotate_key
from signing.verdicts import Verdict
from tests.activity.test_services import EVENT, assert_receipt_is_proved, entry_of, numbered, size
from tests.signing.installation import BY, anchor_all, verify

FIRST = replace(EVENT, event_id="first")
Recorded = list[Future[Receipt]]


@pytest.fixture
def real(fresh_database: Any) -> Any:
    """Give a database of its own, where commits are real."""
    record(replace(EVENT, source="warm-up"))  # keys and log types have been seen
    return fresh_database


@contextmanager
def held_up(database: Any, events: list[Event]) -> Iterator[Recorded]:
    """Record FIRST, held up by the ledger's lock, and meanwhile the events, in their order; then let them all go."""
    group = _group()
    owner = database.owner(autocommit=False)
    owner.execute("SELECT FROM ledger_heads FOR UPDATE")
    with ThreadPoolExecutor(1 + len(events)) as threads:
        recorded = [threads.submit(_record, FIRST)]
        try:
            wait_until(lambda: group._is_writing and not group._queue)
            for number, event in enumerate(events, start=1):
                recorded.append(threads.submit(_record, event))
                wait_until(lambda number=number: len(group._queue) == number)  # type: ignore[misc]
            yield recorded
        finally:
            owner.rollback()


def _group() -> Any:
    return recording._groups[str(connection.settings_dict["NAME"]), ledger_named("activity").pk]


def _record(event: Event) -> Receipt:
    try:
        return record(event)
    finally:
        connections.close_all()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_who_comes_while_an_event_is_stored_shares_the_next_append_and_checkpoint(real: Any) -> None:
    before = size()
    with held_up(real, numbered(5)) as recorded:
        pass
    receipts = [one.result() for one in recorded]
    assert [receipt.leaf_index for receipt in receipts] == list(range(before, before + 6))
    assert [entry_of(receipt).event_id for receipt in receipts] == ["first", *(f"e-{number}" for number in range(5))]
    assert len({receipt.checkpoint for receipt in receipts[1:]}) == 1
    assert receipts[0].checkpoint != receipts[1].checkpoint
    transactions = "SELECT count(DISTINCT xmin::text) FROM activity_logs WHERE leaf_index > %s"
    assert real.owner().execute(transactions, [before]).fetchone() == (1,)
    for receipt in receipts:
        assert_receipt_is_proved(receipt)
    anchor_all()
    assert verify().outcome == Verdict.VALID


def test_more_than_one_statement_takes_wait_for_the_one_after(real: Any) -> None:
    before = size()
    with held_up(real, numbered(entries.AT_ONCE + 2)) as recorded:
        pass
    receipts = [one.result() for one in recorded]
    assert sorted(receipt.leaf_index for receipt in receipts) == list(range(before, before + len(receipts)))
    sharing = [sum(one.checkpoint == other.checkpoint for one in receipts) for other in receipts]
    assert sharing == [1, *[entries.AT_ONCE] * entries.AT_ONCE, 2, 2]


def test_a_conflict_is_refused_alone(real: Any) -> None:
    known = record(replace(EVENT, event_id="known", data={"said": 1}))
    mine, other = numbered(2)
    with held_up(real, [mine, replace(EVENT, event_id="known", data={"said": 2}), other]) as recorded:
        pass
    with pytest.raises(EventIdConflictError, match="was used for other content"):
        recorded[2].result()
    good = [recorded[place].result() for place in (0, 1, 3)]
    assert [receipt.leaf_index - known.leaf_index for receipt in good] == [1, 2, 3]
    assert not any(receipt.duplicate for receipt in good)
    for receipt in good:
        assert_receipt_is_proved(receipt)


def test_a_repetition_gets_the_first_receipt_and_the_others_their_own(real: Any) -> None:
    (event,) = numbered(1)
    known = record(replace(EVENT, event_id="known"))
    with held_up(real, [event, event, replace(EVENT, event_id="known"), FIRST]) as recorded:
        pass
    first, mine, again, old, first_again = [one.result() for one in recorded]
    assert (mine.id, mine.leaf_index, mine.duplicate) == (again.id, first.leaf_index + 1, False)
    assert [one.duplicate for one in (again, old, first_again)] == [True] * 3
    assert (old.id, first_again.id) == (known.id, first.id)
    assert ActivityLog.objects.filter(source="shop").count() == 3
    assert_receipt_is_proved(again)


def test_a_faulty_event_never_gets_into_a_group(real: Any) -> None:
    good, bad = numbered(2)
    with held_up(real, [good]) as recorded, pytest.raises(BadEventsError, match="outcome"):
        record(replace(bad, outcome="odd"))
    assert [one.result().duplicate for one in recorded] == [False, False]


def test_a_group_signed_with_a_key_that_was_rotated_is_signed_anew(real: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stale = queries.active_keys("entry")
    new = rotate_key(purpose="entry", algorithm="Ed25519", **BY)
    monkeypatch.setitem(queries._active_keys, (str(connection.settings_dict["NAME"]), "entry"), stale)
    with held_up(real, numbered(3)) as recorded:
        pass
    receipts = [one.result() for one in recorded]
    assert {entry_of(receipt).key_id for receipt in receipts} == {new.id}
    anchor_all()
    assert verify().outcome == Verdict.VALID


def test_a_group_made_with_log_types_that_changed_is_decided_anew(real: Any) -> None:
    with held_up(real, numbered(3)) as recorded:
        _leave_unsigned(real)
    receipts = [one.result() for one in recorded]
    assert [entry_of(receipt).key_id for receipt in receipts[1:]] == [None] * 3


def test_events_made_with_different_log_types_are_stored_one_by_one(real: Any) -> None:
    with ThreadPoolExecutor(1) as threads, held_up(real, numbered(1)) as recorded:
        _leave_unsigned(real)
        policies()
        recorded.append(threads.submit(_record, numbered(2)[1]))
        wait_until(lambda: len(_group()._queue) == 2)
    receipts = [one.result() for one in recorded]
    assert [entry_of(receipt).key_id for receipt in receipts[1:]] == [None, None]
    assert len({receipt.checkpoint for receipt in receipts}) == 3


def _leave_unsigned(database: Any) -> None:
    """Change the log types as another process does."""
    database.app().execute(
        "INSERT INTO log_types (pattern, requires_signature, algorithm, description, updated_at) "
        "VALUES ('shop.*', false, 'Ed25519', '', now())"
    )


def test_inside_a_callers_transaction_an_event_is_stored_in_that_alone(real: Any) -> None:
    before = size()
    with transaction.atomic():
        record(EVENT)
        transaction.set_rollback(True)
    assert size() == before
    assert record(EVENT).leaf_index == before


def test_ledgers_do_not_wait_for_each_other(real: Any) -> None:
    open_ledger(name="branch", **BY)
    ours = ledger_named("activity").pk
    owner = real.owner(autocommit=False)
    owner.execute("SELECT FROM ledger_heads WHERE ledger_id = %s FOR UPDATE", [ours])
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(_record, FIRST)
        assert record(EVENT, ledger="branch").ledger == "branch"
        assert not waiting.done()
        owner.rollback()
        assert waiting.result().ledger == "activity"


def test_a_group_whose_checkpoint_fails_is_stored_once(real: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise OSError("the disk is full")

    before = size()
    with held_up(real, [replace(EVENT, data={"number": number}) for number in range(3)]) as recorded:
        monkeypatch.setattr(ledgers, "sign_checkpoint", fail)
    for one in recorded:
        with pytest.raises(OSError, match="the disk is full"):
            one.result()
    assert size() == before + 4
    assert queries.latest_checkpoint(ledger_named("activity")).size == before  # type: ignore[union-attr]
