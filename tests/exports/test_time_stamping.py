"""An export whose time stamp authority is away: it waits with all that was made, and goes on when it can."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import storages
from django.test import Client, override_settings

from activity.services import record_many
from exports import making, services, tasks
from exports.models import Export
from tests.exports.ordering import orders
from tests.signing.local_tsa import LocalTsa, local_tsa


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTsa]:
    with local_tsa(tmp_path_factory.mktemp("tsa")) as running:
        yield running


@pytest.fixture
def tsa(authority: LocalTsa) -> Iterator[LocalTsa]:
    """Give an authority that is away, and that the installation asks."""
    authority.status, authority.instead = 503, None
    authority.asked.clear()
    with override_settings(AUDITLOG_TSA_URL=authority.url):
        yield authority


@pytest.fixture
def export(olivia: User, tsa: LocalTsa, monkeypatch: pytest.MonkeyPatch) -> Export:
    """Return an export of several parts that was worked on while the authority was away."""
    monkeypatch.setattr(services, "FEW", -1)
    monkeypatch.setattr(services, "PART_LEAVES", 256)
    record_many(orders(600))
    made = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="audit").export
    return worked_on(made)


def worked_on(export: Export) -> Export:
    services.work(export=export.pk)
    export.refresh_from_db()
    return export


def made_due(export: Export) -> None:
    Export.objects.filter(pk=export.pk).update(next_attempt_at=datetime.now(UTC))


def waits_seconds(export: Export) -> float:
    assert export.next_attempt_at is not None
    return (export.next_attempt_at - datetime.now(UTC)).total_seconds()


def parts_of(export: Export) -> set[str]:
    return {path.name for path in Path(storages["exports"].path(str(export.pk))).iterdir()}


def test_it_waits_with_its_parts_and_says_for_what(export: Export) -> None:
    assert (export.state, export.failure) == ("running", "")
    assert "the time stamp authority does not answer: HTTP Error 503" in export.waits_for
    assert export.parts.filter(done_at=None).count() == 0
    assert {name for part in export.parts.all() for name in part.files} == {"ndjson", "csv", "spans", "proof"}
    assert len(parts_of(export)) == 12


def test_it_is_signed_without_making_anything_again(
    export: Export, tsa: LocalTsa, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made_again(*_: Any) -> making.Made:
        raise AssertionError("a part that is made is not made again")

    monkeypatch.setattr(services, "make_part", made_again)
    tsa.status = 200
    made_due(export)
    worked_on(export)
    assert (export.state, export.waits_for) == ("ready", "")
    assert parts_of(export) == {f"auditlog-export-{export.pk}.asice"}


def test_an_authority_is_left_alone_until_the_time_has_come(export: Export, tsa: LocalTsa) -> None:
    tsa.status = 200
    asked = len(tsa.asked)
    worked_on(export)
    assert (export.state, len(tsa.asked)) == ("running", asked)


def test_it_is_asked_less_and_less_often_and_never_given_up(export: Export) -> None:
    assert 0 < waits_seconds(export) <= 15
    made_due(export)
    assert 15 < waits_seconds(worked_on(export)) <= 30
    Export.objects.filter(pk=export.pk).update(attempts=10_000)
    made_due(export)
    worked_on(export)
    assert timedelta(minutes=10).total_seconds() < waits_seconds(export) <= timedelta(minutes=15).total_seconds()
    assert export.state == Export.State.RUNNING


def test_an_answer_that_is_no_time_stamp_is_waited_out_too(export: Export, tsa: LocalTsa) -> None:
    tsa.status, tsa.instead = 200, b"<html>under repair</html>"
    made_due(export)
    assert "the answer is no time stamp" in worked_on(export).waits_for


def test_only_what_is_due_is_sent_to_workers(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[UUID] = []
    monkeypatch.setattr(tasks, "_send", lambda one: sent.append(one.pk))
    tasks.resume()
    assert sent == []
    made_due(export)
    tasks.resume()
    assert sent == [export.pk]


def test_whoever_ordered_it_may_cancel_it(export: Export, olivia: User) -> None:
    services.cancel(export=export, by=olivia)
    made_due(export)
    assert worked_on(export).state == Export.State.CANCELLED
    assert parts_of(export) == set()


def test_page_and_api_say_for_what_it_waits(export: Export, olivia: User) -> None:
    client = Client()
    client.force_login(olivia)
    shown = client.get(f"/exports/{export.pk}/").content.decode()
    assert "Waiting for the time stamp authority" in shown
    assert "HTTP Error 503" in shown
    said = client.get(f"/api/v1/exports/{export.pk}").json()
    assert (said["state"], said["failure"], said["waits_for"]) == ("running", None, export.waits_for)
    assert datetime.fromisoformat(said["next_attempt_at"]) == export.next_attempt_at


def test_a_small_export_that_has_to_wait_is_answered_as_under_way(olivia: User, tsa: LocalTsa) -> None:
    client = Client()
    client.force_login(olivia)
    order = {"ledger": "activity", "formats": ["csv"], "purpose": "audit"}
    response = client.post("/api/v1/exports", order, content_type="application/json")
    assert (response.status_code, response.json()["state"]) == (202, "running")
    assert "does not answer" in response.json()["waits_for"]
