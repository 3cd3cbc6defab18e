"""A request for a release ends in three ways: it is given, declined by another person, or withdrawn by who asked."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connections
from rest_framework.test import APIClient

from locking import services, steps, timeline
from locking.errors import LockRefusedError
from locking.models import LogLock
from tests.attacks.intruder import assert_clean
from tests.clusters import Database
from tests.locking.pages import Pages, followed, said
from tests.locking.people import approver, officer
from tests.locking.test_services import Scene
from tests.locking.test_services import steps as steps_of


@pytest.fixture
def pages(fresh_database: Database) -> Pages:
    return Pages(fresh_database)


@pytest.fixture
def scene(pages: Pages) -> Scene:
    return pages.scene


@pytest.fixture
def asked(scene: Scene) -> LogLock:
    """Give a lock whose release olga has asked for."""
    made = scene.lock(2)
    mail.outbox.clear()
    return services.request_release(lock_id=made.pk, by=scene.officer, reason="settled")


def asker(made: LogLock) -> str | None:
    return LogLock.objects.get(pk=made.pk).release_requested_by


def test_another_person_declines_it_and_the_lock_holds_as_before(scene: Scene, asked: LogLock) -> None:
    approver("berta")
    mail.outbox.clear()
    made = services.decline_release(lock_id=asked.pk, by=scene.approver, reason="the appeal is open")
    assert (made.state, made.release_requested_by, made.release_reason) == ("in_force", None, None)
    assert (made.declined_by, made.decline_reason) == ("anton", "the appeal is open")
    assert made.declined_at is not None
    assert scene.entry(2).locked
    assert steps_of(made)[-2:] == ["lock.release-requested", "lock.release-declined"]
    assert timeline.of_subject(made)[-1].why == "the appeal is open"
    (message,) = mail.outbox
    assert message.to == ["berta@example.org", "olga@example.org"]
    assert message.subject.endswith("anton declined the release that olga had asked for")
    with pytest.raises(LockRefusedError, match="nobody asked"):
        services.release(lock_id=made.pk, by=scene.approver)
    assert_clean()


def test_it_can_be_asked_for_again_and_then_be_given(scene: Scene, asked: LogLock) -> None:
    services.decline_release(lock_id=asked.pk, by=scene.approver, reason="not yet")
    services.request_release(lock_id=asked.pk, by=scene.officer, reason="now")
    assert services.release(lock_id=asked.pk, by=scene.approver).state == "released"
    assert_clean()


def test_whoever_asked_withdraws_it_and_nobody_else(scene: Scene, asked: LogLock) -> None:
    mail.outbox.clear()
    with pytest.raises(LockRefusedError, match="nobody else"):
        services.withdraw_release(lock_id=asked.pk, by=officer("otto"))
    made = services.withdraw_release(lock_id=asked.pk, by=scene.officer)
    assert (made.state, made.release_requested_by, made.declined_by) == ("in_force", None, None)
    assert steps_of(made)[-2:] == ["lock.release-requested", "lock.release-withdrawn"]
    (message,) = mail.outbox
    assert message.to == ["anton@example.org"]
    with pytest.raises(LockRefusedError, match="nobody asked"):
        services.release(lock_id=made.pk, by=scene.approver)
    services.request_release(lock_id=made.pk, by=User.objects.get(username="otto"), reason="mine")
    assert services.release(lock_id=made.pk, by=scene.approver).release_requested_by == "otto"
    assert_clean()


def test_nobody_declines_what_he_asked_for_or_what_nobody_asked_for(scene: Scene, asked: LogLock) -> None:
    with pytest.raises(PermissionDenied):
        services.decline_release(lock_id=asked.pk, by=scene.officer, reason="no")
    scene.officer.groups.add(*scene.approver.groups.all())
    both = User.objects.get(pk=scene.officer.pk)
    with pytest.raises(LockRefusedError, match="another person declines it"):
        services.decline_release(lock_id=asked.pk, by=both, reason="no")
    with pytest.raises(LockRefusedError, match="plain text"):
        services.decline_release(lock_id=asked.pk, by=scene.approver, reason=" ")
    assert asker(asked) == "olga"
    with pytest.raises(LockRefusedError, match="nobody asks"):
        services.decline_release(lock_id=scene.lock(3).pk, by=scene.approver, reason="no")


def test_a_refusal_that_was_recorded_and_not_done_is_no_finding_and_is_repeated(
    scene: Scene, asked: LogLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(**_: Any) -> None:
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(steps, "as_approver", dies)
        with pytest.raises(OperationalError):
            services.decline_release(lock_id=asked.pk, by=scene.approver, reason="no")
    assert asker(asked) == "olga"
    assert_clean()
    services.decline_release(lock_id=asked.pk, by=scene.approver, reason="no")
    assert asker(asked) is None
    assert_clean()


def test_one_that_was_not_done_leaves_the_release_to_another_approver(
    scene: Scene, asked: LogLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(steps, "as_approver", lambda **_: None)
        services.decline_release(lock_id=asked.pk, by=scene.approver, reason="no")
    assert services.release(lock_id=asked.pk, by=approver("berta")).released_by == "berta"
    assert_clean()


def test_a_refused_request_that_stands_again_is_found(scene: Scene, asked: LogLock) -> None:
    services.decline_release(lock_id=asked.pk, by=scene.approver, reason="no")
    assert_clean()
    superuser = scene.database.superuser()
    superuser.execute("ALTER TABLE log_locks DISABLE TRIGGER stronger_only")
    superuser.execute("UPDATE log_locks SET release_requested_by = 'olga', release_reason = 'settled'")
    superuser.execute("ALTER TABLE log_locks ENABLE ALWAYS TRIGGER stronger_only")
    with pytest.raises(AssertionError, match="no system entry says that olga asked for it so"):
        assert_clean()


def test_a_withdrawn_request_that_stands_again_is_found(scene: Scene, asked: LogLock) -> None:
    services.withdraw_release(lock_id=asked.pk, by=scene.officer)
    with scene.database.superuser() as superuser:
        superuser.execute("UPDATE log_locks SET release_requested_by = 'olga', release_reason = 'settled'")
    with pytest.raises(AssertionError, match="no system entry says that olga asked for it so"):
        assert_clean()


def test_a_request_that_is_gone_is_found(scene: Scene, asked: LogLock) -> None:
    assert_clean()
    with scene.database.superuser() as superuser:
        superuser.execute("UPDATE log_locks SET release_requested_by = NULL, release_reason = NULL")
    with pytest.raises(AssertionError, match="as olga asked, and its table does not say so"):
        assert_clean()


def test_the_approver_role_alone_declines_and_demands_the_record(asked: LogLock) -> None:
    call = "lock_decline_release(%s, 'anton', 'r', gen_random_uuid())"
    with pytest.raises(LockRefusedError, match="no system entry"):
        steps.as_approver(call=call, parameters=[asked.pk])
    assert connections["approver"].settings_dict["USER"] != connections["default"].settings_dict["USER"]


def test_on_its_page_an_approver_declines_with_a_reason(pages: Pages, asked: LogLock) -> None:
    address = f"/locks/{asked.pk}/"
    assert "Decline the release" not in said(pages.officer.get(address))
    assert "Decline the release" in said(pages.approver.get(address))
    assert pages.officer.post(f"{address}decline-release/", {"reason": "no"}).status_code == 403
    assert "This field is required." in said(pages.approver.post(f"{address}decline-release/", {}), 400)
    text = followed(pages.approver.post(f"{address}decline-release/", {"reason": "the appeal is open"}))
    assert "The release is declined." in text
    assert "Its release is asked for" not in text
    text = said(pages.officer.get(address))
    assert "by anton: the appeal is open" in text
    assert "Release declined , anton valid the appeal is open" in text
    assert "Ask for its release" in text
    assert "Nothing is open." in said(pages.approver.get("/locks/open/"))
    shown = said(pages.officer.get(f"/admin/locking/loglock/{asked.pk}/change/"))
    assert "anton: the appeal is open" in shown


def test_on_its_page_whoever_asked_withdraws(pages: Pages, asked: LogLock) -> None:
    address = f"/locks/{asked.pk}/"
    assert "Withdraw the request" not in said(pages.approver.get(address))
    assert "Withdraw the request" in said(pages.officer.get(address))
    other = pages.of(officer("otto"))
    assert "Withdraw the request" not in said(other.get(address))
    assert "nobody else" in said(other.post(f"{address}withdraw-release/"), 409)
    text = followed(pages.officer.post(f"{address}withdraw-release/"))
    assert "The request is withdrawn." in text
    assert "Request withdrawn , olga" in text
    assert asker(asked) is None


@pytest.mark.usefixtures("broker")
def test_the_api_withdraws_and_declines(pages: Pages, asked: LogLock) -> None:
    client = APIClient()
    address = f"/api/v1/locks/{asked.pk}"

    def post(user: User, what: str, **body: str) -> Any:
        client.force_login(user)
        return client.post(f"{address}/{what}", body, format="json")

    olga, anton = pages.scene.officer, pages.scene.approver
    assert post(anton, "withdraw-release").status_code == 403
    assert post(olga, "withdraw-release", reason="x").json()["detail"] == "there is no reason"
    given = post(olga, "withdraw-release")
    assert (given.status_code, given.json()["release_requested_by"]) == (200, None)
    assert post(olga, "withdraw-release").status_code == 409
    assert post(olga, "release", reason="again").status_code == 202
    assert post(olga, "decline-release", reason="no").status_code == 403
    assert post(anton, "decline-release").json()["detail"] == "it lacks reason"
    given = post(anton, "decline-release", reason="no")
    answer = given.json()
    assert (given.status_code, answer["state"], answer["release_requested_by"]) == (200, "in_force", None)
    assert (answer["declined_by"], answer["decline_reason"], answer["declined_at"] is None) == ("anton", "no", False)
    assert post(anton, "decline-release", reason="no").status_code == 409
