"""Withdrawing somebody's request for a certificate in the admin."""

import pytest

from signing import export_keys
from signing.models import ExportCertificate, SigningKey
from tests.administrators import WHO, administrator, key_steps, text_of

pytestmark = pytest.mark.usefixtures("fresh_database")


def page(key_id: str, step: str = "withdraw") -> str:
    return f"/admin/signing/signingkey/{key_id}/{step}/"


def test_a_request_is_withdrawn() -> None:
    waiting, _ = export_keys.request_certificate(person="ada", **WHO)
    sam = administrator()
    shown = sam.get(page(waiting.key_id, "change"))
    assert "Signs exports of ada" in text_of(shown)
    assert page(waiting.key_id) in shown.content.decode()
    for other in ("destroy", "compromise"):
        assert page(waiting.key_id, other) not in shown.content.decode()
    assert "its key is destroyed" in text_of(sam.get(page(waiting.key_id)))
    assert SigningKey.objects.get(pk=waiting.key_id).state == "pre-active", "to look at the page withdraws nothing"
    said = text_of(sam.post(page(waiting.key_id), {"reason": "she left"}, follow=True))
    assert f"The request of {waiting.key_id} is withdrawn." in said
    assert SigningKey.objects.get(pk=waiting.key_id).state == "destroyed"
    assert key_steps()[-2:] == [("certificate.revoked", "sam", "she left"), ("key.destroyed", "sam", "she left")]


def test_of_a_key_that_signs_nothing_is_withdrawn() -> None:
    row = export_keys.certify(person="ada", by="ada", reason="a test")
    ca = ExportCertificate.objects.get(person="")
    sam = administrator()
    for key_id, signs in ((row.key_id, "exports of ada"), (ca.key_id, "certificates of people who export")):
        shown = sam.get(page(key_id, "change"))
        assert f"Signs {signs}" in text_of(shown)
        assert page(key_id) not in shown.content.decode()
        assert page(key_id, "compromise") not in shown.content.decode(), "that is done by its certificate"
        assert "no export key that waits" in text_of(sam.post(page(key_id), {"reason": "because"}))
    assert SigningKey.objects.get(pk=row.key_id).state == "active"


def test_who_may_look_may_not_withdraw() -> None:
    waiting, _ = export_keys.request_certificate(person="ada", **WHO)
    ann = administrator("ann", "auditor")
    assert page(waiting.key_id) not in ann.get(page(waiting.key_id, "change")).content.decode()
    assert ann.post(page(waiting.key_id), {"reason": "because"}).status_code == 403
    assert SigningKey.objects.get(pk=waiting.key_id).state == "pre-active"
