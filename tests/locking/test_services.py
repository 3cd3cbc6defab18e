"""Locks, releases and overrides: stronger at once, weaker only by two people, each step a record of the ledger."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.test import override_settings

from activity.amending import amend, remove
from activity.errors import EntryLockedError
from activity.event import Event
from activity.models import FOR_GOOD, ActivityLog, ActivityRevision
from activity.recording import Receipt
from activity.services import record, record_many
from locking import overriding, services
from locking.errors import LockNotFoundError, LockRefusedError
from locking.models import LockOverride, LogLock
from signing.queries import head, ledger_named
from signing.services import open_ledger
from tests.clusters import Database
from tests.locking.people import approver, officer
from tests.signing.installation import BY

EVENT = Event("auth.login", "sign in", "ada", datetime(2026, 11, 23, 5, 40, tzinfo=UTC), "shop")
LATER = datetime.now(UTC) + timedelta(days=30)


class Scene:
    """Ten entries, an officer who locks and asks, and an approver."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.officer, self.approver = officer(), approver()
        self.receipts = record_many([replace(EVENT, event_id=f"e-{number}") for number in range(10)])

    def entry(self, number: int) -> ActivityLog:
        return ActivityLog.objects.get(pk=self.receipts[number].id)

    def ids(self, *numbers: int) -> list[Any]:
        return [self.receipts[number].id for number in numbers]

    def lock(self, *numbers: int, kind: str = "governance", until: datetime | None = None, **how: Any) -> LogLock:
        return services.lock(
            ledger="activity",
            scope={"entries": self.ids(*numbers)},
            kind=kind,
            reason="audit 2026",
            by=self.officer,
            until=until,
            **how,
        )

    def amend(self, number: int) -> Receipt:
        return amend(entry_id=self.entry(number).pk, changes={"target": str(uuid4())}, by=self.officer, reason="a test")

    def override(self, *numbers: int, **how: Any) -> LockOverride:
        return overriding.request_override(
            entries=self.ids(*numbers), hours=1, by=self.officer, reason="a court says so", **how
        )

    def approve(self, made: LockOverride) -> LockOverride:
        return overriding.decide_override(override_id=made.pk, approve=True, by=self.approver, reason="seen")

    def age(self, table: str, column: str, made: Any, by: str = "2 hours") -> None:
        """Let time pass for a row, and for what stands of it on entries."""
        superuser = self.database.superuser()
        superuser.execute("SET session_replication_role = replica")
        for guarded in ("activity_logs", table):
            superuser.execute(f"ALTER TABLE {guarded} DISABLE TRIGGER ALL".encode())
        superuser.execute(f"UPDATE {table} SET {column} = {column} - interval '{by}' WHERE id = {made.pk}".encode())
        superuser.execute(
            f"UPDATE activity_logs SET override_until = override_until - interval '{by}', governance_until = "
            f"governance_until - interval '{by}', compliance_until = compliance_until - interval '{by}' "
            "WHERE locked".encode()
        )
        for guarded in ("activity_logs", table):
            superuser.execute(f"ALTER TABLE {guarded} ENABLE TRIGGER ALL".encode())
            for (name,) in superuser.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal", [guarded]
            ).fetchall():
                superuser.execute(f"ALTER TABLE {guarded} ENABLE ALWAYS TRIGGER {name}".encode())


@pytest.fixture
def scene(fresh_database: Database) -> Scene:
    return Scene(fresh_database)


def steps(subject: object) -> list[str]:
    found = ActivityLog.objects.filter(target=str(subject), type__startswith="auditlog.").order_by("leaf_index")
    return [entry.type.removeprefix("auditlog.") for entry in found]


def test_a_lock_says_what_it_locked_and_where_the_ledger_stood(scene: Scene) -> None:
    made = scene.lock(2, 3, until=LATER, case_reference="C-7")
    assert (made.state, made.count, made.locked_by, made.until) == ("in_force", 2, "olga", LATER)
    said = orjson.loads(bytes(ActivityLog.objects.get(type="auditlog.lock.in-force").record))["data"]
    tree = head(ledger_named("activity"))
    assert (made.size, said["size"]) == (tree.size - 1, tree.size - 1)
    assert bytes(made.root or b"").hex() == said["root"]
    entry = scene.entry(2)
    assert (entry.locked, entry.held_by, entry.governance_until) == (True, [made.pk], LATER)
    assert not scene.entry(4).locked
    assert steps(made) == ["lock.started", "lock.in-force"]


def test_a_locked_entry_is_neither_amended_nor_removed_and_the_error_says_why(scene: Scene) -> None:
    made = scene.lock(2, kind="hold")
    with pytest.raises(EntryLockedError) as refused:
        scene.amend(2)
    assert (refused.value.entry, refused.value.locks, refused.value.reason) == (
        scene.ids(2)[0],
        (made.pk,),
        "legal hold",
    )
    with pytest.raises(EntryLockedError):
        remove(entry_id=scene.entry(2).pk, rule="r", by=scene.officer, reason="a test")
    scene.amend(3)


