"""The fixtures of conftest.py keep their promises: the role of each connection, rollback, and clones of one's own."""

import pytest
from django.contrib.auth.models import Group
from django.db import connections

from tests.clusters import Database


@pytest.mark.django_db
def test_ordinary_tests_run_as_the_runtime_role() -> None:
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("auditlog_app",)


@pytest.mark.django_db
def test_waiting_is_bounded_in_the_session() -> None:
    with connections["default"].cursor() as cursor:
        for name, limit in (("lock_timeout", "10s"), ("statement_timeout", "5min")):
            cursor.execute(f"SHOW {name}")
            assert cursor.fetchone() == (limit,)


@pytest.mark.django_db
@pytest.mark.parametrize("_turn", [1, 2])
def test_ordinary_tests_are_rolled_back(_turn: int) -> None:
    assert not Group.objects.filter(name="left behind?").exists()
    Group.objects.create(name="left behind?")


@pytest.mark.parametrize("_turn", [1, 2])
def test_every_test_that_commits_has_its_own_clone(fresh_database: Database, _turn: int) -> None:
    assert not Group.objects.filter(name="committed").exists()
    Group.objects.create(name="committed")
    assert fresh_database.app().execute("SELECT count(*) FROM auth_group WHERE name = 'committed'").fetchone() == (1,)


def test_a_clone_is_open_to_each_role(fresh_database: Database) -> None:
    for role in ("app", "approver", "owner", "superuser"):
        connection = getattr(fresh_database, role)()
        name = {"superuser": "postgres"}.get(role, f"auditlog_{role}")
        assert connection.execute("SELECT current_user, current_database()").fetchone() == (name, fresh_database.name)
    with connections["owner"].cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("auditlog_owner",)


def test_guard_tests_meet_every_server_version(every_server_database: Database) -> None:
    version = every_server_database.app().info.server_version
    assert version >= 150000
