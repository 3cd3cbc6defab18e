"""The line that says how far a command is."""

import fcntl
import io
import os
import pty
import struct
import termios
from collections.abc import Iterator
from typing import TextIO

import pytest
from django.core.management.base import OutputWrapper

from signing.management import progress
from signing.management.progress import ProgressLine


@pytest.fixture
def terminal() -> Iterator[tuple[TextIO, int]]:
    """Give a terminal of 20 columns, and the other end, from which is read what it shows."""
    ours, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 20, 0, 0))
    with os.fdopen(end, "w") as stream:
        yield stream, ours
    os.close(ours)


def test_a_terminal_shows_one_line_that_changes_and_goes(
    terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_TERMINAL_SECONDS", 0)
    stream, ours = terminal
    line = ProgressLine(OutputWrapper(stream))
    line.show("1 of 2")
    line.show("2 of 2, and this is longer than it is wide")
    line.end()
    line.end()
    assert os.read(ours, 1000).decode() == "\r1 of 2\x1b[K\r2 of 2, and this is\x1b[K\r\x1b[K"


def test_elsewhere_a_line_comes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("signing.management.progress.time.monotonic", lambda: clock[0])
    shown = io.StringIO()
    line = ProgressLine(OutputWrapper(shown))
    for clock[0], text, is_news in (
        (101.0, "too soon", False),
        (102.0, "all is quick, news too", True),
        (110.5, "first", False),
        (111.0, "too soon after it", False),
        (112.0, "news", True),
        (121.0, "too soon after the news", False),
        (122.0, "second", False),
    ):
        line.show(text, is_news=is_news)
    line.end()
    assert shown.getvalue() == "first\nnews\nsecond\n"


def test_progress_is_not_coloured_as_an_error(terminal: tuple[TextIO, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_TERMINAL_SECONDS", 0)
    stream, ours = terminal
    wrapped = OutputWrapper(stream)
    wrapped.style_func = lambda text: f"red {text}"
    ProgressLine(wrapped).show("half")
    assert os.read(ours, 1000).decode() == "\rhalf\x1b[K"
