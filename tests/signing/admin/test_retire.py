"""Ending the overlap of a checkpoint key in the admin."""

import pytest
from django.test import Client

from signing import services
from signing.models import SigningKey
from tests.administrators import WHO, administrator, key_steps, text_of
from tests.signing.installation import active_key

pytestmark = pytest.mark.usefixtures("fresh_database")


def page(key: SigningKey, step: str = "retire") -> str:
    return f"/admin/signing/signingkey/{key.pk}/{step}/"


@pytest.fixture
def sam() -> Client:
    return administrator()


def test_an_old_checkpoint_key_is_retired(sam: Client) -> None:
    old = active_key("checkpoint")
    services.rotate_key(purpose="checkpoint", algorithm="Ed25519", **WHO)
    assert "Retire" in text_of(sam.get(page(old, "change")))
    assert "It never becomes active again" in text_of(sam.get(page(old)))
    assert old.state == "active"
    said = text_of(sam.post(page(old), {"reason": "yearly"}, follow=True))
    assert "The checkpoints that it signed stay valid" in said
    old.refresh_from_db()
    assert old.state == "retired"
    assert key_steps() == [("key.retired", "sam", "yearly")]


def test_what_the_service_refuses_stands_on_the_page(sam: Client) -> None:
    only = active_key("checkpoint")
    assert page(only) not in sam.get(page(only, "change")).content.decode(), "what cannot be done is not offered"
    said = text_of(sam.post(page(only), {"reason": "tidy"}))
    assert "is the only checkpoint key: rotate first" in said
    said = text_of(sam.post(page(active_key()), {"reason": "tidy"}))
    assert "is an entry key: rotate it" in said
    assert key_steps() == []


def test_without_a_reason_nothing_is_done(sam: Client) -> None:
    old = active_key("checkpoint")
    services.rotate_key(purpose="checkpoint", algorithm="Ed25519", **WHO)
    assert b"errorlist" in sam.post(page(old), {"reason": " "}).content
    old.refresh_from_db()
    assert old.state == "active"


def test_who_may_look_may_not_retire() -> None:
    old = active_key("checkpoint")
    services.rotate_key(purpose="checkpoint", algorithm="Ed25519", **WHO)
    client = administrator("ann", "auditor")
    assert page(old) not in client.get(page(old, "change")).content.decode()
    assert client.post(page(old), {"reason": "because"}).status_code == 403
    old.refresh_from_db()
    assert old.state == "active"


def test_a_key_that_there_is_not_is_not_found(sam: Client) -> None:
    assert sam.post("/admin/signing/signingkey/entry-x/retire/", {"reason": "because"}).status_code == 404
