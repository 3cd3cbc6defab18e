"""Messages forged straight into the broker: the worker does nothing that an authorised message could not have it do.

Whoever reaches the broker names a task of ours and an id, nothing else: what may be done stands in the database, which
the task reads. One worker, as an operator starts it, gets them all; after each it must still do honest work.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from auditlog_project.celery import app
from auditlog_project.worker_messages import RefusedMessageError, require_ours
from tests.attacks.forged import (
    QUEUE,
    TASK,
    Room,
    arguments,
    assert_changes_nothing,
    message,
    pickled,
    signature,
    without_task,
    worker_room,
)
from tests.clusters import EMBEDDED, Clusters


@pytest.fixture(scope="module")
def room(clusters: Clusters, django_db_blocker: Any, valkey: str, tmp_path_factory: Any) -> Iterator[Room]:
    with (
        django_db_blocker.unblock(),
        clusters[EMBEDDED].clone() as database,
        worker_room(database, valkey, tmp_path_factory.mktemp("forged")) as made,
    ):
        yield made


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
    assert_changes_nothing(room, FORGED[name])


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
