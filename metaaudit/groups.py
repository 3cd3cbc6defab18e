"""Group commit: whoever comes while a batch is being written waits for the next one, and one of them writes it. Pure.

    commit = GroupCommit(write, after)  write: a list of items in, what is to be said of them all out
    commit.add(item)                    returns once the batch that holds the item is written
    after(said, awaited)                what the writer does once nobody waits for him any more

So with 16 threads and a commit of 3 ms there are not 16 commits after one another but one or two. A batch that fails
as a whole is tried item by item if `is_one_items_fault` says that one of them may be the reason, so that nobody is
refused for what another one sent.
"""

from __future__ import annotations

from collections import deque
from threading import Event, Lock
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Said = TypeVar("Said")

MAX_BATCH = 256


class _Waiting(Generic[Item]):
    """An item on its way. Once it is `done`, `error` says whether it failed; its turn before that is to write."""

    __slots__ = ("done", "error", "item", "turn")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.done = False
        self.error: Exception | None = None
        self.turn = Event()

    def end(self, error: Exception | None = None) -> None:
        """Say that it is written, or why not."""
        self.error, self.done = error, True


class GroupCommit(Generic[Item, Said]):
    """Writes the items of several threads together."""

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Said],
        after: Callable[[Said, bool], None],
        is_one_items_fault: Callable[[Exception], bool],
    ) -> None:
        """`after` is told whether a next batch waits already."""
        self._write = write
        self._after = after
        self._is_one_items_fault = is_one_items_fault
        self._queue: deque[_Waiting[Item]] = deque()
        self._lock = Lock()  # of the queue, never held while anything is written
        self._is_writing = False

    def add(self, item: Item) -> None:
        """Return when the item is written. Raises what its writing raised."""
        mine: _Waiting[Item] = _Waiting(item)
        with self._lock:
            self._queue.append(mine)
            leads, self._is_writing = not self._is_writing, True
        if not leads:
            mine.turn.wait()
        if not mine.done:
            written = self._lead()
            if written:
                self._after(written[-1], bool(self._queue))
        if mine.error is not None:
            raise mine.error

    def _lead(self) -> list[Said]:
        """Write the batch that waits, give the next one its leader, and let those go that are written."""
        with self._lock:
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]
        try:
            return self._write_batch(batch)
        finally:
            for waiting in batch:
                if not waiting.done:  # something like an interrupt came: nobody waits for ever
                    waiting.end(RuntimeError("the writing was interrupted"))
            with self._lock:
                self._is_writing = bool(self._queue)
                if self._queue:
                    self._queue[0].turn.set()
            for waiting in batch:
                waiting.turn.set()

    def _write_batch(self, batch: list[_Waiting[Item]]) -> list[Said]:
        try:
            said = self._write([waiting.item for waiting in batch])
        except Exception as error:  # noqa: BLE001 each waiting thread raises it
            if len(batch) > 1 and self._is_one_items_fault(error):
                return [each for waiting in batch for each in self._write_batch([waiting])]
            for waiting in batch:
                waiting.end(error)
            return []
        for waiting in batch:
            waiting.end()
        return [said]
