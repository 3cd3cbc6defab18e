"""Measuring side by side: what is compared runs in turns in one process, so that noise cancels out."""

from __future__ import annotations

import gc
import itertools
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def seconds(action: Callable[[], object]) -> float:
    """Return how long the action takes by the clock on the wall."""
    gc.collect()  # what others left behind is not this action's to clear away
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def each_seconds(actions: list[Callable[[], object]]) -> list[float]:
    """Return how long each of the actions takes."""
    gc.collect()
    marks = [time.perf_counter()]
    for action in actions:
        action()
        marks.append(time.perf_counter())
    return [end - start for start, end in itertools.pairwise(marks)]
