"""An installation on which exports are ordered: storage and cache of its own, and a compliance officer with a key."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import override_settings

from tests.clusters import Database
from tests.exports.ordering import person


@pytest.fixture
def site(fresh_database: Database, tmp_path: Path) -> Iterator[Database]:
    """Give a database, with a directory for the files of exports."""
    storage = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(tmp_path / "exports")},
    }
    caches = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "exports"}}
    with override_settings(STORAGES={**settings.STORAGES, "exports": storage}, CACHES=caches):
        yield fresh_database


@pytest.fixture
def olivia(site: Database) -> User:
    """Return a compliance officer who may read and export the ledger `activity`."""
    return person("olivia")
