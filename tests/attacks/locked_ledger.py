"""A small ledger in which entries are locked in every way that there is, for attacks on them.

GOVERNANCE, COMPLIANCE, HOLD    locked by one lock each
OVERRIDDEN                      under governance, with an override that runs
ASKED                           under governance, its release asked for; an override of it is asked for, too
PAST, PENDING                   past the deadline of a retention policy; of one that no worker has come to yet
FREE                            not locked: the control of an attack is that it succeeds here
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from activity.models import ActivityLog
from activity.services import record_many
from locking import overriding, policies, services
from tests.attacks.intruder import real_events
from tests.locking.people import approver, officer

if TYPE_CHECKING:
    from locking.models import LockPolicy

GOVERNANCE, COMPLIANCE, HOLD, OVERRIDDEN, ASKED, PAST, PENDING, FREE = range(21, 29)
LOCKED = (GOVERNANCE, COMPLIANCE, HOLD, OVERRIDDEN, ASKED)
REFUSED = (*LOCKED, PAST, PENDING)
KINDS = {
    GOVERNANCE: "governance",
    COMPLIANCE: "compliance",
    HOLD: "hold",
    OVERRIDDEN: "governance",
    ASKED: "governance",
}
LATER = datetime.now(UTC) + timedelta(days=30)


def lock_in_every_way() -> None:
    """Record entries and lock them."""
    record_many(real_events(40))
    keeper, other = officer(), approver()
    for leaf, kind in KINDS.items():
        services.lock(
            ledger="activity",
            scope={"leaf_from": leaf, "leaf_to": leaf + 1},
            kind=kind,
            reason="audit",
            by=keeper,
            until=None if kind == "hold" else LATER,
        )
    for leaf in (OVERRIDDEN, ASKED):
        asked = overriding.request_override(entries=[entry_at(leaf).pk], hours=1, by=keeper, reason="a court")
        if leaf == OVERRIDDEN:
            overriding.decide_override(override_id=asked.pk, approve=True, by=other, reason="seen")
    services.request_release(lock_id=(entry_at(ASKED).held_by or [])[0], by=keeper, reason="over")
    _policy("past", PAST, by=other)
    policies.run_all()
    _policy("pending", PENDING, by=other)


def entry_at(leaf: int) -> ActivityLog:
    """Return the entry that was recorded at a leaf of `activity`."""
    return ActivityLog.objects.get(ledger__name="activity", leaf_index=leaf)


def _policy(name: str, leaf: int, *, by: Any) -> LockPolicy:
    return policies.set_policy(
        name=name,
        ledger="activity",
        rule={"kind": "age", "days": 0},
        scope={"leaf_from": leaf, "leaf_to": leaf + 1},
        kind="governance",
        by=by,
        reason="the rules",
        enabled=True,
    )
