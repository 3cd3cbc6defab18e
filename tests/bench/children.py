r"""Work for processes of their own: `python -m tests.bench.children ingest EVENTS | verify [endless] | lock NUMBER`.

    {"done": 1000, "resident_bytes": 81920000, "session_bytes": 9000000}\n      on standard output, after every step

The memory is that of the process and of those that it has forked, with pages that several share counted once (PSS),
and that of its session in PostgreSQL without what all sessions share. The environment says which database
(Database.environment).
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import django

django.setup()

# Only now: these read the settings.
from django.db import connection  # noqa: E402

from activity.services import record_many  # noqa: E402
from locking import services  # noqa: E402
from locking.models import LogLock  # noqa: E402
from tests.bench import events  # noqa: E402
from tests.bench.verifications import verify  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCH = 1_000


def main(task: str, *options: str) -> None:
    """Do one task to its end, or until the parent closes the pipe."""
    for done in _steps(task, *options):
        told = {"done": done, "resident_bytes": _resident_bytes(), "session_bytes": _session_bytes()}
        print(json.dumps(told), flush=True)  # noqa: T201 for the parent


def _steps(task: str, *options: str) -> Iterator[int]:
    if task == "ingest":
        return _ingest(int(options[0]))
    return _lock(int(options[0])) if task == "lock" else _verify(endless="endless" in options)


def _lock(number: int) -> Iterator[int]:
    while (made := services.advance(lock_id=number, chunks=1)).state == LogLock.State.APPLYING:
        yield made.next_leaf
    yield made.next_leaf


def _ingest(number: int) -> Iterator[int]:
    stream = events.stream()
    for done in range(_BATCH, number + 1, _BATCH):
        record_many(list(itertools.islice(stream, _BATCH)))
        yield done


def _verify(*, endless: bool) -> Iterator[int]:
    yield from verify()
    while endless:
        yield from verify()


def _resident_bytes() -> int:
    """Return what this process and its forked ones hold in memory together now (Linux)."""
    forked = [child.pid for child in multiprocessing.active_children()]
    return sum(_proportional_bytes(pid) for pid in (os.getpid(), *forked))


def _proportional_bytes(pid: int | None) -> int:
    """Return the proportional set size of a process, 0 once it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return 0


def _session_bytes() -> int:
    """Return what the server process of this process's session holds for itself now (Linux, server on this machine)."""
    status = Path(f"/proc/{connection.connection.info.backend_pid}/status").read_text().splitlines()
    (own,) = (line.split()[1] for line in status if line.startswith("RssAnon"))
    return int(own) * 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
