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


@pytest.mark.slow
def test_no_answer_reaches_a_client_without_its_record(fresh_database: Database, tmp_path: Path) -> None:
    record_many([EVENT] * 20)
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
    environment = fresh_database.environment("default", "approver")
    with WebServer(environment, tmp_path / "gunicorn.log", "--workers", "2") as server:
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
    kept = set(MetaLog.objects.filter(action="search", status=200).values_list("request_id", flat=True))
    assert killed > 0
    assert answered
    assert answered <= kept
    sign_checkpoint(ledger_named("meta"), force_anchor=True)  # as the next beat would
    pinned = trust.parse((fresh_database.anchors / "trust.vkeys").read_text())
    reports = verify(
        [ledger_named("meta")], pinned=pinned, anchored=anchors.read_all(fresh_database.anchors), since_last=False
    )
    assert {report.outcome for report in reports} == {"valid"}
    assert Ledger.objects.filter(name="meta").exists()
