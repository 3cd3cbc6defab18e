"""What never reaches a view: problem documents for machines, pages for people."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client, override_settings

from auditlog_project import refusals
from tests.clusters import Database


@pytest.fixture
def stranger(fresh_database: Database) -> Iterator[Client]:
    with override_settings(
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}, SECURE_SSL_REDIRECT=False
    ):
        yield Client(raise_request_exception=False)


def require_problem(response: Any, status: int, code: str) -> None:
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    assert (response.json()["status"], response.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    "address", ["/api/v1/nowhere", "/api/v2/logs", "/api/v1/logs/7", "/ledgers/x", "/.well-known/x"]
)
def test_an_address_that_is_none_is_a_problem_document(stranger: Client, address: str) -> None:
    require_problem(stranger.get(address), 404, "not-found")


def test_a_person_gets_a_page(stranger: Client) -> None:
    response = stranger.get("/nowhere")
    assert (response.status_code, response["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_another_host_is_refused(stranger: Client) -> None:
    require_problem(stranger.get("/api/v1/logs", headers={"Host": "elsewhere.example"}), 400, "bad-request")


def test_a_body_without_its_length_is_refused_and_not_taken_for_empty(stranger: Client) -> None:
    response = stranger.post("/api/v1/verify", b"", content_type="application/json", HTTP_TRANSFER_ENCODING="chunked",
                             CONTENT_LENGTH="")  # fmt: skip
    require_problem(response, 411, "length-required")


def test_an_error_outside_of_a_view_says_nothing(stranger: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("django.contrib.sessions.middleware.SessionMiddleware.process_request", broken)
    response = stranger.get("/api/v1/logs")
    require_problem(response, 500, "internal-error")
    assert b"secret" not in response.content
    assert stranger.get("/admin/").status_code == 500


@pytest.mark.parametrize("name", ["nowhere", "a%00b", "%F0%9F%94%92"])
def test_a_ledger_that_is_none_tells_strangers_of_no_other(stranger: Client, name: str) -> None:
    for address in (f"/ledgers/{name}/checkpoint", f"/ledgers/{name}/tile/0/000"):
        response = stranger.get(address)
        require_problem(response, 404, "ledger-not-found")
        assert "activity" not in response.json()["detail"]


def test_machines_are_told_by_their_addresses() -> None:
    assert all(prefix.startswith("/") and prefix.endswith("/") for prefix in refusals.FOR_MACHINES)
