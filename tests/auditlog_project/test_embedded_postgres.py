"""The embedded PostgreSQL: who gets in, what survives, and what it leaves alone. Real servers, no Django database."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from auditlog_project.embedded import programs, sockets
from auditlog_project.embedded.errors import (
    EmbeddedError,
    ServerStartError,
    UnreachableStateError,
    UnsupportedPlatformError,
)
from auditlog_project.embedded.postgres import PostgresServer
from auditlog_project.embedded.system_user import server_user

AS_ROOT = os.geteuid() == 0
only_as_root = pytest.mark.skipif(not AS_ROOT, reason="nobody but root can run a server as another user")


@pytest.fixture(scope="module")
def open_directory() -> Iterator[Path]:
    """Give a directory that the server's user can pass through; pytest's own are closed to everybody else."""
    with tempfile.TemporaryDirectory(prefix="auditlog-embedded-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture(scope="module")
def server(open_directory: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(open_directory / "state")
    server.start()
    yield server
    server.stop()


def ask(server: PostgresServer, query: str) -> object:
    with psycopg.connect(server.superuser_url()) as connection:
        row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def state_of(server: PostgresServer) -> Path:
    return server._state


def kill_hard(server: PostgresServer) -> None:
    pid = int((state_of(server) / "postgres/data/postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)


def test_a_started_server_answers_with_its_version(server: PostgresServer) -> None:
    assert str(ask(server, "SHOW server_version")).startswith(f"{server.version}.")


def test_a_second_start_leaves_the_running_server_alone(server: PostgresServer) -> None:
    started = ask(server, "SELECT pg_postmaster_start_time()")
    PostgresServer(state_of(server)).start()
    assert ask(server, "SELECT pg_postmaster_start_time()") == started


def test_two_starts_at_the_same_time_give_one_server(open_directory: Path) -> None:
    state = open_directory / "twice"
    program = "import sys, pathlib; from auditlog_project.embedded.postgres import PostgresServer as P; "
    program += "P(pathlib.Path(sys.argv[1])).start()"
    starts = [subprocess.Popen([sys.executable, "-c", program, state]) for _ in range(2)]
    assert [start.wait(60) for start in starts] == [0, 0]
    server = PostgresServer(state)
    try:
        assert ask(server, "SELECT 1") == 1
    finally:
        server.stop()


def test_answers_survive_a_power_cut(server: PostgresServer) -> None:
    for setting in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
        assert ask(server, f"SHOW {setting}") == "on"


def test_the_server_does_not_listen_on_the_network(server: PostgresServer) -> None:
    assert ask(server, "SHOW listen_addresses") == ""


def test_case_rules_are_those_of_unicode(server: PostgresServer) -> None:
    assert ask(server, "SELECT lower('ÄÖÉ')") == "äöé"


@pytest.mark.parametrize("password", ["wrong", ""])
def test_a_wrong_password_is_refused(server: PostgresServer, password: str) -> None:
    assert ask(server, "SELECT 1") == 1
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.url("postgres", password, "postgres"))


def test_passwords_are_kept_as_scram_only(server: PostgresServer) -> None:
    assert ask(server, "SHOW password_encryption") == "scram-sha-256"
    assert ask(server, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method <> 'scram-sha-256'") == 0
    assert str(ask(server, "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")).startswith("SCRAM-SHA-256")


def test_strange_characters_in_role_and_password_survive_the_address(server: PostgresServer) -> None:
    with psycopg.connect(server.superuser_url(), autocommit=True) as connection:
        connection.execute("CREATE ROLE \"a b@c\" LOGIN PASSWORD 'p/:@?#% w'")
    with psycopg.connect(server.url("a b@c", "p/:@?#% w", "postgres")) as connection:
        assert connection.info.user == "a b@c"


def test_the_superuser_password_is_readable_by_us_alone(server: PostgresServer) -> None:
    file = state_of(server) / "secrets/postgres_superuser"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert file.stat().st_uid == os.geteuid()


def test_values_in_a_failing_statement_stay_out_of_the_log(server: PostgresServer) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation), psycopg.connect(server.superuser_url()) as connection:
        connection.execute("SELECT 'a'::text, 'the-payload', 1/0, '[oops'::int4range")
    logs = ""
    for _ in range(100):  # a process of its own writes them, a little later
        logs = "".join(path.read_text() for path in (state_of(server) / "postgres/log").iterdir())
        if "malformed" in logs:
            break
        time.sleep(0.1)
    assert "malformed" in logs
    assert "the-payload" not in logs


def test_stop_ends_open_sessions_and_a_new_start_finds_the_data(open_directory: Path) -> None:
    server = PostgresServer(open_directory / "restarted")
    server.start()
    with psycopg.connect(server.superuser_url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        server.stop()
        assert not server.is_running()
    server.stop()
    server.start()
    assert ask(server, "SELECT value FROM kept") == 7
    server.stop()


def test_a_killed_server_starts_again_with_everything_committed(open_directory: Path) -> None:
    server = PostgresServer(open_directory / "killed")
    server.start()
    with psycopg.connect(server.superuser_url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS value")
        # The session's process outlives the server for a moment, and holds its memory.
        kill_hard(server)
        server.start()
    assert ask(server, "SELECT value FROM kept") == 7
    server.stop()


def test_a_pid_file_whose_number_belongs_to_somebody_else_now_does_not_stop_the_start(open_directory: Path) -> None:
    server = PostgresServer(open_directory / "reused")
    server.start()
    pid_file = state_of(server) / "postgres/data/postmaster.pid"
    left_behind = pid_file.read_text()
    server.stop()
    other = subprocess.Popen(["/bin/sleep", "60"], user=server_user("auditlog-postgres").uid if AS_ROOT else None)
    try:
        pid_file.write_text(left_behind.replace(left_behind.split()[0], str(other.pid), 1))
        server.start()
        assert ask(server, "SELECT 1") == 1
    finally:
        other.kill()
        other.wait()
        server.stop()


def test_an_interrupted_initdb_is_begun_anew(open_directory: Path) -> None:
    state = open_directory / "interrupted"
    server = PostgresServer(state)
    (state / "postgres/data.unfinished/base").mkdir(parents=True)
    (state / "postgres").chmod(0o711)
    server.start()
    assert ask(server, "SELECT 1") == 1
    server.stop()


def test_a_path_too_long_for_a_socket_gets_a_short_one(open_directory: Path) -> None:
    server = PostgresServer(open_directory / ("long" * 30))
    server.start()
    try:
        assert ask(server, "SELECT 1") == 1
        assert server._socket.exists()
    finally:
        server.stop()
    assert not server._socket.exists()


def test_a_socket_directory_of_somebody_else_is_refused(open_directory: Path) -> None:
    squatted = open_directory / "squatted"
    sockets.make_socket_directory(squatted, server_user("auditlog-postgres"))
    squatted.rmdir()
    elsewhere = open_directory / "elsewhere"
    elsewhere.mkdir()
    squatted.symlink_to(elsewhere)
    with pytest.raises(EmbeddedError, match="somebody else"):
        sockets.make_socket_directory(squatted, server_user("auditlog-postgres"))


def test_data_of_another_major_version_is_refused_with_a_way_out(open_directory: Path) -> None:
    server = PostgresServer(open_directory / "older")
    server.start()
    server.stop()
    version = state_of(server) / "postgres/data/PG_VERSION"
    version.write_text("13\n")
    with pytest.raises(ServerStartError, match=r"made by PostgreSQL 13.*DATABASE_URL"):
        server.start()


def test_without_programs_the_message_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (programs.postgres_programs() / "postgres").exists()
    monkeypatch.setattr(programs, "_package", lambda _: None)
    monkeypatch.setattr(programs, "OLDEST_POSTGRESQL", 999)
    with pytest.raises(UnsupportedPlatformError, match="DATABASE_URL"):
        programs.postgres_programs()


@pytest.mark.parametrize("binaries", sorted(Path("/usr/lib/postgresql").glob("*/bin")), ids=str)
def test_a_system_postgresql_works_as_well(open_directory: Path, binaries: Path) -> None:
    server = PostgresServer(open_directory / f"system-{binaries.parent.name}", binaries=binaries)
    server.start()
    try:
        assert server.version == int(binaries.parent.name)
        assert str(ask(server, "SHOW server_version")).startswith(binaries.parent.name)
        assert ask(server, "SELECT lower('ÄÖÉ')") == "äöé"
    finally:
        server.stop()


@only_as_root
def test_as_root_the_server_runs_as_a_user_without_shell_and_home(server: PostgresServer) -> None:
    user = server_user("auditlog-postgres")
    pid = int((state_of(server) / "postgres/data/postmaster.pid").read_text().split()[0])
    assert Path(f"/proc/{pid}").stat().st_uid == user.uid != 0
    entry = pwd.getpwuid(user.uid)
    assert (entry.pw_dir, entry.pw_shell) == ("/nonexistent", "/usr/sbin/nologin")


@only_as_root
def test_the_server_inherits_none_of_our_secrets(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDITLOG_MASTER_KEY", "the-master-key")
    server = PostgresServer(open_directory / "clean")
    server.start()
    pid = int((state_of(server) / "postgres/data/postmaster.pid").read_text().split()[0])
    try:
        assert b"the-master-key" not in Path(f"/proc/{pid}/environ").read_bytes()
    finally:
        server.stop()


@only_as_root
def test_the_server_cannot_change_who_gets_in(server: PostgresServer) -> None:
    config = state_of(server) / "postgres/config"
    for path in [config, *config.iterdir()]:
        assert path.stat().st_uid == 0
        assert not path.stat().st_mode & 0o022


@only_as_root
def test_a_state_in_a_closed_home_is_refused_and_the_home_stays_closed(open_directory: Path) -> None:
    home = open_directory / "root"
    home.mkdir(mode=0o700)
    server = PostgresServer(home / "project/.auditlog")
    with pytest.raises(UnreachableStateError, match=rf"{home}; .*AUDITLOG_STATE_DIR"):
        server.start()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@only_as_root
def test_programs_in_a_closed_home_are_copied_out_and_the_home_stays_closed(open_directory: Path) -> None:
    home = open_directory / "home"
    home.mkdir(mode=0o700)
    packages = home / "site-packages"
    wheel = programs.postgres_programs().parents[1]
    packages.mkdir()
    for part in (wheel, wheel.parent / f"{wheel.name}.libs"):
        shutil.copytree(part, packages / part.name, symlinks=True)
    server = PostgresServer(open_directory / "copied", binaries=packages / wheel.name / "pginstall/bin")
    server.start()
    try:
        assert ask(server, "SELECT 1") == 1
    finally:
        server.stop()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    copied = next((open_directory / "copied/programs").iterdir())
    files = [path.stat() for path in copied.rglob("*") if not path.is_symlink()]
    assert len(files) > 100
    assert not [file for file in files if file.st_uid != 0 or file.st_mode & 0o022]


def test_directories_that_were_there_keep_their_permissions(open_directory: Path) -> None:
    before = open_directory / "before"
    before.mkdir()
    before.chmod(0o751)
    (before / "file").touch()
    server = PostgresServer(before)
    server.start()
    server.stop()
    assert stat.S_IMODE(before.stat().st_mode) == 0o751
    assert stat.S_IMODE(open_directory.stat().st_mode) == 0o711
