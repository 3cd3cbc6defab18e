"""`/api/v1/exports`: for people, as the pages have it."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from activity import authority
from activity.services import record_many
from exports import services
from exports.models import Export
from tests.clusters import Database
from tests.exports.ordering import orders, person

EXPORTS = "/api/v1/exports"
ORDER = {"ledger": "activity", "filters": {"actor": "actor-1"}, "formats": ["csv"], "purpose": "audit"}


@pytest.fixture
def client(olivia: User) -> Client:
    client = Client()
    client.force_login(olivia)
    return client


def ordered(client: Client, **changes: Any) -> Any:
    return client.post(EXPORTS, ORDER | changes, content_type="application/json")


def test_a_small_export_is_ready_at_once(client: Client) -> None:
    record_many(orders(4))
    response = ordered(client)
    said = response.json()
    assert (response.status_code, said["state"], said["entries"]) == (201, "ready", 1)
    assert client.get(f"{EXPORTS}/{said['id']}").json() == said
    assert [one["id"] for one in client.get(EXPORTS).json()["exports"]] == [said["id"]]
    taken = client.get(f"{EXPORTS}/{said['id']}/download")
    assert taken["Content-Type"] == "application/vnd.etsi.asic-e+zip"
    assert len(b"".join(taken)) == said["file_size"]
    alone = client.get(f"{EXPORTS}/{said['id']}/download", {"file": "entries.csv"})
    assert b"".join(alone).count(b"\r\n") == 2


def test_a_large_export_is_followed_and_cancelled(client: Client, broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "FEW", -1)
    response = ordered(client)
    address = f"{EXPORTS}/{response.json()['id']}"
    assert (response.status_code, response.json()["state"]) == (202, "waiting")
    assert response.json()["progress"]["percent"] == 0
    early = client.get(f"{address}/download")
    assert (early.status_code, early.json()["code"]) == (409, "export-refused")
    assert client.post(f"{address}/cancel").json()["state"] == "cancelled"
    assert client.post(f"{address}/cancel").json()["code"] == "export-refused"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"formats": ["xls"]}, 400, "bad-order"),
        ({"formats": "csv"}, 400, "bad-order"),
        ({"purpose": ""}, 400, "bad-order"),
        ({"colour": "red"}, 400, "bad-order"),
        ({"filters": {"actor": 7}}, 400, "bad-order"),
        ({"filters": {"colour": "red"}}, 400, "bad-query"),
        ({"ledger": "keys"}, 404, "ledger-not-found"),
    ],
)
def test_a_wrong_order_is_a_problem_document(client: Client, changes: dict[str, Any], status: int, code: str) -> None:
    response = ordered(client, **changes)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert not Export.objects.exists()


def test_entries_are_named_one_by_one(client: Client) -> None:
    leaves = [receipt.leaf_index for receipt in record_many(orders(4))]
    named = {"leaf_indexes": f"{leaves[0]},{leaves[3]}"}
    said = ordered(client, filters=named).json()
    assert (said["entries"], said["filters"], said["complete_range"]) == (2, named, None)
    shown = client.get("/api/v1/logs", {"ledger": "activity", **named}).json()["entries"]
    assert [entry["leaf_index"] for entry in shown] == [leaves[3], leaves[0]]
    refused = ordered(client, filters={"leaf_indexes": "0,900,901"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad-query")
    assert [one["reason"].partition(":")[0] for one in refused.json()["errors"]] == [
        "there is no leaf 900",
        "there is no leaf 901",
    ]


def test_redaction_is_refused_with_its_reason(client: Client) -> None:
    response = ordered(client, redaction="without addresses")
    assert (response.status_code, response.json()["code"]) == (400, "bad-order")
    assert "cannot be proved" in response.json()["detail"]
    assert not Export.objects.exists()


def test_what_is_no_object_is_no_order(client: Client) -> None:
    response = client.post(EXPORTS, [ORDER], content_type="application/json")
    assert (response.status_code, response.json()["code"]) == (400, "bad-order")


def test_without_a_key_nothing_is_ordered(site: Database) -> None:
    client = Client()
    client.force_login(person("kim", has_key=False))
    response = ordered(client)
    assert (response.status_code, response.json()["code"]) == (409, "no-export-key")
    assert "kim has no export key" in response.json()["detail"]


def test_a_system_exports_nothing(site: Database) -> None:
    _, key = authority.create_api_key(
        name="s", scopes=["logs:read"], ledger="activity", source="s", by="ada", reason="x"
    )
    response = ordered(Client(headers={"Authorization": f"Api-Key {key}"}))
    assert response.status_code == 403
    assert "a person's key" in response.json()["detail"]
