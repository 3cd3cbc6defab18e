"""Reading entries in the admin: granted ledgers alone, each entry with its verdict, a page at a time."""

import re
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from activity.models import ActivityLog
from activity.services import record_many
from tests.administrators import administrator, superuser, text_of
from tests.clusters import Database
from tests.signing.installation import event, record

LIST = "/admin/activity/activitylog/"


def page(entry: ActivityLog) -> str:
    return f"{LIST}{entry.pk}/change/"


def newest() -> ActivityLog:
    return ActivityLog.objects.filter(type="test.event").latest("leaf_index")


@pytest.fixture
def ann(fresh_database: Database) -> Client:
    record(3)
    return administrator("ann", "auditor", "activity")


def tamper(database: Database, **columns: Any) -> ActivityLog:
    """Change the newest entry as whoever owns the database can."""
    intruder = database.superuser()
    intruder.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    for name, value in columns.items():
        intruder.execute(f"UPDATE activity_logs SET {name} = %s WHERE id = %s", (value, newest().pk))
    return newest()


def test_the_list_shows_each_entry_with_its_verdict(ann: Client) -> None:
    response = ann.get(LIST)
    rows = response.context["rows"]
    assert rows[0]["checked"].entry.type == "auditlog.ledger-grant.given"
    assert {row["checked"].verdict for row in rows} == {"valid"}
    assert response.content.decode().count('class="al-badge al-good">valid') == len(rows)


def test_an_entry_is_shown_with_its_verdict_and_its_record_in_both_forms(ann: Client) -> None:
    entry = newest()
    response = ann.get(page(entry))
    said = text_of(response)
    assert "valid It is exactly what was recorded" in said
    assert '"action": "act"' in said
    assert bytes(entry.record).decode() in said, "as it is stored"
    assert str(entry.key_id) in said


def test_the_downloads_are_those_of_the_api(ann: Client) -> None:
    entry = newest()
    links = {link.label: link.address for link in ann.get(page(entry)).context["links"]}
    assert ann.get(links["JWS"]).content.count(b".") == 2
    assert ann.get(links["Proof file (C2SP)"]).content.startswith(b"c2sp.org/tlog-proof@v1")
    assert ann.get(links["Proof (JSON)"]).json()["leaf_index"] == entry.leaf_index
    assert ann.get(links["Entry (JSON)"]).json()["verdict"] == "valid"


def test_without_a_grant_a_superuser_sees_nothing_and_is_told_who_can_grant(fresh_database: Database) -> None:
    record(1)
    administrator("carl", "compliance officer")
    root = superuser()
    said = text_of(root.get(LIST))
    assert "No ledger is granted to you" in said
    assert "being a superuser is not enough" in said
    assert "carl" in said
    assert "test.event" not in said
    assert root.get(page(newest())).headers["Location"] == "/admin/"
    assert root.get(f"{LIST}{newest().pk}/history/").headers["Location"] == "/admin/"


def test_where_nobody_can_grant_the_page_says_how_that_changes(fresh_database: Database) -> None:
    assert "nobody has that role yet" in text_of(superuser().get(LIST))


def test_a_grant_shows_its_own_ledger_alone(fresh_database: Database) -> None:
    record(1)
    root = superuser("root", "meta")
    assert "There are no entries yet" in text_of(root.get(LIST))
    assert root.get(page(newest())).status_code == 302
    assert root.get(f"{LIST}?ledger=activity").status_code == 404, "the answer of the API"


def test_a_tampered_entry_says_what_is_wrong_and_what_the_record_says(ann: Client, fresh_database: Database) -> None:
    entry = tamper(fresh_database, actor="eve")
    said = text_of(ann.get(page(entry)))
    assert "tampered" in said
    assert "columns differ from the record: actor" in said
    assert "eve the record says: ann" in said
    listed = text_of(ann.get(f"{LIST}?actor=eve"))
    assert "columns differ from the record: actor" in listed


def test_a_record_that_is_no_json_any_more_is_shown_as_it_is(ann: Client, fresh_database: Database) -> None:
    entry = tamper(fresh_database, record=b"\xff gone")
    said = text_of(ann.get(page(entry)))
    assert "its record is not the leaf that the ledger holds" in said
    assert "It is no JSON" in said
    assert r"\xff gone" in said


