"""Ledger grants in the admin: given and taken with a reason, by whoever gives no role."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from activity import access
from activity.models import LedgerGrant
from signing.models import Ledger
from tests.administrators import administrator, last_step, text_of

pytestmark = pytest.mark.django_db

LIST = "/admin/activity/ledgergrant/"
ADD = f"{LIST}add/"


@pytest.fixture
def carl() -> Client:
    return administrator("carl", "compliance officer")


def asked(**changes: str) -> dict[str, str]:
    return {"ledger": str(Ledger.objects.get(name="activity").pk), "user": "", "reason": "on duty", **changes}


def reader() -> User:
    ann = User.objects.create_user("ann")
    ann.groups.add(Group.objects.get(name="reader"))
    return ann


def test_a_user_is_granted_a_ledger_and_that_is_recorded(carl: Client) -> None:
    ann = reader()
    assert "sees every entry in it" in text_of(carl.get(ADD))
    assert "is granted" in text_of(carl.post(ADD, asked(user="ann"), follow=True))
    assert access.of_user(ann).readable == {"activity"}
    step = last_step()
    assert (step["type"], step["actor"]) == ("auditlog.ledger-grant.given", "carl")
    assert (step["data"]["to"], step["data"]["reason"]) == ("user ann", "on duty")


def test_a_group_is_granted_a_ledger(carl: Client) -> None:
    carl.post(ADD, asked(group=str(Group.objects.get(name="reader").pk)))
    assert access.of_user(reader()).readable == {"activity"}


def test_a_grant_is_taken_back(carl: Client) -> None:
    ann = reader()
    carl.post(ADD, asked(user="ann"))
    take = f"{LIST}{LedgerGrant.objects.get().pk}/delete/"
    assert "they see nothing of this ledger" in text_of(carl.get(take))
    assert b"errorlist" in carl.post(take, {"post": "yes"}).content, "a reason is needed"
    assert access.of_user(ann).readable == {"activity"}
    assert "is taken back" in text_of(carl.post(take, {"reason": "left the team"}, follow=True))
    assert access.of_user(User.objects.get(username="ann")).readable == frozenset()
    assert (last_step()["type"], last_step()["data"]["reason"]) == ("auditlog.ledger-grant.taken", "left the team")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"user": "nobody"}, "There is no such account"),
        ({}, "Name a group or a user"),
        ({"user": "ann", "group": "both"}, "Name a group or a user"),
        ({"user": "ann", "reason": " "}, "This field is required"),
    ],
)
def test_what_cannot_be_granted_is_said(carl: Client, changes: dict[str, str], sentence: str) -> None:
    reader()
    group = {"group": str(Group.objects.get(name="reader").pk)} if changes.get("group") else {}
    assert sentence in text_of(carl.post(ADD, asked(**{**changes, **group})))
    assert not LedgerGrant.objects.exists()


def test_what_is_granted_already_is_said(carl: Client) -> None:
    reader()
    carl.post(ADD, asked(user="ann"))
    assert "may see activity already" in text_of(carl.post(ADD, asked(user="ann")))


@pytest.mark.parametrize("role", ["security admin", "auditor", "reader"])
def test_others_give_and_take_none(carl: Client, role: str) -> None:
    reader()
    carl.post(ADD, asked(user="ann"))
    grant = LedgerGrant.objects.get()
    client = administrator("sam", role)
    assert client.post(ADD, asked(user="sam")).status_code == 403
    assert client.post(f"{LIST}{grant.pk}/delete/", {"reason": "x"}).status_code == 403
    assert list(LedgerGrant.objects.all()) == [grant]
