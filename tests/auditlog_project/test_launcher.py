"""`./auditlog` as a user types it: real servers and a database in a state of its own, set up once for this file."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.test_backup import blocks

PROJECT = Path(__file__).resolve().parents[2]
ADDRESSES = ("DATABASE_URL", "DATABASE_APPROVER_URL", "DATABASE_OWNER_URL", "DATABASE_ADMIN_URL")
SHOW_ADDRESSES = f"import os; print('seen:', *(name for name in {ADDRESSES} if os.environ.get(name)))"


class Launcher:
    """The launcher in a clean shell with a state of its own."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AUDITLOG_STATE_DIR": str(state)}

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROJECT / "auditlog", *words],
            env=self.environment | variables,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def launcher() -> Iterator[Launcher]:
    with tempfile.TemporaryDirectory(prefix="auditlog-launcher-") as name:
        Path(name).chmod(0o711)
        launcher = Launcher(Path(name) / "state")
        ready = launcher.run("setup")
        assert ready.returncode == 0, ready.stderr
        yield launcher
        assert launcher.run("stop").returncode == 0


def test_without_a_word_and_with_help_it_teaches(launcher: Launcher) -> None:
    for words in ((), ("help",), ("--help",)):
        page = launcher.run(*words).stdout
        for word in ("demo", "serve", "test", "check", "bench", "setup", "stop", "ingest"):
            assert f"./auditlog {word}" in page


def test_serve_teaches_without_starting_anything(launcher: Launcher) -> None:
    taught = launcher.run("serve", "--help")
    assert taught.returncode == 0
    assert "--bind HOST:PORT" in taught.stdout
    assert taught.stderr == ""


def test_verifier_teaches_and_makes_no_file_of_an_option(launcher: Launcher) -> None:
    taught = launcher.run("verifier", "--help")
    assert taught.returncode == 0
    assert "./auditlog verifier [FILE]" in taught.stdout
    assert not Path("/--help").exists()


def test_any_other_word_is_a_command_of_manage_py(launcher: Launcher) -> None:
    assert "ROOT_URLCONF = 'auditlog_project.urls'" in launcher.run("diffsettings").stdout
    unknown = launcher.run("no_such_word")
    assert unknown.returncode != 0
    assert "Unknown command: 'no_such_word'" in unknown.stderr


def test_commands_run_in_the_users_directory(launcher: Launcher) -> None:
    assert "at / " in launcher.run("shell", "--command", "import os; print('at', os.getcwd(), '')").stdout


def test_commands_see_the_address_of_the_runtime_role_alone(launcher: Launcher) -> None:
    assert "seen: DATABASE_URL\n" in launcher.run("shell", "--command", SHOW_ADDRESSES).stdout


def test_the_owners_address_in_the_users_shell_does_not_reach_commands(launcher: Launcher) -> None:
    seen = launcher.run("shell", "--command", SHOW_ADDRESSES, DATABASE_OWNER_URL="postgresql://owner@/x").stdout
    assert "seen: DATABASE_URL\n" in seen


def test_setup_commands_see_the_owner(launcher: Launcher) -> None:
    assert launcher.run("migrate", "--database=owner", "--check").returncode == 0
    assert launcher.run("setup_database").returncode == 0


def test_the_database_is_set_up_again_only_when_what_makes_it_has_changed(launcher: Launcher) -> None:
    assert "setting up" not in launcher.run("setup").stderr
    stamp = launcher.state / "database.stamp"
    right = stamp.read_text()
    stamp.write_text("an older release\n")
    assert "setting up the embedded database" in launcher.run("setup").stderr
    assert stamp.read_text() == right


def test_the_embedded_database_comes_back_from_a_dump_as_the_page_says(launcher: Launcher, tmp_path: Path) -> None:
    _, dump, embedded, restore, *_ = blocks()
    lose = 'psql --quiet "$DATABASE_ADMIN_URL" -c "DROP DATABASE auditlog WITH (FORCE)"\n'
    typed = f"{embedded}{dump}{lose}{restore}".replace("auditlog.dump", str(tmp_path / "auditlog.dump"))
    done = subprocess.run(
        ["/bin/bash", "-euc", typed], cwd=PROJECT, env=launcher.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "database auditlog: created\n" in done.stdout
    assert done.stdout.endswith("posture: the guards hold\n")
    assert launcher.run("keys", "list").returncode == 0


def test_a_failed_set_up_of_the_database_says_why_and_is_tried_again(launcher: Launcher) -> None:
    stamp = launcher.state / "database.stamp"
    stamp.unlink()
    failed = launcher.run("setup", AUDITLOG_MAX_DETACHED_BYTES="many")
    assert failed.returncode == 1
    assert "could not be set up" in failed.stderr
    assert not stamp.exists()
    assert launcher.run("setup").returncode == 0
    assert stamp.exists()


def test_the_users_own_database_is_left_to_the_user(launcher: Launcher) -> None:
    nowhere = "postgresql://app@/nowhere?host=/nonexistent"
    refused = launcher.run("diffsettings", DATABASE_URL=nowhere)
    assert "SECRET_KEY is not set" in refused.stderr
    seen = launcher.run("diffsettings", DATABASE_URL=nowhere, SECRET_KEY="his")
    assert "nowhere" in seen.stdout


def test_the_exit_code_of_the_command_is_that_of_the_launcher(launcher: Launcher) -> None:
    assert launcher.run("shell", "--command", "raise SystemExit(2)").returncode == 2


def environment_of(pid: int) -> set[str]:
    variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return {name for name in ADDRESSES if any(variable.startswith(f"{name}=".encode()) for variable in variables)}


def children_of(pid: int) -> dict[str, int]:
    """Return the launcher's own children by what they are."""
    found: dict[str, int] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        command = Path(f"/proc/{child}/cmdline").read_text()
        for kind in ("gunicorn", "worker\0", "beat"):
            if kind in command:
                found.setdefault(kind.strip("\0"), int(child))
                break
    return found


@dataclass
class Served:
    """A running `./auditlog serve`, its address, and what it printed so far."""

    launcher: subprocess.Popen[bytes]
    url: str
    log: Path

    def children(self) -> dict[str, int]:
        return children_of(self.launcher.pid)

    def says(self, text: str) -> str:
        """Return the output as soon as it contains the text."""
        deadline = time.monotonic() + 180
        while text not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.launcher.poll() is None, self.log.read_text()
            time.sleep(0.1)
        return self.log.read_text()

    def ends(self, pids: dict[str, int]) -> int:
        """Return the exit code, once no child is left."""
        code = self.launcher.wait(180)
        deadline = time.monotonic() + 30
        while any(Path(f"/proc/{pid}/cwd").exists() for pid in pids.values()):
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)
        return code


