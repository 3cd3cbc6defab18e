"""Messages about locks, forged straight into the broker: the worker does nothing that a beat would not have it do.

The one task of locks takes no arguments: what is to be locked, lifted or ended stands in the tables, and what weakens is
done by the approver's role, which no worker has. The last test shows that the worker does obey an honest message.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from locking import policies
from locking.models import LogLock
from tests.attacks.forged import Room, arguments, assert_changes_nothing, message, pickled, signature, worker_room
from tests.attacks.locked_ledger import GOVERNANCE, entry_at, lock_in_every_way
from tests.clusters import EMBEDDED, Clusters

TASK = "locking.run_policies"
_PICKLED = "application/x-python-serialize"
Forgery = Callable[[Room], bytes | list[bytes]]
REPLAYED = message(task=TASK, id="replayed")


def call(*args: Any, task: str = TASK, **kwargs: Any) -> Forgery:
    """Return the message that calls a task with arguments."""
    return lambda _: message(arguments(*args, **kwargs), task=task)


FORGED: dict[str, Forgery] = {
    "replay": lambda _: [REPLAYED] * 5,
    "many beats at once": lambda _: [message(task=TASK) for _ in range(10)],
    "pickle": lambda room: pickled(room, content_type=_PICKLED, task=TASK),
    "pickle that calls itself JSON": lambda room: pickled(room, task=TASK),
    "run a policy by its number": call(1),
    "run a policy that there is not": call(policy=10**18),
    "run a policy whose number is a query": call({"pk__gt": 0}),
    "run a policy whose number is no number": call("1; DELETE FROM log_locks"),
    "run a policy at another time": call(now="2099-01-01T00:00:00Z"),
    "run policies with another chunk": call(chunk=-1),
    "policy set": call("past", enabled=False, task="locking.set_policy"),
    "policy set by its path": call(name="past", enabled=False, task="locking.policies.set_policy"),
    "lock released": call(1, task="locking.release"),
    "lock released by its path": call(lock_id=1, by="anton", task="locking.services.release"),
    "lock expired": call(lock_id=1, task="locking.services.expire"),
    "lock lifted": call(lock_id=1, chunks=1_000_000, task="locking.services.lift"),
    "lock that somebody else asked to release": call(5, "anton", str(uuid.uuid4()), task="lock_release"),
    "override approved": call(override_id=2, approve=True, by="anton", task="locking.overriding.decide_override"),
    "override approved by an id of another": call(2, "olga", task="locking.decide_override"),
    "override ended": call(override_id=1, by="mallory", task="locking.overriding.end_override"),
    "override reviewed": call(1, task="locking.review_override"),
    "as the approver's role": call("lock_release(1)", [], task="locking.steps.as_approver"),
    "entry amended": call(entry_id="x", changes={"actor": "eve"}, task="activity.amending.amend"),
    "after the beat, a release": lambda _: message(
        arguments(embed={"callbacks": [signature("locking.services.release", 1)]}), task=TASK
    ),
    "instead of the beat, a release": lambda _: message(
        arguments(embed={"errbacks": [signature("locking.services.release", 1)]}), task=TASK
    ),
    "beat, then approval": lambda _: message(
        arguments(embed={"chain": [signature("locking.services.decide_override", 2)]}), task=TASK
    ),
    "a map of releases": lambda _: message(
        arguments(signature("locking.services.release"), [[1], [2], [3]]), task="celery.starmap"
    ),
    "somebody else's user id": lambda _: message(task=TASK, user_id=1, __django_structlog__={"user_id": 1}),
}


@pytest.fixture(scope="module")
def room(clusters: Clusters, django_db_blocker: Any, valkey: str, tmp_path_factory: Any) -> Iterator[Room]:
    """Lock in every way, and let the policies do all they have to do."""
    with django_db_blocker.unblock(), clusters[EMBEDDED].clone() as database, database.as_django_databases():
        lock_in_every_way()
        for _ in range(3):  # what it records itself, the next one comes to
            policies.run_all()
        with worker_room(database, valkey, tmp_path_factory.mktemp("forged_locks")) as made:
            yield made


def test_there_are_at_least_25() -> None:
    assert len(FORGED) >= 25


@pytest.mark.slow
@pytest.mark.parametrize("name", FORGED)
def test_a_forged_message_changes_no_lock(room: Room, name: str) -> None:
    assert_changes_nothing(room, FORGED[name])


@pytest.mark.slow
def test_an_honest_message_is_obeyed(room: Room) -> None:
    locks = LogLock.objects.count()
    policies.set_policy(
        name="grown",
        ledger="activity",
        rule={"kind": "count", "entries": 10},
        scope={"leaf_to": GOVERNANCE},
        kind="governance",
        by=User.objects.get(username="anton"),
        reason="the rules",
        enabled=True,
    )
    room.push(message(task=TASK))
    assert room.works(), room.log.read_text()
    assert LogLock.objects.count() == locks + 1
    assert entry_at(10).locked
