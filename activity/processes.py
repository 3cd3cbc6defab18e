"""Work on many things in several processes, with the results in order. For commands: forking needs a quiet process."""

from __future__ import annotations

import ctypes
import os
import signal
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

Item = TypeVar("Item")
Result = TypeVar("Result")
_AHEAD = 2  # results a process that may wait to be fetched, so that memory stays flat
_NICER = 10  # whoever records meanwhile goes first
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux
_work: Callable[[Any], Any]  # of a forked process


def available() -> int:
    """Return on how many processors this process may run."""
    return len(os.sched_getaffinity(0))


def in_order(work: Callable[[Item], Result], items: Iterable[Item], *, processes: int) -> Iterator[Result]:
    """Give work(item) for each item, in their order; one process is this one, several are forked.

    Results are pickled; `work` is not, nor what it knows. Raises BrokenProcessPool when one of them was killed.
    """
    if processes == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(processes, get_context("fork"), _forked, (work,)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(_apply, item))
                if len(waiting) > _AHEAD * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _forked(work: Callable[[Any], Any]) -> None:
    """Begin a process: the connections it was born with are its parent's, so it lets go of them and closes none."""
    global _work  # noqa: PLW0603 -- a pool's initializer has no other way to hand something on
    for connection in connections.all(initialized_only=True):
        del connections[connection.alias]
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGTERM)  # else it would wait for work of one that was killed
    os.nice(_NICER)
    _work = work


def _apply(item: Any) -> Any:
    return _work(item)
