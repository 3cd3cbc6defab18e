"""`ingest` as a user runs it: real files, bad files, interruptions, and running it again."""

import gzip
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test import override_settings

from activity.models import ActivityLog
from signing.ledger import open_ledger
from tests.clusters import Database

PROJECT = Path(__file__).resolve().parents[2]
REAL_DATA = PROJECT.parent / "shared" / "data"
CLOUDTRAIL = REAL_DATA / "cloudtrail_s3_exfiltration.jsonl"
WINDOWS = REAL_DATA / "windows_security_auditpol.jsonl.gz"

pytestmark = pytest.mark.usefixtures("fresh_database")


def ingest(file: Path | str, *arguments: str) -> str:
    output = io.StringIO()
    call_command("ingest", str(file), *arguments, stdout=output, stderr=io.StringIO())
    return output.getvalue()


def refusal(file: Path | str, *arguments: str) -> str:
    with pytest.raises(CommandError) as error:
        ingest(file, *arguments)
    assert error.value.returncode == 1
    return str(error.value)


def own(number: int, **changes: object) -> bytes:
    event = {
        "type": "auth.login",
        "action": "login",
        "actor": "ada",
        "occurred_at": "2026-11-23T05:40:00Z",
        "source": "shop",
        "data": {"number": number},
    }
    return json.dumps(event | changes).encode() + b"\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write_file(raw: bytes) -> Path:
        path = tmp_path / "events.jsonl"
        path.write_bytes(raw)
        return path

    return write_file


def recorded(source: str = "shop") -> list[Any]:
    return list(ActivityLog.objects.filter(source=source).order_by("leaf_index"))


def data_of(entry: Any) -> Any:
    return json.loads(bytes(entry.detached_data or b"") or json.dumps(json.loads(bytes(entry.record))["data"]))


def test_the_real_cloudtrail_file_is_recorded_whole_and_in_order() -> None:
    output = ingest(CLOUDTRAIL)
    entries = recorded("aws/123456789123/us-east-1")
    assert [data_of(entry) for entry in entries] == [json.loads(line) for line in CLOUDTRAIL.read_bytes().splitlines()]
    assert "(cloudtrail) → ledger activity" in output
    assert re.search(r"recorded +103 ", output)
    assert "auditlog.test/activity\n" in output.partition("checkpoint:\n")[2]


@pytest.mark.slow
def test_the_real_windows_file_is_recorded_whole_and_running_again_records_nothing() -> None:
    output = ingest(WINDOWS)
    assert "(windows) → ledger activity" in output
    assert re.search(r"recorded +13,645 .*\n +already there +0\n", output)
    assert ActivityLog.objects.filter(source="pedro-computer").count() == 13_645
    assert ActivityLog.objects.filter(type="windows.security.4625", outcome="failure", ip="::1").count() == 1
    again = ingest(WINDOWS)
    assert re.search(r"recorded +0 .*\n +already there +13,645\n", again)
    assert ActivityLog.objects.filter(source="pedro-computer").count() == 13_645


def test_the_signed_entries_are_counted(write: Callable[[bytes], Path]) -> None:
    output = ingest(write(own(1) + own(2)))
    signed = sum(entry.key_id is not None for entry in recorded())
    assert f"of these signed {signed:,}" in output


def test_gzip_standard_input_and_cloudtrails_own_form_are_read(
    monkeypatch: pytest.MonkeyPatch, write: Callable[[bytes], Path]
) -> None:
    events = [json.loads(line) for line in CLOUDTRAIL.read_bytes().splitlines()]
    raw = gzip.compress(json.dumps({"Records": events}).encode())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(raw))))
    ingest("-")
    assert re.search(r"recorded +0 .*\n +already there +103\n", ingest(write(CLOUDTRAIL.read_bytes())))


def test_a_mapping_by_options_is_followed(write: Callable[[bytes], Path]) -> None:
    line = b'{"event": {"kind": "User Login"}, "who": "ada", "ts": 1793000000, "big": 18446744073709551615}\n'
    options = ["--map", "type=event.kind", "--map", "actor=who", "--source", "shop", "--default", "severity=notice"]
    ingest(write(line * 3), *options)
    assert [(entry.type, entry.actor, entry.severity) for entry in recorded()] == [("user-login", "ada", "notice")] * 3
    assert data_of(recorded()[0]) == json.loads(line)


