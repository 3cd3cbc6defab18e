"""The auditor of auditors, in a real browser: who saw patient 4711, what exactly, and a signed export of it."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client, override_settings
from playwright.sync_api import Page

from activity import amending, authority
from activity.event import Event
from activity.models import ActivityLog
from activity.services import record
from auditlog_project.roles import AUDITOR_OF_AUDITORS, COMPLIANCE_OFFICER, READER
from exports.models import Export
from metaaudit.models import MetaArchive, MetaLog
from signing import export_keys
from tests.browser.conftest import PASSWORD, Site
from tests.browser.test_exporting import look_at, look_both_ways
from tests.metaaudit.conftest import archive, ordered
from tests.metaaudit.conftest import container as contained

NOW = datetime.now(UTC)
PATIENT = Event("clinic.record", "read", "ann", NOW, "clinic", target="patient/4711")


@pytest.fixture
def accesses(site: Site) -> MetaLog:
    """Let ada look at two patients, and return her access that showed number 4711."""
    for name, role in (("ada", READER), ("rex", AUDITOR_OF_AUDITORS)):
        user = User.objects.create_user(name, password=PASSWORD)
        user.groups.add(Group.objects.get(name=role))
        authority.grant_ledger(ledger="activity", to=user, by="test", reason="test")
    export_keys.certify(person="rex", by="test", reason="test")
    ada = Client()
    ada.force_login(User.objects.get(username="ada"))
    entry = record(PATIENT)
    other = record(Event("clinic.record", "read", "ann", NOW, "clinic", target="patient/1"))
    for address in (f"/logs/{other.id}/", f"/logs/{entry.id}/", "/logs/?actor=nobody"):
        assert ada.get(address).status_code == 200
    return MetaLog.objects.get(path=f"/logs/{entry.id}/")


def test_who_saw_the_patient_takes_three_clicks_or_one_call(
    accesses: MetaLog, browse: Callable[..., Any], site: Site
) -> None:
    begin, end = NOW - timedelta(days=1), NOW + timedelta(days=1)
    with browse(name="rex") as page:
        page.get_by_role("link", name="Accesses", exact=True).click()
        page.get_by_text("Filters", exact=True).click()
        page.get_by_label("Was shown entries about").fill("patient/4711")
        page.get_by_label("From (UTC)").fill(f"{begin:%Y-%m-%dT%H:%M}")
        page.get_by_label("To (UTC)").fill(f"{end:%Y-%m-%dT%H:%M}")
        page.get_by_role("button", name="Show accesses").click()
        rows = page.locator("tbody tr")
        assert rows.count() == 1
        assert "ada" in rows.inner_text()
        said = page.request.get(
            "/api/v1/meta-logs",
            params={
                "saw_target": "patient/4711",
                "from": f"{begin:%Y-%m-%dT%H:%M:%SZ}",
                "to": f"{end:%Y-%m-%dT%H:%M:%SZ}",
            },
        ).json()["meta_logs"]
        assert [one["id"] for one in said] == [str(accesses.pk)]
        rows.get_by_role("link").first.click()
        page.get_by_role("button", name="Replay").click()
        page.get_by_text("The same: 1 entry").wait_for()
        assert accesses.path.strip("/").rpartition("/")[2] in page.content()


def test_what_the_list_shows_is_ordered_as_a_signed_export(accesses: MetaLog, browse: Callable[..., Any]) -> None:
    with browse(name="rex") as page:
        page.goto("/meta-logs/?user=ada")
        page.get_by_role("link", name="Signed export").click()
        assert page.get_by_label("User", exact=True).input_value() == "ada"
        page.get_by_label("Purpose").fill("Review of readers")
        page.get_by_role("button", name="Order and sign").click()
        page.get_by_role("link", name=re.compile("Download the signed container")).wait_for()
    export = Export.objects.get()
    assert (export.filters, export.entries, export.state) == ({"user": "ada"}, 3, "ready")


def test_every_page_is_accessible_wide_and_light_narrow_and_dark(accesses: MetaLog, browse: Callable[..., Any]) -> None:
    entry = accesses.path.strip("/").rpartition("/")[2]
    User.objects.get(username="rex").groups.add(Group.objects.get(name=READER))
    with browse(name="rex") as page:
        for address in (
            "/meta-logs/",
            "/meta-logs/?user=nobody",
            "/meta-logs/activity/",
            "/meta-logs/order/?user=ada",
            f"/meta-logs/{accesses.pk}/",
            f"/logs/{entry}/",
        ):
            look_at(page, address)
    with browse(name="ada") as page:
        look_at(page, "/meta-logs/")
        look_at(page, "/meta-logs/activity/")


def test_pages_that_tell_of_an_archive_are_accessible(
    accesses: MetaLog, browse: Callable[..., Any], tmp_path: Path
) -> None:
    entry, rex, container = accesses.path.strip("/").rpartition("/")[2], Client(), tmp_path / "accesses.asice"
    User.objects.get(username="rex").groups.add(Group.objects.get(name=READER))
    User.objects.filter(username="rex").update(is_staff=True)
    rex.force_login(User.objects.get(username="rex"))
    container.write_bytes(contained(rex, ordered(rex, "csv")))
    with override_settings(AUDITLOG_META_RETENTION_DAYS=0):
        archive(container)
    archived = MetaArchive.objects.get()
    assert archived.tombstone is not None
    with browse(name="rex", refusals=True) as page:
        for address, status in (("/meta-logs/", 200), (f"/logs/{entry}/", 200), (f"/meta-logs/{accesses.pk}/", 410)):
            shown = page.goto(address)
            assert shown is not None
            assert shown.status == status
            look_both_ways(page)
            assert archived.tombstone.sentence in page.inner_text("main"), address
        for address in ("/admin/metaaudit/metaarchive/", f"/admin/metaaudit/metaarchive/{archived.pk}/change/"):
            look_at(page, address)
            assert archived.tombstone.export in page.inner_text("#content"), address


def test_a_replay_is_accessible_whatever_comes_out(accesses: MetaLog, browse: Callable[..., Any], site: Site) -> None:
    rex, cora = User.objects.get(username="rex"), User.objects.create_user("cora", password=PASSWORD)
    cora.groups.add(Group.objects.get(name=COMPLIANCE_OFFICER))
    authority.grant_ledger(ledger="activity", to=cora, by="test", reason="test")
    entry = ActivityLog.objects.get(target="patient/4711")
    amending.amend(entry_id=entry.pk, changes={"target": "patient/4712"}, by=cora, reason="the other patient")
    ada = Client()
    ada.force_login(User.objects.get(username="ada"))
    ada.get("/verify/")
    nothing = MetaLog.objects.get(path="/verify/")
    with browse(name="rex") as page:
        replayed(page, accesses, "You may not read this ledger.")
        replayed(page, nothing, "nothing of the log was shown")
        rex.groups.add(Group.objects.get(name=READER))
        replayed(page, accesses, "The same: 1 entry")
        assert page.get_by_role("heading", name="Then").is_visible()
        assert page.get_by_label("Record then").inner_text() != page.get_by_label("Record now").inner_text()
        assert page.locator("del").inner_text() == "patient/4711"
        assert page.locator("ins").inner_text() == "patient/4712"
        intruder = site.database.superuser()
        intruder.execute("ALTER TABLE activity_revisions DISABLE TRIGGER ALL")
        intruder.execute("DELETE FROM activity_revisions")
        replayed(page, accesses, "Not the same as was recorded.")


def replayed(page: Page, access: MetaLog, says: str) -> None:
    """Run an access again and look at what is said of it."""
    page.goto(f"/meta-logs/{access.pk}/")
    page.get_by_role("button", name="Replay").click()
    page.get_by_text(says).wait_for()
    look_both_ways(page)
