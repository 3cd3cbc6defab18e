"""The way of a compliance officer, in a real browser, up to the file that `openssl` verifies."""

import re
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group, User
from playwright.sync_api import Page

from activity import authority
from activity.services import record_many
from auditlog_project.roles import COMPLIANCE_OFFICER
from exports import services
from signing import export_keys
from tests.browser.conftest import DESKTOP, PASSWORD, PHONE, Site, accessible
from tests.exports.injection import CORPUS, listening
from tests.exports.ordering import orders

OPENSSL = """openssl cms -verify -binary -inform DER -in META-INF/signature001.p7s -content META-INF/ASiCManifest001.xml
    -CAfile certificates/issuers.pem -purpose any -out /dev/null"""


@pytest.fixture
def olivia(site: Site) -> User:
    user = User.objects.create_user("olivia", password=PASSWORD)
    user.groups.add(Group.objects.get(name=COMPLIANCE_OFFICER))
    authority.grant_ledger(ledger="activity", to=user, by="ada", reason="test")
    return user


@pytest.fixture
def heard() -> Iterator[tuple[str, list[str]]]:
    with listening() as heard:
        yield heard


def test_from_the_log_to_a_file_that_openssl_verifies(
    site: Site, olivia: User, browse: Callable[..., Any], tmp_path: Path
) -> None:
    record_many(orders(12))
    with browse(name="olivia") as page:
        page.goto("/exports/key/")
        page.get_by_text("Make a key here").click()
        page.locator("#create_name").fill("Olivia Ortega")
        page.locator("#create_reason").fill("exports for the audit")
        page.get_by_role("button", name="Make key and certificate").click()
        page.get_by_text("Your export key is ready.").wait_for()

        page.get_by_role("link", name="Logs").click()
        page.get_by_text("Filters").first.click()
        page.get_by_label("Actor").fill("actor-1")
        page.get_by_role("button", name="Show entries").click()
        page.get_by_text("4 valid").wait_for()
        page.get_by_role("link", name="Export these").click()

        page.get_by_label("Purpose").fill("quarterly review of orders")
        page.get_by_label("PDF report").uncheck()
        page.get_by_role("button", name="Order and sign").click()
        with page.expect_download() as downloading:
            page.get_by_role("link", name=re.compile("Download the signed container")).click()
        container = tmp_path / downloading.value.suggested_filename
        downloading.value.save_as(container)
    with zipfile.ZipFile(container) as archive:
        archive.extractall(tmp_path)
    signed = subprocess.run(OPENSSL.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "CMS Verification successful" in signed.stderr
    assert (tmp_path / "entries.csv").read_text().count("actor-1") == 4


def test_a_large_export_is_followed_without_reloading(
    site: Site, olivia: User, browse: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    export_keys.certify(person="olivia", by="ada", reason="test")
    monkeypatch.setattr(services, "FEW", -1)
    record_many(orders(20))
    export = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="all of it").export
    with browse(name="olivia") as page:
        page.goto(f"/exports/{export.pk}/")
        page.get_by_role("progressbar").wait_for()
        services.work(export=export.pk)
        page.get_by_role("link", name=re.compile("Download the signed container")).wait_for()


def test_every_page_is_accessible_wide_and_light_narrow_and_dark(
    site: Site, olivia: User, browse: Callable[..., Any], tmp_path: Path
) -> None:
    export_keys.certify(person="olivia", by="ada", reason="test")
    receipts = record_many(orders(3))
    intruder = site.database.superuser()
    intruder.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    intruder.execute("UPDATE activity_logs SET action = 'forged' WHERE id = %s", [receipts[1].id])
    ready = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="all").export
    services.work(export=ready.pk)
    ready.refresh_from_db()
    waiting = services.order(by=olivia, ledger="activity", filters={}, formats=["csv"], purpose="all").export
    container = tmp_path / "export.asice"
    container.write_bytes(b"".join(services.download(export=ready, by=olivia).pieces))
    with zipfile.ZipFile(container) as archive:
        archive.extractall(tmp_path)
    with browse() as page:
        for address in ("/login/", "/verify/"):
            look_at(page, address)
        for brought in ([container], [tmp_path / "entries.csv", tmp_path / "manifest.json"]):
            page.get_by_label("A file").set_input_files(brought)
            page.get_by_role("button", name="Verify").click()
            page.get_by_text("What was found").wait_for()
            look_both_ways(page)
    with browse(name="olivia") as page:
        for address in (
            "/logs/",
            "/logs/?outcome=success&actor=nobody",
            f"/logs/{receipts[0].id}/",
            f"/logs/{receipts[1].id}/",
            "/exports/",
            "/exports/new/",
            "/exports/key/",
            f"/exports/{ready.pk}/",
            f"/exports/{waiting.pk}/",
        ):
            look_at(page, address)


def look_at(page: Page, address: str) -> None:
    shown = page.goto(address)
    assert shown is not None
    assert shown.ok, address
    look_both_ways(page)


def look_both_ways(page: Page) -> None:
    """Look at the page that is open, wide and light, then narrow and dark."""
    page.set_viewport_size(DESKTOP)
    page.emulate_media(color_scheme="light")
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
    accessible(page)
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    accessible(page)


def test_no_text_of_an_order_runs_or_fetches_anything_on_its_pages(
    site: Site, olivia: User, browse: Callable[..., Any], heard: tuple[str, list[str]]
) -> None:
    """What the browser refuses, such as a script of another place, is logged as an error, and fails this as well."""
    export_keys.certify(person="olivia", by="ada", reason="test")
    url, asked = heard
    texts = [line.replace("{url}", url) for line in CORPUS]
    record_many([replace(orders(1)[0], actor=line, target=line, action=line[:200]) for line in texts])
    everything = " ".join(texts)
    pages = ["/exports/"]
    for line in texts:
        ordered = services.order(
            by=olivia, ledger="activity", filters={"actor": line}, formats=["ndjson"], case=line, purpose=line
        ).export
        services.work(export=ordered.pk)
        pages.append(f"/exports/{ordered.pk}/")
    with browse(name="olivia") as page:
        for address in (*pages, f"/exports/new/?{urlencode({'actor': everything, 'type': everything})}"):
            shown = page.goto(address)
            assert shown is not None
            assert shown.ok, address
        assert "<script>" in page.get_by_label("Actor").input_value()
        page.goto(pages[-1])
        assert page.get_by_role("heading", level=1).inner_text() == texts[-1]
        with page.expect_download() as downloading:
            page.get_by_role("link", name=re.compile("Download the signed container")).click()
        page.goto("/verify/")
        page.get_by_label("A file").set_input_files(downloading.value.path())
        page.get_by_role("button", name="Verify").click()
        page.get_by_text("What was found").wait_for()
    assert asked == []
