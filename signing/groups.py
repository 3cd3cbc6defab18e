"""Group commit: whoever comes while a batch is being written waits for the next one, and one of them writes it. Pure.

    commit = GroupCommit(write, …)      write: a list of items in, what is to be said of them all out
    commit.add(item)                    returns that, and the item's place, once the batch that holds it is written
    after(said, awaited)                what the writer does once nobody waits for him any more

So with 16 threads and a commit of 3 ms there are not 16 commits after one another but one or two. A batch that fails
as a whole is tried item by item if `is_one_items_fault` says that one of them may be the reason, so that nobody is
refused for what another one sent.
"""

from __future__ import annotations

from collections import deque
from threading import Event, Lock
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Said = TypeVar("Said")

MAX_BATCH = 256


class Written(NamedTuple, Generic[Said]):
    """What was said of a batch, and the place of one item in it, from 0."""

    said: Said
    place: int


class _Waiting(Generic[Item, Said]):
    """An item on its way. Once `done`, it is `written`, or `error` says why not; its turn before that is to write."""

    __slots__ = ("done", "error", "item", "turn", "written")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.done = False
        self.written: Written[Said] | None = None
        self.error: Exception = RuntimeError("the writing was interrupted")  # unless something else comes of it
        self.turn = Event()

    def outcome(self) -> Written[Said]:
        """Return what was said of it. Raises what its writing raised."""
        if self.written is None:
            raise self.error
        return self.written


class GroupCommit(Generic[Item, Said]):
    """Writes the items of several threads together."""

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Said],
        *,
        is_one_items_fault: Callable[[Exception], bool],
        after: Callable[[Said, bool], None] | None = None,
        most: int = MAX_BATCH,
    ) -> None:
        """`after` is told whether a next batch waits already; `most` is how many items are written at once."""
        self._write = write
        self._is_one_items_fault = is_one_items_fault
        self._after = after
        self._most = most
        self._queue: deque[_Waiting[Item, Said]] = deque()
        self._lock = Lock()  # of the queue, never held while anything is written
        self._is_writing = False

    def add(self, item: Item) -> Written[Said]:
        """Return what was said of the item's batch once it is written. Raises what its writing raised."""
        mine: _Waiting[Item, Said] = _Waiting(item)
        with self._lock:
            self._queue.append(mine)
            leads, self._is_writing = not self._is_writing, True
        if not leads:
            mine.turn.wait()
        if not mine.done:
            written = self._lead()
            if written and self._after is not None:
                self._after(written[-1], bool(self._queue))
        return mine.outcome()

    def _lead(self) -> list[Said]:
        """Write the batch that waits, give the next one its leader, and let those go that are written."""
        with self._lock:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._most))]
        try:
            return self._write_batch(batch)
        finally:
            for waiting in batch:
                waiting.done = True  # also if something like an interrupt came: nobody waits for ever
            with self._lock:
                self._is_writing = bool(self._queue)
                if self._queue:
                    self._queue[0].turn.set()
            for waiting in batch:
                waiting.turn.set()

    def _write_batch(self, batch: list[_Waiting[Item, Said]]) -> list[Said]:
        try:
            said = self._write([waiting.item for waiting in batch])
        except Exception as error:  # noqa: BLE001 each waiting thread raises it
            if len(batch) > 1 and self._is_one_items_fault(error):
                return [each for waiting in batch for each in self._write_batch([waiting])]
            for waiting in batch:
                waiting.error = error
            return []
        for place, waiting in enumerate(batch):
            waiting.written = Written(said, place)
        return [said]
