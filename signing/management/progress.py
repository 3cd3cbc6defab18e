"""How far a command is, on its standard error: one line that changes on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import time
from typing import Any

_TERMINAL_SECONDS, _LINE_SECONDS = 0.2, 10.0
_COLUMNS = 80  # of a terminal that does not say how wide it is


class ProgressLine:
    """The line; what it says is the command's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._interval = _TERMINAL_SECONDS if self._terminal else _LINE_SECONDS
        self._began = self._last = time.monotonic()
        self._shown = False

    def show(self, text: str, *, is_news: bool = False) -> None:
        """Say how far it is, not more often than makes sense; news are said at once, unless all is quick."""
        now = time.monotonic()
        if now - (self._began if is_news else self._last) < self._interval:
            return
        self._last, self._shown = now, True
        if self._terminal:
            # A line that wraps could not be written over.
            self._write(f"\r{text[: self._columns() - 1]}\x1b[K", ending="")
        else:
            self._write(text)

    def end(self) -> None:
        """Take the changing line away: what comes next says more."""
        if self._terminal and self._shown:
            self._write("\r\x1b[K", ending="")
        self._shown = False

    def _columns(self) -> int:
        return os.get_terminal_size(self._stream.fileno()).columns or _COLUMNS

    def _write(self, text: str, ending: str = "\n") -> None:
        self._stream.write(text, style_func=str, ending=ending)  # Django's style there is that of errors
        self._stream.flush()