@pytest.mark.parametrize("size", [65_536, 1024 * 1024])
def test_large_data_is_taken_and_comes_back_equal(write: Callable[[bytes], Path], size: int) -> None:
    data = {"text": "x" * (size - len('{"text":""}'))}
    ingest(write(own(1, data=data)))
    assert data_of(recorded()[0]) == data
    assert len(bytes(recorded()[0].detached_data)) == size


def test_numbers_and_texts_come_back_as_they_were_sent(write: Callable[[bytes], Path]) -> None:
    data = rb'{"a":[9007199254740993,9223372036854775808,0.1,1e16,-0.0,1,1.0],"nul":"a\u0000b","\ud83d\ude00":true}'
    ingest(write(own(1, data="DATA").replace(b'"DATA"', data)))
    came_back = data_of(recorded()[0])
    assert {key: repr(value) for key, value in came_back.items()} == {
        "a": "[9007199254740993, 9223372036854775808, 0.1, 1e+16, -0.0, 1, 1.0]",
        "nul": repr("a\0b"),
        "😀": "True",
    }


BAD_LINES = [
    pytest.param(b'{"n": NaN}', '$.data.n: "NaN" is not JSON', id="NaN"),
    pytest.param(b'{"n": 1e400}', "$.data.n: the number is too large", id="1e400"),
    pytest.param(b'{"n": 1180591620717411303424}', "$.data.n: an integer beyond 64 bits", id="2^70"),
    pytest.param(rb'{"u": "\ud800"}', "$.data.u: the string holds an unpaired surrogate", id="surrogate"),
    pytest.param(b'{"k": 1, "k": 2}', "$.data.k: the key stands twice", id="duplicate key"),
    pytest.param(b'{"u": "\xff"}', "$.data.u: not UTF-8", id="not UTF-8"),
    pytest.param(b'{"_sd": []}', "this key is reserved", id="reserved key"),
    pytest.param(b'{"a":' * 32 + b"{}" + b"}" * 32, "nesting deeper than", id="33 levels"),
    pytest.param(b"[" * 100_000, "nesting deeper than", id="100,000 levels"),
    pytest.param(
        b'{"x": "' + b"x" * 1024 * 1024 + b'"}', "$.data: 1,048,584 bytes; at most 1,048,576", id="over 1 MiB"
    ),
    pytest.param(b"[]", "$.data: must be an object", id="data is an array"),
    pytest.param(b"{", "$: a comma or } is expected", id="a brace too few"),
]


@pytest.mark.parametrize(("data", "reason"), BAD_LINES)
def test_bad_data_stops_with_line_path_and_reason_and_the_batches_before_stay(
    write: Callable[[bytes], Path], data: bytes, reason: str
) -> None:
    lines = [own(number) for number in range(1, 10)]
    ingest(write(b"".join(lines)), "--dry-run")
    assert recorded() == []
    lines[6] = own(7, data="DATA").replace(b'"DATA"', data)
    message = refusal(write(b"".join(lines)), "--batch", "3")
    assert message.startswith("line 7, $")
    assert reason in message
    assert "Lines 1 to 6 are recorded; fix line 7 and run the same command again" in message
    assert [data_of(entry)["number"] for entry in recorded()] == [1, 2, 3, 4, 5, 6]
    lines[6] = own(7)
    output = ingest(write(b"".join(lines)), "--batch", "3")
    assert re.search(r"recorded +3 .*\n +already there +6\n", output)
    assert [data_of(entry)["number"] for entry in recorded()] == list(range(1, 10))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"occurred_at": "23.11.2026"}, "line 2, $.occurred_at: not an RFC 3339 time"),
        ({"occurred_at": "2026-02-30T00:00:00Z"}, "line 2, $.occurred_at: no such moment"),
        ({"occurred_at": "2026-11-23T05:40:00"}, "line 2, $.occurred_at: not an RFC 3339 time"),
        ({"actor": 7}, "line 2, $.actor: must be a string, not a number"),
        ({"colour": "red"}, "line 2, $.colour: unknown member"),
        ({"outcome": "good"}, "line 2, $.outcome: must be one of success, failure, denied, unknown"),
        ({"severity": "LOUD"}, "line 2, $.severity: must be one of"),
        ({"ip": "300.1.1.1"}, "line 2, $.ip: "),
        ({"type": "Auth Login"}, "line 2, $.type: must be lower-case words"),
        ({"type": "auditlog.lock.created"}, "line 2, $.type: types auditlog.* are written by this application alone"),
        ({"actor": ""}, "line 2, $.actor: must not be empty"),
    ],
)
def test_a_bad_field_is_named_and_nothing_of_its_batch_is_recorded(
    write: Callable[[bytes], Path], changes: dict[str, object], reason: str
) -> None:
    message = refusal(write(own(1) + own(2, **changes) + own(3)))
    assert reason in message
    assert "Nothing is recorded yet; fix line 2" in message
    assert recorded() == []


