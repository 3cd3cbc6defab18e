"""What people find where accesses are archived: not nothing, but which file to look in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from activity.services import record
from auditlog_project.roles import AUDITOR_OF_AUDITORS, READER
from metaaudit.models import MetaArchive, MetaLog
from metaaudit.tombstone import Tombstone
from tests.clusters import Database
from tests.metaaudit.conftest import EVENT, LOGS, Taken, archive, signed_in

META = "/api/v1/meta-logs"


@pytest.fixture
def old(ada: Client) -> UUID:
    """Give the id of the first access, which `archived` archives."""
    ada.get(LOGS, {"actor": "old"})
    return MetaLog.objects.get(query=[["actor", "old"]]).pk


@pytest.fixture
def archived(old: UUID, taken: Taken) -> Tombstone:
    """Archive all so far; it is then that somebody looks."""
    archive(taken())
    found = MetaArchive.objects.get().tombstone
    assert found is not None
    return found


def said(client: Client, **query: Any) -> dict[str, Any]:
    answer = client.get(META, query)
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_the_lists_say_what_is_archived_of_the_time_asked_for(ada: Client, rex: Client, archived: Tombstone) -> None:
    ada.get(LOGS)
    (told,) = said(rex)["archived"]
    assert (told["export_sha256"], told["end_leaf"]) == (archived.export_sha256, archived.end_leaf)
    later = (archived.until_moment + timedelta(milliseconds=1)).isoformat().replace("+00:00", "Z")
    assert len(said(rex, **{"from": archived.until})["archived"]) == 1
    assert said(rex, **{"from": later})["archived"] == []
    pages = [rex.get("/meta-logs/", query).content.decode() for query in ({}, {"limit": "1"}, {"from": later})]
    assert [archived.sentence in page for page in pages] == [True, False, False]
    assert archived.sentence in ada.get("/meta-logs/").content.decode()  # his own trace is archived, too


def test_where_nothing_is_archived_nothing_is_said(ada: Client, rex: Client) -> None:
    ada.get(LOGS)
    assert said(rex)["archived"] == []
    assert "not here any more" not in rex.get("/meta-logs/").content.decode()


def test_an_archived_access_is_gone_and_says_where_to(ada: Client, rex: Client, old: UUID, archived: Tombstone) -> None:
    answers = [rex.get(f"{META}/{old}"), rex.post(f"{META}/{old}/replay")]
    assert [(each.status_code, each.json()["code"]) for each in answers] == [(410, "archived")] * 2
    assert answers[0].json()["detail"] == archived.sentence
    for page in (rex.get(f"/meta-logs/{old}/"), rex.post(f"/meta-logs/{old}/replay/")):
        assert page.status_code == 410
        assert archived.sentence in page.content.decode()
    with pytest.raises(CommandError, match=archived.export_sha256):
        call_command("replay", str(old))


def test_what_was_never_there_or_is_somebody_elses_is_not_archived(
    ada: Client, rex: Client, archived: Tombstone
) -> None:
    rex.get(LOGS)
    kept = MetaLog.objects.filter(user_name="rex").order_by("-leaf_index")[0].pk
    never = UUID(int=kept.int + (1 << 100))
    assert [ada.get(f"{META}/{each}").status_code for each in (kept, never)] == [404, 404]
    assert rex.get(f"{META}/{never}").status_code == 404
    assert rex.get(f"{META}/{UUID(int=2**128 - 1)}").status_code == 404


def test_of_two_archives_the_one_that_has_it_is_named(
    ada: Client, taken: Taken, archived: Tombstone, rex: Client
) -> None:
    ada.get(LOGS, {"actor": "newer"})
    newer = MetaLog.objects.get(query=[["actor", "newer"]]).pk
    archive(taken())
    second = MetaArchive.objects.get(first_leaf=archived.end_leaf).tombstone
    assert second is not None
    assert rex.get(f"{META}/{newer}").json()["detail"] == second.sentence
    assert [each["first_leaf"] for each in said(rex)["archived"]] == [archived.end_leaf, 0]


def test_an_entry_says_that_older_looks_at_it_are_archived(ada: Client, taken: Taken) -> None:
    before = record(EVENT)
    ada.get(f"{LOGS}/{before.id}")
    archive(taken())
    after = record(EVENT)
    reader = signed_in("ruth", AUDITOR_OF_AUDITORS, READER)
    found = MetaArchive.objects.get().tombstone
    assert found is not None
    shown = [reader.get(f"/logs/{one.id}/").content.decode() for one in (before, after)]
    assert [found.sentence in page for page in shown] == [True, False]


def test_the_admin_shows_archives_and_changes_none(archived: Tombstone) -> None:
    reader = signed_in("ruth", AUDITOR_OF_AUDITORS, is_staff=True)
    pk = MetaArchive.objects.get().pk
    listed = reader.get("/admin/metaaudit/metaarchive/").content.decode()
    assert archived.export in listed
    shown = reader.get(f"/admin/metaaudit/metaarchive/{pk}/change/").content.decode()
    assert archived.export_sha256 in shown
    assert archived.reason in shown
    answer = reader.post(f"/admin/metaaudit/metaarchive/{pk}/change/", {"end_leaf": "99"})
    assert answer.status_code == 403
    assert reader.post(f"/admin/metaaudit/metaarchive/{pk}/delete/", {"post": "yes"}).status_code == 403


def test_a_forged_row_breaks_no_page(archived: Tombstone, site: Database, rex: Client) -> None:
    intruder = site.superuser()
    intruder.execute("ALTER TABLE meta_archives DISABLE TRIGGER ALL")
    intruder.execute("UPDATE meta_archives SET record = 'x'")
    reader = signed_in("ruth", AUDITOR_OF_AUDITORS, is_staff=True)
    assert "not a tombstone of ours" in reader.get("/admin/metaaudit/metaarchive/").content.decode()
    address = f"/admin/metaaudit/metaarchive/{MetaArchive.objects.get().pk}/change/"
    assert reader.get(address).status_code == 200
    assert said(rex)["archived"] == []
