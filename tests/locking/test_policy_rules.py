"""Which entries a policy locks, and when: to the moment, by its filter, by what an event says, and each once."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection, connections

from activity.errors import EntryLockedError
from activity.models import ActivityLog
from activity.services import record, record_step
from activity.timestamps import timestamp
from locking import policies
from locking.due import begin, cut, lock_due
from locking.models import LockPolicy, LogLock
from tests.attacks.intruder import assert_clean, verify
from tests.clusters import Database
from tests.locking.earlier import record_earlier, run_on
from tests.locking.test_policies import AUDITED, policy
from tests.locking.test_services import EVENT, Scene

MONTH, QUARTER = {"kind": "period", "period": "month"}, {"kind": "period", "period": "quarter"}


@pytest.fixture
def scene(fresh_database: Database) -> Scene:
    return Scene(fresh_database)


def deadline(rule: dict[str, Any], recorded_at: datetime) -> datetime | None:
    """Return when a rule locks what was recorded at a moment, as the guard has it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT timezone('UTC', public.lock_deadline(%s::jsonb, %s))", [json.dumps(rule), recorded_at])
        found: datetime | None = cursor.fetchone()[0]
        return found and found.replace(tzinfo=UTC)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rule", "recorded", "due"),
    [
        ({"kind": "age", "days": 90}, "2026-01-01T12:00:00.000001Z", "2026-04-01T12:00:00.000001Z"),
        ({"kind": "age", "days": 0}, "2026-01-01T12:00:00.000000Z", "2026-01-01T12:00:00.000000Z"),
        (MONTH | {"days": 10}, "2026-01-01T00:00:00.000000Z", "2026-02-11T00:00:00.000000Z"),
        (MONTH | {"days": 10}, "2026-01-31T23:59:59.999999Z", "2026-02-11T00:00:00.000000Z"),
        (MONTH | {"days": 0}, "2026-12-15T00:00:00.000000Z", "2027-01-01T00:00:00.000000Z"),
        (QUARTER | {"days": 0}, "2026-03-31T23:59:59.999999Z", "2026-04-01T00:00:00.000000Z"),
        (QUARTER | {"days": 0}, "2026-04-01T00:00:00.000000Z", "2026-07-01T00:00:00.000000Z"),
        (QUARTER | {"days": 30}, "2026-10-01T00:00:00.000000Z", "2027-01-31T00:00:00.000000Z"),
        ({"kind": "count", "entries": 5}, "2026-01-01T00:00:00.000000Z", None),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_deadline_is_the_same_to_the_microsecond_in_every_zone_of_a_session(
    rule: dict[str, Any], recorded: str, due: str | None, zone: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('TimeZone', %s, true)", [zone])
    found = deadline(rule, datetime.fromisoformat(recorded))
    assert (found and timestamp(found)) == due


@pytest.mark.django_db
@pytest.mark.parametrize("rule", [{"kind": "age", "days": 9}, MONTH | {"days": 10}, QUARTER | {"days": 45}], ids=str)
def test_the_lock_of_the_day_holds_exactly_what_was_due_when_the_day_began(rule: dict[str, Any]) -> None:
    for hours in range(0, 24 * 800, 101):
        now = datetime(2026, 11, 29, 17, 30, tzinfo=UTC) + timedelta(hours=hours)
        before, today = cut(rule, now), now.replace(hour=0, minute=0)
        for recorded, is_held in ((before - timedelta(microseconds=1), True), (before, False)):
            due = deadline(rule, recorded)
            assert due is not None
            assert (due < today if rule["kind"] == "age" else due <= now) == is_held, (now, recorded)


def back_date(scene: Scene, moment: datetime, *numbers: int) -> None:
    superuser = scene.database.superuser()
    superuser.execute("ALTER TABLE activity_logs DISABLE TRIGGER USER")
    superuser.execute(
        "UPDATE activity_logs SET recorded_at = %s WHERE id = ANY(%s::uuid[])", [moment, scene.ids(*numbers)]
    )
    superuser.execute("ALTER TABLE activity_logs ENABLE TRIGGER USER")


@pytest.mark.parametrize("period", ["month", "quarter"])
def test_a_period_locks_what_was_recorded_before_the_period_that_runs(scene: Scene, period: str) -> None:
    back_date(scene, datetime.now(UTC) - timedelta(days=100), 2, 3)
    policy(scene, {"kind": "period", "period": period, "days": 0})
    with pytest.raises(EntryLockedError, match="the retention policy yearly locks it"):
        scene.entry(2).save()
    assert policies.run_all() == 1
    assert policies.run_all() == 0
    made = LogLock.objects.get()
    assert (made.count, made.state) == (2, "in_force")
    assert made.scope["recorded_to"][8:] == "01T00:00:00.000000Z"
    scene.amend(4)


def test_a_policy_that_is_set_anew_with_another_filter_kind_or_length_locks_all_that_is_due(scene: Scene) -> None:
    rule = {"kind": "age", "days": 30}
    back_date(scene, datetime.now(UTC) - timedelta(days=100), 2, 3)
    policy(scene, rule, scope={"type": "shop.*"})
    assert policies.run_all() == 1
    changes: list[dict[str, Any]] = [{"scope": {}}, {"kind": "compliance"}, {"lock_days": 2192}]
    asked: dict[str, Any] = {}
    for number, change in enumerate(changes, 2):
        asked |= change
        policy(scene, rule, **{"scope": {}} | asked)
        assert policies.run_all() == 1
        made = LogLock.objects.latest("pk")
        assert (LogLock.objects.count(), made.count, made.state) == (number, 2, "in_force")
    policy(scene, rule, **asked)
    policy(scene, rule | {"days": 20}, **asked)
    assert policies.run_all() == 1
    assert LogLock.objects.latest("pk").count == 0, "what was locked so is not locked again"
    policy(scene, rule, **asked, enabled=False)
    policies.run_all()
    assert scene.entry(2).compliance_until is not None
    reasons = {finding["reason"] for finding in verify().reports["activity"]["findings"]}
    assert reasons == {"columns differ from the record: recorded_at"}, "which this test did"


def test_an_event_that_waits_is_obeyed_though_its_policy_is_set_anew_meanwhile(scene: Scene) -> None:
    rule = {"kind": "event", "type": "audit.completed", "sources": ["grc"]}
    policy(scene, rule)
    record(AUDITED)
    policy(scene, rule, kind="compliance")
    policy(scene, rule | {"sources": ["grc", "audit"]}, kind="compliance", scope={})
    assert policies.run_all() == 1
    assert LogLock.objects.get().kind == "compliance"
    record(replace(AUDITED, event_id="second"))
    policy(scene, rule, enabled=False)
    policy(scene, rule)
    assert policies.run_all() == 0, "what came before it was enabled is not its business"


def test_growth_is_locked_anew_in_another_kind(scene: Scene) -> None:
    rule = {"kind": "count", "entries": 5}
    policy(scene, rule, scope={"type": "auth.*"})
    policies.run_all()
    policy(scene, rule, scope={"type": "auth.*"}, kind="compliance")
    assert policies.run_all() == 1
    assert [made.count for made in LogLock.objects.order_by("pk")] == [7, 10]
    assert_clean()


def test_what_was_recorded_at_the_end_of_a_day_is_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)

    class AtFivePast(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return midnight.astimezone(tz) + timedelta(minutes=minutes)

    monkeypatch.setattr("locking.due.datetime", AtFivePast)
    policy(scene, {"kind": "age", "days": 0})
    minutes = 5
    policies.run_all()
    back_date(scene, midnight - timedelta(seconds=1), 2)  # its transaction ends only now
    minutes = 11
    policies.run_all()
    assert scene.entry(2).locked


def test_what_is_committed_just_after_all_that_was_due_was_locked_is_in_the_lock_of_the_next_day(scene: Scene) -> None:
    made = policy(scene, {"kind": "age", "days": 0})
    lock_due(made)
    late = record_earlier(replace(EVENT, event_id="late"), timedelta(minutes=2))
    assert not ActivityLog.objects.get(pk=late.id).locked
    run_on(2)
    assert ActivityLog.objects.get(pk=late.id).locked
    assert_clean()


def test_a_lock_that_is_being_applied_is_gone_on_with_and_none_is_begun_beside_it(scene: Scene) -> None:
    made = policy(scene, {"kind": "age", "days": 0})
    scope = made.scope | {"recorded_to": timestamp(datetime.now(UTC))}
    begin(made, scope, reason="a worker died here")
    lock_due(made)
    assert (LogLock.objects.get().state, scene.entry(2).locked) == ("in_force", True)


def test_a_policy_locks_what_its_filter_names_and_nothing_else(scene: Scene) -> None:
    event = replace(EVENT, severity="critical", source="vault")
    wanted = [record(replace(event, event_id=f"w-{number}")) for number in range(2)]
    for other in (replace(event, severity="info"), replace(event, source="shop"), replace(event, type="shop.order")):
        record(replace(other, event_id=f"other-{other.severity}-{other.type}"))
    policy(scene, {"kind": "count", "entries": 1}, scope={"type": "auth.*", "severity": "critical", "source": "vault"})
    policies.run_all()
    held = ActivityLog.objects.filter(locked=True).values_list("pk", flat=True)
    assert {str(one) for one in held} == {receipt.id for receipt in wanted}


EVENT_RULE = {"kind": "event", "type": "audit.completed", "sources": ["grc"]}


def test_an_event_that_names_a_window_locks_what_was_recorded_in_it(scene: Scene) -> None:
    now = datetime.now(UTC)
    back_date(scene, now - timedelta(days=40), 2)
    back_date(scene, now - timedelta(days=20), 3)
    policy(scene, EVENT_RULE)
    window = {"recorded_from": timestamp(now - timedelta(days=30)), "recorded_to": timestamp(now - timedelta(days=10))}
    record(replace(AUDITED, data=window | {"case": "C-8"}))
    assert policies.run_all() == 1
    made = LogLock.objects.get()
    assert (made.count, made.case_reference) == (1, "C-8")
    assert [entry.locked for entry in map(scene.entry, (2, 3, 4))] == [False, True, False]


@pytest.mark.parametrize("data", [{"recorded_from": "soon"}, {"recorded_to": 7}, {"case": 7}, {}])
def test_an_event_whose_window_is_none_locks_all_that_the_filter_names(scene: Scene, data: dict[str, Any]) -> None:
    policy(scene, EVENT_RULE)
    record(replace(AUDITED, data=data))
    policies.run_all()
    assert LogLock.objects.get().count == 10


def test_a_finished_export_can_be_an_event(scene: Scene) -> None:
    policy(scene, {"kind": "event", "type": "auditlog.export.made", "sources": ["auditlog"]})
    record(replace(EVENT, type="export.made", event_id="a stranger's"))
    assert policies.run_all() == 0
    record_step(kind="export.made", target="export 7", by="olga", data={})
    assert policies.run_all() == 1
    assert LogLock.objects.get().count == 10


RULES: dict[str, dict[str, Any]] = {
    "age": {"kind": "age", "days": 30},
    "event": EVENT_RULE,
    "count": {"kind": "count", "entries": 5},
}


@pytest.fixture(params=RULES)
def due(request: pytest.FixtureRequest, scene: Scene) -> None:
    """Set a policy that has one lock to begin."""
    policy(scene, RULES[request.param])
    back_date(scene, datetime.now(UTC) - timedelta(days=40), *range(10))
    record(AUDITED)


@pytest.mark.usefixtures("due")
def test_a_worker_that_has_read_the_policy_before_another_one_moved_it_begins_nothing() -> None:
    one, other = (LockPolicy.objects.select_related("ledger").get() for _ in range(2))
    assert policies.run(one) == 1
    assert policies.run(other) == 0
    assert LogLock.objects.count() == 1


@pytest.mark.usefixtures("due")
def test_two_workers_at_once_lock_nothing_twice_and_leave_nothing_out() -> None:
    barrier = Barrier(2)

    def beat(work: Callable[[], int]) -> int:
        barrier.wait()
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        begun = [each.result() for each in [pool.submit(beat, policies.run_all) for _ in range(2)]]
    assert sum(begun) == 1
    made = LogLock.objects.get()
    assert (made.state, made.count) == ("in_force", ActivityLog.objects.filter(held_by=[made.pk]).count())
    assert made.count >= 5