def test_every_fault_of_a_batch_is_named_up_to_ten(write: Callable[[bytes], Path]) -> None:
    message = refusal(write(b"".join(own(number, outcome="good") for number in range(30))))
    assert message.count("$.outcome") == 10
    assert "and 20 faults more in this batch" in message


def test_a_fault_of_a_foreign_event_is_named_where_it_stands_in_the_file(write: Callable[[bytes], Path]) -> None:
    lines = CLOUDTRAIL.read_bytes().splitlines()[:2]
    bad = lines[1].replace(b'"eventVersion"', b'"...":1,"eventVersion"')
    assert "line 2, $['...']: this key is reserved" in refusal(write(lines[0] + b"\n" + bad))


def test_a_line_over_two_mebibytes_is_refused(write: Callable[[bytes], Path]) -> None:
    message = refusal(write(own(1) + own(2, data={"x": "x" * 2 * 1024 * 1024})), "--batch", "1")
    assert message.startswith("line 2: longer than 2,097,152 bytes")
    assert "Lines 1 to 1 are recorded" in message


def test_truncated_gzip_keeps_what_came_before_and_the_whole_file_completes_it(write: Callable[[bytes], Path]) -> None:
    raw = b"".join(own(number, target=os.urandom(20).hex()) for number in range(2000))
    whole = gzip.compress(raw)
    message = refusal(write(whole[: len(whole) // 2]), "--batch", "100")
    assert "the gzip data breaks off" in message
    kept = len(recorded())
    assert kept >= 500
    assert f"Lines 1 to {kept:,} are recorded; run the same command again with the whole file" in message
    assert re.search(rf"recorded +{2000 - kept:,} .*\n +already there +{kept:,}\n", ingest(write(whole)))
    assert len(recorded()) == 2000


def test_an_event_id_that_was_used_for_other_content_is_a_conflict(write: Callable[[bytes], Path]) -> None:
    ingest(write(own(1, event_id="a")))
    message = refusal(write(own(2, event_id="a")))
    assert message.startswith("line 1, $.event_id:")
    assert "recorded before with other content" in message
    assert [data_of(entry)["number"] for entry in recorded()] == [1]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--ledger", "payroll"], "there is no ledger 'payroll'; there are:"),
        (["--ledger", "keys"], "the ledger 'keys' is written by the application alone"),
        (["--map", "colour=x"], "'colour' is not one of our fields"),
        (["--map", "actor=x", "--format", "windows"], "are for --format generic"),
        (["--batch", "0"], "--batch must be at least 1"),
        (["--format", "windows"], "line 1, $.Channel: is missing"),
    ],
)
def test_a_wrong_option_is_refused_in_plain_words(
    write: Callable[[bytes], Path], arguments: list[str], reason: str
) -> None:
    assert reason in refusal(write(own(1)), *arguments)
    assert recorded() == []


def test_a_file_that_is_not_there_or_shows_no_format_is_refused(write: Callable[[bytes], Path]) -> None:
    assert "No such file or directory" in refusal("/nonexistent/events.jsonl")
    assert "Is a directory" in refusal(str(PROJECT))
    assert "line 1, $: the event does not show its format" in refusal(write(b'{"hello": "world"}\n'))


def test_an_empty_file_is_fine(write: Callable[[bytes], Path]) -> None:
    assert re.search(r"\(no events\).*\n +recorded +0 ", ingest(write(b"\n\n")))


def test_an_unknown_type_is_refused_where_the_settings_say_so(write: Callable[[bytes], Path]) -> None:
    file = write(own(1, type="unheard.of"))
    ingest(file)
    with override_settings(AUDITLOG_UNKNOWN_TYPES="refuse"):
        message = refusal(write(own(2, type="unheard.of")))
    assert "line 1, $.type" in message


def test_a_dry_run_names_every_bad_line_and_records_nothing(write: Callable[[bytes], Path]) -> None:
    errors = io.StringIO()
    file = write(own(1) + b"{\n" + own(3, outcome="good") + own(4))
    with pytest.raises(CommandError, match="2 events are good, 2 faults were found; nothing was recorded"):
        call_command("ingest", str(file), "--dry-run", stdout=io.StringIO(), stderr=errors)
    assert "line 2, $" in errors.getvalue()
    assert "line 3, $.outcome" in errors.getvalue()
    assert recorded() == []
    assert "all 103 events are good" in ingest(CLOUDTRAIL, "--dry-run")


def start(database: Database, *arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "ingest", *arguments],
        cwd=PROJECT,
        env=database.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def wait_for_entries(running: subprocess.Popen[str], count: int, *, source: str = "pedro-computer") -> None:
    deadline = time.monotonic() + 60
    while ActivityLog.objects.filter(source=source).count() < count:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_after_kill_9_running_again_completes_the_file_without_duplicates(fresh_database: Database) -> None:
    running = start(fresh_database, str(WINDOWS), "--batch", "200")
    wait_for_entries(running, 2000)
    running.kill()
    running.communicate()
    before = ActivityLog.objects.filter(source="pedro-computer").count()
    assert 2000 <= before < 13_645
    assert before % 200 == 0, "a batch is all or nothing"
    output = ingest(WINDOWS)
    assert re.search(rf"recorded +{13_645 - before:,} .*\n +already there +{before:,}\n", output)
    entries = ActivityLog.objects.filter(source="pedro-computer").order_by("leaf_index")
    assert entries.count() == len(set(entries.values_list("event_id", flat=True))) == 13_645
    with gzip.open(WINDOWS) as lines:
        assert all(data_of(entry) == json.loads(line) for entry, line in zip(entries, lines, strict=True))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_ingest_stops_after_its_batch_and_says_how_to_go_on(
    fresh_database: Database, number: signal.Signals
) -> None:
    running = start(fresh_database, str(WINDOWS), "--batch", "200")
    wait_for_entries(running, 200)
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    count = ActivityLog.objects.filter(source="pedro-computer").count()
    assert f"Lines 1 to {count:,} are recorded; run the same command again" in errors
    assert "Traceback" not in errors
    assert re.search(rf"already there +{count:,}\n", ingest(WINDOWS))


def test_an_ingest_that_waits_for_its_input_stops_at_once(fresh_database: Database) -> None:
    running = start(fresh_database, "-", "--batch", "2")
    assert running.stdin is not None
    running.stdin.write((own(1) + own(2) + own(3)).decode())
    running.stdin.flush()
    wait_for_entries(running, 2, source="shop")
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert "Lines 1 to 2 are recorded; run the same command again with the whole file" in errors


def test_a_lost_database_is_reported_with_how_to_go_on(fresh_database: Database) -> None:
    running = start(fresh_database, str(WINDOWS), "--batch", "200")
    wait_for_entries(running, 400)
    ours = connection.connection.info.backend_pid
    fresh_database.superuser().execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'auditlog_app' AND datname = %s"
        " AND pid <> %s",
        (fresh_database.name, ours),
    )
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 1, errors
    assert "run the same command again with the whole file: nothing is recorded twice" in errors
    assert "Traceback" not in errors
    assert ActivityLog.objects.filter(source="pedro-computer").count() % 200 == 0


def test_progress_is_one_changing_line_on_a_terminal(fresh_database: Database) -> None:
    terminal, end = pty.openpty()
    running = start(fresh_database, str(WINDOWS), "--batch", "200", stderr=end)
    os.close(end)
    shown = ""
    while "/s, line " not in shown:
        shown += os.read(terminal, 1000).decode()
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=60)
    os.close(terminal)
    assert re.search(r"\r[\d,]+ events, [\d,]+/s, line [\d,]+", shown)


def test_events_go_into_the_ledger_that_is_named(write: Callable[[bytes], Path]) -> None:
    open_ledger("shop", "auditlog.test/shop", "activity")
    output = ingest(write(own(1) + own(2)), "--ledger", "shop")
    assert [(entry.ledger.name, entry.leaf_index) for entry in recorded()] == [("shop", 0), ("shop", 1)]
    assert "checkpoint:\nauditlog.test/shop\n2\n" in output


def test_help_teaches_by_examples(fresh_database: Database) -> None:
    running = start(fresh_database, "--help")
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "zcat AWSLogs" in output
    assert "run it again" in output
