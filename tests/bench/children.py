r"""Work for processes of their own: `python -m tests.bench.children ingest EVENTS | verify [endless]`.

    {"done": 1000, "resident_bytes": 81920000}\n      on standard output, after every batch or chunk

The environment says which database (Database.environment).
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import django

django.setup()

# Only now: these read the settings.
from activity.services import record_many  # noqa: E402
from tests.bench import events  # noqa: E402
from tests.bench.verifications import verify  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

_BATCH = 1_000


def main(task: str, *options: str) -> None:
    """Do one task to its end, or until the parent closes the pipe."""
    steps = _ingest(int(options[0])) if task == "ingest" else _verify(endless="endless" in options)
    for done in steps:
        print(json.dumps({"done": done, "resident_bytes": _resident_bytes()}), flush=True)  # noqa: T201 for the parent


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
    """Return what the process holds in memory now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(*sys.argv[1:])
