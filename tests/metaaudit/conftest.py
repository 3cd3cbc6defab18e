"""Somebody who reads, somebody who may not, and what both left in the meta log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client, override_settings

from activity import authority
from activity.record import Event
from auditlog_project.roles import READER
from metaaudit import counts
from metaaudit.models import MetaLog
from tests.clusters import Database

LOGS = "/api/v1/logs"
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


def recorded() -> list[MetaLog]:
    return list(MetaLog.objects.filter(ledger__name="meta").order_by("leaf_index"))


def last() -> MetaLog:
    return recorded()[-1]


def steps() -> list[tuple[str, str, int | None]]:
    """Return action, phase and status of every record."""
    return [(each.action, each.phase, each.status) for each in recorded()]
