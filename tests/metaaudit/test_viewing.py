"""Who sees which accesses, and how he finds them."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from activity.models import ActivityLog
from activity.retrieval import check_entries
from activity.services import record, record_many
from auditlog_project.roles import AUDITOR, AUDITOR_OF_AUDITORS, READER
from metaaudit.charts import Row, highest_of, rows_of, strip
from metaaudit.models import MetaLog
from metaaudit.recording import recorded as recorded_job
from metaaudit.rows import CSV_COLUMNS
from metaaudit.terminal import command_access
from signing.merkle import leaf_hash
from tests.metaaudit.conftest import EVENT, LOGS, key_holder, last, recorded, signed_in

META = "/api/v1/meta-logs"


@pytest.fixture
def rex(ada: Client) -> Client:
    """Give the auditor of auditors."""
    return signed_in("rex", AUDITOR_OF_AUDITORS, READER, is_staff=True)


def found(client: Client, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(META, query)
    assert answer.status_code == 200, answer.content
    logs: list[dict[str, Any]] = answer.json()["meta_logs"]
    return logs


def test_the_auditor_of_auditors_sees_all_and_everybody_else_his_own(ada: Client, rex: Client) -> None:
    bob = signed_in("bob", AUDITOR)
    root = signed_in("root", is_superuser=True, is_staff=True)
    system, prefix = key_holder("logs:read")
    for client in (ada, bob, root, system):
        client.get(LOGS)
    assert {one["user_name"] for one in found(rex)} == {"ada", "bob", "root", "shop"}
    for client, name in [(ada, "ada"), (bob, "bob"), (root, "root"), (system, "shop")]:
        assert {one["user_name"] for one in found(client)} == {name}
        assert {one["user_name"] for one in found(client, user="ada")} <= {name}
    assert found(system)[0]["user_id"] == f"api-key:{prefix}"
    assert Client().get(META).status_code == 401


def test_what_somebody_may_not_see_is_not_there(ada: Client, rex: Client) -> None:
    ada.get(LOGS)
    log = last()
    bob = signed_in("bob", AUDITOR)
    for address in (f"{META}/{log.pk}", f"/meta-logs/{log.pk}/"):
        assert [client.get(address).status_code for client in (ada, rex, bob)] == [200, 200, 404]
    assert bob.post(f"{META}/{log.pk}/replay").status_code == 404
    assert bob.post(f"/meta-logs/{log.pk}/replay/").status_code == 404


def test_one_access_comes_with_its_verdict(ada: Client, rex: Client) -> None:
    ada.get(LOGS, {"actor": "ann"})
    log = last()
    said = rex.get(f"{META}/{log.pk}").json()
    assert (said["verdict"], said["reasons"], said["query"]) == ("valid", [], [["actor", "ann"]])
    page = rex.get(f"/meta-logs/{log.pk}/").content.decode()
    assert "It is leaf" in page
    assert said["query_hash"] in page


def test_accesses_are_found_by_what_is_known_of_them(ada: Client, rex: Client) -> None:
    receipt = record(EVENT)
    ada.get(LOGS, {"actor": "ann"})
    search = last()
    ada.get(f"{LOGS}/{receipt.id}")
    ada.get("/api/v1/nothing")
    user = User.objects.get(username="ada")
    assert [one["action"] for one in found(rex, user="ada")] == ["view", "retrieve", "search"]
    assert len(found(rex, user=f"user:{user.pk}")) == 3
    assert [one["action"] for one in found(rex, action="search")] == ["search"]
    assert [one["status"] for one in found(rex, status="404")] == [404]
    assert [one["id"] for one in found(rex, query_hash=bytes(search.query_hash).hex())] == [str(search.pk)]
    assert [one["action"] for one in found(rex, route="api/v1/logs/<uuid:entry_id>")] == ["retrieve"]
    stamp = found(rex, action="search")[0]["at"]
    assert [one["action"] for one in found(rex, user="ada", to=stamp)] == []
    assert len(found(rex, user="ada", **{"from": stamp})) == 3


def test_who_saw_this_patient_is_one_call(ada: Client, rex: Client) -> None:
    record_many([EVENT] * 3)
    other = record(
        EVENT.__class__(**{**{name: getattr(EVENT, name) for name in EVENT.__slots__}, "target": "patient/1"})
    )
    ada.get(LOGS, {"target": "patient/4711"})
    ada.get(f"{LOGS}/{other.id}")
    signed_in("bob", AUDITOR).get("/logs/", {"type": "shop.order"})
    assert {one["user_name"] for one in found(rex, saw_target="patient/4711")} == {"ada", "bob"}
    assert [one["action"] for one in found(rex, saw_target="patient/4711", user="ada")] == ["search"]
    assert {one["user_name"] for one in found(rex, saw_entry=other.id)} == {"ada", "bob"}
    assert found(rex, saw_target="patient/9") == []
    page = rex.get("/meta-logs/", {"saw_target": "patient/4711", "from": "2026-01-01T00:00", "to": ""})
    assert (page.status_code, page.content.decode().count('<td class="time"')) == (200, 2)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"kolor": "red"}, "kolor"),
        ({"action": "peek"}, "action"),
        ({"status": "-1"}, "status"),
        ({"query_hash": "zz"}, "query_hash"),
        ({"saw_entry": "7"}, "saw_entry"),
        ({"from": "yesterday"}, "from"),
        ({"limit": "0"}, "limit"),
        ({"user": ["a", "b"]}, "user"),
        ({"user": "a\0"}, "user"),
    ],
)
def test_a_wrong_filter_is_named(ada: Client, query: dict[str, Any], parameter: str) -> None:
    answer = ada.get(META, query)
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, parameter)
    assert ada.get("/meta-logs/", query).status_code == 400


def test_pages_follow_one_another(ada: Client) -> None:
    for _ in range(5):
        ada.get(LOGS)
    whole = [one["id"] for one in found(ada)]
    cursor, turned = None, []
    while True:
        said = ada.get(META, {"limit": "2", "action": "list", **({"cursor": cursor} if cursor else {})}).json()
        turned += [one["id"] for one in said["meta_logs"]]
        cursor = said["next"]
        if cursor is None:
            break
    assert turned == whole
    assert len(turned) == 5


def test_a_page_of_the_list_folds_what_a_system_polls_and_nothing_else(rex: Client, site: Any) -> None:
    system, _ = key_holder("logs:read")
    for _ in range(4):
        system.get(LOGS)
    page = rex.get("/meta-logs/").content.decode()
    assert "and 3 more like it" in page
    assert MetaLog.objects.filter(user_name="shop").count() == 4
    bob = signed_in("bob", AUDITOR)
    for _ in range(2):
        bob.get(LOGS)
    assert bob.get("/meta-logs/").content.decode().count('<td class="time"') == 2


def test_the_page_of_an_entry_says_who_looked_at_it(ada: Client, rex: Client) -> None:
    receipt = record(EVENT)
    ada.get(f"{LOGS}/{receipt.id}")
    page = rex.get(f"/logs/{receipt.id}/").content.decode()
    assert "Who looked at this entry" in page
    assert str(recorded()[0].pk) in page
    assert "Who looked at this entry" not in ada.get(f"/logs/{receipt.id}/").content.decode()


def lines(client: Client, **query: Any) -> list[str]:
    """Return the addresses of the accesses on a page of the list."""
    page = client.get("/meta-logs/", query).content.decode()
    return re.findall(r'<td class="time"[^>]*><a href="([^"]+)"', page)


def test_a_page_finds_an_access_by_what_only_its_end_says(ada: Client, rex: Client) -> None:
    receipt = record(EVENT)
    for _ in range(3):
        ada.patch(f"{LOGS}/{receipt.id}", {"reason": "r", "changes": {"actor": "x"}}, content_type="application/json")
    intents = [f"/meta-logs/{one.pk}/" for one in recorded() if one.phase == "intent"]
    assert lines(rex, status="403") == intents[::-1]
    assert lines(rex, action="amend") == intents[::-1], "each is one line, though both halves fit"
    pages = [lines(rex, action="amend", limit="1", cursor=str(one.pk)) for one in recorded()[1:6]]
    assert pages == [[intents[0]], [], [intents[1]], [], [intents[2]]], "and on one page"
    assert lines(rex, status="200", action="amend") == []
    assert lines(ada, status="403") == intents[::-1]


def test_what_a_command_showed_is_found_on_the_page_and_run_again_from_there(rex: Client) -> None:
    receipt = record(EVENT)
    with recorded_job(command_access("ingest")):
        check_entries(list(ActivityLog.objects.filter(pk=receipt.id).select_related("ledger", "key")))
    intent, completion = recorded()
    assert (intent.result_count, completion.result_count) == (None, 1)
    assert lines(rex, saw_target="patient/4711") == lines(rex, saw_entry=receipt.id) == [f"/meta-logs/{intent.pk}/"]
    page = rex.get(f"/meta-logs/{intent.pk}/").content.decode()
    assert f"/meta-logs/{completion.pk}/replay/" in page
    assert f"/meta-logs/{intent.pk}/" in rex.get(f"/logs/{receipt.id}/").content.decode()
    again = rex.post(f"/meta-logs/{completion.pk}/replay/").content.decode()
    assert "The same: 1 entry" in again


def test_activity_is_a_picture_without_script_and_style(ada: Client, rex: Client) -> None:
    for _ in range(3):
        ada.get(LOGS)
    page = rex.get("/meta-logs/activity/", {"days": "7"})
    text = page.content.decode()
    assert "<title>ada, " in text
    assert text.count("<svg") == 1
    assert not {"<script", "style=", "onload"} & set(text.split())
    assert "default-src" in page["Content-Security-Policy"]
    assert rex.get("/meta-logs/activity/", {"days": "x"}).status_code == 200


def test_the_picture_escapes_names_and_takes_the_rest_together() -> None:
    day = date(2026, 11, 24)
    rows = rows_of([(day, f"<{number}>", number + 1) for number in range(15)], day, 1)
    assert (len(rows), rows[-1].name, sum(row.total for row in rows)) == (12, "4 others", 120)
    pictures = [strip(row, day, highest_of(rows)) for row in rows]
    assert "&lt;14&gt;" in pictures[0]
    assert "<14>" not in pictures[0]
    assert strip(Row("a", (0,)), day, 0).count("<rect") == 0


def test_the_strips_have_one_scale() -> None:
    rows = [Row("a", (8, 0)), Row("b", (2, 4))]
    heights = [re.findall(r'height="(\d+)"', strip(row, date(2026, 11, 24), highest_of(rows))) for row in rows]
    assert heights == [["32"], ["8", "16"]]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_accesses_are_taken_along_with_their_records(ada: Client, rex: Client, form: str) -> None:
    ada.get(LOGS, {"actor": "=cmd()"})
    ada.get(LOGS)
    answer = rex.get("/meta-logs/export/", {"user": "ada", "format": form})
    content = b"".join(answer)
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        assert tuple(rows[0]) == CSV_COLUMNS
        assert rows[1]["query"] == '[["actor","=cmd()"]]'
    else:
        rows = [json.loads(line) for line in content.splitlines()]
        kept = {bytes(log.record) for log in recorded()}
        assert all(any(leaf_hash(each).hex() == row["leaf_hash"] for each in kept) for row in rows)
    assert [row["action"] for row in rows] == ["list", "search"]
    assert [(one.action, one.phase, one.bytes) for one in recorded()[-2:]] == [
        ("download", "intent", None),
        ("download", "completion", len(content)),
    ]


def test_the_admin_shows_them_to_nobody_else_and_changes_none(ada: Client, rex: Client) -> None:
    ada.get(LOGS)
    log = last()
    root = signed_in("root", is_superuser=True, is_staff=True)
    address = f"/admin/metaaudit/metalog/{log.pk}/change/"
    assert rex.get("/admin/metaaudit/metalog/").status_code == 200
    assert rex.get(address).status_code == 200
    assert rex.get("/admin/metaaudit/metalog/?q=ada").status_code == 200
    assert [root.get(each).status_code for each in ("/admin/metaaudit/metalog/", address)] == [403, 403]
    for client in (rex, root):
        assert client.post(address, {"user_name": "bob"}).status_code == 403
        assert client.post(address.replace("change", "delete"), {"post": "yes"}).status_code == 403
    assert MetaLog.objects.get(pk=log.pk).user_name == "ada"
