"""Scheduled jobs are recorded as `system:<task>`, commands with the operating-system user."""

import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

from activity.services import record
from auditlog_project.celery import app
from metaaudit import services, terminal
from metaaudit.errors import NotRecordedError
from metaaudit.jobs import UNRECORDED, RecordedTask
from metaaudit.models import MetaLog
from signing.management.accountability import operator
from tests.clusters import PROJECT, Database
from tests.metaaudit.conftest import EVENT, recorded, steps

MANAGE = [sys.executable, "manage.py"]


@pytest.fixture(scope="module", autouse=True)
def _tasks() -> None:
    """Know every task, as a worker does that has started."""
    app.loader.import_default_modules()


def manage(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MANAGE, *arguments], cwd=PROJECT, env=database.environment(), capture_output=True, text=True, check=False
    )


def test_every_task_of_ours_is_of_the_recorded_class() -> None:
    ours = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}
    assert {"activity.verify_recent", *UNRECORDED} <= ours.keys()
    assert [name for name, task in ours.items() if not isinstance(task, RecordedTask)] == []


def test_every_scheduled_job_is_recorded_or_published_as_not() -> None:
    scheduled = {each["task"] for each in settings.CELERY_BEAT_SCHEDULE.values()}
    assert scheduled >= UNRECORDED, "what is never recorded is one of the schedule"


def test_a_job_is_recorded_before_and_after(fresh_database: Database) -> None:
    app.tasks["activity.verify_recent"]()
    intent, end = recorded()
    assert (intent.user_id, intent.auth, intent.action) == ("system:activity.verify_recent", "system", "verify")
    assert (end.completes, end.phase, end.status) == (intent.pk, "completion", 0)
    assert intent.route == "activity.verify_recent"


def test_a_job_that_fails_says_so(fresh_database: Database) -> None:
    @app.task(name="tests.fails")  # type: ignore[untyped-decorator]
    def fails() -> None:
        raise OSError("no")

    try:
        with pytest.raises(OSError, match="no"):
            fails()
    finally:
        app.tasks.unregister("tests.fails")
    assert steps() == [("job", "intent", None), ("job", "completion", 1)]


def test_a_job_that_cannot_be_recorded_does_not_run(fresh_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise NotRecordedError("the disk is full")

    monkeypatch.setattr(services, "record", refuse)
    with pytest.raises(NotRecordedError):
        app.tasks["activity.verify_recent"]()


def test_jobs_that_read_no_entry_leave_no_record(fresh_database: Database) -> None:
    app.tasks["signing.anchor_ledgers"]()
    assert not MetaLog.objects.exists()


def test_a_command_is_recorded_with_who_ran_it(fresh_database: Database) -> None:
    record(EVENT)
    ended = manage(fresh_database, "ledgers", "list")
    assert ended.returncode == 0, ended.stderr
    intent, end = recorded()
    assert (intent.user_id, intent.user_name, intent.auth) == (f"os:{os.getuid()}", operator(), "os-user")
    assert (intent.action, intent.route, intent.query) == ("config_change", "ledgers", [["argument", "list"]])
    assert (end.completes, end.status) == (intent.pk, 0)


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        (["list"], "view"),
        (["make", "--as", "list"], "lock"),
        (["make"], "lock"),
        (["mend"], "command"),
        ([], "command"),
    ],
)
def test_locking_by_command_is_a_lock(arguments: list[str], action: str) -> None:
    assert terminal.command_access("locks", arguments).action == action


def test_the_exit_code_of_a_command_is_its_status(fresh_database: Database) -> None:
    ended = manage(fresh_database, "grants", "give", "activity", "--group", "nobody knows it", "--reason", "x")
    assert ended.returncode != 0
    assert [one.status for one in recorded()] == [None, ended.returncode]


def test_a_command_that_cannot_be_recorded_is_not_run_but_verify_is(fresh_database: Database) -> None:
    fresh_database.owner().execute("ALTER TABLE meta_logs ADD CONSTRAINT none CHECK (user_id = '') NOT VALID")
    refused = manage(fresh_database, "ledgers", "list")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "What cannot be recorded is not done." in refused.stderr
    verified = manage(fresh_database, "verify", "--ledger", "keys")
    assert "it runs all the same" in verified.stderr
    assert "Outcome:" in verified.stdout


@pytest.mark.parametrize("arguments", [["check"], ["verify", "--help"], ["no-such-command"], [], ["--version"]])
def test_what_reads_no_log_leaves_no_record(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "record", lambda **_: pytest.fail("recorded"))
    with terminal.recorded_command(["manage.py", *arguments]):
        pass


def test_the_published_exceptions_are_no_commands_of_the_log() -> None:
    ours = {path.stem for path in PROJECT.glob("*/management/commands/*.py") if path.stem != "__init__"}
    assert ours & terminal.UNRECORDED == {"bench", "migrate", "openapi", "setup_database"}
