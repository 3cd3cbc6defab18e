"""Every URL outside the admin has a row that says who may use it, and refuses everybody else."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client, override_settings
from django.urls import URLPattern, URLResolver, get_resolver

TABLE: dict[str, dict[str, str]] = yaml.safe_load(Path(__file__).with_name("permissions.yaml").read_text())
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
NOT_OURS = ("/admin/",)


def addresses(patterns: list[Any], prefix: str = "/") -> set[str]:
    found: set[str] = set()
    for one in patterns:
        address = prefix + str(one.pattern)
        if address.startswith(NOT_OURS):
            continue
        if isinstance(one, URLResolver):
            found |= addresses(one.url_patterns, address)
        elif isinstance(one, URLPattern):
            found.add(address)
    return found


def test_every_url_has_a_row() -> None:
    served = {address for address in addresses(get_resolver().url_patterns) if address.startswith(("/api/", "/.well"))}
    assert served == set(TABLE)


@pytest.mark.django_db
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("address", sorted(TABLE))
@override_settings(
    SECURE_SSL_REDIRECT=False, CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
)
def test_a_stranger_may_what_the_table_says(address: str, method: str) -> None:
    status = Client().generic(method, address, b"{}", content_type="application/json").status_code
    if TABLE[address].get(method) == "anyone":
        assert status == 200
    else:
        assert status in {401, 403, 405}
