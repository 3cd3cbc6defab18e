"""Messages forged straight into the broker: the worker does nothing that an authorised message could not have it do.

Whoever reaches the broker names a task of ours and an id, nothing else: what may be done stands in the database, which
the task reads. One worker, as an operator starts it, gets them all; after each it must still do honest work.
"""

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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from celery import Celery

from auditlog_project.celery import app
from auditlog_project.environment_values import celery_url
from auditlog_project.worker_messages import RefusedMessageError, require_ours
from tests.clusters import EMBEDDED, PROJECT, Clusters, Database

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


@pytest.fixture(scope="module")
def room(clusters: Clusters, django_db_blocker: Any, valkey: str, tmp_path_factory: Any) -> Iterator[Room]:
    directory: Path = tmp_path_factory.mktemp("forged")
    log = directory / "worker.log"
    with django_db_blocker.unblock(), clusters[EMBEDDED].clone() as database, redis.Redis.from_url(valkey) as broker:
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


def shutdown(room: Room) -> bytes:
    room.honest.control.broadcast("shutdown")
    return message()


Forgery = Callable[[Room], bytes | list[bytes]]
REPLAYED = message(id="replayed")
FORGED: dict[str, Forgery] = {
    "pickle body": lambda room: pickled(room, content_type="application/x-python-serialize"),
    "pickle that calls itself JSON": pickled,
    "pickle in the older protocol": lambda room: without_task(
        pickled(room, content_type="application/x-python-serialize")
    ),
    "yaml body": lambda _: message(b"!!python/object/apply:os.system [touch x]", content_type="application/x-yaml"),
    "unknown task": lambda _: message(task="activity.services.record"),
    "module for a task": lambda _: message(task="os.system"),
    "no task": lambda _: message(task=None),
    "task that is a list": lambda _: message(task=[TASK]),
    "replay": lambda _: [REPLAYED, REPLAYED, REPLAYED],
    "huge": lambda _: message(arguments("x" * 20_000_000)),
    "arguments that the task does not take": lambda _: message(arguments(1, 2, force=True)),
    "arguments that are a number": lambda _: message(b"[7, {}, {}]"),
    "body that is an object": lambda _: message(b'{"args": []}'),
    "body that is no JSON": lambda _: message(b"{"),
    "export that is not there": lambda _: message(arguments(str(uuid.uuid4())), task="exports.work"),
    "export whose id is a query": lambda _: message(arguments({"pk__gt": 0}), task="exports.work"),
    "callbacks": lambda _: message(
        arguments(embed={"callbacks": [signature("exports.work", "x"), signature("os.system")]})
    ),
    "chain": lambda _: message(arguments(embed={"chain": [signature("keys.rotate"), signature(TASK)]})),
    "chord": lambda _: message(arguments(embed={"chord": signature("os.system", "touch x")}), group="g"),
    "map over a task": lambda _: message(arguments(signature("os.system"), [["touch x"]]), task="celery.starmap"),
    "forged reply_to": lambda _: message(properties={"reply_to": "celery", "correlation_id": "../../etc"}),
    "eta at the end of time": lambda _: message(eta="9999-12-31T23:59:59+00:00"),
    "eta that is no time": lambda _: message(eta="tomorrow", expires="never"),
    "limits of another type": lambda _: message(timelimit=["x", {}], retries="many"),
    "no JSON at all": lambda _: b"\x80\x05}q\x00.",
    "no properties": lambda _: b'{"body": "", "headers": {}}',
    "body in no encoding": lambda _: json.dumps(json.loads(message()) | {"body": "*"}).encode(),
    "no headers": lambda _: json.dumps(json.loads(message()) | {"headers": None}).encode(),
    "somebody else's user id": lambda _: message(user_id=1, ip="127.0.0.1", __django_structlog__={"user_id": 1}),
    "control: all workers to stop": shutdown,
}


def test_there_are_at_least_25() -> None:
    assert len(FORGED) >= 25


def test_only_json_is_accepted_and_only_our_tasks_are_known() -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == app.conf.result_serializer == "json"
    app.loader.import_default_modules()
    ours = {name for name in app.tasks if not name.startswith("celery.")}
    assert all(name.split(".")[0] in {"activity", "signing", "exports", "locking", "metaaudit"} for name in ours)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_message_changes_nothing(room: Room, name: str) -> None:
    assert room.works()
    before = room.state()
    forged = FORGED[name](room)
    for one in forged if isinstance(forged, list) else [forged]:
        room.push(one)
    assert room.works(), room.log.read_text()
    assert room.state() == before
    assert not room.mark.exists()


def test_every_message_of_our_own_is_taken(broker: str) -> None:
    # With a broker, though no message goes there: Celery keeps its first address of results for the whole process.
    app.loader.import_default_modules()
    ours = [name for name in app.tasks if not name.startswith("celery.")]
    assert "activity.verify_whole" in ours, "it has a limit of its own"
    with app.connection_for_write("memory://") as connection, connection.SimpleQueue(QUEUE) as queue:
        for name in ours:
            args = [str(uuid.uuid4())] if name == "exports.work" else []
            app.tasks[name].apply_async(args=args, expires=60, connection=connection)
            sent = queue.get(block=False)
            require_ours(sent, app.tasks)
            sent.body = arguments("x" * 300)
            with pytest.raises(RefusedMessageError):
                require_ours(sent, app.tasks)
