"""Signing in and out, where the start leads, and the pages that say no."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.test import Client, override_settings
from rest_framework.settings import api_settings

from auditlog_project.roles import READER
from tests.clusters import Database

PASSWORD = "correct horse battery staple"
LOCAL = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "sign-in"}}


@pytest.fixture
def ann(fresh_database: Database) -> Iterator[User]:
    with override_settings(CACHES=LOCAL):
        yield User.objects.create_user("ann", password=PASSWORD)
        from django.core.cache import cache  # noqa: PLC0415 the one of these settings

        cache.clear()


def sign_in(client: Client, username: str = "ann", password: str = PASSWORD, **more: str) -> Any:
    return client.post("/login/", {"username": username, "password": password, **more})


def test_somebody_signs_in_and_out(ann: User) -> None:
    client = Client()
    assert sign_in(client, next="/verify/")["Location"] == "/verify/"
    assert b"ann</span>" in client.get("/verify/").content
    assert client.get("/logout/").status_code == 405
    client.post("/logout/")
    assert b"ann</span>" not in client.get("/verify/").content


def test_nobody_is_led_to_another_site(ann: User) -> None:
    assert sign_in(Client(), next="https://elsewhere.example/")["Location"] == "/"


def test_a_refusal_does_not_say_which_part_was_wrong(ann: User) -> None:
    closed = User.objects.create_user("closed", password=PASSWORD, is_active=False)
    pages = set()
    for username, password in (("ann", "wrong"), ("nobody", PASSWORD), (closed.username, PASSWORD)):
        response = sign_in(Client(), username, password)
        assert response.status_code == 200
        page = response.content.decode()
        pages.add(page[page.index('role="alert"') : page.index("<form class")])
    assert len(pages) == 1


@pytest.mark.parametrize("address", ["/login/", "/admin/login/"])
def test_guessing_ends_after_a_few(ann: User, address: str) -> None:
    rates = dict(api_settings.DEFAULT_THROTTLE_RATES, **{"sign-in": "2/min"})
    with override_settings(REST_FRAMEWORK=dict(settings.REST_FRAMEWORK, DEFAULT_THROTTLE_RATES=rates)):
        answers = [Client().post(address, {"username": "ann", "password": f"guess {n}"}) for n in range(2)]
        right = Client().post(address, {"username": "ann", "password": PASSWORD})
        elsewhere = Client(REMOTE_ADDR="192.0.2.9").post(address, {"username": "ANN", "password": PASSWORD})
        other = Client(REMOTE_ADDR="192.0.2.9").post(address, {"username": "bob", "password": PASSWORD})
    assert [answer.status_code for answer in answers] == [200, 200]
    assert (right.status_code, elsewhere.status_code) == (429, 429)
    assert int(right["Retry-After"]) > 0
    assert other.status_code == 200


def test_the_start_leads_everybody_to_his_page(ann: User) -> None:
    assert Client().get("/")["Location"] == "/login/"
    client = Client()
    client.force_login(ann)
    assert client.get("/")["Location"] == "/verify/"
    ann.groups.add(Group.objects.get(name=READER))
    assert client.get("/")["Location"] == "/logs/"
    root = User.objects.create_user("sam", is_staff=True)
    client.force_login(root)
    assert client.get("/")["Location"] == "/admin/"


def test_who_may_not_enter_the_admin_is_not_sent_in_a_circle(ann: User) -> None:
    client = Client()
    client.force_login(ann)
    response = client.get("/admin/", follow=True)
    assert response.status_code == 403
    assert b"Your account may not see this page" in response.content


def test_errors_have_pages_of_ours(ann: User) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    assert b"Nothing is here" in client.get("/nowhere/").content
    assert b"This form is too old" in client.post("/login/", {"username": "x"}).content


def test_a_failure_has_a_page_and_no_details(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the secret of the failure")

    monkeypatch.setattr("exports.views.verify.brought.judge_text", fail)
    response = Client(raise_request_exception=False).post("/verify/", {"text": "x"})
    assert response.status_code == 500
    assert b"Something failed here" in response.content
    assert b"secret" not in response.content


def test_every_page_forbids_what_is_not_ours(ann: User) -> None:
    for address in ("/login/", "/verify/", "/nowhere/"):
        response = Client().get(address)
        assert "default-src 'self'" in response["Content-Security-Policy"]
        assert b"style=" not in response.content
        assert b"<script>" not in response.content