def test_a_filter_locks_what_matches_and_nothing_that_comes_later(scene: Scene) -> None:
    record(replace(EVENT, type="shop.order"))
    made = services.lock(ledger="activity", scope={"type": "auth.*"}, kind="governance", reason="r", by=scene.officer)
    assert made.count == 10
    record(replace(EVENT, event_id="late"))
    assert ActivityLog.objects.filter(locked=True).count() == 10
    assert scene.entry(0).governance_until == FOR_GOOD


def test_a_large_lock_is_applied_in_chunks_and_in_force_only_when_complete(scene: Scene, monkeypatch: Any) -> None:
    monkeypatch.setattr(services, "CHUNK", 4)
    made = services.lock(ledger="activity", scope={"leaf_from": 0}, kind="governance", reason="r", by=scene.officer)
    assert (made.state, made.next_leaf, made.in_force_at) == ("applying", 16, None)
    assert steps(made) == ["lock.started"]
    moved = scene.amend(9)
    while made.state == "applying":
        made = services.advance(lock_id=made.pk, chunks=1)
    assert (made.state, steps(made)) == ("in_force", ["lock.started", "lock.in-force"])
    assert scene.entry(9).leaf_index == moved.leaf_index
    assert scene.entry(9).locked, "what was amended meanwhile is locked where it stands now"
    assert ActivityLog.objects.filter(ledger__name="activity", leaf_index__lt=made.size, locked=False).count() == 0
    assert made.count == (made.size or 0) - 1, "the superseded version is no entry"


def test_a_hold_and_a_retention_are_independent_and_the_stronger_counts(scene: Scene) -> None:
    hold, short, long = (
        scene.lock(2, kind="hold"),
        scene.lock(2, until=LATER),
        scene.lock(2, kind="compliance", until=LATER),
    )
    entry = scene.entry(2)
    assert (entry.hold_count, entry.governance_until, entry.compliance_until) == (1, LATER, LATER)
    assert sorted(entry.held_by or []) == [hold.pk, short.pk, long.pk]
    services.request_release(lock_id=hold.pk, by=scene.officer, reason="settled")
    services.release(lock_id=hold.pk, by=scene.approver)
    entry = scene.entry(2)
    assert (entry.hold_count, entry.locked, sorted(entry.held_by or [])) == (0, True, [short.pk, long.pk])
    with pytest.raises(EntryLockedError, match="compliance"):
        scene.amend(2)


def test_a_release_takes_two_people_and_frees_the_entries(scene: Scene) -> None:
    made = scene.lock(2, 3)
    with pytest.raises(LockRefusedError, match="nobody asked"):
        services.release(lock_id=made.pk, by=scene.approver)
    services.request_release(lock_id=made.pk, by=scene.officer, reason="settled")
    assert [message.to for message in mail.outbox] == [["anton@example.org"]]
    with pytest.raises(PermissionDenied):
        services.release(lock_id=made.pk, by=scene.officer)
    made = services.release(lock_id=made.pk, by=scene.approver)
    assert (made.state, made.released_by, made.release_requested_by) == ("released", "anton", "olga")
    assert steps(made) == ["lock.started", "lock.in-force", "lock.release-requested", "lock.released"]
    assert not scene.entry(2).locked
    scene.amend(2)


def test_what_is_not_in_force_is_not_extended_and_the_refusal_says_so(scene: Scene, monkeypatch: Any) -> None:
    over = scene.lock(2, until=LATER)
    scene.age("log_locks", "until", over, by="60 days")
    monkeypatch.setattr(services, "CHUNK", 1)
    applying = services.lock(
        ledger="activity", scope={"leaf_from": 0}, kind="governance", reason="r", by=scene.officer, until=LATER
    )
    for made in (over, applying):
        with pytest.raises(LockRefusedError, match="only a lock that is in force is extended"):
            services.extend(lock_id=made.pk, until=None, by=scene.officer, reason="more")


def test_nobody_releases_what_he_asked_for_himself(scene: Scene) -> None:
    made = scene.lock(2)
    scene.officer.groups.add(*scene.approver.groups.all())
    both = User.objects.get(pk=scene.officer.pk)
    services.request_release(lock_id=made.pk, by=both, reason="settled")
    with pytest.raises(LockRefusedError, match="two people"):
        services.release(lock_id=made.pk, by=both)


