"""Somebody who reads, somebody who may not, and what both left in the meta log."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.test import Client, override_settings

from activity import authority
from activity.event import Event
from auditlog_project.roles import AUDITOR_OF_AUDITORS, READER
from exports.models import Export
from metaaudit import counts
from metaaudit.models import MetaLog
from signing import export_keys
from tests.clusters import Database

LOGS = "/api/v1/logs"
ORDERS = "/api/v1/exports"
EVENT = Event("shop.order", "order", "ann", datetime(2026, 11, 23, 12, tzinfo=UTC), "shop", target="patient/4711")


@pytest.fixture
def site(fresh_database: Database) -> Iterator[Database]:
    """Give a site whose records are really committed, with counts that wait in the process."""
    counts._waiting.clear()
    with override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}):
        yield fresh_database
    counts._waiting.clear()


@pytest.fixture
def ada(site: Database) -> Client:
    """Give a reader of the activity ledger, signed in."""
    return signed_in("ada", READER)


def signed_in(name: str, *roles: str, ledger: str | None = "activity", **kinds: Any) -> Client:
    user = User.objects.create_user(name, password="analytical engine", **kinds)
    user.groups.set(Group.objects.filter(name__in=roles))
    if ledger is not None:
        authority.grant_ledger(ledger=ledger, to=user, by="test", reason="test")
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return client


def key_holder(*scopes: str, name: str = "shop") -> tuple[Client, str]:
    row, key = authority.create_api_key(
        name=name, scopes=[*scopes], ledger="activity", source="shop", by="ada", reason="test"
    )
    return Client(raise_request_exception=False, headers={"Authorization": f"Api-Key {key}"}), row.prefix


@pytest.fixture
def place(site: Database, tmp_path: Path) -> Iterator[Path]:
    """Give a directory; the files of exports lie in it."""
    storage = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(tmp_path / "exports")},
    }
    with override_settings(STORAGES={**settings.STORAGES, "exports": storage}):
        yield tmp_path


@pytest.fixture
def rex(place: Path) -> Client:
    """Give the auditor of auditors, who has an export key."""
    return keyed("rex", AUDITOR_OF_AUDITORS)


def keyed(name: str, *roles: str, **kinds: Any) -> Client:
    client = signed_in(name, *roles, **kinds)
    export_keys.certify(person=name, by="test", reason="test")
    return client


def ordered(client: Client, *formats: str, ledger: str = "meta", **filters: str) -> Export:
    said = {"ledger": ledger, "filters": filters, "formats": formats or ["csv", "ndjson", "json"], "purpose": "review"}
    answer = client.post(ORDERS, said, content_type="application/json")
    assert answer.status_code == 201, answer.content
    assert answer.json()["state"] == "ready", answer.content
    return Export.objects.get(pk=answer.json()["id"])


def container(client: Client, export: Export) -> bytes:
    return b"".join(client.get(f"{ORDERS}/{export.pk}/download"))


Taken = Callable[..., Path]


@pytest.fixture
def no_age() -> Iterator[None]:
    """Let accesses of this moment be archived, which the system check E009 refuses outside of tests."""
    with override_settings(AUDITLOG_META_RETENTION_DAYS=0):
        yield


@pytest.fixture
def taken(ada: Client, rex: Client, place: Path, no_age: None) -> Taken:
    """Give a way to an export of all accesses so far, as a file; there are some."""
    for actor in ("ann", "bob", "eve"):
        ada.get(LOGS, {"actor": actor})

    def take(*formats: str, **filters: str) -> Path:
        raw = container(rex, ordered(rex, *(formats or ["csv"]), **filters))
        path = place / f"{sha256(raw).hexdigest()[:8]}.asice"
        path.write_bytes(raw)
        return path

    return take


def archive(path: Path, *options: str) -> str:
    out = io.StringIO()
    call_command("archive_accesses", str(path), "--reason", "policy 7", *options, stdout=out)
    return out.getvalue()


def recorded() -> list[MetaLog]:
    return list(MetaLog.objects.filter(ledger__name="meta").order_by("leaf_index"))


def last() -> MetaLog:
    return recorded()[-1]


def steps() -> list[tuple[str, str, int | None]]:
    """Return action, phase and status of every record."""
    return [(each.action, each.phase, each.status) for each in recorded()]
