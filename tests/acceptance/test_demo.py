"""The demo on a database of its own: what a newcomer sees on the first day, and on the second."""

import re
import subprocess
import sys

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from auditlog_project.management.commands import demo
from locking.models import LockOverride
from tests.clusters import PROJECT, Database


@pytest.fixture
def environment(fresh_database: Database) -> dict[str, str]:
    serving = fresh_database.environment("default", "approver")
    return serving | {"DATABASE_ADMIN_URL": fresh_database.url("superuser")}


def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "demo", "--no-color"]
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_demo_records_verifies_tampers_and_sees_the_alarm(environment: dict[str, str]) -> None:
    first = run(environment)
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert "754 events recorded, 0 already there" in first.stdout
    assert "joserfc verifies the signature" in first.stdout
    assert first.stdout.count("caught: tampered, first bad leaf") == 2

    second = run(environment)
    assert second.returncode == 0, second.stderr
    assert "0 events recorded, 754 already there" in second.stdout


def test_a_locked_entry_resists_sql_and_changes_under_an_override_of_two_people(environment: dict[str, str]) -> None:
    for _ in range(2):  # the second day's entry was amended and locked on the first
        ended = run(environment)
        assert ended.returncode == 0, ended.stderr
        assert "DELETE FROM activity_logs: refused, 42501: permission denied" in ended.stdout
        assert re.search("UPDATE to a right next version.*: refused, AL002: retention in mode governance", ended.stdout)
        assert "UPDATE … SET outcome = 'success': refused, AL002: retention in mode governance" in ended.stdout
        assert "demo-olga approves it herself: refused, an override takes two people" in ended.stdout
        assert "its review is open" in ended.stdout
    with pytest.raises(SystemExit) as verified:
        call_command("verify")
    assert verified.value.code == 0
    assert (
        list(LockOverride.objects.values_list("state", "used_count", "reviewed_by"))
        == [("closed", 1, "demo-anton")] * 2
    )
    assert not User.objects.filter(username__startswith="demo-", is_active=True).exists()


def test_the_demo_takes_no_account_that_is_somebodys_own(
    environment: dict[str, str], fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_ADMIN_URL", environment["DATABASE_ADMIN_URL"])
    User.objects.create_user("demo-anton", password="his own")
    with pytest.raises(CommandError, match="somebody's own"):
        call_command("demo")
    assert User.objects.get(username="demo-anton").check_password("his own")
    assert not User.objects.filter(username="demo-olga", is_active=True).exists()


def test_an_attack_that_succeeds_fails_the_demo(
    environment: dict[str, str], fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_ADMIN_URL", environment["DATABASE_ADMIN_URL"])
    fresh_database.superuser().execute("ALTER TABLE activity_logs DISABLE TRIGGER a_locked_by_rule")
    with pytest.raises(CommandError, match="should have been refused with AL002"):
        call_command("demo")


def test_the_copy_is_gone_and_the_database_still_valid(environment: dict[str, str], fresh_database: Database) -> None:
    assert run(environment).returncode == 0
    names = [name for (name,) in fresh_database.superuser().execute("SELECT datname FROM pg_database")]
    assert fresh_database.name in names
    assert f"{fresh_database.name}_demo_copy" not in names
    with pytest.raises(SystemExit) as ended:
        call_command("verify")
    assert ended.value.code == 0


def test_a_tampering_that_is_not_found_fails_the_demo(
    environment: dict[str, str], fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_ADMIN_URL", environment["DATABASE_ADMIN_URL"])
    monkeypatch.setattr(demo, "_rewrite", lambda *_: None)
    with pytest.raises(CommandError, match="should have been found"):
        call_command("demo")


def test_a_database_in_use_is_explained(environment: dict[str, str], fresh_database: Database) -> None:
    fresh_database.app().execute("SELECT 1")
    ended = run(environment)
    assert ended.returncode == 1
    assert "stop ./auditlog serve" in ended.stderr


def test_without_an_approvers_address_the_demo_says_what_is_missing(
    environment: dict[str, str], fresh_database: Database
) -> None:
    ended = run({name: value for name, value in environment.items() if name != "DATABASE_APPROVER_URL"})
    assert ended.returncode == 1
    assert "DATABASE_APPROVER_URL" in ended.stderr


def test_without_an_administrators_address_the_demo_says_what_is_missing(
    fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_ADMIN_URL", raising=False)
    with pytest.raises(CommandError, match="DATABASE_ADMIN_URL"):
        call_command("demo")
