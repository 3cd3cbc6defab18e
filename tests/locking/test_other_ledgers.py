"""Locks, overrides and policies of a ledger beside `activity`, where their steps are recorded.

Where the other ledger stood is recorded with a step, so that a change there is judged by its own leaves.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from activity.amending import amend
from activity.models import ActivityLog
from activity.services import record_many
from activity.timestamps import timestamp
from locking import overriding, policies, services
from locking.models import LockOverride, LogLock
from signing.ledger import sign_checkpoint
from signing.queries import ledger_named
from signing.services import open_ledger
from tests.attacks.intruder import Intruder, amendment, assert_clean, verify
from tests.attacks.locked_sql import LAST_LEAF
from tests.clusters import Database
from tests.locking.people import approver, officer
from tests.locking.test_services import EVENT
from tests.signing.installation import BY

BOTH = ("activity", "shop")


class Shop:
    """A ledger of four entries, all of them locked, and an override that is asked for two of them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        open_ledger(name="shop", **BY)
        self.officer, self.approver = officer("olga", *BOTH), approver("anton", *BOTH)
        self.ids = [receipt.id for receipt in self.grow(4)]
        services.lock(ledger="shop", scope={"leaf_from": 0}, kind="governance", reason="r", by=self.officer)
        self.asked = overriding.request_override(
            entries=[ActivityLog.objects.get(pk=one).pk for one in self.ids[:2]], hours=1, by=self.officer, reason="r"
        )

    def grow(self, number: int, ledger: str = "shop") -> Any:
        first = ActivityLog.objects.count()
        return record_many([replace(EVENT, event_id=f"e-{first + one}") for one in range(number)], ledger=ledger)

    def approve(self) -> LockOverride:
        return overriding.decide_override(override_id=self.asked.pk, approve=True, by=self.approver, reason="r")

    def forge(self, leaf: int) -> None:
        """Amend an entry as whoever owns the database, under the override, as if it ran now."""
        named = f"""replace({{record}}, '"by":"eve",', '"by":"eve","override":{self.asked.pk},')"""
        record = f"replace({named}, '2026-11-24T00:00:00.000000Z', '{timestamp(datetime.now(UTC))}')"
        statements = amendment(leaf, next_leaf=LAST_LEAF, record=record, signature="NULL", key_id="NULL")
        intruder = Intruder(self.database)
        intruder("ALTER TABLE activity_logs ENABLE ALWAYS TRIGGER archived")
        intruder(statements.replace("name = 'activity'", "name = 'shop'"))
        sign_checkpoint(ledger_named("shop"))

    @property
    def reasons(self) -> dict[int | None, str]:
        return {one["leaf_index"]: one["reason"] for one in verify().findings("shop") if "lock" in one["reason"]}


@pytest.fixture
def shop(fresh_database: Database) -> Shop:
    return Shop(fresh_database)


def test_what_is_done_under_an_override_lies_between_the_leaves_of_its_approval_and_its_end(shop: Shop) -> None:
    shop.grow(20, "activity")
    shop.approve()
    amended = amend(entry_id=shop.asked.entries[0], changes={"target": "x"}, by=shop.officer, reason="r")
    assert (amended.ledger, amended.leaf_index) == ("shop", 4)
    overriding.close_override(override_id=shop.asked.pk, by=shop.officer)
    assert_clean()


def test_a_change_after_its_end_is_named_though_the_other_ledger_is_far_ahead(shop: Shop) -> None:
    shop.grow(20, "activity")
    shop.approve()
    overriding.close_override(override_id=shop.asked.pk, by=shop.officer)
    assert_clean()
    shop.forge(1)
    assert f"the override {shop.asked.pk} had ended by then" in shop.reasons[1]


def test_a_change_before_its_approval_is_named(shop: Shop) -> None:
    assert_clean()
    shop.forge(1)
    shop.approve()
    assert f"the override {shop.asked.pk} was approved after that" in shop.reasons[1]


@pytest.fixture
def grown(shop: Shop) -> Shop:
    """Give a policy of each five entries of `shop`."""
    policies.set_policy(
        name="grown",
        ledger="shop",
        rule={"kind": "count", "entries": 5},
        scope={},
        kind="governance",
        by=shop.approver,
        reason="r",
        enabled=True,
    )
    return shop


def test_a_policy_of_growth_counts_the_entries_of_its_own_ledger(grown: Shop) -> None:
    grown.grow(20, "activity")
    assert policies.run_all() == 0
    grown.grow(1)
    assert policies.run_all() == 1
    made = LogLock.objects.latest("pk")
    assert (made.ledger.name, made.count, made.state) == ("shop", 5, "in_force")
    assert made.scope == {"leaf_from": 0, "leaf_to": 5}
    assert not ActivityLog.objects.filter(ledger__name="activity", locked=True).exists()
    grown.grow(4)
    assert policies.run_all() == 0
    assert_clean()


def test_growth_that_was_passed_over_is_named_in_its_own_ledger(grown: Shop) -> None:
    grown.grow(1)
    assert_clean()
    Intruder(grown.database)("UPDATE lock_policies SET next_leaf = 5 WHERE name = 'grown'")
    assert grown.reasons == {0: "the lock policy grown has passed it, and began no lock for it"}
