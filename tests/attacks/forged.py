"""Messages as somebody writes them who reaches the broker, and the worker that gets them, as an operator starts it."""

from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis
from celery import Celery

from auditlog_project.environment_values import celery_url
from tests.clusters import PROJECT, Database

QUEUE = "celery"
TASK = "signing.anchor_ledgers"
# What an authorised message changes, too: ledgers are verified and signed, and that a task ran is an access.
CHANGED_BY_ANY = {"ledger_checkpoints", "verification_runs", "open_findings", "notices", "deliveries", "meta_logs"}
WITHOUT_META = "WHERE ledger_id <> (SELECT id FROM ledgers WHERE name = 'meta')"
_OPTIONS = ("--concurrency", "1", "--without-gossip", "--without-mingle", "--loglevel", "ERROR")


@dataclass
class Room:
    """A worker, its broker and its database; and a file that code of an attacker would make."""

    database: Database
    broker: redis.Redis
    honest: Celery
    worker: subprocess.Popen[bytes]
    log: Path
    mark: Path

    def push(self, message: bytes) -> None:
        """Put bytes into the queue."""
        self.broker.lpush(QUEUE, message)

    def works(self) -> bool:
        """Tell whether the worker does what it is told."""
        assert self.worker.poll() is None, self.log.read_text()
        result = self.honest.send_task("celery.accumulate", args=[1, 2])
        done: bool = result.get(timeout=90) == [1, 2]
        return done

    def state(self) -> dict[str, tuple[int, str]]:
        """Return number and digest of the rows of every table."""
        with psycopg.connect(self.database.url("superuser")) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            digests = {}
            for (table,) in tables:
                where = WITHOUT_META if table in {"ledger_heads", "ledger_nodes", "ledger_tiles"} else ""
                rows = f"(SELECT * FROM {table} {where}) t"
                query = f"SELECT count(*), md5(coalesce(string_agg(t::text, chr(10) ORDER BY t::text), '')) FROM {rows}"
                row = connection.execute(query.encode()).fetchone()
                assert row is not None
                digests[table] = (row[0], row[1])
        return {table: digest for table, digest in digests.items() if table not in CHANGED_BY_ANY}


@contextmanager
def worker_room(database: Database, valkey: str, directory: Path) -> Iterator[Room]:
    """Start a worker on a database and an empty broker; it ends with the test."""
    log = directory / "worker.log"
    with redis.Redis.from_url(valkey) as broker:
        broker.flushall()
        command = [sys.executable, "-W", "ignore", "-c", "from celery.__main__ import main; main()"]
        with (
            log.open("wb") as output,
            subprocess.Popen(
                [*command, "-A", "auditlog_project", "worker", *_OPTIONS],
                cwd=PROJECT,
                env=database.environment() | {"REDIS_URL": valkey},
                stdout=output,
                stderr=output,
            ) as worker,
        ):
            address = celery_url(valkey)
            honest = Celery(broker=address, backend=address, set_as_current=False)
            try:
                yield Room(database, broker, honest, worker, log, directory / "mark")
            finally:
                honest.close()
                worker.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    worker.wait(60)
                worker.kill()


class Malicious:
    """Pickles to a call of a shell."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def message(
    body: bytes | None = None, *, content_type: str = "application/json", properties: Any = (), **headers: Any
) -> bytes:
    """Return a message of protocol 2 as Celery writes it, but for what is given."""
    task_id = str(uuid.uuid4())
    empty = json.dumps([[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]).encode()
    said = {"lang": "py", "task": TASK, "id": task_id, "root_id": task_id, "parent_id": None, "group": None}
    kept = {
        "correlation_id": task_id,
        "reply_to": str(uuid.uuid4()),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    return json.dumps(
        {
            "body": base64.b64encode(empty if body is None else body).decode(),
            "content-encoding": "utf-8" if content_type == "application/json" else "binary",
            "content-type": content_type,
            "headers": said | {"argsrepr": "()", "kwargsrepr": "{}", "retries": 0, "timelimit": [None, None]} | headers,
            "properties": kept | dict(properties),
        }
    ).encode()


def arguments(*args: Any, embed: Any = None, **kwargs: Any) -> bytes:
    return json.dumps([list(args), kwargs, embed or {}]).encode()


def signature(task: str, *args: Any) -> dict[str, Any]:
    return {"task": task, "args": list(args), "kwargs": {}, "options": {}, "subtask_type": None, "immutable": True}


def pickled(room: Room, **how: Any) -> bytes:
    return message(pickle.dumps(((Malicious(room.mark),), {}, {})), **how)


def without_task(forged: bytes) -> bytes:
    said = json.loads(forged)
    del said["headers"]["task"]
    return json.dumps(said).encode()


def assert_changes_nothing(room: Room, attack: Callable[[Room], Any]) -> None:
    """Push the message of an attack, or its messages: the worker goes on, and everything is as it was."""
    assert room.works()
    before = room.state()
    forged = attack(room)
    for one in forged if isinstance(forged, list) else [forged]:
        room.push(one)
    assert room.works(), room.log.read_text()
    assert room.state() == before
    assert not room.mark.exists()
