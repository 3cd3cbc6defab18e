"""A real Chromium against a real server: gunicorn on a clone of the database, as an installation runs it.

One browser lives as long as the run; each test has a context, that is cookies, of its own. Whatever the browser logs as
an error, violations of the Content-Security-Policy above all, fails the test.
"""

import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from django.test import override_settings
from playwright.sync_api import Browser, Page, Playwright, ViewportSize, sync_playwright

from tests.clusters import PROJECT, Database

CHROMIUM = "/usr/bin/chromium"
DESKTOP: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
REFUSED = re.compile(r"status of (400 \(Bad Request\)|410 \(Gone\))")
PASSWORD = "correct horse battery"


@dataclass(frozen=True, slots=True)
class Site:
    """A running installation: its address and its database."""

    url: str
    database: Database


@pytest.fixture
def site(fresh_database: Database, broker: str, tmp_path: Path) -> Iterator[Site]:
    """Serve a fresh database until the test ends."""
    exports = tmp_path / "exports"
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(exports)}}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = fresh_database.environment("default", "approver") | {
        "AUDITLOG_EXPORT_DIR": str(exports),
        "AUDITLOG_TRUST_FILE": str(fresh_database.anchors / "trust.vkeys"),
        "REDIS_URL": broker,
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:auditlog_project.server", "-b", f"127.0.0.1:{port}"]
    log = (tmp_path / "gunicorn.log").open("wb")
    server = subprocess.Popen([*command, "-w", "1"], cwd=PROJECT, env=environment, stdout=log, stderr=log)
    try:
        _wait(f"http://localhost:{port}/healthz", server)
        with override_settings(STORAGES={**settings.STORAGES, "exports": storage}):
            yield Site(f"http://localhost:{port}", fresh_database)
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    while server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5)  # noqa: S310 our own server
        except urllib.error.HTTPError:
            return
        except OSError:
            continue
        return
    raise RuntimeError("the server ended before it answered")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Give the browser of this run."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no {CHROMIUM}")
    # Playwright's loop runs in this thread; Django's guard against that has nothing to protect here.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = _launched(playwright)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


def _launched(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def browse(chromium: Browser, site: Site) -> Callable[..., Any]:
    """Give what opens a window, to be closed by `with`; signed in if it is given a name."""
    return lambda name=None, **said: _window(chromium, site, name, **said)


@contextmanager
def _window(chromium: Browser, site: Site, name: str | None, *, refusals: bool = False) -> Iterator[Page]:
    # Without transitions: a colour that is still on its way has any contrast.
    context = chromium.new_context(base_url=site.url, viewport=DESKTOP, reduced_motion="reduce")
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        if name:
            sign_in(page, name)
        yield page
        # Chromium also reports the status of a form that comes back with what is wrong, or of what is archived: with
        # `refusals` that is meant.
        assert [one for one in said if not (refusals and REFUSED.search(one))] == []
    finally:
        context.close()


def sign_in(page: Page, name: str) -> None:
    """Sign in on the page of the login."""
    page.goto("/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def accessible(page: Page) -> None:
    """Require that axe finds nothing, and that nothing stands out beside the page."""
    # Django's admin changes colours slowly whatever somebody prefers: one that is on its way has any contrast.
    page.evaluate(
        "for (const each of document.getAnimations()) { try { each.finish() } catch { /* it has no end */ } }"
    )
    # Without preload: axe would copy imported style sheets into <style>, which the site's policy refuses aloud,
    # and no rule that is on looks at them.
    found = Axe().run(page, options={"preload": False, "resultTypes": ["violations"]}).response["violations"]
    assert [f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found] == [], page.url
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0, f"{page.url} is {wide} pixels too wide"
