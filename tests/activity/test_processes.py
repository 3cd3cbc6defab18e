"""Several processes verify as one does; one that is killed is an error and never a verdict."""

import os
import select
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from activity import verification
from activity.processes import in_order
from activity.report import Report
from activity.services import record_many
from activity.verification import LedgerCheck
from signing import anchors
from signing.queries import ledger_named
from signing.verdicts import Verdict
from tests.clusters import Database
from tests.signing.installation import anchor_all, event, trusted, unguarded


@pytest.fixture
def chunks_of_a_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "CHUNK", 256)


def report_of(processes: int) -> Report:
    check = LedgerCheck(
        ledger_named("activity"), trusted(), anchors.read_all(Path(settings.AUDITLOG_ANCHOR_DIR)), last=None
    )
    assert list(check.run(processes=processes))[-1] == check.report.size
    return check.report


@pytest.mark.usefixtures("chunks_of_a_tile")
def test_several_processes_report_what_one_does(fresh_database: Database) -> None:
    types = ("test.event", "windows.sysmon.1")
    first = record_many([event(number, type_name=types[number % 2]) for number in range(1_030)])[0].leaf_index
    anchor_all()
    clean = report_of(3)
    assert clean.outcome == Verdict.VALID
    assert clean.as_json() == report_of(1).as_json()
    with unguarded(fresh_database, "activity_logs") as owner:
        owner.execute(f"UPDATE activity_logs SET actor = 'eve' WHERE leaf_index IN ({first + 3}, {first + 700})")
        owner.execute(f"DELETE FROM activity_logs WHERE leaf_index = {first + 400}")
    found = report_of(3)
    assert [finding.leaf_index for finding in found.findings] == [first + 3, first + 400, first + 700]
    assert found.first_bad_leaf == first + 3
    assert found.as_json() == report_of(1).as_json()


@pytest.mark.usefixtures("fresh_database")
def test_results_come_in_order_and_the_parents_connection_stays() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        mine = cursor.fetchone()
    asked = list(in_order(_backend, range(20), processes=3))
    assert [item for item, _ in asked] == list(range(20))
    assert mine not in [backend for _, backend in asked]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        assert cursor.fetchone() == mine


def test_a_killed_process_is_an_error() -> None:
    with pytest.raises(BrokenProcessPool):
        list(in_order(lambda _: os.kill(os.getpid(), signal.SIGKILL), range(20), processes=2))


def test_none_outlives_whoever_forked_it() -> None:
    reader, writer = os.pipe()
    parent = os.fork()
    if parent == 0:
        list(in_order(lambda _: time.sleep(3600 * os.write(writer, b".")), range(8), processes=2))
    os.close(writer)
    assert os.read(reader, 1) + os.read(reader, 1) == b".."
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    ended, _, _ = select.select([reader], [], [], 30)
    assert ended, "somebody still holds the other end"
    assert os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.usefixtures("fresh_database", "chunks_of_a_tile")
def test_verify_says_what_to_do_when_one_was_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    record_many([event(number) for number in range(1_030)])
    parent = os.getpid()
    whole = LedgerCheck.rows
    monkeypatch.setattr(
        LedgerCheck,
        "rows",
        lambda *place: os.kill(os.getpid(), signal.SIGKILL) if os.getpid() != parent else whole(*place),
    )
    with pytest.raises(CommandError, match="--processes 1 needs the least") as refused:
        call_command("verify", processes=2, stdout=StringIO())
    assert refused.value.returncode == 2


@pytest.mark.parametrize("number", ["0", "65", "two"])
def test_a_number_of_processes_is_a_sensible_one(number: str) -> None:
    with pytest.raises(CommandError, match="a number from 1 to 64"):
        call_command("verify", f"--processes={number}")


def _backend(item: int) -> tuple[int, tuple[int]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return item, cursor.fetchone()
