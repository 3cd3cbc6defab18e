"""`manage.py export`."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import storages
from django.core.management import CommandError, call_command

from activity.models import ActivityLog
from activity.services import record_many
from exports import assembly, making, services
from exports.container import open_container
from exports.manifest import Manifest
from exports.models import Export
from signing.errors import BadTimeStampError
from signing.management import progress
from tests.clusters import PROJECT, Database
from tests.exports.ordering import orders, person
from tests.signing.installation import wait_until

# The command with many small parts, each of which takes a while. Whatever runs the tests may be deaf to Ctrl-C.
_SLOWLY = """
import signal, sys, time, django
signal.signal(signal.SIGINT, signal.default_int_handler)
django.setup()
from django.core.management import execute_from_command_line
from exports import assembly, making, services
services.FEW, services.PART_LEAVES, real = -1, 16, services._make_next_part
def slow(export):
    time.sleep(0.05)
    return real(export)
services._make_next_part = slow
execute_from_command_line(["manage.py", "export", *sys.argv[1:]])
"""


def run(*arguments: Any, stderr: io.StringIO | None = None) -> str:
    out = io.StringIO()
    call_command("export", *map(str, arguments), stdout=out, stderr=stderr or io.StringIO())
    return out.getvalue()


def start(site: Database, *arguments: Any, **kwargs: Any) -> subprocess.Popen[str]:
    """Start it slowly, as a process with a process group of its own, as a shell does."""
    environment = site.environment() | {
        "AUDITLOG_EXPORT_DIR": storages["exports"].location,  # type: ignore[attr-defined] # a directory, in tests
        "AUDITLOG_TRUST_FILE": str(site.anchors / "trust.vkeys"),
        "DJANGO_SETTINGS_MODULE": "auditlog_project.settings",
    }
    command = [sys.executable, "-W", "ignore", "-c", _SLOWLY, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True, **kwargs
    )


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have three parts made, and every line of progress shown."""
    monkeypatch.setattr(services, "FEW", -1)
    monkeypatch.setattr(services, "PART_LEAVES", 256)
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0)
    record_many(orders(600))


def test_it_writes_the_container(olivia: User, tmp_path: Path) -> None:
    record_many(orders(6))
    told = run(
        "activity", "--as", "olivia", "--purpose", "audit", "--format", "csv", "--filter", "actor=actor-1", "--to",
        tmp_path,
    )  # fmt: skip
    export = Export.objects.get()
    path = tmp_path / f"auditlog-export-{export.pk}.asice"
    assert told == f"{path}\n2 entries (2 valid)\nSHA-256 {export.file_sha256}\n"
    with path.open("rb") as file:
        claim = Manifest.from_json(open_container(file).read("manifest.json")).claim
    assert claim.purpose.startswith("audit (by command, ")


def test_it_takes_entries_one_by_one(olivia: User, tmp_path: Path) -> None:
    leaves = [receipt.leaf_index for receipt in record_many(orders(4))]
    named = f"leaf_indexes={leaves[0]},{leaves[3]}"
    told = run("activity", "--as", "olivia", "--purpose", "audit", "--filter", named, "--to", tmp_path)
    assert "\n2 entries (2 valid)\n" in told


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--as", "nobody"], "no open account nobody"),
        (["--as", "kim"], "kim has no export key"),
        (["--as", "olivia", "--filter", "actor"], "NAME=TEXT"),
        (["--as", "olivia", "--filter", "ip=x"], "ip must be"),
        (["--as", "olivia", "--filter", "leaf_indexes=0,900,901"], "no leaf 900: .*no leaf 901: "),
        (["--as", "olivia", "--filter", "limit=10"], "limit is for a page of the log"),
        (["--as", "olivia", "--purpose", " "], "needs a purpose"),
        (["--as", "olivia", "--to", "/nonexistent"], "is no directory"),
    ],
)
def test_it_says_what_is_wrong(site: Database, olivia: User, arguments: list[str], why: str) -> None:
    person("kim", has_key=False)
    with pytest.raises(CommandError, match=why):
        run("activity", "--purpose", "audit", *arguments)
    assert not Export.objects.exists()