@pytest.fixture
def served(launcher: Launcher) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    # Whoever runs the tests in the background of a script has them ignore SIGINT, and a shell cannot take that back.
    words = ["env", "--default-signal=INT", str(PROJECT / "auditlog"), "serve", "--bind", address]
    log = launcher.state / "serve.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            words, env=launcher.environment, stdout=output, stderr=output, start_new_session=True
        ) as serving,
    ):
        served = Served(serving, f"http://{address}", log)
        try:
            served.says("auditlog answers at")
            yield served
        finally:
            if serving.poll() is None:
                serving.send_signal(signal.SIGTERM)


def fetched(url: str) -> bytes:
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(url, timeout=30) as response:
        body: bytes = response.read()
    return body


@pytest.mark.slow
def test_serve_says_where_it_is_and_what_next_and_ends_cleanly(launcher: Launcher, served: Served) -> None:
    said = served.log.read_text()
    assert f"auditlog answers at {served.url}/admin/\n" in said
    assert f"./auditlog first_admin --url {served.url}\n" in said
    assert "without TLS, for this machine alone" in said
    children = served.children()
    assert environment_of(children["gunicorn"]) == {"DATABASE_URL", "DATABASE_APPROVER_URL"}
    assert environment_of(children["worker"]) == {"DATABASE_URL"}
    assert environment_of(children["beat"]) == {"DATABASE_URL"}
    checks = json.loads(fetched(f"{served.url}/readyz"))["checks"]
    assert set(checks.values()) == {"ok"}
    login = fetched(f"{served.url}/admin/login/").decode()
    (style, *_) = re.findall(r'href="(/static/[^"]+\.css)"', login)
    assert b"color" in fetched(served.url + style)
    link = launcher.run("first_admin", "--url", served.url).stdout.split("\n\n")[1].strip()
    assert "has no password yet" in fetched(link).decode()
    taken = launcher.run("serve", "--bind", served.url.removeprefix("http://"))
    assert taken.returncode == 1
    assert "somebody else listens there already. Choose another" in taken.stderr
    served.launcher.send_signal(signal.SIGTERM)
    assert served.ends(children) == 0
    lines = [json.loads(line) for line in served.log.read_text().splitlines() if line.startswith("{")]
    assert {"request_finished", "Shutting down: Master"} <= {line["event"] for line in lines}
    assert link.rstrip("/").rpartition("/")[2] not in served.log.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gunicorn", "worker", "beat"])
def test_serve_ends_with_all_of_them_if_one_dies(served: Served, kind: str) -> None:
    children = served.children()
    os.kill(children[kind], signal.SIGKILL)
    assert served.ends(children) == 1
    assert "one of web server, worker and beat has ended" in served.log.read_text()


@pytest.mark.slow
def test_ctrl_c_stops_serve_once_and_cleanly(served: Served) -> None:
    children = served.children()
    os.killpg(served.launcher.pid, signal.SIGINT)  # as a terminal sends it
    assert served.ends(children) == 0
    assert "Traceback" not in served.log.read_text()
    assert "Cold shutdown" not in served.log.read_text()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other kernels tell nobody that his parent died")
def test_a_killed_launcher_leaves_nothing_behind(served: Served) -> None:
    children = served.children()
    served.launcher.kill()
    assert served.ends(children) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("words", "secure"),
    [
        ((), "off"),
        (("--bind", "localhost:8001"), "off"),
        (("-b", "[::1]:8001"), "off"),
        (("--bind=127.0.0.1:8001", "--bind", "0.0.0.0:8001"), "on"),
        (("-b0.0.0.0:8001",), "on"),
        (("--bind", ":8001"), "on"),
    ],
)
def test_without_tls_nobody_else_is_served(launcher: Launcher, words: tuple[str, ...], secure: str) -> None:
    # The launcher's own functions, up to where the three would start.
    script = (PROJECT / "auditlog").read_text().rpartition("word=${1:-help}")[0]
    asked = 'require_tls_for_others $(bind_addresses "$@"); need_servers; echo "transport=$SECURE_TRANSPORT"'
    done = subprocess.run(
        ["/bin/sh", "-c", script.replace("$0", str(PROJECT / "auditlog")) + asked, "sh", *words],
        env=launcher.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"transport={secure}\n" in done.stdout
