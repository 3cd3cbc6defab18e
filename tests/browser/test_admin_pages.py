"""Every page of the admin in a real browser: nothing breaks the Content-Security-Policy, nothing hangs over a phone.

The pages are found by following links from the start page, so that a new one is asked without being named here.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, ViewportSize

from activity import authority, watch
from tests.administrators import WHO
from tests.browser.conftest import DESKTOP, PASSWORD, PHONE, Site
from tests.signing.installation import anchor_all, record

pytestmark = pytest.mark.slow

_AWAY = ("/admin/logout/", "/admin/jsi18n/")
# Keys and other ids are alike to a page: two of a kind show nothing that one does not.
_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|(entry|checkpoint)-[a-z0-9_-]+|/\d+/|(?<=apikey)/\w{8}/")
_OWN = {
    "/admin/activity/activitylog/", "/admin/activity/activitylog/#/change/", "/admin/activity/verificationrun/",
    "/admin/activity/openfinding/", "/admin/activity/openfinding#change/", "/admin/activity/notice/",
    "/admin/activity/apikey/", "/admin/activity/apikey/add/", "/admin/activity/apikey#change/",
    "/admin/activity/apikey#revoke/", "/admin/activity/ledgergrant/", "/admin/activity/ledgergrant/add/",
    "/admin/signing/ledger/", "/admin/signing/ledger#change/", "/admin/signing/ledger#checkpoints/",
    "/admin/signing/keyevent/", "/admin/signing/signingkey/", "/admin/signing/signingkey/add/",
    "/admin/signing/signingkey/#/change/", "/admin/signing/signingkey/#/compromise/",
}  # fmt: skip


def _kind(path: str) -> str:
    return _IDS.sub("#", path)


def _pages(page: Page, site: Site) -> dict[str, str]:
    """Follow every link of the admin and return the address of one page of each kind."""
    found: dict[str, str] = {}
    waiting = ["/admin/"]
    while waiting:
        address = waiting.pop(0)
        kind = _kind(urlsplit(address).path)
        if kind in found or address.startswith(_AWAY):
            continue
        found[kind] = address
        response = page.goto(f"{site.url}{address}")
        assert response is not None
        assert response.status == 200, address
        links: list[str] = page.eval_on_selector_all("a[href]", "all => all.map(one => one.href)")
        waiting += [link.removeprefix(site.url) for link in links if link.startswith(f"{site.url}/admin/")]
    return found


@pytest.fixture
def root(site: Site) -> str:
    """Give a superuser with a granted ledger, at an installation where something was tampered with."""
    user = User.objects.create_superuser("root", password=PASSWORD)
    authority.grant_ledger(ledger="activity", to=user, **WHO)
    authority.create_api_key(
        name="shop", scopes=["logs:write"], ledger="activity", source="s", by="setup", reason="a test"
    )
    record(3)
    anchor_all()
    intruder = site.database.superuser()
    intruder.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    intruder.execute("UPDATE activity_logs SET actor = 'eve' WHERE type = 'test.event'")
    watch.run(watch.WHOLE)
    return "root"


def test_no_page_breaks_the_policy_or_hangs_over_a_phone(browse: Callable[..., Any], site: Site, root: str) -> None:
    """What the browser logs as an error, a violation above all, fails when the window closes."""
    with browse(root) as page:
        pages = _pages(page, site)
        assert set(pages) >= _OWN, f"not found: {sorted(_OWN - set(pages))}"
        sizes: tuple[ViewportSize, ...] = (DESKTOP, PHONE)
        for size in sizes:
            page.set_viewport_size(size)
            wide = []
            for address in pages.values():
                page.goto(f"{site.url}{address}")
                if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                    wide.append(address)
            assert not wide, f"{size['width']}: {wide}"


def test_an_administrator_rotates_a_key_by_hand(browse: Callable[..., Any], site: Site, root: str) -> None:
    with browse(root) as page:
        page.goto(f"{site.url}/admin/signing/signingkey/")
        page.get_by_role("link", name="Rotate, or make a key").click()
        page.get_by_role("link", name="Make the first ES256 entry key").click()
        page.get_by_label("Reason").fill("tenders ask for it")
        page.get_by_role("button", name="Make the key").click()
        page.get_by_text("is active.").wait_for()
        assert "tenders ask for it" in page.inner_text("#content")
