"""Every URL of the project leaves exactly the records that docs/meta-audit.md says; a new one cannot be forgotten."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from django.db import transaction
from django.test import Client, override_settings
from django.urls import get_resolver

from metaaudit import counts
from metaaudit.models import MetaLog
from metaaudit.vocabulary import ACTIONS
from tests.architecture.test_permissions import Asking, served

# What docs/meta-audit.md publishes. Everything else is recorded: what is safe once, what is not twice.
UNWATCHED = {"/healthz", "/readyz"}
COUNTED = {"/.well-known/jwks.json", "/ledgers/<str:name>/checkpoint", "/ledgers/<str:name>/tile/<path:path>"}
READ_BY_POST = {
    "/api/v1/verify",
    "/verify/",
    "/login/",
    "/admin/login/",
    "/api/v1/meta-logs/<uuid:meta_id>/replay",
    "/meta-logs/<uuid:meta_id>/replay/",
    "/locks/new/preview/",
}
INGEST = {"/api/v1/logs", "/api/v1/logs/bulk"}
FOR_STRANGERS = {"/api/v1/verify", "/verify/", "/login/", "/admin/login/"}
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
SAFE = {"GET", "HEAD", "OPTIONS"}


class Left(NamedTuple):
    """What one request left: phases of its records, counts, and its answer's status."""

    phases: list[str]
    counted: int
    status: int
    may_be_kept: bool


def ask(client: Client, method: str, address: str) -> Left:
    before, number = transaction.savepoint(), MetaLog.objects.count()
    counts._waiting.clear()
    response = client.generic(method, address, b"{}", content_type="application/json")
    if response.streaming:
        b"".join(response)
    made = list(MetaLog.objects.order_by("leaf_index")[number:])
    assert {one.action for one in made} <= ACTIONS.keys()
    may_be_kept = "no-store" not in response.get("Cache-Control", "")
    left = Left([one.phase for one in made], sum(counts._waiting.values()), response.status_code, may_be_kept)
    transaction.savepoint_rollback(before)
    transaction.set_rollback(False)
    return left


def expected(pattern: str, method: str, status: int) -> tuple[list[list[str]], int]:
    """Return which phases may be left by somebody who is known, and how much is counted."""
    counted_as = "GET" if method == "HEAD" else method
    if pattern in UNWATCHED:
        return [[]], 0
    if status < 400 and ((counted_as, pattern) in {("GET", each) for each in COUNTED}):
        return [[]], 1
    if method in SAFE:
        return [["access"], ["intent", "completion"]], 0  # the second where the answer is a stream
    if method == "POST" and pattern in INGEST:
        return ([[]], 1) if status < 400 else ([["access"]], 0)
    if pattern in READ_BY_POST:
        return [["access"]], 0
    return [["intent", "completion"]], 0


def addresses() -> list[str]:
    return sorted(set(served(get_resolver().url_patterns)))


@pytest.mark.django_db(databases=["default", "approver"])
@override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}})  # no throttles
def test_every_url_leaves_its_records(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "flush", lambda: None)
    asking = Asking()
    client = asking.client("root")
    cookies = client.cookies.output().replace("Set-Cookie: ", "")
    wrong = []
    for pattern in addresses():
        for method in METHODS:
            left = ask(client, method, asking.address(pattern))
            client.cookies.load(cookies)
            may, counted = expected(pattern, method, left.status)
            if left.phases not in may or left.counted != counted:
                wrong.append(f"{method} {pattern} ({left.status}) left {left.phases}, counted {left.counted}")
            if left.phases and left.may_be_kept:
                wrong.append(f"{method} {pattern} ({left.status}) may be kept, and shown again without a record")
    assert not wrong, "\n".join(wrong)


@pytest.mark.django_db(databases=["default", "approver"])
@override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}})
def test_strangers_are_counted_at_every_url(broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "flush", lambda: None)
    asking, wrong = Asking(), []
    for pattern in addresses():
        for method in ("GET", "POST", "DELETE"):
            left = ask(Client(raise_request_exception=False), method, asking.address(pattern))
            if pattern in UNWATCHED:
                right: tuple[list[str], int] = ([], 0)
            elif method != "GET" and pattern in FOR_STRANGERS:
                right = (["access"], 0)
            else:
                right = ([], 1)
            if (left.phases, left.counted) != right:
                wrong.append(f"{method} {pattern} ({left.status}) left {left.phases}, counted {left.counted}")
    assert not wrong, "\n".join(wrong)


def test_the_exceptions_are_addresses_that_there_are() -> None:
    written: set[str] = {*UNWATCHED, *COUNTED, *INGEST, *FOR_STRANGERS}
    known: Any = set(addresses())
    assert written <= known
