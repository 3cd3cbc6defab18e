"""Nobody asks for ever: rates by key, person and address; a log goes on recording while its counters are away."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client, override_settings
from rest_framework.settings import api_settings

from activity import authority
from tests.clusters import Database

LOGS = "/api/v1/logs"
EVENT = {"type": "shop.order", "action": "order", "actor": "ann", "occurred_at": "2026-11-23T05:40:00Z"}
LOCAL = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "throttling"}}


@pytest.fixture
def slow(fresh_database: Database) -> Iterator[None]:
    """Set every rate to two a minute."""
    frame = dict(
        settings.REST_FRAMEWORK, DEFAULT_THROTTLE_RATES=dict.fromkeys(api_settings.DEFAULT_THROTTLE_RATES, "2/min")
    )
    with override_settings(CACHES=LOCAL, REST_FRAMEWORK=frame, SECURE_SSL_REDIRECT=False):
        yield
        from django.core.cache import cache  # noqa: PLC0415 the one of these settings

        cache.clear()


def client(*scopes: str) -> Client:
    _, key = authority.create_api_key(
        name="shop", scopes=list(scopes), ledger="activity", source="shop", by="ada", reason="test"
    )
    return Client(headers={"Authorization": f"Api-Key {key}"})


def statuses(ask: Any, times: int = 3) -> list[int]:
    return [ask().status_code for _ in range(times)]


def write(by: Client) -> Any:
    return by.post(LOGS, EVENT, content_type="application/json")


@pytest.mark.usefixtures("slow")
def test_each_key_has_a_rate_for_writing_and_one_for_reading() -> None:
    shop, other = client("logs:write", "logs:read"), client("logs:write")
    assert statuses(lambda: write(shop)) == [201, 201, 429]
    assert statuses(lambda: shop.get(LOGS)) == [200, 200, 429]
    assert write(other).status_code == 201
    refused = write(shop)
    assert (refused["Content-Type"], refused.json()["code"]) == ("application/problem+json", "throttled")
    assert 1 <= int(refused["Retry-After"]) <= 61


@pytest.mark.usefixtures("slow")
def test_strangers_are_counted_by_address_and_kind() -> None:
    here, there = Client(), Client(REMOTE_ADDR="192.0.2.9")
    assert statuses(lambda: here.get("/.well-known/jwks.json")) == [200, 200, 429]
    assert statuses(lambda: here.post("/api/v1/verify", {}, content_type="application/json")) == [400, 400, 429]
    assert there.get("/.well-known/jwks.json").status_code == 200


@pytest.mark.usefixtures("slow")
def test_a_stranger_who_claims_another_address_each_time_is_counted_all_the_same() -> None:
    def ask(forged: int) -> int:
        return Client().get("/.well-known/jwks.json", headers={"X-Forwarded-For": f"198.51.100.{forged}"}).status_code

    assert [ask(forged) for forged in range(3)] == [200, 200, 429]


@pytest.mark.usefixtures("slow")
@override_settings(AUDITLOG_PROXIES=["127.0.0.1/32"])
def test_behind_a_proxy_of_ours_strangers_are_counted_one_by_one() -> None:
    def ask(forwarded: str) -> int:
        return Client().get("/.well-known/jwks.json", headers={"X-Forwarded-For": forwarded}).status_code

    assert [ask("198.51.100.1") for _ in range(3)] == [200, 200, 429]
    assert ask("198.51.100.2") == 200
    assert ask("203.0.113.5, 198.51.100.1") == 429


@pytest.mark.usefixtures("slow")
def test_wrong_keys_are_counted_and_then_even_a_right_one_waits() -> None:
    shop = client("logs:write")
    guess = Client(headers={"Authorization": "Api-Key abcdefgh.wrong"})
    assert statuses(lambda: write(guess)) == [401, 401, 429]
    assert write(shop).status_code == 429
    assert shop.post(LOGS, EVENT, content_type="application/json", REMOTE_ADDR="192.0.2.9").status_code == 201


@override_settings(SECURE_SSL_REDIRECT=False)
def test_without_its_cache_the_server_records_and_turns_strangers_away(fresh_database: Database) -> None:
    assert "unix:///nonexistent" in str(settings.CACHES["default"]["LOCATION"])
    assert write(client("logs:write")).status_code == 201
    assert write(Client(headers={"Authorization": "Api-Key abcdefgh.wrong"})).status_code == 401
    assert Client().get("/.well-known/jwks.json").status_code == 503
