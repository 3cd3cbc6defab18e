"""Broker, results and cache over the embedded Valkey's socket, with a worker as an operator starts it."""

import signal
import subprocess
import sys

from django.core.cache import cache

from auditlog_project.celery import app
from tests.clusters import PROJECT, Database


def test_the_cache_answers(broker: str) -> None:
    cache.set("key", {"value": 1})
    assert cache.get("key") == {"value": 1}
    cache.close()


def test_a_worker_takes_a_task_and_returns_its_result(broker: str, fresh_database: Database) -> None:
    code = "from celery.__main__ import main; main()"
    command = [sys.executable, "-c", code, "-A", "auditlog_project", "worker", "--concurrency", "1"]
    worker = subprocess.Popen(command, cwd=PROJECT, env=fresh_database.environment(), stderr=subprocess.PIPE, text=True)
    try:
        assert worker.poll() is None
        result = app.send_task("celery.accumulate", args=[1, 2])
        assert result.get(timeout=30) == [1, 2]
    finally:
        worker.send_signal(signal.SIGTERM)
        _, log = worker.communicate(timeout=30)
        app.close()
    assert worker.returncode == 0, log
