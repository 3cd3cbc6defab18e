"""The page of the OpenAPI document in a real browser: it works under the strict policy, on a desk and on a phone."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.conftest import DESKTOP, PHONE

WATCH = (
    "window.broken = []; document.addEventListener('securitypolicyviolation', e => broken.push(e.violatedDirective))"
)


@pytest.mark.slow
def test_it_shows_every_operation_and_breaks_no_rule(browse: Callable[..., Any]) -> None:
    with browse() as page:
        page.add_init_script(WATCH)
        for size in (DESKTOP, PHONE):
            page.set_viewport_size(size)
            page.goto("/api/v1/docs")
            page.wait_for_selector("#operations-Entries-find_entries")
            page.locator("#operations-Evidence-verify_evidence .opblock-summary-control").click()
            page.locator("#operations-Evidence-verify_evidence .try-out__btn").click()
            page.locator("#operations-Evidence-verify_evidence button.execute").click()
            page.wait_for_selector("#operations-Evidence-verify_evidence .live-responses-table")
            assert (
                '"verdict"' in page.locator("#operations-Evidence-verify_evidence .live-responses-table").inner_text()
            )
            assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
            assert page.evaluate("window.broken") == []
