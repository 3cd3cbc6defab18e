"""A file of events on its way into a ledger, batch by batch. No printing: the command does that.

Each batch is one transaction, all or nothing. Event ids make repeating harmless: an ingest that was interrupted,
however, goes on by being run again from the start, and what is in the ledger already comes back as a duplicate.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from activity.errors import BadEventsError, BadUnitsError, EventIdConflictError, Problem, UnitFault
from activity.event import Event
from activity.formats.reading import EventReader
from activity.formats.stream import EventStream, Unit
from activity.record import check
from activity.recording import Receipt
from activity.services import record_many

# A batch ends early at this many bytes, so that memory stays flat however large the events are.
_BATCH_BYTES = 8 * 1024 * 1024


class Ingestion:
    """What was done so far: `recorded` and `already_there` count entries, `through` is the last unit in the ledger."""

    def __init__(self, stream: EventStream, reader: EventReader, *, ledger: str, batch_size: int) -> None:
        self.stream = stream
        self.reader = reader
        self.ledger = ledger
        self.recorded = self.already_there = self.through = 0
        self.leaf_ranges: list[tuple[int, int]] = []  # first and last leaf of each run of ours in the ledger
        self._batch_size = batch_size
        self._started = time.monotonic()
        self._recording = self._stop_requested = False

    @property
    def per_second(self) -> float:
        """Return how many entries a second were dealt with."""
        return (self.recorded + self.already_there) / max(time.monotonic() - self._started, 1e-9)

    def batches(self) -> Iterator[None]:
        """Record the file and come back after each batch.

        Raises BadUnitsError, BadStreamError or KeyboardInterrupt; what is recorded by then stays.
        """
        with self._stopping_between_batches():
            batch: list[tuple[Unit, Event]] = []
            batch_bytes = 0
            for unit in self.stream:
                batch.append((unit, self._event(unit)))
                batch_bytes += len(unit.raw)
                if len(batch) >= self._batch_size or batch_bytes >= _BATCH_BYTES:
                    self._record(batch)
                    batch, batch_bytes = [], 0
                    yield
            if batch:
                self._record(batch)
                yield

    def faults(self, *, max_detached_bytes: int) -> Iterator[UnitFault | None]:
        """Read, map and check the file without recording; come back for each fault, and with None for a good unit."""
        for unit in self.stream:
            try:
                check(self._event(unit), max_detached_bytes=max_detached_bytes)
            except BadUnitsError as error:
                yield from error.faults
            except BadEventsError as error:
                yield from (self._fault(unit, problem) for problem in error.problems)
            else:
                yield None

    def _event(self, unit: Unit) -> Event:
        try:
            return self.reader.event(unit)
        except BadEventsError as error:
            faults = [UnitFault(unit.number, problem.path, problem.reason) for problem in error.problems]
            raise BadUnitsError(self.stream.unit, faults) from error

    def _record(self, batch: list[tuple[Unit, Event]]) -> None:
        self._recording = True
        try:
            self._count(record_many([event for _, event in batch], ledger=self.ledger))
            self.through = batch[-1][0].number
        except BadEventsError as error:
            faults = [self._fault(batch[problem.index][0], problem) for problem in error.problems]
            raise BadUnitsError(self.stream.unit, faults, conflict=isinstance(error, EventIdConflictError)) from error
        finally:
            # Not before the batch is counted: whoever stops in between would be told that nothing of it is recorded.
            self._recording = False
        if self._stop_requested:
            raise KeyboardInterrupt

    def _count(self, receipts: list[Receipt]) -> None:
        new = sorted(receipt.leaf_index for receipt in receipts if not receipt.duplicate)
        self.recorded += len(new)
        self.already_there += len(receipts) - len(new)
        if new:
            self._remember(new[0], new[-1])

    def _remember(self, first: int, last: int) -> None:
        # The new leaves of one batch are one run, for its ledger was locked while it was appended.
        if self.leaf_ranges and self.leaf_ranges[-1][1] + 1 == first:
            first = self.leaf_ranges.pop()[0]
        self.leaf_ranges.append((first, last))

    def _fault(self, unit: Unit, problem: Problem) -> UnitFault:
        return UnitFault(unit.number, self.reader.path_in_file(unit, problem.path), problem.reason)

    @contextmanager
    def _stopping_between_batches(self) -> Iterator[None]:
        """Let Ctrl-C and TERM raise KeyboardInterrupt at once while reading, and after the batch while recording."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            if not self._recording:
                raise KeyboardInterrupt
            self._stop_requested = True

        if threading.current_thread() is not threading.main_thread():
            yield  # signals belong to the main thread
            return
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
