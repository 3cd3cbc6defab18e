"""Who a server runs as: ourselves, or, when we are root, a system user that can do nothing else.

PostgreSQL refuses to run as root, and no server should. The user has no shell, no home and no password.
"""

import os
import pwd
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import EmbeddedError, UnreachableStateError

# A server inherits nothing of our environment: it holds secrets.
CLEAN_ENVIRONMENT = {
    # A session of PostgreSQL keeps what one statement freed (up to 64 MiB) for the next; getting it back is slow.
    "MALLOC_TRIM_THRESHOLD_": "67108864",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    "TZ": "UTC",
}
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class ServerUser:
    """An operating system user that a server runs as."""

    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Return whether the server runs as somebody else than this process."""
        return self.uid != os.geteuid()

    def run(self, command: Sequence[str | Path], *, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run `command` as this user with a clean environment and return its output; the caller reads the code."""
        other = self.is_other
        return subprocess.run(
            [os.fspath(word) for word in command],
            cwd=cwd,
            env=CLEAN_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            umask=0o077,
            user=self.uid if other else None,
            group=self.gid if other else None,
            extra_groups=() if other else None,
        )

    def own(self, path: Path) -> None:
        """Give `path` to this user."""
        if self.is_other:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def blocked_at(self, path: Path) -> Path | None:
        """Return the first directory on the way to `path` that this user may not enter, or None."""
        real = path.resolve()
        for directory in [*reversed(real.parents), real]:
            if directory.is_dir() and not self._may(directory, 0o1):
                return directory
        return None

    def may_run(self, program: Path) -> bool:
        """Return whether this user can reach and execute `program`."""
        return self.blocked_at(program.parent) is None and self._may(program.resolve(), 0o5)

    def require_way_to(self, path: Path) -> None:
        """Raise UnreachableStateError, naming the directory, if this user cannot get to `path`."""
        if blocked := self.blocked_at(path):
            message = (
                f"The embedded server runs as the user {self.name}, which may not enter {blocked}; its permissions are "
                f"left as they are. Set AUDITLOG_STATE_DIR to a directory that everybody can pass through to, for "
                f"example one under /var/lib."
            )
            raise UnreachableStateError(message)

    def _may(self, path: Path, wanted: int) -> bool:
        if not self.is_other:
            return os.access(path, wanted)
        found = path.stat()
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid == self.gid else 0
        return (found.st_mode >> shift) & wanted == wanted


def server_user(name: str) -> ServerUser:
    """Return ourselves, or, as root, the system user `name`, made if it is missing."""
    if os.geteuid() != 0:
        return ServerUser(name=str(os.geteuid()), uid=os.geteuid(), gid=os.getegid())
    for attempt in range(_ATTEMPTS):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            _create(name)
            # Another installation may hold the password file's lock, or have made the user meanwhile.
            time.sleep(0.2 * attempt)
            continue
        if found.pw_uid == 0:
            message = f"The user {name} is root under another name. Give it an unprivileged id, or set DATABASE_URL."
            raise EmbeddedError(message)
        return ServerUser(name=name, uid=found.pw_uid, gid=found.pw_gid)
    message = f"Could not make the system user {name}. Make it yourself (a system user without shell and home)."
    raise EmbeddedError(message)


def _create(name: str) -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", "--comment", "auditlog embedded server", name]
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    try:
        subprocess.run(command, env={"PATH": path}, capture_output=True, check=False)
    except FileNotFoundError:
        message = f"useradd is missing. Make the system user {name} yourself (without shell and home)."
        raise EmbeddedError(message) from None