def test_a_release_is_asked_for_once_and_nobody_takes_the_place_of_who_asked(scene: Scene) -> None:
    made = scene.lock(2)
    services.request_release(lock_id=made.pk, by=scene.officer, reason="settled")
    with pytest.raises(LockRefusedError, match="asked for already, by olga"):
        services.request_release(lock_id=made.pk, by=officer("otto"), reason="me too")
    made.refresh_from_db()
    assert (made.release_requested_by, made.release_reason) == ("olga", "settled")
    assert steps(made) == ["lock.started", "lock.in-force", "lock.release-requested"]


def test_compliance_is_never_released_or_shortened_only_extended(scene: Scene) -> None:
    made = scene.lock(2, kind="compliance", until=LATER)
    with pytest.raises(LockRefusedError, match="never released"):
        services.request_release(lock_id=made.pk, by=scene.officer, reason="please")
    with pytest.raises(LockRefusedError, match="never shortened"):
        services.extend(lock_id=made.pk, until=LATER - timedelta(days=1), by=scene.officer, reason="please")
    services.extend(lock_id=made.pk, until=LATER + timedelta(days=1), by=scene.officer, reason="more")
    assert scene.entry(2).compliance_until == LATER + timedelta(days=1)
    services.extend(lock_id=made.pk, until=None, by=scene.officer, reason="for good")
    assert scene.entry(2).compliance_until == FOR_GOOD
    with pytest.raises(LockRefusedError, match="never shortened"):
        services.extend(lock_id=made.pk, until=LATER, by=scene.officer, reason="please")


def test_a_retention_whose_time_is_over_ends(scene: Scene) -> None:
    made = scene.lock(2, kind="compliance", until=LATER)
    with pytest.raises(LockRefusedError, match="its time is not over"):
        services.expire(lock_id=made.pk)
    scene.age("log_locks", "until", made, by="40 days")
    scene.amend(2)
    made = services.expire(lock_id=made.pk)
    services.lift(lock_id=made.pk, chunks=1)
    assert (made.state, scene.entry(2).locked) == ("expired", False)


def test_an_override_lets_exactly_the_named_entries_change_and_leaves_a_trail(scene: Scene) -> None:
    scene.lock(2, 3, 4)
    made = scene.override(2, 3)
    assert [message.to for message in mail.outbox] == [["anton@example.org"]]
    with pytest.raises(EntryLockedError):
        scene.amend(2)
    made = scene.approve(made)
    assert made.runs_until is not None
    assert timedelta(minutes=59) < made.runs_until - datetime.now(UTC) <= timedelta(hours=1)
    scene.amend(2)
    remove(entry_id=scene.entry(3).pk, rule="court", by=scene.officer, reason="ordered")
    with pytest.raises(EntryLockedError):
        scene.amend(4)
    assert orjson.loads(bytes(scene.entry(2).record))["amendment"]["override"] == made.pk
    assert set(ActivityRevision.objects.values_list("override_id", flat=True)) == {made.pk}
    made = overriding.end_override(override_id=made.pk, by="olga")
    assert (made.state, made.used_count) == ("closed", 2)
    with pytest.raises(EntryLockedError):
        scene.amend(2)
    with pytest.raises(PermissionDenied):
        overriding.review_override(override_id=made.pk, by=scene.officer, note="fine")
    made = overriding.review_override(override_id=made.pk, by=scene.approver, note="as ordered")
    assert made.reviewed_by == "anton"
    assert steps(made) == ["override.requested", "override.approved", "override.closed", "override.reviewed"]


def test_an_override_ends_with_its_time_though_nobody_ends_it(scene: Scene) -> None:
    scene.lock(2)
    made = scene.approve(scene.override(2))
    scene.age("lock_overrides", "runs_until", made)
    with pytest.raises(EntryLockedError):
        scene.amend(2)
    assert overriding.end_override(override_id=made.pk, by="auditlog").state == "expired"


def test_an_override_is_denied_for_good(scene: Scene) -> None:
    scene.lock(2)
    made = overriding.decide_override(override_id=scene.override(2).pk, approve=False, by=scene.approver, reason="no")
    assert made.state == "denied"
    with pytest.raises(LockRefusedError, match="denied already"):
        scene.approve(made)
    with pytest.raises(EntryLockedError):
        scene.amend(2)


def test_no_override_of_compliance_and_of_a_hold_only_if_that_was_asked(scene: Scene) -> None:
    scene.lock(1, kind="compliance", until=LATER)
    scene.lock(2, kind="hold")
    with pytest.raises(LockRefusedError):
        scene.override(1)
    with pytest.raises(LockRefusedError):
        scene.override(2)
    scene.approve(scene.override(2, lifts_holds=True))
    scene.amend(2)


def test_a_new_lock_ends_a_running_override(scene: Scene) -> None:
    scene.lock(2)
    scene.approve(scene.override(2))
    scene.lock(2, kind="hold")
    with pytest.raises(EntryLockedError, match="legal hold"):
        scene.amend(2)


