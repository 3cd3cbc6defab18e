"""Directories and small files of the embedded servers, with the permissions they must have.

Only what we made is ever given a permission: a directory that was there before, unless it is empty and was
named as the state directory, stays as it is.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import EmbeddedError

# Others may pass through to what the servers' users own, and see nothing on the way.
_PASSAGE = 0o711
_PRIVATE_DIRECTORY = 0o700


def prepare_state(state: Path) -> Path:
    """Make the state directory, and what is missing above it, and return its absolute path."""
    state = Path(os.path.abspath(state))  # noqa: PTH100 - Path.absolute keeps "..", resolve follows links
    if set(str(state)) & set("\"'$`\\\n"):
        message = f"The path {state} holds a quote, a dollar or a backslash. Set AUDITLOG_STATE_DIR to a plainer one."
        raise EmbeddedError(message)
    _make_missing(state.parent)
    fresh = _mkdir(state) or (state.stat().st_uid == os.geteuid() and not any(state.iterdir()))
    if fresh:
        state.chmod(_PASSAGE if os.geteuid() == 0 else _PRIVATE_DIRECTORY)
    return state


def _make_missing(directory: Path) -> None:
    if directory.exists():
        return
    _make_missing(directory.parent)
    if _mkdir(directory):
        directory.chmod(_PASSAGE)


def _mkdir(directory: Path) -> bool:
    """Make `directory` and return whether it was missing."""
    try:
        directory.mkdir(mode=_PRIVATE_DIRECTORY)
    except FileExistsError:
        return False
    return True


def passage(directory: Path) -> Path:
    """Make a directory of ours that the servers' users may pass through, and return it."""
    if _mkdir(directory):
        directory.chmod(_PASSAGE)
    return directory


def private(directory: Path) -> Path:
    """Make a directory of ours that nobody else may enter, and return it."""
    _mkdir(directory)
    return directory


def write_private(path: Path, text: str) -> None:
    """Replace `path` by a file holding `text`, 0600 from its first moment, whole or not at all."""
    _written(path, text).replace(path)


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """Return the secret in `path`; the first call makes it. Of two first calls one wins, and both return its secret."""
    if not path.exists():
        made = _written(path, make() + "\n")
        with suppress(FileExistsError):
            path.hardlink_to(made)
        made.unlink()
    return path.read_text(encoding="utf-8").strip()


def _written(path: Path, text: str) -> Path:
    """Return a new file beside `path` that holds `text` on the disk."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Hold the state's lock: of two invocations at the same time the second waits, then finds the work done."""
    with (state / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
