"""Work that a thread does behind whoever goes on: hashing and writing leave the interpreter's lock."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path

_PIECES = 4  # that wait; those of an export have about a megabyte
_SYNCED = 8 << 20  # bytes that are written before they go to the disk


class Behind:
    """Has a thread take pieces in their order, while whoever adds them goes on: a few of them wait."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._waiting: deque[Future[object]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for taken in self._waiting:
                taken.result()

    def add(self, piece: bytes) -> None:
        """Go on with these bytes; all are taken when the block ends."""
        self._waiting.append(self._thread.submit(self._take, piece))
        if len(self._waiting) > _PIECES:
            self._waiting.popleft().result()


class SyncedFile:
    """A new file of large pieces, all of it on the disk when the block ends.

    It goes there while it is made, so that its memory can be let go of later at once (files.pieces), or as it is made:
    `last` says that nobody reads it soon.
    """

    def __init__(self, path: Path, *, last: bool = False) -> None:
        self._target = path.open("wb")
        self._let_go = last and hasattr(os, "posix_fadvise")
        self._behind = Behind(self._take)
        self._unsynced = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        with self._target:
            self._behind.__exit__(kind, *rest)
            self._sync()

    def write(self, piece: bytes) -> None:
        """Go on with these bytes."""
        self._behind.add(piece)

    def _take(self, piece: bytes) -> None:
        self._target.write(piece)
        self._unsynced += len(piece)
        if self._unsynced >= _SYNCED:
            if self._let_go:
                self._target.flush()
                # Begins to write what is new, and lets go of what was written meanwhile; nobody waits for the disk.
                os.posix_fadvise(self._target.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            else:
                self._sync()
            self._unsynced = 0

    def _sync(self) -> None:
        self._target.flush()
        os.fsync(self._target.fileno())
