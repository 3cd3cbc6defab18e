"""What the logs say of a request and a task, and what they never say."""

import io
import json
import logging
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from activity import authority
from auditlog_project.celery import app
from auditlog_project.log_format import logging_config
from tests.clusters import PROJECT, Database

SECRET = "nobody may read this"
EVENT = {"type": "shop.order", "action": "order", "actor": "ann", "occurred_at": "2026-11-23T05:40:00Z"}

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """Give what the configured handler writes."""
    (formatter,) = (
        handler.formatter
        for handler in logging.getLogger().handlers
        if isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter)
    )
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    yield written
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def lines(output: io.StringIO) -> Lines:
    return lambda: [json.loads(line) for line in output.getvalue().splitlines()]


@pytest.fixture(autouse=True)
def no_throttles() -> Iterator[None]:
    with override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}):
        yield


def fail(request: HttpRequest) -> HttpResponse:
    try:
        int(SECRET)
    except ValueError as error:
        raise RuntimeError(request.body.decode()) from error
    return HttpResponse()


FAILING = (path("fail", fail),)


def test_a_request_is_one_line_with_its_id_and_the_answer_carries_the_id(lines: Lines) -> None:
    answer = Client().get("/.well-known/nothing?secret=1")
    (line,) = lines()
    assert str(uuid.UUID(line["request_id"])) == line["request_id"]
    assert answer["X-Request-ID"] == line["request_id"]
    assert (line["event"], line["level"], line["code"]) == ("request_finished", "info", 404)
    assert line["request"] == "GET /.well-known/nothing"
    assert line["ip"] == "127.0.0.1"
    assert line["milliseconds"] >= 0
    assert line["timestamp"].endswith("Z")


def test_a_well_formed_request_id_is_kept(lines: Lines) -> None:
    assert Client().get("/x", headers={"X-Request-ID": "order-4711.a"})["X-Request-ID"] == "order-4711.a"
    assert lines()[0]["request_id"] == "order-4711.a"


@pytest.mark.parametrize("given", ["", "short", "x" * 65, "two words", 'quote"me"now', "new\nline-here"])
def test_any_other_request_id_is_replaced(lines: Lines, given: str) -> None:
    answer = Client().get("/x", headers={"X-Request-ID": given})
    assert answer["X-Request-ID"] != given
    assert lines()[0]["request_id"] == answer["X-Request-ID"]


@pytest.mark.django_db
def test_who_asked_is_named_by_id_or_prefix(lines: Lines) -> None:
    user = User.objects.create_superuser("ada")
    client = Client()
    client.force_login(user)
    client.get("/admin/")
    row, key = authority.create_api_key(
        name="shop", scopes=["logs:write"], ledger="activity", source="shop", by="ada", reason="test"
    )
    Client(headers={"Authorization": f"Api-Key {key}"}).post("/api/v1/logs", b"{}", content_type="application/json")
    assert [line["user_id"] for line in lines()] == [user.pk, f"api-key-{row.prefix}"]


@pytest.mark.django_db
def test_no_secret_reaches_the_logs(output: io.StringIO) -> None:
    User.objects.create_superuser("ada", password=SECRET)
    _, key = authority.create_api_key(
        name="shop", scopes=["logs:write"], ledger="activity", source="shop", by="ada", reason="test"
    )
    for sent in (key, f"{key.partition('.')[0]}.{SECRET}", SECRET):
        Client(headers={"Authorization": f"Api-Key {sent}"}).post(
            f"/api/v1/logs?note={SECRET}", json.dumps({**EVENT, "data": {"x": SECRET}}), content_type="application/json"
        )
    client = Client(headers={"User-Agent": SECRET, "Host": "evil.example"})
    client.get("/admin/")
    client = Client()
    for password in (SECRET, f"{SECRET}!"):
        client.post("/admin/login/?next=/admin/", {"username": "ada", "password": password})
    client.get(f"/admin/?q={SECRET}")
    client.get("/first-login/MQ/a-one-time-token/")
    session = client.cookies["sessionid"].value
    said = output.getvalue()
    assert len(said.splitlines()) >= 7
    assert SECRET not in said
    assert key.partition(".")[2] not in said
    assert session not in said
    assert "evil.example" not in said
    assert "a-one-time-token" not in said


def test_a_failure_is_logged_with_class_and_place_but_no_message(lines: Lines) -> None:
    with override_settings(ROOT_URLCONF=FAILING):
        answer = Client(raise_request_exception=False).post("/fail", SECRET, content_type="text/plain")
    assert answer.status_code == 500
    (line,) = lines()
    assert (line["event"], line["level"], line["code"]) == ("request_failed", "error", 500)
    assert line["error"] == "RuntimeError from ValueError"
    assert line["at"][-1].endswith(" fail")
    assert line["request_id"] == answer["X-Request-ID"]
    assert SECRET not in json.dumps(line)


def test_a_failure_of_the_database_is_logged_without_the_row(fresh_database: Database, lines: Lines) -> None:
    _, key = authority.create_api_key(
        name="shop", scopes=["logs:write"], ledger="activity", source="shop", by="ada", reason="test"
    )
    # PostgreSQL quotes the whole row in its refusal.
    fresh_database.owner().execute("ALTER TABLE activity_logs ADD CONSTRAINT none CHECK (source <> 'shop') NOT VALID")
    answer = Client(headers={"Authorization": f"Api-Key {key}"}).post(
        "/api/v1/logs", json.dumps({**EVENT, "actor": SECRET}), content_type="application/json"
    )
    assert answer.status_code == 500
    failure, finished = lines()
    assert failure["error"].startswith("IntegrityError")
    assert "CheckViolation (23514)" in failure["error"]
    assert failure["request_id"] == finished["request_id"] == answer["X-Request-ID"]
    assert SECRET not in json.dumps([failure, finished])
    assert SECRET not in answer.content.decode()


def test_a_task_carries_the_id_of_its_request_and_nothing_else(broker: str, fresh_database: Database) -> None:
    code = "from celery.__main__ import main; main()"
    command = [sys.executable, "-c", code, "-A", "auditlog_project", "worker", "--concurrency", "1"]
    worker = subprocess.Popen(command, cwd=PROJECT, env=fresh_database.environment(), stderr=subprocess.PIPE, text=True)
    try:
        with structlog.contextvars.bound_contextvars(request_id="order-4711", user_id=7, ip="192.0.2.7"):
            sent = app.send_task("signing.anchor_ledgers", args=[SECRET])
        app.send_task("tests.unknown", args=[SECRET])
        # One process takes one after the other.
        assert app.send_task("celery.accumulate", args=[1]).get(timeout=30) == [1]
    finally:
        worker.send_signal(signal.SIGTERM)
        _, log = worker.communicate(timeout=30)
        app.close()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    (failed,) = (line for line in lines if line["event"] == "task_failed")
    assert (failed["request_id"], failed["task_id"]) == ("order-4711", sent.id)
    assert (failed["error"], failed["level"], failed["task"]) == ("TypeError", "error", "signing.anchor_ledgers")
    assert not {"user_id", "ip"} & failed.keys()
    assert [line["level"] for line in lines if line["event"].startswith("a message was refused")] == ["error"]
    assert SECRET not in log


def test_under_debug_lines_are_readable() -> None:
    try:
        formatter = logging_config(readable=True)["formatters"]["line"]
        assert isinstance(formatter["processors"][-1], structlog.dev.ConsoleRenderer)
    finally:
        logging_config(readable=False)
