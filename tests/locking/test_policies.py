"""Entries that lock by themselves: by time though no worker runs, by events of named sources, by growth; each once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from activity.errors import EntryLockedError
from activity.models import ActivityLog
from activity.services import record
from locking import policies, services
from locking.errors import LockRefusedError
from locking.models import LockPolicy, LogLock
from signing.queries import head, ledger_named
from tests.attacks.intruder import assert_clean
from tests.clusters import Database
from tests.locking.test_services import EVENT, Scene

AUDITED = replace(EVENT, type="audit.completed", source="grc", data={"case": "C-7"})


@pytest.fixture
def scene(fresh_database: Database) -> Scene:
    return Scene(fresh_database)


def policy(scene: Scene, rule: dict[str, Any], **how: Any) -> LockPolicy:
    asked: dict[str, Any] = {"scope": {"type": "auth.*"}, "kind": "governance", "enabled": True}
    return policies.set_policy(
        name="yearly", ledger="activity", rule=rule, by=scene.approver, reason="the rules", **asked | how
    )


def test_an_age_locks_past_its_deadline_though_no_worker_runs(scene: Scene) -> None:
    scene.amend(1)
    policy(scene, {"kind": "age", "days": 0})
    with pytest.raises(EntryLockedError, match="has not come to it yet"):
        scene.amend(2)
    policies.run_all()
    assert scene.entry(2).locks_at == scene.entry(2).recorded_at
    with pytest.raises(EntryLockedError, match="a retention policy locks it since"):
        scene.amend(2)


def test_a_policy_that_waits_or_is_disabled_locks_nothing(scene: Scene) -> None:
    policy(scene, {"kind": "age", "days": 30})
    policies.run_all()
    scene.amend(2)
    policy(scene, {"kind": "age", "days": 0}, enabled=False)
    policies.run_all()
    scene.amend(3)
    assert not ActivityLog.objects.filter(locked=True).exists()


@pytest.mark.parametrize(
    "change", [{"enabled": False}, {"rule": {"kind": "age", "days": 30}}, {"scope": {"type": "x.*"}}]
)
def test_what_is_past_a_deadline_stays_locked_whatever_becomes_of_the_policy(scene: Scene, change: Any) -> None:
    """The lock of the day holds nothing of today; the guard refused changes by the policy alone."""
    policy(scene, {"kind": "age", "days": 0}, kind="compliance")
    policies.run_all()
    assert not scene.entry(2).locked
    policy(scene, **{"rule": {"kind": "age", "days": 0}, "kind": "compliance"} | change)
    policies.run_all()
    with pytest.raises(EntryLockedError):
        scene.amend(2)
    made = LogLock.objects.latest("pk")
    assert (made.kind, made.state, made.policy_id) == ("compliance", "in_force", LockPolicy.objects.get().pk)
    record(replace(EVENT, event_id="later"))
    assert not ActivityLog.objects.get(event_id="later").locked
    assert_clean()


def test_a_retention_of_days_begins_one_lock_a_day_of_all_that_is_due(scene: Scene) -> None:
    superuser = scene.database.superuser()
    superuser.execute("ALTER TABLE activity_logs DISABLE TRIGGER USER")
    superuser.execute(
        "UPDATE activity_logs SET recorded_at = recorded_at - interval '40 days' WHERE type = 'auth.login'"
    )
    superuser.execute("ALTER TABLE activity_logs ENABLE TRIGGER USER")
    policy(scene, {"kind": "age", "days": 30}, lock_days=365)
    assert policies.run_all() == 1
    assert policies.run_all() == 0
    made = LogLock.objects.get()
    assert (made.state, made.count, made.locked_by) == ("in_force", 10, "auditlog")
    assert made.until is not None
    assert made.until - datetime.now(UTC) > timedelta(days=364)


def test_an_event_of_a_named_source_locks_what_came_before_it_once(scene: Scene) -> None:
    policy(scene, {"kind": "event", "type": "audit.completed", "sources": ["grc"]})
    record(replace(AUDITED, source="somebody else", event_id="not-obeyed"))
    policies.run_all()
    assert not LogLock.objects.exists()
    record(AUDITED)
    assert policies.run_all() == 1
    assert policies.run_all() == 0
    made = LogLock.objects.get()
    assert (made.state, made.count, made.case_reference) == ("in_force", 10, "C-7")
    late = record(replace(EVENT, event_id="late"))
    assert not ActivityLog.objects.get(pk=late.id).locked


def test_growth_locks_each_run_of_entries_once(scene: Scene) -> None:
    policy(scene, {"kind": "count", "entries": 5}, scope={})
    assert policies.run_all() == 1
    reached = head(ledger_named("activity")).size
    made = LogLock.objects.get()
    assert made.state == "in_force"
    assert made.scope["leaf_to"] % 5 == 0
    assert reached - made.scope["leaf_to"] < 10


def test_a_crash_after_the_cursor_moved_begins_the_lock_or_leaves_the_cursor(scene: Scene, monkeypatch: Any) -> None:
    policy(scene, {"kind": "event", "type": "audit.completed", "sources": ["grc"]})
    record(AUDITED)

    def die(**_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(services, "start", die)
        with pytest.raises(ConnectionError):
            policies.run_all()
    assert not LogLock.objects.exists()
    assert policies.run_all() == 1


def test_a_dry_run_counts_shows_a_sample_and_locks_nothing(scene: Scene) -> None:
    rule = {"kind": "event", "type": "audit.completed", "sources": ["grc"]}
    tried = policies.dry_run(ledger="activity", rule=rule, scope={"type": "auth.*"})
    assert (tried.matching, tried.locked_already, len(tried.sample)) == (10, 0, 10)
    assert not ActivityLog.objects.filter(locked=True).exists()


def test_policies_are_set_by_approvers_alone(scene: Scene) -> None:
    with pytest.raises(PermissionDenied):
        policies.set_policy(
            name="mine",
            ledger="activity",
            rule={"kind": "age", "days": 1},
            scope={},
            kind="governance",
            by=scene.officer,
            reason="r",
        )


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"kind": "moon"}, "a rule is of kind"),
        ({"kind": "age"}, "has days"),
        ({"kind": "age", "days": -1}, "days are a number"),
        ({"kind": "period", "period": "week", "days": 1}, "a month or a quarter"),
        ({"kind": "event", "type": "audit.completed", "sources": []}, "names the sources"),
        ({"kind": "event", "type": "audit.*", "sources": ["grc"]}, "of one type"),
        ({"kind": "count", "entries": 0}, "a number from 1"),
    ],
)
def test_a_rule_that_cannot_be_is_named(scene: Scene, rule: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LockRefusedError, match=sentence):
        policy(scene, rule)