def test_what_was_asked_before_a_compliance_lock_is_not_approved_after_it(scene: Scene) -> None:
    scene.lock(2)
    made = scene.override(2)
    scene.lock(2, kind="compliance")
    with pytest.raises(LockRefusedError, match="compliance is never overridden"):
        scene.approve(made)
    assert LockOverride.objects.get(pk=made.pk).state == "requested"


def test_whoever_asked_does_not_decide(scene: Scene) -> None:
    scene.lock(2)
    made = scene.override(2)
    scene.officer.groups.add(*scene.approver.groups.all())
    with pytest.raises(LockRefusedError, match="two people"):
        overriding.decide_override(
            override_id=made.pk, approve=True, by=User.objects.get(pk=scene.officer.pk), reason="mine"
        )


def test_an_approval_in_a_transaction_that_could_be_rolled_back_is_a_mistake(scene: Scene) -> None:
    scene.lock(2)
    made = scene.override(2)
    with pytest.raises(RuntimeError, match="recorded first"), transaction.atomic():
        scene.approve(made)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scope": {}}, "names entries or a filter"),
        ({"scope": {"entries": []}}, "1 to 10,000"),
        ({"scope": {"entries": [str(uuid4())]}}, "not all of these entries"),
        ({"scope": {"colour": "red"}}, "there is no colour"),
        ({"scope": {"severity": "bad"}}, "severity is one of"),
        ({"scope": {"recorded_to": "soon"}}, "recorded_to"),
        ({"scope": {"leaf_from": -1}}, "leaf index"),
        ({"kind": "eternal"}, "of kind"),
        ({"kind": "hold", "until": LATER}, "until it is released"),
        ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, "in the future"),
        ({"reason": " "}, "a reason"),
    ],
)
def test_what_cannot_be_locked_so_is_said(scene: Scene, changes: dict[str, Any], sentence: str) -> None:
    asked: dict[str, Any] = {"ledger": "activity", "scope": {"leaf_from": 0}, "kind": "governance", "reason": "r"}
    with pytest.raises(LockRefusedError, match=sentence):
        services.lock(**asked | changes, by=scene.officer)
    assert LogLock.objects.count() == 0


def test_rights_and_ledgers_are_looked_at(scene: Scene) -> None:
    open_ledger(name="tenant", **BY)
    with pytest.raises(LockNotFoundError):
        services.lock(ledger="tenant", scope={"leaf_from": 0}, kind="hold", reason="r", by=scene.officer)
    with pytest.raises(PermissionDenied):
        services.lock(ledger="activity", scope={"leaf_from": 0}, kind="hold", reason="r", by=scene.approver)
    with pytest.raises(LockNotFoundError):
        services.extend(lock_id=77, until=None, by=scene.officer, reason="r")


def test_a_lock_of_another_ledger_is_recorded_in_the_activity_ledger(scene: Scene) -> None:
    open_ledger(name="aaa", **BY)
    keeper = officer("kim", "aaa")
    receipt = record(EVENT, ledger="aaa")
    made = services.lock(ledger="aaa", scope={"leaf_from": 0}, kind="governance", reason="r", by=keeper)
    assert (made.state, made.count, made.size) == ("in_force", 1, 1)
    assert ActivityLog.objects.get(pk=receipt.id).locked
    assert steps(made) == ["lock.started", "lock.in-force"]


def test_people_can_be_deleted_and_the_log_stays_readable(scene: Scene) -> None:
    made = scene.lock(2)
    name = scene.officer.get_username()
    scene.officer.delete()
    assert LogLock.objects.get(pk=made.pk).locked_by == name


def test_whoever_asked_and_approvers_who_were_skipped_hear_what_another_one_did(scene: Scene) -> None:
    approver("berta")
    approver("carl", "keys")  # of a ledger that this is not about
    lock = scene.lock(2)
    made = scene.override(2)
    services.request_release(lock_id=lock.pk, by=scene.officer, reason="settled")
    mail.outbox.clear()
    scene.approve(made)
    services.release(lock_id=lock.pk, by=scene.approver)
    approved, released = mail.outbox
    assert approved.to == released.to == ["berta@example.org", "olga@example.org"]
    assert f"override {made.pk}: anton approved what olga had asked for" in approved.subject
    assert "Reason: seen\nolga had asked for it: a court says so. It runs until" in approved.body
    assert f"lock {lock.pk}: anton gave the release that olga had asked for" in released.subject


@override_settings(EMAIL_BACKEND="tests.locking.broken_mail.Backend")
def test_a_mail_that_cannot_be_sent_stops_nothing(scene: Scene, caplog: Any) -> None:
    scene.lock(2)
    assert scene.override(2).state == "requested"
    assert "could not be sent" in caplog.text
