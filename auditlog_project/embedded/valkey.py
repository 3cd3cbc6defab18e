"""A Valkey server of our own: broker, results and cache.

    <state>/valkey/config/   valkey.conf: ours, written at every start; it holds the password
    <state>/valkey/data/     the append-only file, so that queued tasks survive a restart, and the log
    <state>/valkey/run/      the socket; under /run or /tmp if its path would be too long for a socket
    <state>/secrets/valkey

It listens on a Unix socket only and asks for a password.
"""

import os
import secrets
import socket
import time
from pathlib import Path
from urllib.parse import quote

from .errors import ServerStartError, ServerStopError
from .programs import reachable_program, valkey_program
from .sockets import drop_socket_directory, make_socket_directory, socket_directory
from .state import kept_secret, locked, passage, prepare_state, private, write_private
from .system_user import ServerUser, server_user

_SYSTEM_USER = "auditlog-valkey"
_SOCKET_NAME = "valkey.sock"
_START_SECONDS = 30
_STOP_SECONDS = 30
_ANSWER_SECONDS = 3

_SETTINGS = """\
# Written by auditlog_project/embedded/valkey.py at every start.
port 0
unixsocket "{socket}"
unixsocketperm 700
requirepass "{password}"
daemonize yes
pidfile "{data}/valkey.pid"
logfile "{data}/valkey.log"
loglevel warning
dir "{data}"
save ""
appendonly yes
appendfsync everysec
maxmemory-policy noeviction
"""


class ValkeyServer:
    """One server and its data. Several processes may hold an object for the same state."""

    def __init__(self, state: Path, *, program: Path | None = None) -> None:
        """Name the state directory and, if it is not to be the wheel's, the program.

        Raises UnsupportedPlatformError if this machine has no program.
        """
        self._state = prepare_state(state)
        self._program = program or valkey_program()
        self._home = self._state / "valkey"
        self._data = self._home / "data"
        self._socket = socket_directory(self._home, _SOCKET_NAME) / _SOCKET_NAME

    @property
    def url(self) -> str:
        """Return the address in redis-py's spelling."""
        return f"unix://:{self._password()}@{quote(str(self._socket))}?db=0"

    def is_running(self) -> bool:
        """Return whether the server answers our password."""
        return self._ask("PING").endswith(b"+PONG\r\n")

    def start(self) -> None:
        """Return when the server answers. A running server is left alone. Raises EmbeddedError if it cannot be had."""
        with locked(self._state):
            if self.is_running():
                return
            user = server_user(_SYSTEM_USER)
            passage(self._home)
            user.require_way_to(self._home)
            program = reachable_program(self._program, user, self._state)
            user.own(private(self._data))
            make_socket_directory(self._socket.parent, user)
            done = user.run([program, self._write_config(user)], cwd=self._home)
            deadline = time.monotonic() + _START_SECONDS
            while done.returncode == 0 and not self.is_running() and time.monotonic() < deadline:
                time.sleep(0.02)
            if not self.is_running():
                message = f"Valkey did not start: {done.stdout.strip()} Its log is in {self._data}."
                raise ServerStartError(message)

    def stop(self) -> None:
        """Return when the server has written everything and left."""
        with locked(self._state):
            self._ask("SHUTDOWN")
            deadline = time.monotonic() + _STOP_SECONDS
            while self._ask("PING"):
                if time.monotonic() > deadline:
                    message = f"Valkey did not stop. Its log is in {self._data}."
                    raise ServerStopError(message)
                time.sleep(0.02)
            drop_socket_directory(self._socket.parent, self._home)

    def _password(self) -> str:
        return kept_secret(private(self._state / "secrets") / "valkey", secrets.token_urlsafe)

    def _write_config(self, user: ServerUser) -> Path:
        # As in postgres.py: the server reads its configuration and cannot change it. Its group may read the password.
        config = passage(self._home / "config") / "valkey.conf"
        text = _SETTINGS.format(socket=self._socket, data=self._data, password=self._password())
        write_private(config, text)
        if user.is_other:
            os.chown(config, -1, user.gid)
            config.chmod(0o640)
        return config

    def _ask(self, command: str) -> bytes:
        """Return the server's answers to our password and to `command`, or nothing if nobody answers."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            try:
                connection.connect(str(self._socket))
                connection.sendall(f"AUTH {self._password()}\r\n{command}\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (more := connection.recv(4096)):  # noqa: PLR2004 - two commands
                    answer += more
            except OSError:
                return b""
        return answer
