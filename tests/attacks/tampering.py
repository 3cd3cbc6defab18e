"""A ledger of 1,000 events with locks and an override that was used, for whoever owns the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from activity.amending import amend
from activity.models import ActivityLog
from activity.timestamps import timestamp
from locking import overriding, services
from signing.ledger import sign_checkpoint
from signing.queries import ledger_named
from tests.attacks.intruder import Intruder, amendment, assert_clean, verify
from tests.locking.people import approver, officer

if TYPE_CHECKING:
    from locking.models import LockOverride
    from tests.attacks.conftest import Attacked

LATER = datetime.now(UTC) + timedelta(days=30)
GUARDS = (
    ("activity_logs", "archived"),
    ("activity_logs", "lock_state"),
    ("activity_logs", "override_used"),
    ("activity_revisions", "kept"),
)


class Locked:
    """An attacked ledger, and its guards off again.

    50, 60, 61 and 62 are under governance, 300 is under compliance; 60 was amended under an override of 60 and 61, which
    is closed and reviewed; of 80 a legal hold was released, which had been
    declined once.
    """

    def __init__(self, attacked: Attacked) -> None:
        self.intruder: Intruder = attacked.intruder
        self._guards(on=True)
        self.officer, self.approver = officer(), approver()
        leaves = [50, 60, 61, 62, 80, 300]
        self.ids = {entry.leaf_index: entry.pk for entry in ActivityLog.objects.filter(leaf_index__in=leaves)}
        named = [str(self.ids[leaf]) for leaf in (50, 60, 61, 62)]
        self.governance = services.lock(
            ledger="activity", scope={"entries": named}, kind="governance", reason="r", by=self.officer
        )
        self.compliance = services.lock(
            ledger="activity",
            scope={"leaf_from": 300, "leaf_to": 301},
            kind="compliance",
            reason="r",
            by=self.officer,
            until=LATER,
        )
        self._release()
        self.override = self.ask(60, 61)
        self._decide(self.override)
        changes = {"target": "x"}
        self.amended = amend(entry_id=self.ids[60], changes=changes, by=self.officer, reason="r").leaf_index
        overriding.end_override(override_id=self.override.pk, by="olga")
        overriding.review_override(override_id=self.override.pk, by=self.approver, note="fine")
        sign_checkpoint(ledger_named("activity"), force_anchor=True)
        assert_clean()
        self._guards(on=False)

    def ask(self, *leaves: int) -> LockOverride:
        entries = [self.ids[leaf] for leaf in leaves]
        return overriding.request_override(entries=entries, hours=1, by=self.officer, reason="r")

    def approve(self, made: LockOverride) -> None:
        self._guards(on=True)
        self._decide(made)
        self._guards(on=False)

    def _decide(self, made: LockOverride) -> None:
        overriding.decide_override(override_id=made.pk, approve=True, by=self.approver, reason="r")

    def _release(self) -> None:
        held = services.lock(
            ledger="activity", scope={"entries": [str(self.ids[80])]}, kind="hold", reason="r", by=self.officer
        )
        services.request_release(lock_id=held.pk, by=self.officer, reason="over")
        services.decline_release(lock_id=held.pk, by=self.approver, reason="not yet")
        services.request_release(lock_id=held.pk, by=self.officer, reason="over now")
        services.release(lock_id=held.pk, by=self.approver)

    def _guards(self, *, on: bool) -> None:
        for table, guard in GUARDS:
            self.intruder(f"ALTER TABLE {table} {'ENABLE ALWAYS' if on else 'DISABLE'} TRIGGER {guard}")

    def amend(self, leaf: int, override: int | None = None, at: datetime | None = None) -> None:
        """Amend as our services do, the archive included, but for the guard that is off."""
        self.intruder("ALTER TABLE activity_logs ENABLE ALWAYS TRIGGER archived")
        named = '"by":"eve",' + ("" if override is None else f'"override":{override},')
        claimed = timestamp(at or datetime.now(UTC))
        record = f"""replace({{record}}, '"by":"eve",', '{named}')"""
        record = f"replace({record}, '2026-11-24T00:00:00.000000Z', '{claimed}')"
        size = verify().reports["activity"]["size"]
        self.intruder(amendment(leaf, next_leaf=size, record=record, signature="NULL", key_id="NULL"))
        sign_checkpoint(ledger_named("activity"))


def assert_caught(reason: str, leaf: int | None = None) -> None:
    """Run `verify`: it names the leaf, and says why."""
    found = verify()
    named = [each["leaf_index"] for each in found.findings() if reason in each["reason"]]
    assert (found.exit_code, found.outcome) == (1, "tampered")
    assert leaf in named, found.alarms()
