"""Group commit: nobody is forgotten, nobody waits for more than two writes, and a fault is its owner's alone."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest

from signing import groups
from signing.groups import MAX_BATCH, GroupCommit


class Log:
    """What was written, batch by batch; `refused` items fail, alone or with their batch."""

    def __init__(self, refused: Sequence[int] = (), gate: Event | None = None, most: int = MAX_BATCH) -> None:
        self.batches: list[list[int]] = []
        self.after: list[tuple[int, bool]] = []
        self.refused = set(refused)
        self.gate = gate
        self.commit = GroupCommit(
            self.write,
            after=lambda said, awaited: self.after.append((said, awaited)),
            is_one_items_fault=self.is_fault,
            most=most,
        )

    def write(self, items: Sequence[int]) -> int:
        if self.gate is not None:
            self.gate.wait(30)
        if self.refused & set(items):
            raise ValueError(sorted(self.refused & set(items)))
        self.batches.append(list(items))
        return len(items)

    @staticmethod
    def is_fault(error: Exception) -> bool:
        return isinstance(error, ValueError)


def add_all(log: Log, count: int) -> list[Exception | None]:
    """Add from one thread each, at once; return what each got."""
    together = Barrier(count)

    def one(item: int) -> Exception | None:
        together.wait(30)
        try:
            log.commit.add(item)
        except (ValueError, OSError) as error:
            return error
        return None

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def written_together(count: int) -> Log:
    """Return a log whose last batch was of so many."""
    log = Log(gate=Event())
    assert log.gate is not None
    with ThreadPoolExecutor(count + 1) as threads:
        waiting = [threads.submit(log.commit.add, item) for item in range(count + 1)]
        while len(log.commit._queue) < count:
            pass
        log.gate.set()
        for one in waiting:
            one.result(30)
    assert len(log.batches[-1]) == count
    return log


def test_one_alone_is_written_at_once() -> None:
    log = Log()
    log.commit.add(7)
    assert (log.batches, log.after) == ([[7]], [(1, False)])


def test_everybody_is_written_once() -> None:
    log = Log()
    assert add_all(log, 32) == [None] * 32
    assert sorted(item for batch in log.batches for item in batch) == list(range(32))


def test_who_comes_while_a_batch_is_written_shares_the_next_one() -> None:
    gate = Event()
    log = Log(gate=gate)
    with ThreadPoolExecutor(8) as threads:
        waiting = [threads.submit(log.commit.add, item) for item in range(8)]
        while len(log.commit._queue) < 7:  # the first is being written, the others wait
            pass
        gate.set()
        for one in waiting:
            one.result(30)
    assert [len(batch) for batch in log.batches] == [1, 7]
    assert sorted(log.after) == [(1, True), (7, False)], "who has written first is told of those who waited"


def test_who_was_written_together_is_waited_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GATHERING", 30)
    log = written_together(2)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(log.commit.add, 8)
        while not log.commit._is_writing:
            pass
        assert not first.done()
        log.commit.add(9)
        assert first.result(30).place == 0
    assert log.batches[-1] == [8, 9]


def test_who_does_not_come_back_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GATHERING", 0.02)
    log = written_together(2)
    log.commit.add(8)
    monkeypatch.setattr(groups, "GATHERING", 300)  # the batch before was of one
    log.commit.add(9)
    assert log.batches[-2:] == [[8], [9]]


def test_a_moment_is_over_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    log = written_together(2)
    monkeypatch.setattr(log.commit, "_let_go_at", log.commit._let_go_at - 3_600)
    monkeypatch.setattr(groups, "GATHERING", 3_600)
    log.commit.add(8)
    assert log.batches[-1] == [8]


def test_a_fault_of_one_is_not_everybodys() -> None:
    log = Log(refused=[3])
    got = add_all(log, 16)
    assert [item for item, error in enumerate(got) if error is not None] == [3]
    assert sorted(item for batch in log.batches for item in batch) == [item for item in range(16) if item != 3]


def test_what_is_nobodys_fault_fails_everybody_in_the_batch_and_nobody_after() -> None:
    log = Log()

    def fail(_: Sequence[int]) -> int:
        raise OSError("the disk is full")

    log.commit._write = fail
    with pytest.raises(OSError, match="the disk is full"):
        log.commit.add(1)
    log.commit._write = len
    log.commit.add(2)
    assert log.after == [(1, False)]


def test_a_batch_has_a_limit() -> None:
    assert MAX_BATCH * 65_535 < 32 * 1024 * 1024, "one statement stays below what a server takes in one go"
