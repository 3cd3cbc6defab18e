"""The environment that the launcher gets: whose secrets it holds, and what wins over it."""

import base64
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from auditlog_project.embedded.environment import PROJECT, Embedded, Reader, as_shell, state_directory
from auditlog_project.embedded.errors import EmbeddedError
from auditlog_project.embedded.state import kept_secret, prepare_state

OWNER_ADDRESSES = {"DATABASE_OWNER_URL", "DATABASE_ADMIN_URL"}
_CLEAN = {"PATH": os.environ["PATH"]}


@pytest.fixture
def state() -> Iterator[Path]:
    """Give a state that the servers' users can reach; pytest's own directories are closed to everybody else."""
    with tempfile.TemporaryDirectory(prefix="auditlog-embedded-") as name:
        Path(name).chmod(0o711)
        yield Path(name) / "state"


def command(state: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auditlog_project.embedded", *words],
        cwd=PROJECT,
        env=_CLEAN | {"AUDITLOG_STATE_DIR": str(state)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_setup_commands_get_every_address(state: Path) -> None:
    added = Embedded(state, {}).additions(Reader.SETUP)
    assert added.keys() >= OWNER_ADDRESSES | {"DATABASE_URL", "DATABASE_APPROVER_URL", "REDIS_URL", "SECRET_KEY"}


def test_the_web_process_gets_the_approver_but_not_the_owner(state: Path) -> None:
    added = Embedded(state, {}).additions(Reader.WEB)
    assert "DATABASE_APPROVER_URL" in added
    assert not OWNER_ADDRESSES & added.keys()


def test_workers_and_commands_get_neither_approver_nor_owner(state: Path) -> None:
    added = Embedded(state, {}).additions(Reader.WORKER)
    assert "DATABASE_URL" in added
    assert not (OWNER_ADDRESSES | {"DATABASE_APPROVER_URL"}) & added.keys()


def test_the_owners_address_in_the_users_environment_is_taken_away_from_serving_processes() -> None:
    assert "unset DATABASE_OWNER_URL" in as_shell({}, Reader.WEB).splitlines()
    assert "unset DATABASE_APPROVER_URL" in as_shell({}, Reader.WORKER).splitlines()
    assert as_shell({}, Reader.SETUP) == ""


def test_a_database_of_the_user_replaces_server_and_secrets(state: Path) -> None:
    embedded = Embedded(state, {"DATABASE_URL": "postgresql://app@db/audit"})
    assert embedded.servers().keys() == {"Valkey"}
    assert embedded.additions(Reader.SETUP).keys() == {"REDIS_URL", "AUDITLOG_STATE_DIR"}


def test_a_broker_of_the_user_replaces_ours(state: Path) -> None:
    embedded = Embedded(state, {"REDIS_URL": "redis://broker"})
    assert embedded.servers().keys() == {"PostgreSQL"}
    assert "REDIS_URL" not in embedded.additions(Reader.SETUP)


def test_what_the_user_has_set_is_left_alone(state: Path) -> None:
    added = Embedded(state, {"SECRET_KEY": "his", "AUDITLOG_MASTER_KEY": "his", "ALLOWED_HOSTS": ""}).additions(
        Reader.WEB
    )
    assert not {"SECRET_KEY", "AUDITLOG_MASTER_KEY_FILE"} & added.keys()
    assert added["ALLOWED_HOSTS"] == "localhost,127.0.0.1,[::1]"


def test_secrets_are_made_once(state: Path) -> None:
    assert Embedded(state, {}).additions(Reader.SETUP) == Embedded(state, {}).additions(Reader.SETUP)


def test_two_first_runs_at_the_same_time_agree_on_the_secret(tmp_path: Path) -> None:
    def first_run(number: int) -> str:
        return kept_secret(tmp_path / "secret", lambda: str(number))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(first_run, range(64)))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_secrets_are_readable_by_us_alone(state: Path) -> None:
    added = Embedded(state, {}).additions(Reader.SETUP)
    secrets = state / "secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(added["AUDITLOG_ANCHOR_DIR"]).stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in secrets.iterdir()}
    assert modes.keys() >= {"serving.env", "owner.env", "master.key", "postgres_superuser"}
    assert set(modes.values()) == {0o600}


def test_the_owners_password_is_not_in_the_file_for_serving(state: Path) -> None:
    Embedded(state, {}).additions(Reader.SETUP)
    assert "OWNER" not in (state / "secrets/serving.env").read_text()


def test_the_master_key_is_base64_of_32_bytes(state: Path) -> None:
    file = Embedded(state, {}).additions(Reader.WORKER)["AUDITLOG_MASTER_KEY_FILE"]
    assert len(base64.b64decode(Path(file).read_text(), validate=False)) == 32


def test_the_shell_reads_back_what_was_written() -> None:
    value = 'it\'s $HOME `id` \\ "x"\n2'
    script = as_shell({"VALUE": value}, Reader.SETUP) + '\nprintf %s "$VALUE"'
    assert subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True).stdout == value


def test_the_state_is_where_the_user_says_else_outside_of_roots_home() -> None:
    assert state_directory({"AUDITLOG_STATE_DIR": "/srv/x"}) == Path("/srv/x")
    default = state_directory({})
    assert default.parent == (Path("/var/lib/auditlog") if os.geteuid() == 0 else PROJECT)


def test_a_path_that_a_shell_would_misread_is_refused(tmp_path: Path) -> None:
    assert prepare_state(tmp_path / "with a space").is_dir()
    with pytest.raises(EmbeddedError, match="AUDITLOG_STATE_DIR"):
        prepare_state(tmp_path / "with $(id)")


def test_the_command_line_starts_shows_and_stops_both_servers(state: Path) -> None:
    assert command(state, "status").returncode == 3
    shell = command(state, "env", "--with-owner", "--start")
    assert shell.returncode == 0, shell.stderr
    assert "export DATABASE_OWNER_URL='postgresql://auditlog_owner:" in shell.stdout
    try:
        status = command(state, "status")
        assert (status.returncode, status.stdout) == (0, "PostgreSQL: running\nValkey: running\n")
    finally:
        assert command(state, "stop").returncode == 0
    status = command(state, "status")
    assert (status.returncode, status.stdout) == (3, "PostgreSQL: not running\nValkey: not running\n")


def test_with_servers_of_the_user_nothing_is_started_and_no_address_is_printed(state: Path) -> None:
    given = {"DATABASE_URL": "postgresql://app@db/audit", "REDIS_URL": "redis://broker"}
    assert command(state, "env", "--with-owner", "--start", **given).stdout == f"export AUDITLOG_STATE_DIR='{state}'\n"
    assert not (state / "postgres").exists()
    assert not (state / "valkey").exists()


def test_a_mistake_is_one_line_without_traceback(tmp_path: Path) -> None:
    answer = command(tmp_path / "with $(id)", "start")
    assert answer.returncode == 1
    assert answer.stderr.startswith("auditlog: The path")
    assert "Traceback" not in answer.stderr
