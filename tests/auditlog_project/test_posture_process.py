"""Serving processes refuse to start in a broken posture, and say why. Real processes."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections
from psycopg import sql

from auditlog_project import posture
from auditlog_project.embedded.postgres import PostgresServer
from auditlog_project.posture.process import address_problems
from auditlog_project.posture.server import server_problems
from tests.clusters import PROJECT, Database, state_directory

WEB = "import auditlog_project.wsgi"
WORKER = (
    "import django; django.setup(); from auditlog_project.celery import app, refuse_weak_posture; refuse_weak_posture()"
)


def start(database: Database, code: str, *aliases: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=database.environment(*aliases) | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_clean_processes_start(fresh_database: Database) -> None:
    web = start(fresh_database, WEB, "default", "approver")
    assert (web.returncode, web.stderr) == (0, "")
    worker = start(fresh_database, WORKER)
    assert (worker.returncode, worker.stderr) == (0, "")


@pytest.mark.parametrize("code", [WEB, WORKER])
def test_every_problem_is_named_before_anything_is_served(fresh_database: Database, code: str) -> None:
    fresh_database.superuser().execute("DROP TRIGGER append_only ON verification_runs")
    fresh_database.superuser().execute("GRANT DELETE ON activity_logs TO auditlog_app")
    refused = start(fresh_database, code, "default", "owner")
    assert refused.returncode != 0
    assert "DATABASE_OWNER_URL is in the environment of a serving process" in refused.stderr
    assert "Guard append_only on verification_runs is missing" in refused.stderr
    assert "may DELETE on activity_logs" in refused.stderr


def test_a_worker_with_the_approvers_address_does_not_start(fresh_database: Database) -> None:
    refused = start(fresh_database, WORKER, "default", "approver")
    assert refused.returncode != 0
    assert "DATABASE_APPROVER_URL is in the environment of a worker" in refused.stderr


def test_the_celery_command_itself_refuses(fresh_database: Database, tmp_path: Path) -> None:
    fresh_database.superuser().execute("DROP TRIGGER append_only ON verification_runs")
    code = "from celery.__main__ import main; main()"
    for service in (["worker"], ["beat", "--schedule", str(tmp_path / "schedule")]):
        refused = subprocess.run(
            [sys.executable, "-c", code, "-A", "auditlog_project", *service],
            cwd=PROJECT,
            env=fresh_database.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert refused.returncode != 0
        assert "Guard append_only on verification_runs is missing" in refused.stderr


@pytest.mark.parametrize("name", ["DATABASE_OWNER_URL", "DATABASE_ADMIN_URL"])
@pytest.mark.parametrize("may_approve", [True, False])
def test_set_up_addresses_are_noticed(name: str, *, may_approve: bool) -> None:
    assert address_problems({}, {"default": {}}, may_approve=may_approve) == []
    environ = {name: "postgresql://auditlog_owner:hidden@/x"}
    (problem,) = address_problems(environ, {"default": {}}, may_approve=may_approve)
    assert problem.id == "auditlog.E010"
    assert name in problem.message
    assert "hidden" not in str(problem)


def test_a_configured_owner_alias_is_noticed() -> None:
    (problem,) = address_problems({}, {"default": {}, "owner": {}}, may_approve=True)
    assert problem.id == "auditlog.E010"


def test_only_the_web_process_may_hold_the_approver() -> None:
    databases: dict[str, object] = {"default": {}, "approver": {}}
    assert address_problems({}, databases, may_approve=True) == []
    (problem,) = address_problems({}, databases, may_approve=False)
    assert problem.id == "auditlog.E011"


def test_asynchronous_commit_is_noticed_however_it_was_set(fresh_database: Database) -> None:
    assert server_problems(fresh_database.app()) == []
    name = sql.Identifier(fresh_database.name)
    fresh_database.superuser().execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
    (problem,) = server_problems(fresh_database.app())
    assert problem.id == "auditlog.E050"
    assert problem.message.startswith("synchronous_commit is off")


def reload(superuser: psycopg.Connection[Any]) -> None:
    superuser.execute("SELECT pg_reload_conf()")
    # The postmaster tells the sessions a moment later.
    time.sleep(0.5)


def test_a_server_that_does_not_flush_is_noticed() -> None:
    # A server of its own: these settings hold for all databases of a server.
    server = PostgresServer(state_directory() / "unsafe")
    server.start()
    try:
        with psycopg.connect(server.superuser_url(), autocommit=True) as superuser:
            superuser.execute("ALTER SYSTEM RESET ALL")
            reload(superuser)
            assert server_problems(superuser) == []
            superuser.execute("ALTER SYSTEM SET fsync = off")
            superuser.execute("ALTER SYSTEM SET full_page_writes = off")
            reload(superuser)
            messages = [problem.message.split()[0] for problem in server_problems(superuser)]
            assert sorted(messages) == ["fsync", "full_page_writes"]
    finally:
        server.stop()


def test_a_process_that_starts_waits_for_a_database_that_starts(
    fresh_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    connections["default"].close()
    there = connections.settings["default"]["HOST"]
    connections.settings["default"]["HOST"] = "/nonexistent"
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            connections.settings["default"]["HOST"] = there

    monkeypatch.setattr("auditlog_project.posture.time.sleep", sleep)
    with pytest.raises(posture.PostureError, match="DATABASE_OWNER_URL"):
        posture.require(posture.Process.WEB)  # the address is in the environment of tests
    assert len(waits) == 2
