"""Fixtures for every test: a real PostgreSQL, migrated once, and a clone of it for whoever needs one.

    @pytest.mark.django_db     Django's `default` connection as auditlog_app, in a transaction that is rolled back
    fresh_database             a clone of its own for tests that commit, attack or use several roles
    every_server_database      the same, once on each server version of this machine
    broker                     a real Valkey for Celery and cache

Servers start when the first test asks; a test without a database pays nothing.
"""

import os
import shutil
from collections.abc import Iterator
from typing import Any

import django
import pytest
import redis
from django.test import override_settings

from tests import environment

# Before Django reads its settings.
environment.take_over("auditlog_project.settings")
django.setup()

# Only now: these read the settings.
from auditlog_project.celery import app as celery_app  # noqa: E402
from auditlog_project.embedded.valkey import ValkeyServer  # noqa: E402
from auditlog_project.environment_values import celery_url  # noqa: E402
from tests.clusters import EMBEDDED, Clusters, Database, server_names, state_directory  # noqa: E402


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of tests/attacks/test_kill_nine.py and tests/exports/test_sample.py."""
    parser.addoption("--kill-runs", type=int, default=40, help="how often a part of the application is killed")
    parser.addoption("--kill-seed", type=int, help="the seed that a failed test printed")
    parser.addoption("--write-sample", action="store_true", help="make the export of docs/sample anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse Django's transactional tests: they clean up by TRUNCATE, which the guards rightly stop."""
    for item in items:
        marker = item.get_closest_marker("django_db")
        if marker and (marker.kwargs.get("transaction") or "fresh_database" in getattr(item, "fixturenames", ())):
            message = f"{item.nodeid}: for commits use fresh_database, without the django_db mark"
            raise pytest.UsageError(message)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that wants every server on the embedded one and on each other version installed."""
    if "every_server_database" in metafunc.fixturenames:
        metafunc.parametrize("every_server_database", server_names(), indirect=True)


@pytest.fixture(scope="session")
def clusters(django_db_blocker: Any) -> Iterator[Clusters]:
    """Give the servers of this run; a template is built with Django's own migrate."""
    with django_db_blocker.unblock(), Clusters() as running:
        yield running


@pytest.fixture(scope="session")
def django_db_setup(clusters: Clusters, django_db_blocker: Any) -> Iterator[None]:
    """Stand in for pytest-django's: `default` is auditlog_app on a clone that lives as long as the run."""
    with django_db_blocker.unblock(), clusters[EMBEDDED].clone() as database, database.as_django_databases():
        yield


@pytest.fixture
def fresh_database(clusters: Clusters, django_db_blocker: Any) -> Iterator[Database]:
    """Give a test its own database, Django's connections and the anchor directory included. Commits are real."""
    yield from _own_database(clusters, EMBEDDED, django_db_blocker)


@pytest.fixture
def every_server_database(
    request: pytest.FixtureRequest, clusters: Clusters, django_db_blocker: Any
) -> Iterator[Database]:
    """Give a test its own database, once on each version of PostgreSQL."""
    yield from _own_database(clusters, request.param, django_db_blocker)


def _own_database(clusters: Clusters, server: str, django_db_blocker: Any) -> Iterator[Database]:
    with django_db_blocker.unblock(), clusters[server].clone() as database, database.as_django_databases():
        yield database


@pytest.fixture(scope="session")
def valkey() -> Iterator[str]:
    """Give the address of a real Valkey that serves this test process alone."""
    state = state_directory() / f"valkey-{os.getpid()}"
    server = ValkeyServer(state)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()
        shutil.rmtree(state)


@pytest.fixture
def broker(valkey: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make an empty Valkey the broker, result store and cache, here and in processes that a test starts."""
    monkeypatch.setenv("REDIS_URL", valkey)
    cache = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": valkey}}
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    # One address for the whole process: Celery keeps its first connections.
    celery_app.conf.update(broker_url=celery_url(valkey), result_backend=celery_url(valkey))
    with override_settings(CACHES=cache, REDIS_URL=valkey):
        yield valkey
