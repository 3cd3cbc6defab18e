"""Settings refuse to guess: a missing secret is named with a way to make one, and no message quotes an address."""

import os
import re
import subprocess
import sys

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.views.debug import get_default_exception_reporter_filter

from auditlog_project.environment_values import celery_url, database
from tests.clusters import PROJECT

_SHOW = "from django.conf import settings; settings.DEBUG; print(repr(settings.SECURE_HSTS_SECONDS))"


def load_settings(show: str = _SHOW, **variables: str) -> subprocess.CompletedProcess[str]:
    """Load the settings in a process with these changes to the environment; an empty value unsets."""
    return subprocess.run(
        [sys.executable, "-c", show],
        cwd=PROJECT,
        env={name: value for name, value in (os.environ | variables).items() if value},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL"])
def test_a_missing_secret_is_named_with_its_remedy(name: str) -> None:
    assert load_settings().returncode == 0
    refused = load_settings(**{name: ""})
    assert refused.returncode != 0
    assert f"ImproperlyConfigured: The environment variable {name} is not set." in refused.stderr


def test_the_remedy_for_the_secret_key_works() -> None:
    refused = load_settings(SECRET_KEY="")
    command = re.search(r"Make one with: python3 -c '(.*)'", refused.stderr)
    assert command is not None
    made = subprocess.run([sys.executable, "-c", command[1]], capture_output=True, text=True, check=True).stdout.strip()
    assert load_settings(SECRET_KEY=made).returncode == 0


@pytest.mark.parametrize(
    "address",
    ["postgresql://app:hun/ter2@host/db", "mysql://app:hunter2@host/db", "postgresql://:hunter2@host", "hunter2"],
)
def test_a_wrong_address_is_refused_without_quoting_it(address: str) -> None:
    refused = load_settings(DATABASE_URL=address)
    assert "ImproperlyConfigured: DATABASE_URL is not a PostgreSQL address." in refused.stderr
    assert "hunter2" not in refused.stderr
    assert "hun/ter2" not in refused.stderr


def test_an_address_means_what_it_means_to_libpq() -> None:
    entry = database(
        "X", "postgresql://a%40b:p%2Fw@/n?host=/run/pg&sslmode=require&options=-c%20x%3D1", options="-c y=2"
    )
    assert (entry["USER"], entry["PASSWORD"], entry["NAME"], entry["HOST"]) == ("a@b", "p/w", "n", "/run/pg")
    # What the address says comes last and wins.
    assert entry["OPTIONS"] == {
        "sslmode": "require",
        "options": "-c y=2 -c x=1",
        "connect_timeout": "5",
        "tcp_user_timeout": "10000",
        "prepare_threshold": 5,
    }
    with pytest.raises(ImproperlyConfigured):
        database("X", "postgresql://a@host", options="")


def test_a_socket_is_spelled_for_celery() -> None:
    assert celery_url("redis://:p@h:1/0") == "redis://:p@h:1/0"
    assert celery_url("unix://:p@/run/v.sock?db=3") == "redis+socket://:p@/run/v.sock?virtual_host=3"


def test_production_is_the_default_and_demands_tls() -> None:
    assert load_settings(SECURE_TRANSPORT="").stdout.strip() == "31536000"
    assert load_settings(SECURE_TRANSPORT="", DEBUG="on").stdout.strip() == "0"
    assert not settings.DEBUG


def test_waiting_is_bounded_for_every_role_and_migrations_may_take_their_time() -> None:
    for alias in ("default", "approver"):
        assert "lock_timeout=10s" in settings.DATABASES[alias]["OPTIONS"]["options"]
        assert "statement_timeout=300s" in settings.DATABASES[alias]["OPTIONS"]["options"]
        assert "idle_in_transaction_session_timeout=60s" in settings.DATABASES[alias]["OPTIONS"]["options"]
    assert "statement_timeout" not in settings.DATABASES["owner"]["OPTIONS"]["options"]


def test_error_pages_show_no_secret_and_no_address() -> None:
    shown = get_default_exception_reporter_filter().get_safe_settings()
    for name in ("SECRET_KEY", "REDIS_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "AUDITLOG_MASTER_KEY"):
        assert shown[name] == "********************"
    assert shown["DATABASES"]["default"]["PASSWORD"] == "********************"
    assert shown["CACHES"]["default"]["LOCATION"] == "********************"


@pytest.mark.parametrize(
    ("wrong", "check_id"),
    [
        ({"AUDITLOG_MASTER_KEY": ""}, "auditlog.E001"),
        ({"AUDITLOG_MASTER_KEY": "c2hvcnQ="}, "auditlog.E001"),
        ({"AUDITLOG_MASTER_KEY": "", "AUDITLOG_MASTER_KEY_FILE": "/nonexistent"}, "auditlog.E001"),
        ({"AUDITLOG_UNKNOWN_TYPES": "maybe"}, "auditlog.E002"),
        ({"AUDITLOG_MAX_DETACHED_BYTES": -1}, "auditlog.E003"),
        ({"AUDITLOG_ON_TAMPERED": "hide"}, "auditlog.E005"),
        ({"AUDITLOG_NOTICE_WEBHOOKS": ["http://example.org"], "AUDITLOG_WEBHOOK_SECRET": "x" * 24}, "auditlog.E006"),
        ({"AUDITLOG_NOTICE_WEBHOOKS": ["https://example.org"], "AUDITLOG_WEBHOOK_SECRET": "short"}, "auditlog.E007"),
        ({"AUDITLOG_TSA_URL": "tsa.example.org"}, "auditlog.E080"),
        ({"AUDITLOG_TSA_URL": "https://[tsa"}, "auditlog.E080"),
        ({"AUDITLOG_TSA_URL": "https://user:secret@tsa.example.org/"}, "auditlog.E080"),
        ({"AUDITLOG_TSA_URL": "https://tsa.example.org/?token=secret"}, "auditlog.E080"),
        ({"AUDITLOG_TSA_CERTIFICATES": "/nonexistent"}, "auditlog.E008"),
        ({"AUDITLOG_TSA_CERTIFICATES": __file__}, "auditlog.E008"),
        ({"AUDITLOG_META_RETENTION_DAYS": 364}, "auditlog.E009"),
    ],
)
def test_a_wrong_setting_is_found_by_a_check_with_a_hint(wrong: dict[str, object], check_id: str) -> None:
    assert not run_checks(tags=["auditlog"])
    with override_settings(**wrong):
        (message,) = run_checks(tags=["auditlog"])
    assert message.id == check_id
    assert message.hint


def test_deployment_without_anchors_is_warned_about() -> None:
    with override_settings(AUDITLOG_ANCHOR_DIR="/srv/anchors"):
        assert "auditlog.W004" not in {message.id for message in run_checks(include_deployment_checks=True)}
    with override_settings(AUDITLOG_ANCHOR_DIR=""):
        assert "auditlog.W004" in {message.id for message in run_checks(include_deployment_checks=True)}


def test_messages_are_json_only() -> None:
    from auditlog_project.celery import app  # noqa: PLC0415 -- as a worker loads it

    assert app.conf.accept_content == ["json"]
    assert (app.conf.task_serializer, app.conf.result_serializer) == ("json", "json")


def test_every_scheduled_task_exists() -> None:
    # In a process of its own, as a worker loads it: whoever closes the app in this one takes its tasks away.
    code = "from auditlog_project.celery import app; app.loader.import_default_modules(); print(*app.tasks)"
    tasks = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= set(tasks.split())


@pytest.mark.parametrize("upload", ["", str(200 * 1024**2)])
def test_the_server_takes_a_body_as_large_as_an_upload_may_be(upload: str) -> None:
    show = (
        "from auditlog_project import settings, slow_clients; "
        "print(slow_clients.MAX_BODY_BYTES - settings.AUDITLOG_UPLOAD_MAX_BYTES)"
    )
    assert int(load_settings(show, AUDITLOG_UPLOAD_MAX_BYTES=upload).stdout) >= 1024, "room for the frame of a form"


def test_no_check_of_settings_shares_its_id_with_the_posture() -> None:
    project = PROJECT / "auditlog_project"
    of_settings, of_posture = (
        {found for path in paths for found in re.findall(r'"auditlog\.[EW]\d+"', path.read_text())}
        for paths in ([project / "checks.py"], [*(project / "posture").glob("*.py")])
    )
    assert of_settings
    assert of_posture
    assert not of_settings & of_posture
