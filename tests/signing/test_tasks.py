"""The task that anchors every ledger: called, refused, and as beat and a worker really run it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from auditlog_project.celery import app as celery_app
from signing import anchors
from signing.models import Ledger
from signing.tasks import anchor_ledgers
from tests.clusters import PROJECT, Database
from tests.signing.installation import record, wait_until


def anchor_counts(directory: Path) -> dict[str, int]:
    return {path.name: len(anchors.read_all(path)) for path in directory.iterdir() if path.is_dir()}


def test_every_ledger_is_anchored_even_if_it_is_idle(fresh_database: Database) -> None:
    before = anchor_counts(fresh_database.anchors)
    anchor_ledgers()
    after = anchor_counts(fresh_database.anchors)
    assert set(after) == set(Ledger.objects.values_list("name", flat=True))
    assert after == {name: before.get(name, 0) + 1 for name in after}


def test_a_ledger_that_cannot_be_anchored_does_not_stop_the_others(fresh_database: Database) -> None:
    record(1)
    anchor_ledgers()
    blocked = fresh_database.anchors / "activity"
    shutil.rmtree(blocked)
    blocked.write_text("not a directory", encoding="utf-8")
    meta = len(anchors.read_all(fresh_database.anchors / "meta"))
    with pytest.raises(ExceptionGroup, match="not every ledger") as failed:
        anchor_ledgers()
    assert len(anchors.read_all(fresh_database.anchors / "meta")) == meta + 1
    assert [error.__notes__ for error in failed.value.exceptions] == [["ledger: activity"]]


def test_beat_sends_it_every_minute() -> None:
    (entry,) = [entry for entry in settings.CELERY_BEAT_SCHEDULE.values() if entry["task"] == anchor_ledgers.name]
    assert (entry["schedule"], entry["options"]) == (60.0, {"expires": 60})
    assert anchor_ledgers.name in celery_app.tasks


_CELERY = "from celery.__main__ import main; main()"
# The real schedule of settings.py, only quicker.
_QUICK_BEAT = """
from auditlog_project.celery import app
for entry in app.conf.beat_schedule.values():
    entry["schedule"] = 1.0
app.Beat(schedule={schedule!r}, loglevel="WARNING").run()
"""


@pytest.mark.slow
def test_beat_and_worker_anchor_through_a_real_broker(broker: str, fresh_database: Database, tmp_path: Path) -> None:
    before = anchor_counts(fresh_database.anchors)
    environment = {**fresh_database.environment(), "REDIS_URL": broker}
    worker = [sys.executable, "-c", _CELERY, "-A", "auditlog_project", "worker", "--pool", "solo"]
    beat = [sys.executable, "-c", _QUICK_BEAT.format(schedule=str(tmp_path / "schedule"))]
    with (tmp_path / "log").open("w+b") as log:
        processes = [
            subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=log, stderr=log)
            for command in (worker, beat)
        ]
        try:
            wait_until(
                lambda: all(n > before.get(name, 0) for name, n in anchor_counts(fresh_database.anchors).items())
            )
        except AssertionError as error:
            log.seek(0)
            raise AssertionError(log.read().decode()) from error
        finally:
            for process in processes:
                process.terminate()
                process.wait(timeout=30)
