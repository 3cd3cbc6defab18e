"""The pages of the log: who sees them, what they find, and that a stranger's text stays a text."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client, override_settings

from activity import authority
from activity.event import Event
from activity.panels import Panel
from activity.services import record, record_many
from auditlog_project.roles import READER, SECURITY_ADMIN
from tests.clusters import Database

LOGS = "/logs/"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NASTY = "<script>alert(1)</script>\u202eexe"


def event(number: int = 0, **said: Any) -> Event:
    return Event(
        **{
            "type": "shop.order",
            "action": "order",
            "actor": "ann",
            "occurred_at": NOON + timedelta(minutes=number),
            "source": "shop",
            "data": {"number": number},
            **said,
        }
    )


@pytest.fixture
def site(fresh_database: Database) -> Iterator[Database]:
    with override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}):
        yield fresh_database


def person(name: str, role: str | None, *ledgers: str) -> Client:
    user = User.objects.create_user(name)
    if role:
        user.groups.add(Group.objects.get(name=role))
    for ledger in ledgers:
        authority.grant_ledger(ledger=ledger, to=user, by="ada", reason="test")
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def reader(site: Database) -> Client:
    return person("rita", READER, "activity")


def shown(client: Client, address: str, status: int = 200, **query: Any) -> str:
    response = client.get(address, query)
    assert response.status_code == status, response.content
    return response.content.decode()


def test_whoever_is_not_signed_in_is_led_to_the_login_and_back(site: Database) -> None:
    response = Client().get(LOGS, {"actor": "ann"})
    assert (response.status_code, response["Location"]) == (302, "/login/?next=/logs/%3Factor%3Dann")


def test_who_may_read_nothing_is_told_who_can_change_that(site: Database) -> None:
    assert "compliance officer</strong> grants ledgers" in shown(person("new", READER), LOGS, 403)
    page = shown(person("sam", SECURITY_ADMIN, "activity"), LOGS, 403)
    assert "security admin</strong> gives roles" in page


def test_entries_are_listed_with_their_verdicts(reader: Client) -> None:
    receipt = record(event())
    page = shown(reader, LOGS, type="shop.order")
    assert f"/logs/{receipt.id}/" in page
    assert '<span class="al-badge al-good">valid</span>' in page


def test_empty_fields_of_the_form_filter_nothing_and_times_are_utc(reader: Client) -> None:
    receipts = record_many([event(number) for number in range(3)])
    query = {"actor": "", "ip": "", "type": "shop.order", "occurred_from": "2026-11-23T12:01", "data_path": ""}
    page = shown(reader, LOGS, 200, **query)
    assert [receipt.id in page for receipt in receipts] == [False, True, True]
    assert 'value="2026-11-23T12:01:00"' in page


def test_data_is_searched_by_path_and_text(reader: Client) -> None:
    receipts = record_many([event(number) for number in range(3)])
    day = {"occurred_from": "2026-11-23T00:00", "occurred_to": "2026-11-24T00:00"}
    page = shown(reader, LOGS, data_path="number", data_text="1", status=200, **day)
    assert [receipt.id in page for receipt in receipts] == [False, True, False]
    assert "3 looked through" in page
    assert 'name="data_path" value="number"' in page


def test_a_filter_that_is_on_can_be_taken_off_alone(reader: Client) -> None:
    page = shown(reader, LOGS, actor="ann", outcome="denied")
    assert 'href="?outcome=denied"' in page
    assert 'href="?actor=ann"' in page


def test_a_wrong_filter_is_named_beside_the_form(reader: Client) -> None:
    page = shown(reader, LOGS, 400, ip="nowhere", colour="red")
    assert "IP address: must be an IPv4 or IPv6 address" in page
    assert "colour: there is no such parameter" in page


def test_pages_follow_one_another(reader: Client) -> None:
    ids = [receipt.id for receipt in record_many([event(number) for number in range(5)])]
    page = shown(reader, LOGS, type="shop.order", limit=2)
    assert [one for one in ids if one in page] == ids[3:]
    further = page.split('rel="next" href="')[1].split('"')[0].replace("&amp;", "&")
    assert [one for one in ids if one in shown(reader, f"{LOGS}{further}")] == ids[1:3]


def test_the_page_of_an_entry_says_what_was_verified(reader: Client) -> None:
    receipt = record(event())
    page = shown(reader, f"{LOGS}{receipt.id}/")
    assert f"leaf {receipt.leaf_index} of the ledger activity" in page
    assert receipt.leaf_hash.hex() in page
    assert f"/api/v1/logs/{receipt.id}?format=jws" in page
    assert reader.get(f"/api/v1/logs/{receipt.id}?format=jws")["Content-Type"] == "application/jose"
    assert "&quot;number&quot;: 0" in page


def test_a_text_of_a_stranger_is_shown_and_never_run(reader: Client) -> None:
    receipt = record(event(actor=NASTY, target=NASTY, data={"note": NASTY}))
    for page in (shown(reader, LOGS, type="shop.order"), shown(reader, f"{LOGS}{receipt.id}/")):
        assert "<script>alert" not in page
        assert "\u202e" not in page
        assert "⟨U+202E⟩" in page


def test_an_entry_of_another_ledger_is_not_there(site: Database) -> None:
    receipt = record(event())
    assert person("kim", READER, "keys").get(f"{LOGS}{receipt.id}/").status_code == 404


@pytest.mark.parametrize("policy", ["flag", "block"])
def test_a_tampered_entry_stands_out_or_is_held_back(site: Database, reader: Client, policy: str) -> None:
    receipt = record(event())
    owner = site.superuser()
    owner.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    owner.execute("UPDATE activity_logs SET actor = 'mallory' WHERE id = %s", (receipt.id,))
    with override_settings(AUDITLOG_ON_TAMPERED=policy):
        listed = shown(reader, LOGS, type="shop.order")
        single = reader.get(f"{LOGS}{receipt.id}/")
    assert "1 entry on this page is" in listed
    assert ("mallory" in listed) is (policy == "flag")
    assert single.status_code == (200 if policy == "flag" else 409)
    assert "olumns differ from the record: actor" in single.content.decode()


def test_apps_above_show_their_panels(reader: Client) -> None:
    receipt = record(event())
    with override_settings(AUDITLOG_ENTRY_PANELS=[f"{__name__}.panel", f"{__name__}.no_panel"]):
        page = shown(reader, f"{LOGS}{receipt.id}/")
    assert "<h2>Locks</h2>" in page


def panel(request: Any, entry: Any) -> Panel:
    return Panel("Locks", "problem.html", {})


def no_panel(request: Any, entry: Any) -> None:
    return None
