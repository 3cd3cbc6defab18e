"""API keys in the admin: made and shown once, revoked, with a reason; who reads nothing makes none that reads."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from activity import access
from activity.models import ApiKey
from tests.administrators import administrator, last_step, superuser, text_of

pytestmark = pytest.mark.django_db

LIST = "/admin/activity/apikey/"
ADD = f"{LIST}add/"
ASKED = {"name": "shop", "scopes": ["logs:write"], "ledger": "activity", "source": "shop-eu", "reason": "go-live"}


def make(client: Client, **changes: Any) -> str:
    """Make a key and return it as the page shows it."""
    response = client.post(ADD, {**ASKED, **changes})
    found = re.search(r'al-key" tabindex="0">([^<]+)<', response.content.decode())
    assert found, text_of(response)
    return found[1]


def test_a_key_is_shown_once_and_works() -> None:
    sam = administrator()
    key = make(sam, expires_on=f"{datetime.now(UTC) + timedelta(days=9):%Y-%m-%dT%H:%M}")
    row = access.key_of(key)
    assert row is not None
    assert (row.name, row.scopes, row.ledger.name, row.source) == ("shop", ["logs:write"], "activity", "shop-eu")
    assert row.created_by == "sam"
    assert row.expires_at is not None
    secret = key.partition(".")[2]
    for address in (LIST, f"{LIST}{row.prefix}/change/"):
        assert secret not in sam.get(address).content.decode()
    assert secret not in str(sam.session.items())
    step = last_step()
    assert (step["type"], step["actor"], step["data"]["reason"]) == ("auditlog.api-key.created", "sam", "go-live")


def test_the_page_that_shows_it_is_kept_nowhere() -> None:
    response = administrator().post(ADD, ASKED)
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("role", "scope", "other"),
    [("security admin", "logs:write", "logs:read"), ("compliance officer", "logs:read", "logs:write")],
)
def test_each_role_gives_the_scope_that_is_its_own(role: str, scope: str, other: str) -> None:
    client = administrator("ann", role)
    assert other not in client.get(ADD).content.decode()
    for scopes in ([other], [scope, other]):
        assert b"errorlist" in client.post(ADD, ASKED | {"scopes": scopes}).content
    assert not ApiKey.objects.exists()
    make(client, scopes=[scope])
    assert ApiKey.objects.get().scopes == [scope]


def test_a_superuser_gives_both() -> None:
    make(superuser(), scopes=["logs:write", "logs:read"])
    assert ApiKey.objects.get().scopes == ["logs:read", "logs:write"]


@pytest.mark.parametrize("missing", ["name", "scopes", "source", "reason"])
def test_what_is_missing_is_said_and_nothing_made(missing: str) -> None:
    response = administrator().post(ADD, {name: value for name, value in ASKED.items() if name != missing})
    assert b"errorlist" in response.content
    assert not ApiKey.objects.exists()


def test_what_the_service_refuses_stands_on_the_form() -> None:
    sam = administrator()
    assert "takes no events from writers" in text_of(sam.post(ADD, ASKED | {"ledger": "meta"}))
    assert "lies in the future" in text_of(sam.post(ADD, ASKED | {"expires_on": "2020-01-01T00:00"}))
    assert not ApiKey.objects.exists()


def test_a_key_is_revoked_for_good_with_a_reason() -> None:
    sam = administrator()
    key = make(sam)
    row = ApiKey.objects.get()
    revoke = f"{LIST}{row.prefix}/revoke/"
    assert "is refused" in text_of(sam.get(revoke))
    assert b"errorlist" in sam.post(revoke, {"reason": " "}).content
    assert access.key_of(key) is not None
    assert "is revoked" in text_of(sam.post(revoke, {"reason": "shop closed"}, follow=True))
    assert access.key_of(key) is None
    assert (last_step()["type"], last_step()["data"]["reason"]) == ("auditlog.api-key.revoked", "shop closed")
    assert revoke not in sam.get(f"{LIST}{row.prefix}/change/").content.decode()
    assert "that could be revoked" in text_of(sam.post(revoke, {"reason": "again"}))


@pytest.mark.parametrize("role", ["auditor", "reader"])
def test_others_make_and_revoke_none(role: str) -> None:
    make(superuser())
    client = administrator("ann", role)
    assert client.post(ADD, ASKED).status_code == 403
    assert client.post(f"{LIST}{ApiKey.objects.get().prefix}/revoke/", {"reason": "x"}).status_code == 403
    assert ApiKey.objects.get().revoked_at is None