def test_it_says_on_standard_error_how_far_it_is(olivia: User, in_parts: None, tmp_path: Path) -> None:
    errors = io.StringIO()
    told = run("activity", "--as", "olivia", "--purpose", "audit", "--to", tmp_path, stderr=errors)
    size = Export.objects.get().size
    first, second, joining = errors.getvalue().splitlines()
    far = r"{} % of {} leaves: {} entries, [\d,]+ a second, about \d:\d\d:\d\d left"
    assert re.fullmatch(far.format(100 * 256 // size, size, 256), first)
    assert re.fullmatch(far.format(100 * 512 // size, size, 512), second)
    assert joining == "All entries are read; the files are joined and signed"
    assert len(told.splitlines()) == 3


def test_while_a_time_stamp_is_waited_for_nothing_is_said_to_be_signed(
    olivia: User, in_parts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = assembly.assemble, []

    def late(*args: Any, **kwargs: Any) -> Any:
        asked.append(args)
        if len(asked) == 1:
            raise BadTimeStampError("the authority does not answer")
        return real(*args, **kwargs)

    def pass_the_wait(_seconds: float) -> None:
        Export.objects.update(next_attempt_at=None)

    monkeypatch.setattr(services, "assemble", late)
    monkeypatch.setattr("exports.management.commands.export.time.sleep", pass_the_wait)
    errors = io.StringIO()
    run("activity", "--as", "olivia", "--purpose", "audit", "--to", tmp_path, stderr=errors)
    told = errors.getvalue().splitlines()
    assert told[2:] == [
        "All entries are read; the files are joined and signed",
        "the authority does not answer; it is asked again until it answers (Ctrl-C cancels the export)",
    ]


@pytest.mark.parametrize(
    ("form", "last"),
    [
        ("csv", r"\d+ % of [\d,]+ leaves: [\d,]+ entries, [\d,]+ a second, about [\d:]+ left"),
        ("pdf", "All entries are read; the files are joined and signed"),
    ],
    ids=["while entries are read", "while pages are made by other processes"],
)
def test_ctrl_c_cancels_the_export_and_progress_is_one_line_on_a_terminal(
    site: Database, olivia: User, tmp_path: Path, form: str, last: str
) -> None:
    record_many(orders(16 * 40))
    terminal, end = pty.openpty()
    arguments = ("activity", "--as", "olivia", "--purpose", "audit", "--format", form, "--to", tmp_path)
    running = start(site, *arguments, stderr=end)
    os.close(end)
    shown = ""
    while not re.search(f"\r{last}", shown):
        shown += os.read(terminal, 1000).decode()
    time.sleep(0.5)
    os.killpg(running.pid, signal.SIGINT)  # a terminal sends it to the whole group
    output, _ = running.communicate(timeout=60)
    shown += "".join(_rest(terminal))
    assert (running.returncode, output) == (130, ""), shown
    export = Export.objects.get()
    told = (
        f"\r\x1b[KCommandError: Stopped: export {export.pk} is cancelled, nothing of it is kept and no file is written."
    )
    assert re.sub(r"\x1b\[[\d;]*m", "", shown).split(last)[-1].endswith(f"{told}\r\n"), shown
    assert "Traceback" not in shown
    assert export.state == Export.State.CANCELLED
    assert ActivityLog.objects.filter(type="auditlog.export.cancelled", target=str(export.pk)).count() == 1
    assert not list(tmp_path.glob("*.asice"))


def _rest(terminal: int) -> Iterator[str]:
    with os.fdopen(terminal, "rb", buffering=0) as shown:
        try:
            while piece := shown.read(1000):
                yield piece.decode()
        except OSError:  # Linux's end of a terminal
            return


def test_ctrl_c_that_comes_in_a_finaliser_is_not_lost(
    olivia: User, in_parts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = making.make_part, []

    def interrupted(*args: Any) -> Any:
        calls.append(args)
        with suppress(KeyboardInterrupt):  # as Python does with what is raised in a finaliser
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args)

    monkeypatch.setattr(services, "make_part", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(CommandError, match="is cancelled") as stopped:
            run("activity", "--as", "olivia", "--purpose", "audit", "--to", tmp_path)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert (stopped.value.returncode, len(calls)) == (130, 1)
    assert Export.objects.get().state == Export.State.CANCELLED


def test_a_command_that_is_killed_leaves_the_export_under_way(site: Database, olivia: User, tmp_path: Path) -> None:
    record_many(orders(16 * 60))
    arguments = ("activity", "--as", "olivia", "--purpose", "audit", "--to", tmp_path)
    running = start(site, *arguments, stderr=subprocess.DEVNULL)
    wait_until(lambda: Export.objects.filter(parts__done_at__isnull=False).exists())
    running.send_signal(signal.SIGHUP)
    running.communicate(timeout=60)
    export = Export.objects.get()
    assert export.state == Export.State.RUNNING
    services.work(export=export.pk)
    export.refresh_from_db()
    assert export.state == Export.State.READY


def test_ctrl_c_while_the_file_is_written_leaves_no_half_of_it(
    olivia: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_many(orders(2))
    real = services.download

    def interrupted(**kwargs: Any) -> Any:
        taken = real(**kwargs)

        def pieces() -> Iterator[bytes]:
            yield next(iter(taken.pieces))
            raise KeyboardInterrupt

        return replace(taken, pieces=pieces())

    monkeypatch.setattr(services, "download", interrupted)
    with pytest.raises(CommandError, match="was ready already, and olivia finds it under Exports") as stopped:
        run("activity", "--as", "olivia", "--purpose", "audit", "--to", tmp_path)
    assert stopped.value.returncode == 130
    assert not list(tmp_path.glob("*.asice"))
    assert Export.objects.get().state == Export.State.READY
