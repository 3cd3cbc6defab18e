"""/healthz and /readyz, with each thing that they watch broken in turn."""

import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import Client, override_settings

from activity.models import VerificationRun
from auditlog_project.health import TOO_OLD
from signing import providers
from signing.models import Ledger
from tests.clusters import Database

NOWHERE = "unix:///nonexistent/valkey.sock"


def ready() -> tuple[int, dict[str, str]]:
    response = Client().get("/readyz")
    said: dict[str, Any] = response.json()
    assert set(said) == {"status", "checks"}
    assert said["status"] == ("ok" if response.status_code == 200 else "failed")
    assert "no-store" in response["Cache-Control"]
    return response.status_code, said["checks"]


def failed() -> set[str]:
    status, checks = ready()
    found = {name for name, word in checks.items() if word != "ok"}
    assert status == (503 if found - {"verification"} else 200)
    return found


def verify(outcome: str, finished_at: datetime) -> None:
    for ledger in Ledger.objects.all():
        VerificationRun.objects.create(
            ledger=ledger,
            started_at=finished_at,
            finished_at=finished_at,
            since=0,
            size=1,
            root=b"x" * 32,
            outcome=outcome,
        )


def test_a_living_process_answers_whatever_it_depends_on() -> None:
    # No database and no broker fixture: neither is there.
    response = Client().get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_all_is_well(fresh_database: Database, broker: str) -> None:
    checks = dict.fromkeys(("database", "posture", "broker", "keys", "verification"), "ok")
    assert ready() == (200, checks)


def test_a_database_that_is_gone_is_noticed(fresh_database: Database, broker: str) -> None:
    assert not failed()
    connections["default"].close()
    connections.settings["default"]["HOST"] = "/nonexistent"
    assert failed() == {"database", "posture", "keys", "verification"}


@pytest.mark.slow
def test_a_database_that_does_not_answer_is_waited_for_once(fresh_database: Database, broker: str) -> None:
    connections["default"].close()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = connections.settings["default"]["OPTIONS"] | {"connect_timeout": "2"}
        place = {"HOST": "127.0.0.1", "PORT": silent.getsockname()[1], "OPTIONS": options}
        before = dict(connections.settings["default"])
        connections.settings["default"].update(place)
        try:
            began = time.monotonic()
            assert failed() == {"database", "posture", "keys", "verification"}
            assert time.monotonic() - began < 4
        finally:
            connections.settings["default"].update(before)


def test_a_missing_guard_is_noticed(fresh_database: Database, broker: str) -> None:
    fresh_database.owner().execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    assert failed() == {"posture"}


def test_the_posture_is_asked_for_once_in_a_while(fresh_database: Database, broker: str) -> None:
    assert not failed()
    fresh_database.owner().execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    assert not failed()


def test_a_broker_that_is_gone_is_noticed(fresh_database: Database) -> None:
    with override_settings(REDIS_URL=NOWHERE):
        assert failed() == {"broker"}


def test_another_master_key_is_noticed(fresh_database: Database, broker: str) -> None:
    providers._signer.cache_clear()  # what is open stays open: this is a process that starts
    with override_settings(AUDITLOG_MASTER_KEY="b3RoZXIga2V5IGZvciB0ZXN0cywgMzIgYnl0ZXMhISE="):
        assert failed() == {"keys"}


def test_a_missing_key_is_noticed(fresh_database: Database, broker: str) -> None:
    superuser = fresh_database.superuser()
    superuser.execute("ALTER TABLE signing_keys DISABLE TRIGGER ALL")
    superuser.execute("UPDATE signing_keys SET state = 'retired' WHERE purpose = 'checkpoint'")
    assert failed() == {"keys", "posture"}, "and the guard that would not have let this happen"


@pytest.mark.parametrize(
    ("outcome", "age", "word"),
    [
        ("valid", timedelta(), "ok"),
        ("cannot_tell", timedelta(), "ok"),
        ("tampered", timedelta(), "failed"),
        ("valid", TOO_OLD + timedelta(minutes=1), "failed"),
    ],
)
def test_the_last_verification_is_told_and_stops_nothing(
    fresh_database: Database, broker: str, outcome: str, age: timedelta, word: str
) -> None:
    verify(outcome, datetime.now(UTC) - age)
    status, checks = ready()
    assert (status, checks["verification"]) == (200, word)


def test_only_reading_is_answered(fresh_database: Database, broker: str) -> None:
    for address in ("/healthz", "/readyz"):
        assert Client().post(address).status_code == 405
        assert Client().head(address).status_code == 200
        with override_settings(SECURE_SSL_REDIRECT=True):
            assert Client().get(address).status_code == 200