def test_block_shows_place_and_verdict_and_nothing_else(ann: Client, fresh_database: Database) -> None:
    entry = tamper(fresh_database, actor="eve", target="the crown jewels")
    with override_settings(AUDITLOG_ON_TAMPERED="block"):
        for response in (ann.get(page(entry)), ann.get(f"{LIST}?actor=eve")):
            said = text_of(response)
            assert "columns differ from the record" in said
            assert "AUDITLOG_ON_TAMPERED=block" in said
            assert "crown jewels" not in response.content.decode()
        assert "links" not in ann.get(page(entry)).context
    assert "crown jewels" in text_of(ann.get(page(entry)))


def test_pages_follow_each_other_without_a_gap(ann: Client) -> None:
    record(60)
    seen: list[str] = []
    address = LIST
    while address:
        context = ann.get(address).context
        seen += [str(row["checked"].entry.pk) for row in context["rows"]]
        address = LIST + context["next_page"] if "next_page" in context else ""
    assert seen == [str(pk) for pk in ActivityLog.objects.order_by("-pk").values_list("pk", flat=True)]
    assert len(seen) > 60


def test_filters_find_and_a_wrong_one_is_named(ann: Client) -> None:
    assert len(ann.get(f"{LIST}?type=test.event").context["rows"]) == 3
    assert "No entry is as you ask" in text_of(ann.get(f"{LIST}?type=test.other"))
    assert "IP address: must be an IPv4 or IPv6 address" in text_of(ann.get(f"{LIST}?ip=nowhere"))
    assert "Leaf index: must be a whole number" in text_of(ann.get(f"{LIST}?leaf_index=minus"))


def test_what_would_not_be_seen_is_written_out(ann: Client) -> None:
    """An actor with a right-to-left override would read as another name."""
    record_many([replace(event(), actor="gro.elpmaxe\u202enna")])
    listed = ann.get(LIST).content.decode()
    assert "gro.elpmaxe⟨U+202E⟩nna" in listed
    assert "\u202e" not in listed
    whole = ann.get(page(newest())).content.decode()
    assert whole.count("⟨U+202E⟩") == 2, "the column, and the record laid out"
    assert whole.count("\u202e") == 1, "the record as it is stored"


@pytest.mark.parametrize("role", ["security admin", "ingest"])
def test_a_role_that_does_not_read_sees_no_list(fresh_database: Database, role: str) -> None:
    record(1)
    client = administrator("sam", role, "activity")
    assert client.get(LIST).status_code == 403
    assert client.get(page(newest())).status_code in {302, 403}


def test_nobody_adds_changes_or_removes_an_entry(ann: Client) -> None:
    root = superuser("root", "activity")
    entry = newest()
    before = ActivityLog.objects.count()
    for address in (f"{LIST}add/", page(entry), f"{LIST}{entry.pk}/delete/"):
        assert root.post(address, {"actor": "eve", "post": "yes"}).status_code == 403
    assert reverse("admin:activity_activitylog_add") not in root.get(LIST).content.decode()
    assert (newest().actor, ActivityLog.objects.count()) == ("ann", before)


def exporting_links(response: Any) -> list[str]:
    found = re.findall(r'href="(/exports/new/[^"]*)"', response.content.decode())
    return [unescape(one) for one in found]


def test_what_the_list_shows_is_exported_with_its_filters_by_whoever_may(ann: Client) -> None:
    (link,) = exporting_links(ann.get(f"{LIST}?type=test.event&occurred_from=&order=id"))
    assert link == "/exports/new/?type=test.event&order=id"
    assert 'name="type" value="test.event"' in ann.get(link).content.decode()
    assert exporting_links(administrator("rita", "reader", "activity").get(LIST)) == []


def test_entries_that_are_ticked_are_exported_one_by_one_by_whoever_may(ann: Client) -> None:
    listed = ann.get(LIST).content.decode()
    assert 'formaction="/exports/new/"' in listed
    assert f'name="entry" value="{newest().pk}"' in listed
    form = ann.get(f"/exports/new/?entry=&entry={newest().pk}").content.decode()
    assert f'name="leaf_indexes" value="{newest().leaf_index}"' in form
    assert 'name="entry"' not in administrator("rita", "reader", "activity").get(LIST).content.decode()


def test_an_entry_is_exported_from_its_page(ann: Client) -> None:
    entry = newest()
    (link,) = exporting_links(ann.get(page(entry)))
    assert link == f"/exports/new/?ledger=activity&leaf_index={entry.leaf_index}"
    assert f'name="leaf_index" value="{entry.leaf_index}"' in ann.get(link).content.decode()
