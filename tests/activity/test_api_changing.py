"""`PATCH` and `DELETE /api/v1/logs/{id}`: people amend and remove, with a reason, and get the new receipt."""

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from activity import authority
from activity.models import ActivityLog, ApiKey
from activity.services import record
from tests.activity.test_amending import EVENT, an_editor

pytestmark = pytest.mark.django_db(databases=["default", "approver"])
CHANGE = {"reason": "misspelt", "changes": {"actor": "ada lovelace", "data": {"n": 1}}}


@pytest.fixture
def client(broker: str) -> APIClient:
    client = APIClient()
    client.force_login(an_editor())
    return client


def test_an_amendment_answers_with_the_receipt_of_the_new_leaf(client: APIClient) -> None:
    first = record(EVENT)
    answer = client.patch(f"/api/v1/logs/{first.id}", CHANGE, format="json")
    assert answer.status_code == 200, answer.content
    assert answer.json()["leaf_index"] > first.leaf_index
    entry = client.get(f"/api/v1/logs/{first.id}").json()
    assert (entry["actor"], entry["data"], entry["revision"]) == ("ada lovelace", {"n": 1}, 2)
    (old,) = entry["revisions"]
    assert (old["revision"], old["leaf_index"], old["leaf_hash"], old["purged"]) == (
        1,
        first.leaf_index,
        first.leaf_hash.hex(),
        False,
    )


def test_a_removal_leaves_its_tombstone(client: APIClient) -> None:
    first = record(EVENT)
    answer = client.delete(f"/api/v1/logs/{first.id}", {"reason": "over", "rule": "90 days"}, format="json")
    assert answer.status_code == 200, answer.content
    entry = client.get(f"/api/v1/logs/{first.id}").json()
    assert (entry["type"], entry["data"]["rule"]) == ("auditlog.entry.removed", "90 days")
    assert client.delete(f"/api/v1/logs/{first.id}", {"reason": "over", "rule": "r"}, format="json").status_code == 400


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], "$"),
        ({"reason": "r"}, "$.changes"),
        ({"reason": 1, "changes": {}}, "$.reason"),
        ({"reason": "r", "changes": {"actor": "x"}, "rule": "r"}, "$.rule"),
        ({"reason": "r", "changes": {"actor": 7}}, "$.actor"),
        ({"reason": "r", "changes": {"outcome": "ok"}}, "$.outcome"),
        ({"reason": "r", "changes": {"occurred_at": "yesterday"}}, "$.occurred_at"),
    ],
)
def test_a_wrong_body_is_named(client: APIClient, body: Any, path: str) -> None:
    answer = client.patch(f"/api/v1/logs/{record(EVENT).id}", body, format="json")
    assert (answer.status_code, [one["path"] for one in answer.json()["errors"]]) == (400, [path])


def test_what_never_changes_is_refused(client: APIClient) -> None:
    first = record(EVENT)
    for changes in ({"type": "auth.x"}, {"source": "x"}, {"event_id": "x"}, {}):
        answer = client.patch(f"/api/v1/logs/{first.id}", {"reason": "r", "changes": changes}, format="json")
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-amendment")
    assert ActivityLog.objects.get(pk=first.id).revision == 1


def test_no_api_key_changes_what_was_recorded(broker: str) -> None:
    _, key = authority.create_api_key(
        name="k", scopes=list(ApiKey.Scope.values), ledger="activity", source="shop", by="ada", reason="test"
    )
    system = Client(headers={"Authorization": f"Api-Key {key}"})
    answer = system.patch(f"/api/v1/logs/{record(EVENT).id}", CHANGE, content_type="application/json")
    assert answer.status_code == 403
