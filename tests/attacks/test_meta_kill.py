"""kill -9 of web workers at random: every answer that reached a client has its record, and the ledger is whole."""

from __future__ import annotations

import http.client
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from http import HTTPStatus
from pathlib import Path

import pytest

from activity import authority
from activity.services import record_many
from activity.watch import verify
from metaaudit.models import MetaLog
from signing import anchors, trust
from signing.ledger import sign_checkpoint
from signing.models import Ledger
from signing.queries import ledger_named
from tests.clusters import Database
from tests.metaaudit.conftest import EVENT
from tests.served import WebServer

REQUESTS, READERS = 200, 4


def workers_of(server: WebServer) -> list[int]:
    assert server._process is not None
    found = subprocess.run(["pgrep", "-P", str(server._process.pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def ask(server: WebServer, key: str, numbers: Iterator[int], answered: set[str]) -> None:
    """Ask until the numbers are used up; note what came back whole."""
    for number in numbers:
        name = f"request-{number:05}"
        headers = {"Authorization": f"Api-Key {key}", "X-Request-ID": name}
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        with suppress(OSError, http.client.HTTPException), closing(connection):
            connection.request("GET", "/api/v1/logs?type=shop.order", headers=headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == HTTPStatus.OK:
                answered.add(name)


def answered_between_kills(database: Database, log: Path, *options: str) -> set[str]:
    """Ask 200 times while web workers are killed, and return the names of the requests whose answers came back whole."""
    _, key = authority.create_api_key(
        name="reader", scopes=["logs:read"], ledger="activity", source="shop", by="ada", reason="test"
    )
    answered: set[str] = set()
    lock, numbers = threading.Lock(), iter(range(REQUESTS))

    def next_numbers() -> Iterator[int]:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            yield number

    chance = random.Random(4711)
    environment = database.environment("default", "approver")
    with WebServer(environment, log, "--workers", "2", *options) as server:
        readers = [threading.Thread(target=ask, args=(server, key, next_numbers(), answered)) for _ in range(READERS)]
        for reader in readers:
            reader.start()
        killed, mark = 0, 0
        while any(reader.is_alive() for reader in readers):
            time.sleep(0.01)
            # By what was answered and not by the clock: on a busy machine a new worker takes its time.
            if len(answered) >= mark and (workers := workers_of(server)):
                mark = len(answered) + chance.randint(10, 30)
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(workers), signal.SIGKILL)
                    killed += 1
        for reader in readers:
            reader.join()
    assert killed > 0
    assert answered
    return answered


def without_record(answered: set[str]) -> set[str]:
    """Return the requests whose answers reached a client although no record tells of them."""
    return answered - set(MetaLog.objects.filter(action="search", status=200).values_list("request_id", flat=True))


@pytest.mark.slow
def test_no_answer_reaches_a_client_without_its_record(fresh_database: Database, tmp_path: Path) -> None:
    record_many([EVENT] * 20)
    assert without_record(answered_between_kills(fresh_database, tmp_path / "gunicorn.log")) == set()
    sign_checkpoint(ledger_named("meta"), force_anchor=True)  # as the next beat would
    pinned = trust.parse((fresh_database.anchors / "trust.vkeys").read_text())
    reports = verify(
        [ledger_named("meta")], pinned=pinned, anchored=anchors.read_all(fresh_database.anchors), since_last=False
    )
    assert {report.outcome for report in reports} == {"valid"}
    assert Ledger.objects.filter(name="meta").exists()


@pytest.mark.slow
def test_a_server_that_records_after_its_answers_is_found_out(fresh_database: Database, tmp_path: Path) -> None:
    """The positive control: the same requests, kills and check, and a server that breaks the rule."""
    record_many([EVENT] * 20)
    answered = answered_between_kills(
        fresh_database, tmp_path / "gunicorn.log", "tests.attacks.recording_late:application"
    )
    unrecorded = without_record(answered)
    assert unrecorded, f"each of {len(answered)} answers has its record"
    assert unrecorded < answered, "this server records, only too late"
