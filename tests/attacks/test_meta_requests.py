"""Suppress, forge and flood: each attempt leaves exactly one true record, or gets no data.

Rollbacks, failing views, broken streams, endless and malformed queries: tests/metaaudit/test_middleware.py.
"""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings

from activity import authority
from activity.services import record
from auditlog_project.roles import READER
from metaaudit import counts
from metaaudit.models import MetaLog
from tests.clusters import Database
from tests.metaaudit.conftest import EVENT, LOGS, ada, key_holder, last, recorded, signed_in, site

__all__ = ["ada", "site"]  # fixtures

SUPPRESSING = [
    {"X-No-Audit": "1"},
    {"X-Audit": "off"},
    {"DNT": "1"},
    {"Purpose": "prefetch"},
    {"X-HTTP-Method-Override": "OPTIONS"},
    {"Cache-Control": "only-if-cached"},
    {"If-None-Match": "*"},
    {"If-Modified-Since": "Sun, 01 Jan 2090 00:00:00 GMT"},
    {"Range": "bytes=0-0"},
    {"X-Request-ID": "x" * 5_000},
    {"User-Agent": "\xff\xfe\x00bot" * 400},
    {"Referer": "https://evil.example/\udcff".encode("utf-8", "replace").decode()},
]


@pytest.mark.parametrize("headers", SUPPRESSING, ids=lambda headers: next(iter(headers)))
def test_no_header_switches_recording_off(ada: Client, headers: dict[str, str]) -> None:
    record(EVENT)
    answer = ada.get(LOGS, {"type": "shop.order"}, headers=headers)
    assert answer.status_code == 200
    (one,) = recorded()
    assert (one.action, one.method, one.user_name, one.result_count) == ("search", "GET", "ada", 1)


@pytest.mark.parametrize("extra", ["record=false", "audit=0", "_suppress=1", "log=off", "show_full_result_count=0"])
def test_no_parameter_switches_recording_off(ada: Client, extra: str) -> None:
    assert ada.get(f"{LOGS}?{extra}").status_code == 400
    assert (len(recorded()), last().status) == (1, 400)


def test_no_body_switches_recording_off(site: Database) -> None:
    writer, _ = key_holder("logs:write")
    body = json.dumps({"metaaudit": {"record": False}, "phase": "access", "action": "list"})
    assert writer.post(LOGS, body, content_type="application/json").status_code == 400
    assert [one.action for one in recorded()] == ["ingest_denied"]


@pytest.mark.parametrize(
    "forged", ["198.51.100.1", "127.0.0.1", "198.51.100.1, 10.0.0.1", "<script>", "\x00", "a" * 9_000]
)
def test_an_address_is_not_forged(ada: Client, forged: str) -> None:
    ada.get(LOGS, headers={"X-Forwarded-For": forged, "X-Real-IP": forged, "Forwarded": f"for={forged}"})
    assert last().ip == "127.0.0.1"
    with override_settings(AUDITLOG_PROXIES=["127.0.0.0/8"]):
        ada.get(LOGS, headers={"X-Forwarded-For": f"{forged}, 203.0.113.5"})
    assert last().ip == "203.0.113.5", "what the proxy appended counts, not what stood before"


def test_two_ways_of_being_somebody_are_one_person(ada: Client) -> None:
    """The view believes the API key, and so does the record."""
    row, key = authority.create_api_key(
        name="shop", scopes=["logs:read"], ledger="activity", source="shop", by="ada", reason="test"
    )
    assert ada.get(LOGS, headers={"Authorization": f"Api-Key {key}"}).status_code == 200
    assert [one.user_id for one in recorded()] == [f"api-key:{row.prefix}"]


def test_a_wrong_key_beside_a_session_shows_nothing_and_is_the_sessions(ada: Client) -> None:
    answer = ada.get(LOGS, headers={"Authorization": "Api-Key no.such, Api-Key another"})
    assert answer.status_code == 401
    assert (last().user_name, last().status, last().result_count) == ("ada", 401, None)


@pytest.mark.parametrize(
    "query", ["actor=a&actor=b", "actor=a&ACTOR=b", "actor[]=a", "actor=a;actor=b", "%61ctor=a&actor=b"]
)
def test_polluted_parameters_are_recorded_as_they_came(ada: Client, query: str) -> None:
    status = ada.get(f"{LOGS}?{query}").status_code
    assert (last().status, len(recorded())) == (status, 1)
    assert sum(len(name) + len(value) for name, value in last().query) > 6


@pytest.mark.parametrize(
    "extra", ["_popup=1", "_to_field=id", "_popup=1&_to_field=password", "_facets=True", "all=", "p=9"]
)
def test_the_admins_own_parameters_hide_nothing(site: Database, extra: str) -> None:
    client = signed_in("eve", "auditor", is_staff=True)
    status = client.get(f"/admin/auth/user/?{extra}").status_code
    assert [(one.user_name, one.route, one.status) for one in recorded()] == [("eve", "admin/auth/user/", status)]


@pytest.mark.parametrize("address", ["/admin/jsi18n/", "/admin/autocomplete/?term=a", "/admin/auth/user/1/history/"])
def test_side_doors_of_the_admin_are_recorded(site: Database, address: str) -> None:
    client = signed_in("eve", "auditor", is_staff=True)
    status = client.get(address).status_code
    assert [(one.path, one.status) for one in recorded()] == [(address.partition("?")[0], status)]


def test_an_answer_that_was_not_modified_is_recorded_as_one(site: Database) -> None:
    client = signed_in("eve", "auditor", is_staff=True)
    first = client.get("/admin/jsi18n/")
    again = client.get("/admin/jsi18n/", headers={"If-None-Match": first.get("ETag", '"x"')})
    assert [one.status for one in recorded()] == [first.status_code, again.status_code]


@pytest.mark.parametrize("address", [LOGS, "/logs/", "/meta-logs/", "/meta-logs/export/?format=csv", "/logs/?actor=\0"])
def test_nothing_of_the_log_may_be_kept_and_shown_again(ada: Client, address: str) -> None:
    record(EVENT)
    first = ada.get(address)
    assert "ETag" not in first
    assert first["Cache-Control"] == "private, no-store"


def test_a_flood_of_strangers_leaves_no_row(site: Database) -> None:
    client = Client(raise_request_exception=False)
    for number in range(300):
        client.get(f"{LOGS}?n={number}", REMOTE_ADDR=f"192.0.2.{number % 250}")
    assert not MetaLog.objects.exists()
    assert sum(counts._waiting.values()) == 300


def test_a_forged_session_and_a_stolen_cookie_name_are_strangers(site: Database) -> None:
    client = Client()
    client.cookies["sessionid"] = "0" * 32
    assert client.get("/logs/").status_code == 302
    assert recorded() == []


def test_a_closed_account_gets_no_data_under_its_old_session(site: Database) -> None:
    client = signed_in("ada", READER)
    record(EVENT)
    User.objects.filter(username="ada").update(is_active=False)
    answer = client.get(LOGS)
    assert answer.status_code in {401, 403}
    assert b"patient/4711" not in answer.content
    assert recorded() == []
