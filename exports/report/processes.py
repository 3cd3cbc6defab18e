r"""Processes that render pieces of a report, one each at a time. What they do is in exports.render_pdf.

    {"html": "/tmp/…/3.html", "pdf": "/tmp/…/3.pdf"}\n     on standard input; "pdf" null: pages are only counted
    {"pages": 32}\n                                         the answer on standard output

They are started as programs and not by multiprocessing: a Celery worker's process may have no children of that kind,
log data meets a process without our addresses and keys in its environment, and what the operating system's libraries do
to a process (Pango ends it when it finds no font) ends only these.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from exports.errors import ReportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROCESSES = 2
_PIECE_SECONDS = 600  # a process that takes longer is stuck
_PROJECT = Path(__file__).resolve().parents[2]
# Where programs, libraries and fonts are. No address, no key.
_ENVIRONMENT = frozenset(
    {"PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "FONTCONFIG_FILE", "FONTCONFIG_PATH"}
)


class Renderers:
    """Rendering processes, as many as are idle or at work now."""

    def __init__(self, children: Sequence[subprocess.Popen[str]]) -> None:
        self.children = children
        self._idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        for child in children:
            self._idle.put(child)
        self._threads = ThreadPoolExecutor(len(children))

    def render(self, jobs: Sequence[tuple[Path, Path | None]]) -> list[int]:
        """Render each (HTML file, PDF file or None) and return their numbers of pages. Raises ReportError."""
        return list(self._threads.map(self._job, jobs))

    def _job(self, job: tuple[Path, Path | None]) -> int:
        html, pdf = job
        child = self._idle.get()
        watchdog = threading.Timer(_PIECE_SECONDS, child.kill)
        watchdog.start()
        try:
            return _ask(child, {"html": str(html), "pdf": None if pdf is None else str(pdf)})
        finally:
            watchdog.cancel()
            self._idle.put(child)

    def close(self) -> None:
        """Wait for no job any more."""
        self._threads.shutdown(cancel_futures=True)


@contextmanager
def renderers(number: int = PROCESSES) -> Iterator[Renderers]:
    """Start so many processes, and end them."""
    command = [sys.executable, "-m", "exports.render_pdf"]
    environment = {name: value for name, value in os.environ.items() if name in _ENVIRONMENT or name.startswith("LC_")}
    with ExitStack() as stack:
        children = []
        for _ in range(number):
            child = subprocess.Popen(
                command,
                cwd=_PROJECT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                process_group=0,  # Ctrl-C at a terminal is for us, who end them, and not for each of them
            )
            stack.enter_context(child)
            stack.callback(child.kill)
            children.append(child)
        running = Renderers(children)
        stack.callback(running.close)
        yield running


def _ask(child: subprocess.Popen[str], question: dict[str, str | None]) -> int:
    if child.stdin is None or child.stdout is None:
        raise AssertionError("both are pipes")
    try:
        child.stdin.write(json.dumps(question) + "\n")
        child.stdin.flush()
        answer = child.stdout.readline()
    except BrokenPipeError:
        answer = ""
    if not answer:
        raise ReportError(f"a rendering process ended at {question['html']}; its error stands in our standard error")
    pages: int = json.loads(answer)["pages"]
    return pages
