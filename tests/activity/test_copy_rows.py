"""A batch goes by COPY, written by hand; one event goes by INSERT. Both make the same row of the same event."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from activity import copy_rows
from activity.event import Event
from activity.models import ActivityLog
from activity.services import record, record_many
from tests.clusters import Database

EVENT = Event("shop.order", "order", "ada", datetime(2026, 11, 23, 5, 40, 1, 123456, tzinfo=UTC), "shop")
# What the server gives to each entry anew, and what follows from it.
OWN = {"id", "leaf_index", "record", "recorded_at", "signature"}
# The state of locks, which no writer sets: the database's defaults.
LOCKS = {
    "held_by",
    "hold_count",
    "governance_until",
    "compliance_until",
    "locks_at",
    "override_id",
    "override_until",
    "was_held_by",
}

EVENTS = {
    "the fewest fields": EVENT,
    "every field": replace(
        EVENT, target="order 7", outcome="denied", severity="error", ip="192.0.2.1", event_id="e-1", data={"a": [1]}
    ),
    "IPv6": replace(EVENT, ip="2001:db8::7"),
    "texts beyond ASCII": replace(EVENT, actor="Zoë 🦊", target="日本", source="größe", event_id="№ 1"),
    "U+0000": replace(EVENT, actor="a\0b", action="\0", target="\0", source="c\0", event_id="d\0"),
    "before 1970": replace(EVENT, occurred_at=datetime(1, 1, 1, tzinfo=UTC)),
    "the last microsecond": replace(EVENT, occurred_at=datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    "another offset": replace(EVENT, occurred_at=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-9)))),
    "detached data": replace(EVENT, data={"large": "x" * 70_000}),
    "without a signature": replace(EVENT, type="windows.sysmon.1"),
}


def columns(entry_id: str) -> dict[str, Any]:
    (row,) = ActivityLog.objects.filter(pk=entry_id).values()
    return {name: bytes(value) if isinstance(value, memoryview) else value for name, value in row.items()}


@pytest.mark.parametrize("name", EVENTS)
def test_a_row_of_copy_is_the_row_of_insert(fresh_database: Database, name: str) -> None:
    # With another event id, for the second would be a repeat of the first, and a companion that makes it a batch.
    alone = replace(EVENTS[name], event_id=None)
    batch = [replace(EVENT, actor="companion"), alone]
    inserted, copied = columns(record(alone).id), columns(record_many(batch)[1].id)
    assert {*copied} == {"ledger_id", "key_id", *copy_rows.COLUMNS, *LOCKS}
    assert {key: value for key, value in copied.items() if key not in OWN} == {
        key: value for key, value in inserted.items() if key not in OWN
    }
    assert copied["recorded_at"] >= inserted["recorded_at"]
    assert (copied["signature"] is None) == (inserted["signature"] is None)


def test_event_ids_are_copied_as_they_are_inserted(fresh_database: Database) -> None:
    first, second, alone = (replace(EVENTS["U+0000"], event_id=f"d\0 ü {number}") for number in range(3))
    ids = [receipt.id for receipt in (*record_many([first, second]), record(alone))]
    assert [columns(one)["event_id"] for one in ids] == [f"d\u2400 ü {number}" for number in range(3)]
