"""Where a server's Unix socket lies: beside its data, or, if that path is too long for a socket, in a short place."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from .errors import EmbeddedError
from .state import private
from .system_user import ServerUser

# sockaddr_un holds 108 bytes with the final zero on Linux, 104 on macOS.
_LONGEST_PATH = 103


def socket_directory(home: Path, name: str) -> Path:
    """Return the directory for the socket `name` of the server that lives in `home`; always the same."""
    directory = home / "run"
    if len(os.fsencode(directory / name)) <= _LONGEST_PATH:
        return directory
    base = Path("/run") if os.geteuid() == 0 and Path("/run").is_dir() else Path("/tmp")  # noqa: S108 - see below
    return base / f"auditlog-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"


def make_socket_directory(directory: Path, user: ServerUser) -> None:
    """Make the directory, for `user` alone. Raises EmbeddedError if it is somebody else's."""
    private(directory)
    found = directory.lstat()
    # In /tmp somebody else may have been first, with a directory or a link of his own.
    if directory.is_symlink() or found.st_uid not in {user.uid, os.geteuid()} or found.st_mode & 0o077:
        message = f"{directory} belongs to somebody else. Remove it, or set AUDITLOG_STATE_DIR to a shorter path."
        raise EmbeddedError(message)
    user.own(directory)


def drop_socket_directory(directory: Path, home: Path) -> None:
    """Remove the directory of a stopped server if it is not in `home`, where it would be in nobody's way."""
    if directory.parent != home:
        with suppress(OSError):
            directory.rmdir()
