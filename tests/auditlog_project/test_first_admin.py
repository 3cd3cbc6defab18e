"""The first administrator: a link that is good once, or a password asked for; recorded, and never by default."""

import json
import re
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from activity.models import ActivityLog
from signing.management.accountability import operator

pytestmark = pytest.mark.django_db

PASSWORD = "analytical engine"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: str) -> str:
        call_command("first_admin", *words)
        return capsys.readouterr().out

    return run


def path_in(said: str) -> str:
    found = re.search(r"https?://[^/\s]+(/\S+)", said)
    assert found, said
    return found[1]


def choose(link: str, password: str = PASSWORD, again: str | None = None) -> Any:
    """Follow the link as a browser does, and send the form."""
    client = Client()
    page = client.get(link, follow=True)
    if not page.context["validlink"]:
        return page
    fields = {"new_password1": password, "new_password2": again or password}
    return client.post(page.redirect_chain[-1][0], fields)


def steps(kind: str) -> list[dict[str, Any]]:
    rows = ActivityLog.objects.filter(type=f"auditlog.{kind}").order_by("leaf_index")
    return [json.loads(bytes(row.record)) for row in rows]


def test_the_link_sets_the_password_once(run: Any) -> None:
    said = run("--username", "ada", "--url", "https://audit.example.org/")
    assert "https://audit.example.org/first-login/" in said
    link = path_in(said)
    response = choose(link)
    assert (response.status_code, response["Location"]) == (302, "/login/")
    client = Client()
    assert client.post("/admin/login/?next=/admin/", {"username": "ada", "password": PASSWORD}).status_code == 302
    assert client.get("/admin/").status_code == 200
    used = choose(link, "somebody else was here")
    assert "used already" in used.content.decode()
    assert User.objects.get(username="ada").check_password(PASSWORD)


def test_the_token_does_not_stay_in_the_address(run: Any) -> None:
    link = path_in(run())
    page = Client().get(link, follow=True)
    (address, _), *_ = page.redirect_chain
    assert link.rstrip("/").rpartition("/")[2] not in address
    assert page["Referrer-Policy"] == "same-origin"


def test_the_page_lets_nothing_foreign_and_nothing_inline_run(run: Any) -> None:
    page = Client().get(path_in(run()), follow=True)
    assert "default-src 'self'" in page["Content-Security-Policy"]
    assert "unsafe" not in page["Content-Security-Policy"]
    assert not re.search(r"<script(?! src)(?![^>]* src=)[^>]*>|<style| style=| on[a-z]+=", page.content.decode())


def test_before_the_link_is_used_nobody_logs_in(run: Any) -> None:
    run("--username", "ada")
    assert not User.objects.get(username="ada").has_usable_password()
    for password in ("", "admin", "ada"):
        assert Client().post("/admin/login/", {"username": "ada", "password": password}).status_code == 200


def test_the_link_ends_after_a_day(run: Any) -> None:
    with time_machine.travel("2026-11-24T06:00:00Z", tick=False) as now:
        link = path_in(run())
        now.shift(24 * 3600 - 60)
        assert Client().get(link).status_code == 302
        now.shift(120)
        assert "too old" in Client().get(link).content.decode()


def test_a_changed_link_is_refused(run: Any) -> None:
    link = path_in(run())
    assert "never good" in Client().get(f"{link[:-2]}x/").content.decode()


def test_running_it_again_makes_the_old_link_void(run: Any) -> None:
    old, new = path_in(run()), path_in(run())
    assert "used already" in choose(old).content.decode()
    assert choose(new).status_code == 302


def test_a_link_is_no_way_to_change_a_password_later(run: Any) -> None:
    # The token of an account with a password is right, for its owner never logged in; the page still refuses it.
    user = User.objects.create_user("bob", password="difference engine")
    from auditlog_project.first_login import one_time_path  # noqa: PLC0415 as an attacker with SECRET_KEY would

    assert "never good" in Client().get(one_time_path(user)).content.decode()


@pytest.mark.parametrize(("password", "again"), [("short", None), ("123456789012", None), (PASSWORD, "other engine!")])
def test_weak_and_mistyped_passwords_are_refused(run: Any, password: str, again: str | None) -> None:
    response = choose(path_in(run()), password, again)
    assert response.status_code == 200
    assert "errorlist" in response.content.decode()
    assert not User.objects.get(username="admin").has_usable_password()


def test_both_steps_are_recorded(run: Any) -> None:
    choose(path_in(run("--username", "ada")))
    (made,) = steps("administrator.made")
    assert (made["actor"], made["target"]) == (operator(), "ada")
    assert made["data"] == {"superuser": True, "reason": "the first administrator of this installation"}
    (chosen,) = steps("account.set")
    assert (chosen["actor"], chosen["data"]["step"]) == ("ada", "set the first password")
    assert PASSWORD not in json.dumps([made, chosen])


def test_where_one_exists_another_needs_a_word_and_a_reason(run: Any) -> None:
    User.objects.create_superuser("ada", password=PASSWORD)
    with pytest.raises(CommandError, match="administrator already: ada"):
        run("--username", "bob")
    with pytest.raises(CommandError, match="needs a reason"):
        run("--username", "bob", "--another")
    assert not User.objects.filter(username="bob").exists()
    run("--username", "bob", "--another", "--reason", "ada is away")
    assert steps("administrator.made")[-1]["data"]["reason"] == "ada is away"


def test_an_account_that_is_somebodys_is_left_alone(run: Any) -> None:
    User.objects.create_user("bob", password=PASSWORD)
    with pytest.raises(CommandError, match="there already"):
        run("--username", "bob")
    with pytest.raises(CommandError, match="no name for an account"):
        run("--username", "no name!")
    assert User.objects.get(username="bob").check_password(PASSWORD)


def test_without_a_terminal_nobody_is_asked(run: Any) -> None:
    with pytest.raises(CommandError, match="no terminal"):
        run("--ask")
    assert not User.objects.filter(is_superuser=True).exists()
