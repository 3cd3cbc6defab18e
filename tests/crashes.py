"""The whole application, each part of which can be killed and started again while writers go on writing.

A writer sends events with an `event_id` until the server acknowledges them, as often as it takes. What it was
promised is compared with what the database holds in the end: `Broken` is empty if every promise was kept.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psycopg
import redis
from celery import Celery
from kombu.exceptions import OperationalError

from auditlog_project.embedded.postgres import PostgresServer
from auditlog_project.embedded.valkey import ValkeyServer
from auditlog_project.environment_values import celery_url
from tests.clusters import PROJECT, Database
from tests.served import WebServer

SOURCE = "crash"
_PATIENCE = 120  # seconds
_WORKER = "from celery.__main__ import main; main()"
_OPTIONS = ("--concurrency", "1", "--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "ERROR")


class Site:
    """Web, worker, broker and database. Leaving the context ends web and worker."""

    victims = ("web", "worker", "database", "broker")

    def __init__(self, database: Database, valkey: ValkeyServer, directory: Path) -> None:
        self.database = database
        self.postgres: PostgresServer = database.cluster.server
        self.valkey = valkey
        serving = {"REDIS_URL": valkey.url}
        self.web = WebServer(database.environment("default", "approver") | serving, directory / "web.log")
        self._worker_environment = database.environment() | serving
        self._worker_log = directory / "worker.log"
        self._worker: subprocess.Popen[bytes] | None = None
        self._tasks = Celery(broker=celery_url(valkey.url), set_as_current=False)

    def __enter__(self) -> Self:
        self.web.start()
        self._start_worker()
        self.web.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.web.end(signal.SIGKILL)
        self._kill_worker()
        self._tasks.close()

    def kill(self, victim: str) -> None:
        """Kill every process of a part with SIGKILL."""
        {
            "web": self._kill_web,
            "worker": self._kill_worker,
            "database": self._kill_database,
            "broker": self._kill_broker,
        }[victim]()

    def start(self, victim: str) -> None:
        """Start a part again; it need not answer yet."""
        {
            "web": self.web.start,
            "worker": self._start_worker,
            "database": self.postgres.start,
            "broker": self.valkey.start,
        }[victim]()

    def send_tasks(self) -> None:
        """Give the worker something to do that writes beside the writers, if the broker is there."""
        for name in ("signing.anchor_ledgers", "activity.verify_recent"):
            with suppress(OperationalError, OSError):
                self._tasks.send_task(name, retry=False)

    def _kill_web(self) -> None:
        self.web.end(signal.SIGKILL)

    def _start_worker(self) -> None:
        with self._worker_log.open("ab") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", _WORKER, "-A", "auditlog_project", "worker", *_OPTIONS],
                cwd=PROJECT,
                env=self._worker_environment,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def _kill_worker(self) -> None:
        if self._worker is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._worker.pid, signal.SIGKILL)
            self._worker.wait(_PATIENCE)

    def _kill_database(self) -> None:
        # All at once: what a server still has in its memory is gone.
        for pid in self._database_processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _database_processes(self) -> list[int]:
        data = self.database.cluster.state / "server" / "postgres" / "data"
        found = []
        for link in Path("/proc").glob("[0-9]*/cwd"):
            with suppress(OSError):
                if link.readlink() == data:
                    found.append(int(link.parent.name))
        return found

    def _kill_broker(self) -> None:
        with redis.Redis.from_url(self.valkey.url) as client:
            pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class Promise:
    """What the server acknowledged."""

    event_id: str
    run: int
    receipt: dict[str, Any]


class Writers:
    """Threads that write until they are stopped."""

    def __init__(self, port: int, key: str, seed: int, count: int = 3) -> None:
        self.promises: list[Promise] = []
        self.refusals: list[str] = []
        self.run = 0
        self.setbacks: deque[str] = deque(maxlen=10)
        self._port = port
        self._headers = {"Authorization": f"Api-Key {key}", "Content-Type": "application/json"}
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._acknowledged: Counter[int] = Counter()
        self._threads = [
            threading.Thread(target=self._write, args=(number, random.Random(f"{seed}/{number}")))
            for number in range(count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def wait_until_each_wrote(self) -> None:
        """Return when every writer was acknowledged something that it began to send after this call."""
        before = dict(self._acknowledged)
        deadline = time.monotonic() + _PATIENCE
        # The first may have been on its way already.
        while any(self._acknowledged[number] < before.get(number, 0) + 2 for number in range(len(self._threads))):
            assert time.monotonic() < deadline, f"writing does not go on: {list(self.setbacks)}"
            assert not self.refusals, self.refusals
            time.sleep(0.02)

    def _write(self, number: int, chance: random.Random) -> None:
        for batch in range(1_000_000):
            events = [_event(f"{number}-{batch}-{place}") for place in range(chance.choice((1, 1, 1, 5)))]
            receipts = self._acknowledge(events)
            if receipts is None:
                return
            with self._lock:
                self.promises += [
                    Promise(event["event_id"], self.run, receipt)
                    for event, receipt in zip(events, receipts, strict=True)
                ]
                self._acknowledged[number] += 1

    def _acknowledge(self, events: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
        """Send until there is an answer, and return the receipts; None once writing is to stop."""
        body = json.dumps(events).encode()
        while not self._stopped.is_set():
            try:
                status, answer = self._post(body)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.setbacks.append(repr(error))
            else:
                if status in {200, 201}:
                    receipts: list[dict[str, Any]] = answer["receipts"]
                    return receipts
                (self.setbacks if status >= 500 else self.refusals).append(f"{status} {answer}")
            time.sleep(0.05)
        return None

    def _post(self, body: bytes) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        with closing(connection):
            connection.request("POST", "/api/v1/logs", body, self._headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())


def _event(event_id: str) -> dict[str, Any]:
    return {
        "type": "crash.test",
        "action": "write",
        "actor": "writer",
        "occurred_at": "2026-11-23T05:40:00Z",
        "event_id": event_id,
        "data": {"filler": "x" * 200},
    }


@dataclass(frozen=True, slots=True)
class Broken:
    """Promises that the database does not keep, a line each."""

    lost: list[str]
    changed: list[str]
    twice: list[str]

    def __bool__(self) -> bool:
        return bool(self.lost or self.changed or self.twice)


def broken(database: Database, promises: list[Promise]) -> Broken:
    """Compare what was promised with what is there."""
    with psycopg.connect(database.url("superuser")) as connection:
        rows = connection.execute(
            "SELECT event_id, id::text, leaf_index, record FROM activity_logs WHERE source = %s", (SOURCE,)
        ).fetchall()
    there = {
        event_id: (entry, leaf, hashlib.sha256(b"\0" + bytes(record)).hexdigest())
        for event_id, entry, leaf, record in rows
    }
    lost, changed = [], []
    for promise in promises:
        receipt = promise.receipt
        line = f"{promise.event_id} (run {promise.run}, leaf {receipt['leaf_index']})"
        if promise.event_id not in there:
            lost.append(line)
        elif there[promise.event_id] != (receipt["id"], receipt["leaf_index"], receipt["leaf_hash"]):
            changed.append(line)
    times = Counter(event_id for event_id, *_ in rows)
    return Broken(lost, changed, [event_id for event_id, count in times.items() if count > 1])
