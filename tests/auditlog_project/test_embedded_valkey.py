"""The embedded Valkey: who gets in and what survives. Real servers, no Django database."""

import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from auditlog_project.embedded import programs
from auditlog_project.embedded.errors import UnreachableStateError, UnsupportedPlatformError
from auditlog_project.embedded.valkey import ValkeyServer

AS_ROOT = os.geteuid() == 0
only_as_root = pytest.mark.skipif(not AS_ROOT, reason="nobody but root can run a server as another user")


@pytest.fixture
def state() -> Iterator[Path]:
    """Give a state that the server's user can reach; pytest's own directories are closed to everybody else."""
    with tempfile.TemporaryDirectory(prefix="auditlog-embedded-") as name:
        Path(name).chmod(0o711)
        yield Path(name) / "state"


@pytest.fixture
def server(state: Path) -> Iterator[ValkeyServer]:
    server = ValkeyServer(state)
    server.start()
    yield server
    server.stop()


def run_id(server: ValkeyServer) -> str:
    with redis.Redis.from_url(server.url) as client:
        return str(client.info("server")["run_id"])


def test_a_started_server_answers_and_a_stopped_one_does_not(server: ValkeyServer) -> None:
    assert server.is_running()
    server.stop()
    assert not server.is_running()
    server.stop()


def test_a_second_start_leaves_the_running_server_alone(server: ValkeyServer, state: Path) -> None:
    started = run_id(server)
    ValkeyServer(state).start()
    assert run_id(server) == started


def test_the_address_serves_celery_as_well(server: ValkeyServer) -> None:
    address = server.url.replace("unix://", "redis+socket://").replace("db=", "virtual_host=")
    with Celery(broker=address).connection_for_write() as connection:
        queue = connection.SimpleQueue("queue")
        queue.put({"task": 1})
        assert queue.get(timeout=5).payload == {"task": 1}
        queue.close()


def test_a_missing_or_wrong_password_is_refused(server: ValkeyServer, state: Path) -> None:
    assert run_id(server)
    socket = next(state.glob("valkey/run/*.sock"))
    with redis.Redis(unix_socket_path=str(socket)) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    with (
        redis.Redis(unix_socket_path=str(socket), password="wrong") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_the_server_does_not_listen_on_the_network(server: ValkeyServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        assert client.config_get("port") == {"port": "0"}


def test_what_was_queued_survives_a_restart_and_a_kill(server: ValkeyServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.rpush("queue", "first")
        server.stop()
        server.start()
        client.rpush("queue", "second")
        client.execute_command("WAITAOF", 1, 0, 5000)
        os.kill(int(str(client.info("server")["process_id"])), signal.SIGKILL)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.lrange("queue", 0, -1) == [b"first", b"second"]


def test_the_password_is_closed_to_others(server: ValkeyServer, state: Path) -> None:
    assert server.is_running()
    assert stat.S_IMODE((state / "secrets/valkey").stat().st_mode) == 0o600
    assert not (state / "valkey/config/valkey.conf").stat().st_mode & 0o007


def test_without_a_program_the_message_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert programs.valkey_program().exists()
    monkeypatch.setattr(programs, "_package", lambda _: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnsupportedPlatformError, match="REDIS_URL"):
        programs.valkey_program()


@only_as_root
def test_as_root_the_server_runs_as_somebody_else_who_cannot_change_its_configuration(
    server: ValkeyServer, state: Path
) -> None:
    with redis.Redis.from_url(server.url) as client:
        pid = client.info("server")["process_id"]
    assert Path(f"/proc/{pid}").stat().st_uid != 0
    config = state / "valkey/config/valkey.conf"
    assert config.stat().st_uid == 0
    assert not config.stat().st_mode & 0o020


@only_as_root
def test_a_program_in_a_closed_home_is_copied_out_and_the_home_stays_closed(state: Path) -> None:
    home = state.parent / "home"
    home.mkdir(mode=0o700)
    program = home / "valkey-server"
    program.write_bytes(programs.valkey_program().read_bytes())
    program.chmod(0o755)
    server = ValkeyServer(state, program=program)
    server.start()
    assert server.is_running()
    server.stop()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@only_as_root
def test_a_state_in_a_closed_home_is_refused(state: Path) -> None:
    home = state.parent / "home"
    home.mkdir(mode=0o700)
    with pytest.raises(UnreachableStateError, match="AUDITLOG_STATE_DIR"):
        ValkeyServer(home / "state").start()
