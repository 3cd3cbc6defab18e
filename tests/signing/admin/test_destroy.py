"""Erasing a private half in the admin."""

import pytest
from django.test import Client

from signing import services
from signing.models import SigningKey
from tests.administrators import WHO, administrator, key_steps, text_of
from tests.signing.installation import active_key

pytestmark = pytest.mark.usefixtures("fresh_database")


def page(key: SigningKey, step: str = "destroy") -> str:
    return f"/admin/signing/signingkey/{key.pk}/{step}/"


@pytest.fixture
def sam() -> Client:
    return administrator()


def retired(algorithm: str = "Ed25519") -> SigningKey:
    if algorithm != "Ed25519":
        services.rotate_key(purpose="entry", algorithm=algorithm, **WHO)
    old = active_key(algorithm=algorithm)
    services.rotate_key(purpose="entry", algorithm=algorithm, **WHO)
    old.refresh_from_db()
    return old


def test_a_retired_key_is_destroyed(sam: Client) -> None:
    old = retired()
    assert "Nothing brings it back" in text_of(sam.get(page(old)))
    old.refresh_from_db()
    assert old.sealed_private_key is not None, "to look at the page destroys nothing"
    said = text_of(sam.post(page(old), {"reason": "retention"}, follow=True))
    assert "Private half destroyed" in said
    old.refresh_from_db()
    assert old.state == "destroyed"
    assert not SigningKey.objects.filter(pk=old.pk, sealed_private_key__isnull=False).exists()
    assert ("key.destroyed", "sam", "retention") in key_steps()
    assert page(old) not in sam.get(page(old, "change")).content.decode()


def test_of_an_hmac_key_the_page_says_what_is_lost(sam: Client) -> None:
    assert "Nobody can verify what it signed any more" in text_of(sam.get(page(retired("HS256"))))


def test_an_active_key_is_not_destroyed(sam: Client) -> None:
    key = active_key()
    assert page(key) not in sam.get(page(key, "change")).content.decode()
    assert "is active: rotate it first" in text_of(sam.post(page(key), {"reason": "retention"}))
    key.refresh_from_db()
    assert key.sealed_private_key is not None


def test_without_a_reason_nothing_is_done(sam: Client) -> None:
    old = retired()
    assert b"errorlist" in sam.post(page(old), {}).content
    old.refresh_from_db()
    assert old.state == "retired"


def test_who_may_look_may_not_destroy() -> None:
    old = retired()
    assert administrator("ann", "auditor").post(page(old), {"reason": "because"}).status_code == 403
    old.refresh_from_db()
    assert old.state == "retired"
