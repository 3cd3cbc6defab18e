"""A ledger of 1,000 real events, recorded once for each test process, and a copy of it for every attack.

And a small one with locked entries, for attacks that are refused or taken back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from activity.event import Event
from activity.services import record, record_many
from signing.ledger import sign_checkpoint
from signing.models import SigningKey
from signing.queries import ledger_named
from signing.services import rotate_key
from tests.attacks.intruder import Intruder, real_events
from tests.attacks.locked_ledger import lock_in_every_way
from tests.clusters import EMBEDDED, Clusters, Database, server_names


@dataclass(frozen=True, slots=True)
class Recorded:
    """The ledger, and leaves in it that are worth an attack."""

    database: Database
    size: int
    full: int  # signed, detached data, U+0000 and emoji, no column empty
    signed: int
    unsigned: int
    late: int  # signed with the key that is active now, in the unfinished tile
    retired_key: str
    active_key: str


@dataclass(frozen=True, slots=True)
class Attacked:
    """A copy of the ledger of 1,000 events, and somebody who owns its database."""

    database: Database
    intruder: Intruder
    recorded: Recorded

    @property
    def trust(self) -> Path:
        """The trust file, which lies outside the database."""
        return self.database.anchors / "trust.vkeys"


@pytest.fixture(scope="session")
def recorded(clusters: Clusters, django_db_blocker: Any) -> Iterator[Recorded]:
    """Record the events in batches with anchors between them; keys rotate on the way. Copied from, never changed."""
    with django_db_blocker.unblock(), clusters[EMBEDDED].clone() as database:
        with database.as_django_databases():
            leaves = _record(real_events(998))
        database.close()
        yield Recorded(database, **leaves)


@pytest.fixture
def attacked(recorded: Recorded, clusters: Clusters, django_db_blocker: Any) -> Iterator[Attacked]:
    """Give a test its own copy of the ledger, Django's connections included."""
    with (
        django_db_blocker.unblock(),
        clusters[EMBEDDED].clone(of=recorded.database) as database,
        database.as_django_databases(),
    ):
        yield Attacked(database, Intruder(database), recorded)


@pytest.fixture(scope="module", params=server_names())
def locked_database(request: pytest.FixtureRequest, clusters: Clusters, django_db_blocker: Any) -> Iterator[Database]:
    """Give a ledger with locked entries. Every attack is refused or taken back, so one database does for all."""
    with django_db_blocker.unblock(), clusters[request.param].clone() as clone, clone.as_django_databases():
        lock_in_every_way()
        yield clone


def _record(events: list[Event]) -> dict[str, Any]:
    retired = SigningKey.objects.get(purpose="entry", state="active")
    activity = ledger_named("activity")
    for first in range(0, 600, 200):
        record_many(events[first : first + 200])
        sign_checkpoint(activity, force_anchor=True)
    full = record(_FULL)
    active = rotate_key(purpose="entry", algorithm="Ed25519", by="ada", reason="once a year")
    rotate_key(purpose="checkpoint", algorithm="Ed25519", by="ada", reason="once a year")
    receipts = record_many(events[600:])
    late = record(another_event(0))
    sign_checkpoint(activity, force_anchor=True)
    unsigned = next(event for event in events[600:] if event.type.startswith("windows.sysmon."))
    return {
        "size": late.leaf_index + 1,
        "full": full.leaf_index,
        "signed": 50,
        "unsigned": receipts[events[600:].index(unsigned)].leaf_index,
        "late": late.leaf_index,
        "retired_key": retired.id,
        "active_key": active.id,
    }


_FULL = Event(
    type="auth.login",
    action="sign-in \U0001f511",
    actor="ada\0lovelace",
    occurred_at=datetime(2026, 11, 23, 5, 40, tzinfo=UTC),
    source="shop \U0001f6d2",
    target="account/7",
    outcome="success",
    severity="notice",
    ip="192.0.2.7",
    event_id="login-\0-1",
    data={"\U0001f642": "x" * 70_000, "nul": "\0"},
)


def another_event(number: int) -> Event:
    """Return an event that is not among the recorded ones."""
    return replace(_FULL, event_id=f"another-{number}", data={"number": number})
