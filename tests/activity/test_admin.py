"""Log types in Django's admin: every change needs a reason, and is a system entry that names the user."""

import json
from typing import Any

import pytest
from django.contrib.admin.utils import quote
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from activity.models import ActivityLog, LogType

pytestmark = pytest.mark.django_db

LIST = "/admin/activity/logtype/"
ADD = f"{LIST}add/"
_SHOP = {"pattern": "shop.*", "requires_signature": "on", "algorithm": "Ed25519", "description": "The shop"}


@pytest.fixture
def ada() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("ada", password="analytical engine"))
    return client


def page(pattern: str, view: str) -> str:
    return reverse(f"admin:activity_logtype_{view}", args=[quote(pattern)])


def last_step() -> dict[str, Any]:
    entry = ActivityLog.objects.filter(type__startswith="auditlog.log-type.").latest("leaf_index")
    said: dict[str, Any] = json.loads(bytes(entry.record))
    return said


def test_an_added_log_type_is_recorded_with_user_and_reason(ada: Client) -> None:
    response = ada.post(ADD, {**_SHOP, "reason": "go-live"})
    assert response.status_code == 302
    assert LogType.objects.get(pk="shop.*").description == "The shop"
    step = last_step()
    assert (step["type"], step["actor"], step["target"]) == ("auditlog.log-type.set", "ada", "shop.*")
    assert step["data"]["reason"] == "go-live"


def test_a_changed_log_type_is_recorded(ada: Client) -> None:
    change = page("auth.*", "change")
    assert b'name="pattern"' not in ada.get(change).content, "a pattern is never renamed"
    response = ada.post(change, {"algorithm": "Ed25519", "description": "loud", "reason": "too many"})
    assert response.status_code == 302
    assert not LogType.objects.get(pk="auth.*").requires_signature
    assert last_step()["data"] == {
        "algorithm": "Ed25519",
        "description": "loud",
        "pattern": "auth.*",
        "reason": "too many",
        "requires_signature": False,
    }


def test_a_removed_log_type_is_recorded(ada: Client) -> None:
    delete = page("auth.*", "delete")
    assert b'name="reason"' in ada.get(delete).content
    assert ada.post(delete, {"reason": "not needed"}).status_code == 302
    assert not LogType.objects.filter(pk="auth.*").exists()
    step = last_step()
    assert (step["type"], step["actor"], step["data"]) == (
        "auditlog.log-type.removed",
        "ada",
        {"pattern": "auth.*", "reason": "not needed"},
    )


@pytest.mark.parametrize("reason", ["", "   ", "x" * 2001], ids=["none", "blank", "endless"])
@pytest.mark.parametrize("view", ["add", "change", "delete"])
def test_without_a_reason_nothing_changes(ada: Client, view: str, reason: str) -> None:
    before = last_step()
    address = ADD if view == "add" else page("auth.*", view)
    response = ada.post(address, {**_SHOP, "reason": reason})
    assert response.status_code == 200
    assert b"errorlist" in response.content
    assert LogType.objects.filter(pk="auth.*", requires_signature=True).exists()
    assert not LogType.objects.filter(pk="shop.*").exists()
    assert last_step() == before


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pattern": "Shop"}, "is no pattern"),
        ({"algorithm": "ES256"}, "there is no active ES256 entry key; run ./auditlog keys rotate --algorithm ES256"),
        ({"description": "x" * 2001}, "the description has 2,001 characters"),
        ({"pattern": "auth.*"}, "already exists"),
        ({"pattern": "auditlog.x", "requires_signature": ""}, "what the application itself records is always signed"),
    ],
)
def test_a_refusal_stands_on_the_form(ada: Client, changes: dict[str, str], sentence: str) -> None:
    response = ada.post(ADD, {**_SHOP, "reason": "go-live", **changes})
    assert response.status_code == 200
    assert sentence in response.content.decode()
    assert not LogType.objects.filter(description="The shop").exists()


def test_the_type_of_the_applications_own_entries_stays(ada: Client) -> None:
    response = ada.post(page("auditlog.*", "delete"), {"reason": "quiet, please"})
    assert "own entries stays" in response.content.decode()
    assert LogType.objects.filter(pk="auditlog.*").exists()


def test_there_is_no_removal_in_bulk(ada: Client) -> None:
    chosen = {"action": "delete_selected", "_selected_action": ["auth.*"], "post": "yes"}
    ada.post(LIST, chosen)
    assert LogType.objects.filter(pk="auth.*").exists()


def test_a_log_type_that_is_gone_is_not_found(ada: Client) -> None:
    assert ada.post(page("gone.*", "delete"), {"reason": "gone"}).status_code == 404


def test_staff_without_the_permission_removes_nothing() -> None:
    client = Client()
    client.force_login(User.objects.create_user("bob", password="difference engine", is_staff=True))
    for view in ("change", "delete"):
        assert client.post(page("auth.*", view), {**_SHOP, "reason": "because"}).status_code == 403
    assert LogType.objects.filter(pk="auth.*", requires_signature=True).exists()
