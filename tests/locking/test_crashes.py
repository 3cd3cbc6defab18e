"""A crash half-way through a lock, an extension or a release: the database says how far it came, a beat goes on."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection

from activity.errors import EntryLockedError
from activity.models import FOR_GOOD, ActivityLog
from locking import policies, services, steps
from locking.errors import LockRefusedError
from locking.models import EXTENDED, LIFTED, LogLock
from tests.attacks.intruder import assert_clean
from tests.clusters import Database
from tests.locking.test_services import LATER, Scene

CHUNK = 4
MUCH_LATER = LATER + timedelta(days=365)


@pytest.fixture
def scene(fresh_database: Database, monkeypatch: Any) -> Scene:
    monkeypatch.setattr(services, "CHUNK", CHUNK)
    return Scene(fresh_database)


def lock_all(scene: Scene, **how: Any) -> LogLock:
    made = services.lock(
        ledger="activity", scope={"type": "auth.*"}, kind="governance", reason="r", by=scene.officer, **how
    )
    return services.advance(lock_id=made.pk, chunks=100)


def dying_in_chunk(number: int, function: str, scene: Scene, monkeypatch: Any) -> Any:
    """Have the server end the session in that chunk, before its commit."""
    call, chunks = steps.row_of, 0

    def cut_off(asked: str, parameters: Any) -> Any:
        nonlocal chunks
        row = call(asked, parameters)
        chunks += asked.startswith(function)
        if asked.startswith(function) and chunks == number:
            session: psycopg.Connection[Any] = connection.connection
            scene.database.superuser().execute("SELECT pg_terminate_backend(%s)", [session.info.backend_pid])
        return row

    monkeypatch.setattr(steps, "row_of", cut_off)
    return pytest.raises(OperationalError)


def ends(*, of_leaves: range) -> set[Any]:
    found = ActivityLog.objects.filter(locked=True, leaf_index__in=of_leaves)
    return set(found.values_list("governance_until", flat=True))


def test_a_lock_that_was_cut_off_is_not_in_force_and_a_beat_makes_it_so(scene: Scene, monkeypatch: Any) -> None:
    with monkeypatch.context() as patch, dying_in_chunk(2, "lock_apply", scene, patch):
        lock_all(scene)
    connection.close()
    made = LogLock.objects.get()
    assert (made.state, made.next_leaf, made.in_force_at) == ("applying", CHUNK, None)
    assert ActivityLog.objects.filter(locked=True).count() < 10
    policies.run_all()
    made.refresh_from_db()
    assert (made.state, made.count) == ("in_force", 10)
    assert ActivityLog.objects.filter(held_by=[made.pk]).count() == 10, "each entry holds it once"
    assert_clean()


def test_an_extension_that_was_cut_off_says_so_and_a_beat_goes_on(scene: Scene, monkeypatch: Any) -> None:
    made = lock_all(scene, until=LATER)
    with monkeypatch.context() as patch, dying_in_chunk(4, "lock_refresh", scene, patch):
        services.extend(lock_id=made.pk, until=MUCH_LATER, by=scene.officer, reason="longer")
    connection.close()
    made.refresh_from_db()
    assert (made.until, made.extended_to, made.is_being_extended) == (MUCH_LATER, 3 * CHUNK, True)
    assert ends(of_leaves=range(3 * CHUNK)) == {MUCH_LATER}
    assert ends(of_leaves=range(3 * CHUNK, 100)) == {LATER}
    assert_clean()
    policies.run_all()
    made.refresh_from_db()
    assert (made.extended_to, made.is_being_extended) == (EXTENDED, False)
    assert ends(of_leaves=range(100)) == {MUCH_LATER}
    assert_clean()


def test_what_is_amended_while_an_extension_waits_gets_the_later_end_where_it_stands(
    scene: Scene, monkeypatch: Any
) -> None:
    made = lock_all(scene, until=LATER)
    scene.approve(scene.override(9))
    with monkeypatch.context() as patch, dying_in_chunk(1, "lock_refresh", scene, patch):
        services.extend(lock_id=made.pk, until=None, by=scene.officer, reason="for good")
    connection.close()
    moved = scene.amend(9)
    assert scene.entry(9).governance_until == LATER
    services.refresh(lock_id=made.pk, chunks=100)
    assert scene.entry(9).leaf_index == moved.leaf_index
    assert scene.entry(9).governance_until == FOR_GOOD
    assert_clean()


def test_a_weakened_entry_is_found_while_an_extension_waits(scene: Scene, monkeypatch: Any) -> None:
    made = lock_all(scene, until=LATER)
    with monkeypatch.context() as patch, dying_in_chunk(1, "lock_refresh", scene, patch):
        services.extend(lock_id=made.pk, until=MUCH_LATER, by=scene.officer, reason="longer")
    connection.close()
    leaf = scene.entry(9).leaf_index
    superuser = scene.database.superuser()
    superuser.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    superuser.execute(
        "UPDATE activity_logs SET governance_until = %s WHERE leaf_index = %s AND locked",
        [LATER - timedelta(days=1), leaf],
    )
    with pytest.raises(AssertionError, match="does not hold it so"):
        assert_clean()


def test_no_second_extension_begins_before_the_first_one_is_done(scene: Scene, monkeypatch: Any) -> None:
    made = lock_all(scene, until=LATER)
    with monkeypatch.context() as patch, dying_in_chunk(1, "lock_refresh", scene, patch):
        services.extend(lock_id=made.pk, until=MUCH_LATER, by=scene.officer, reason="longer")
    connection.close()
    with pytest.raises(LockRefusedError, match="still being applied"):
        services.extend(lock_id=made.pk, until=None, by=scene.officer, reason="for good")
    with scene.database.app() as app:
        app.execute("SELECT lock_refresh(%s, -1000000)", [made.pk])
    assert LogLock.objects.get(pk=made.pk).extended_to == 0, "nobody leads it back"
    policies.run_all()
    services.extend(lock_id=made.pk, until=None, by=scene.officer, reason="for good")
    policies.run_all()
    assert not LogLock.objects.get(pk=made.pk).is_being_extended


def test_a_release_that_was_cut_off_goes_on_and_what_waits_stays_locked(scene: Scene, monkeypatch: Any) -> None:
    made = lock_all(scene)
    services.request_release(lock_id=made.pk, by=scene.officer, reason="settled")
    with monkeypatch.context() as patch, dying_in_chunk(2, "lock_lift", scene, patch):
        services.release(lock_id=made.pk, by=scene.approver)
    connection.close()
    assert ActivityLog.objects.filter(locked=True).exists()
    with pytest.raises(EntryLockedError):
        scene.amend(9)
    policies.run_all()
    assert LogLock.objects.get().lifted_to == LIFTED
    assert not ActivityLog.objects.filter(locked=True).exists()
    assert_clean()
