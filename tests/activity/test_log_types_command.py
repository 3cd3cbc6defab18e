"""`log_types` as an administrator runs it."""

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from activity.models import ActivityLog, LogType

pytestmark = pytest.mark.django_db


def log_types(*arguments: str) -> str:
    output = io.StringIO()
    call_command("log_types", *arguments, stdout=output)
    return output.getvalue()


def last_step() -> dict[str, Any]:
    entry = ActivityLog.objects.filter(type__startswith="auditlog.log-type.").latest("leaf_index")
    said: dict[str, Any] = json.loads(bytes(entry.record))
    return said


def test_the_list_says_what_is_signed_and_how() -> None:
    lines = log_types("list").splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["access.*", "Ed25519"],
        ["auditlog.*", "Ed25519"],
        ["auth.*", "Ed25519"],
        ["aws.*", "Ed25519"],
        ["windows.*", "Ed25519"],
        ["windows.sysmon.*", "unsigned"],
    ]
    assert lines[1].endswith("What this application itself does. Always signed.")


def test_a_new_type_is_signed_unless_said_otherwise() -> None:
    assert log_types("set", "shop.*", "--reason", "go-live") == "log type shop.*: added, signed with Ed25519\n"
    added = LogType.objects.get(pk="shop.*")
    assert (added.requires_signature, added.algorithm, added.description) == (True, "Ed25519", "")


def test_a_change_keeps_what_is_not_named_and_is_recorded() -> None:
    output = log_types("set", "auth.*", "--unsigned", "--reason", "too many", "--by", "ada")
    assert output == "log type auth.*: changed, not signed\n"
    changed = LogType.objects.get(pk="auth.*")
    assert not changed.requires_signature
    assert changed.description.startswith("Sign-in")
    step = last_step()
    assert (step["actor"], step["target"], step["data"]["reason"]) == ("ada", "auth.*", "too many")


def test_a_removal_is_recorded() -> None:
    assert log_types("remove", "auth.*", "--reason", "not needed", "--by", "ada") == "log type auth.*: removed\n"
    assert not LogType.objects.filter(pk="auth.*").exists()
    assert last_step()["type"] == "auditlog.log-type.removed"


def test_whoever_runs_the_command_is_named_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    log_types("set", "shop.*", "--reason", "go-live")
    assert last_step()["actor"] == "grace"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["set", "Shop", "--reason", "r"], "'Shop' is no pattern"),
        (["set", "x" * 201, "--reason", "r"], "is no pattern"),
        (["set", "shop", "--algorithm", "ES256", "--reason", "r"], "there is no active ES256 entry key"),
        (["set", "auditlog.*", "--unsigned", "--reason", "r"], "is always signed"),
        (["remove", "auditlog.*", "--reason", "r"], "own entries stays"),
        (["remove", "gone", "--reason", "r"], "there is no log type 'gone'"),
        (["set", "shop", "--reason", " "], "must say something"),
        (["remove", "auth.*", "--reason", "r", "--by", ""], "must say something"),
        (["set", "shop"], "--reason"),
        (["remove", "auth.*"], "--reason"),
        ([], "list|set|remove"),
    ],
)
def test_a_refusal_says_why_and_changes_nothing(arguments: list[str], sentence: str) -> None:
    before = list(LogType.objects.values())
    with pytest.raises(CommandError, match=sentence.replace("|", r"\|")):
        log_types(*arguments)
    assert list(LogType.objects.values()) == before


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("log_types", "--help")
    assert "./auditlog log_types set" in capsys.readouterr().out
