"""A stranger fetches the public keys without an account."""

import pytest
from django.test import Client, override_settings

from signing import queries


@pytest.mark.django_db
@override_settings(SECURE_SSL_REDIRECT=False)
def test_the_public_keys_need_no_account() -> None:
    response = Client().get("/.well-known/jwks.json")
    assert (response.status_code, response["Content-Type"]) == (200, "application/jwk-set+json")
    assert response.json() == queries.jwks()
    assert response.json()["keys"]
    assert Client().post("/.well-known/jwks.json").status_code == 405
