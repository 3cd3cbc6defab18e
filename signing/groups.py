"""Group commit: whoever comes while a batch is being written waits for the next one, and one of them writes it. Pure.

    commit = GroupCommit(write, …)      write: a list of items in, what is to be said of them all out
    commit.add(item)                    returns that, and the item's place, once the batch that holds it is written
    after(said, awaited)                what the writer does once nobody waits for him any more

So with 16 threads and a commit of 3 ms there are not 16 commits after one another but one or two. Who finds nobody
writing goes at once, unless it is less than a millisecond since he and others were written together. A batch that fails
as a whole is tried item by item if `is_one_items_fault` says that one of them may be the reason, so that nobody is
refused for what another one sent.
"""

from __future__ import annotations

from collections import deque
from threading import Event, Lock
from time import monotonic
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Said = TypeVar("Said")

MAX_BATCH = 256
GATHERING = 0.001  # seconds after a batch in which those who were in it may come back and share the next one


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
        self._let_go, self._let_go_at = 0, 0.0  # how many were written together last, and when that was
        self._gathered = Event()

    def add(self, item: Item) -> Written[Said]:
        """Return what was said of the item's batch once it is written. Raises what its writing raised."""
        mine: _Waiting[Item, Said] = _Waiting(item)
        with self._lock:
            self._queue.append(mine)
            self._tell_if_gathered()
            leads, self._is_writing = not self._is_writing, True
        if not leads:
            mine.turn.wait()
        if not mine.done:
            written, is_awaited = self._lead()
            if written and self._after is not None:
                self._after(written[-1], is_awaited)
        return mine.outcome()

    def _lead(self) -> tuple[list[Said], bool]:
        """Write the batch that waits, let those go that are written, and give the next one its leader if it waits."""
        batch: list[_Waiting[Item, Said]] = []
        written: list[Said] = []
        try:
            self._gather(batch)
            written = self._write_batch(batch)
        finally:
            for waiting in batch:
                waiting.done = True  # also if something like an interrupt came: nobody waits for ever
                waiting.turn.set()
            with self._lock:
                self._let_go, self._let_go_at = len(batch), monotonic()
                # Seen here and not later: the next leader empties the queue before he writes.
                self._is_writing = is_awaited = bool(self._queue)
                if is_awaited:
                    self._queue[0].turn.set()
        return written, is_awaited

    def _gather(self, batch: list[_Waiting[Item, Said]]) -> None:
        """Fill the batch, once those who were let go together a moment ago are back or the moment is over.

        Without it the first who is back writes alone, and all others wait for him: half of the commits for one item.
        """
        with self._lock:
            self._gathered.clear()
            are_back = len(self._queue) >= self._let_go
        try:
            if not are_back:
                self._gathered.wait(max(0.0, self._let_go_at + GATHERING - monotonic()))
        finally:
            with self._lock:
                batch += [self._queue.popleft() for _ in range(min(len(self._queue), self._most))]

    def _tell_if_gathered(self) -> None:
        if len(self._queue) >= self._let_go:
            self._gathered.set()

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
