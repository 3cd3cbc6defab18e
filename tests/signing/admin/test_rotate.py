"""Rotating a key in the admin, and making the first one of another algorithm."""

import pytest
from django.test import Client

from signing.models import SigningKey
from tests.administrators import administrator, key_steps, text_of
from tests.signing.installation import active_key

pytestmark = pytest.mark.usefixtures("fresh_database")

ADD = "/admin/signing/signingkey/add/"
ENTRY = f"{ADD}?purpose=entry&algorithm=Ed25519"
CHECKPOINT = f"{ADD}?purpose=checkpoint&algorithm=Ed25519"


@pytest.fixture
def sam() -> Client:
    return administrator()


def test_the_slots_say_which_keys_there_are(sam: Client) -> None:
    said = text_of(sam.get(ADD))
    assert str(active_key()) in said
    assert "Make the first ML-DSA-65 entry key" in said
    assert "HMAC: not verifiable by outsiders" in said


def test_the_page_says_what_will_happen_and_changes_nothing(sam: Client) -> None:
    old = active_key()
    said = text_of(sam.get(ENTRY))
    assert f"{old} is retired at the leaf where the new one takes over" in said
    assert active_key() == old


def test_an_entry_key_is_replaced_and_the_reason_recorded(sam: Client) -> None:
    old = active_key()
    response = sam.post(ENTRY, {"reason": "yearly"}, follow=True)
    new = active_key()
    assert f"The key {new} is active." in text_of(response)
    old.refresh_from_db()
    assert (old.state, new == old) == ("retired", False)
    assert key_steps() == [
        ("key.created", "sam", "yearly"),
        ("key.retired", "sam", "yearly"),
        ("key.activated", "sam", "yearly"),
    ]


def test_the_first_key_of_another_algorithm(sam: Client) -> None:
    address = f"{ADD}?purpose=entry&algorithm=ES256"
    assert "The first ES256 entry key is made" in text_of(sam.get(address))
    assert sam.post(address, {"reason": "tenders"}).status_code == 302
    assert active_key(algorithm="ES256").purpose == "entry"
    assert active_key().state == "active", "the other slot is left alone"


def test_a_new_checkpoint_key_signs_beside_the_old_one_and_its_lines_are_shown(sam: Client) -> None:
    old = active_key("checkpoint")
    said = text_of(sam.post(CHECKPOINT, {"reason": "yearly"}, follow=True))
    assert "Hand its lines below to everybody who verifies" in said
    assert "auditlog.test/activity+" in said
    assert SigningKey.objects.filter(purpose="checkpoint", state="active").count() == 2
    old.refresh_from_db()
    assert old.state == "active"


@pytest.mark.parametrize("reason", ["", "  ", "x" * 2001], ids=["none", "blank", "endless"])
def test_without_a_reason_nothing_is_done(sam: Client, reason: str) -> None:
    response = sam.post(ENTRY, {"reason": reason})
    assert b"errorlist" in response.content
    assert key_steps() == []


@pytest.mark.parametrize("slot", ["?purpose=entry&algorithm=MD5", "?purpose=checkpoint&algorithm=ES256", "?purpose=x"])
def test_a_slot_that_there_is_not_makes_nothing(sam: Client, slot: str) -> None:
    said = text_of(sam.post(ADD + slot, {"reason": "why not"}))
    assert "Choose what to rotate" in said
    assert key_steps() == []


@pytest.mark.parametrize("role", ["auditor", "compliance officer", "reader"])
def test_who_may_look_may_not_rotate(role: str) -> None:
    client = administrator("ann", role)
    assert client.get(ENTRY).status_code == 403
    assert client.post(ENTRY, {"reason": "because"}).status_code == 403
    assert key_steps() == []
