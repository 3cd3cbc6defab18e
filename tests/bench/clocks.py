"""Measuring side by side: what is compared runs in turns in one process, so that noise cancels out."""

from __future__ import annotations

import gc
import itertools
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def seconds(action: Callable[[], object]) -> float:
    """Return how long the action takes by the clock on the wall."""
    with _a_heap_of_its_own():
        started = time.perf_counter()
        action()
        return time.perf_counter() - started


def each_seconds(actions: list[Callable[[], object]]) -> list[float]:
    """Return how long each of the actions takes."""
    with _a_heap_of_its_own():
        marks = [time.perf_counter()]
        for action in actions:
            action()
            marks.append(time.perf_counter())
    return [end - start for start, end in itertools.pairwise(marks)]


@contextmanager
def _a_heap_of_its_own() -> Iterator[None]:
    """Have Python's cyclic collector look at what is made meanwhile alone, not at the thousands of events of the bench.

    Without, whoever makes more objects walks all of those again and again: a quarter of the time of a bulk_create.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
