"""Systems write through the API: what they get back, and what is refused without leaving a row."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client, override_settings

from activity import authority
from activity.api import bodies
from activity.models import ActivityLog
from tests.clusters import Database

LOGS, BULK = "/api/v1/logs", "/api/v1/logs/bulk"
EVENT = {"type": "shop.order", "action": "order", "actor": "ann", "occurred_at": "2026-11-23T05:40:00Z"}


@pytest.fixture
def shop(fresh_database: Database) -> Iterator[Client]:
    _, key = authority.create_api_key(
        name="shop", scopes=["logs:write"], ledger="activity", source="shop", by="ada", reason="test"
    )
    with override_settings(
        CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}, SECURE_SSL_REDIRECT=False
    ):
        yield Client(headers={"Authorization": f"Api-Key {key}"})


def post(client: Client, body: object, address: str = LOGS, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "application/x-ndjson" if address == BULK else "application/json"
    return client.post(address, raw, content_type=kind, headers=headers or None)


def rows() -> int:
    return ActivityLog.objects.filter(source="shop").count()


def require_problem(response: Any, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    problem: dict[str, Any] = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert rows() == 0
    return problem


def test_one_event_gives_one_receipt(shop: Client) -> None:
    response = post(shop, EVENT)
    assert response.status_code == 201
    receipt = response.json()
    assert ActivityLog.objects.get(pk=receipt["id"]).leaf_index == receipt["leaf_index"]
    assert receipt["checkpoint"].startswith("auditlog")
    assert not receipt["duplicate"]


def test_a_list_gives_its_receipts_in_order(shop: Client) -> None:
    response = post(shop, [EVENT, EVENT])
    assert response.status_code == 201
    first, second = response.json()["receipts"]
    assert second["leaf_index"] == first["leaf_index"] + 1


def test_a_retry_gets_the_first_receipt(shop: Client) -> None:
    first, again = (post(shop, {**EVENT, "event_id": "1"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["duplicate"]
    assert again.json()["id"] == first.json()["id"]
    for address, body in ((LOGS, EVENT), (BULK, EVENT)):
        conflict = post(shop, {**body, "actor": "eve", "event_id": "1"}, address)
        assert (conflict.status_code, conflict.json()["code"]) == (409, "event-id-conflict")
    assert rows() == 1


@pytest.mark.parametrize("name", ["leaf_index", "recorded_at", "signature", "kid", "locked", "id", "surprise"])
def test_a_member_that_is_not_the_writers_is_named(shop: Client, name: str) -> None:
    problem = require_problem(post(shop, [EVENT, {**EVENT, name: 1}]), 400, "bad-events")
    assert problem["errors"] == [{"index": 1, "path": f"$.{name}", "reason": "unknown member"}]


@pytest.mark.parametrize("raw", [b"", b"{", b'{"a":1,"a":2}', b"[NaN]", b"\xff"])
def test_malformed_json_is_refused(shop: Client, raw: bytes) -> None:
    require_problem(post(shop, raw), 400, "bad-json" if raw else "bad-events")


def test_another_source_is_refused(shop: Client) -> None:
    require_problem(post(shop, {**EVENT, "source": "bank"}), 400, "bad-events")


def test_another_ledger_is_refused(shop: Client) -> None:
    assert post(shop, EVENT, f"{LOGS}?ledger=meta").status_code == 403


def test_our_own_types_are_refused(shop: Client) -> None:
    require_problem(post(shop, {**EVENT, "type": "auditlog.x"}), 400, "bad-events")


def test_too_many_events_are_refused(shop: Client) -> None:
    require_problem(post(shop, [EVENT] * 1001), 413, "too-much")


def test_a_body_that_is_too_large_is_refused(shop: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_JSON_BYTES", 20)
    require_problem(post(shop, EVENT), 413, "too-much")


def test_another_content_type_is_refused(shop: Client) -> None:
    response = shop.post(LOGS, b"<event/>", content_type="text/xml")
    require_problem(response, 415, "unsupported-media-type")


def test_lines_are_recorded_in_bulk_also_zipped(shop: Client) -> None:
    raw = b"\n".join([json.dumps(EVENT).encode()] * 3) + b"\n\n"
    assert len(post(shop, raw, BULK).json()["receipts"]) == 3
    response = post(shop, gzip.compress(raw), BULK, **{"Content-Encoding": "gzip"})
    assert response.status_code == 201
    assert rows() == 6


def test_every_faulty_line_is_named_and_nothing_recorded(shop: Client) -> None:
    raw = json.dumps(EVENT).encode() + b'\n\n{"type"\n' + json.dumps({**EVENT, "kid": "x"}).encode()
    problem = require_problem(post(shop, raw, BULK), 400, "bad-events")
    assert [error["line"] for error in problem["errors"]] == [3, 4]


def test_bad_gzip_is_refused(shop: Client) -> None:
    whole = gzip.compress(json.dumps(EVENT).encode() * 100)
    for raw in (whole[:-9], b"no gzip at all"):
        require_problem(post(shop, raw, BULK, **{"Content-Encoding": "gzip"}), 400, "bad-body")


def test_a_zip_bomb_is_refused(shop: Client) -> None:
    bomb = gzip.compress(bytes(bodies.MAX_BULK_BYTES + 1))
    require_problem(post(shop, bomb, BULK, **{"Content-Encoding": "gzip"}), 413, "too-much")


def test_nothing_is_no_batch(shop: Client) -> None:
    for body, address in (([], LOGS), (b"", BULK), (b"\n", BULK)):
        require_problem(post(shop, body, address), 400, "bad-events")


def test_too_many_lines_are_refused(shop: Client) -> None:
    require_problem(post(shop, b"{}\n" * 10_001, BULK), 413, "too-much")


@pytest.mark.parametrize("address", [LOGS, BULK])
def test_without_a_good_key_nothing_is_written(shop: Client, address: str) -> None:
    require_problem(post(Client(), EVENT, address), 401, "not-authenticated")
    wrong = Client(headers={"Authorization": "Api-Key wrong.key"})
    require_problem(post(wrong, EVENT, address), 401, "authentication-failed")


def test_a_key_that_only_reads_writes_nothing(shop: Client) -> None:
    _, key = authority.create_api_key(
        name="r", scopes=["logs:read"], ledger="activity", source="r", by="ada", reason="test"
    )
    reader = Client(headers={"Authorization": f"Api-Key {key}"})
    require_problem(post(reader, EVENT), 403, "permission-denied")


def test_an_unexpected_error_says_nothing(shop: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("activity.services.record_many", broken)
    response = post(shop, EVENT)
    require_problem(response, 500, "internal-error")
    assert b"secret" not in response.content
