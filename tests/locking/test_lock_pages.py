"""The pages of locks: seen before they are made, extended and never shortened, released by two people."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import override_settings

from activity.models import ActivityLog
from auditlog_project.roles import APPROVER, AUDITOR, COMPLIANCE_OFFICER, READER
from locking import overriding, queries, services
from locking.models import LogLock
from signing.services import open_ledger
from tests.clusters import Database
from tests.locking.pages import Pages, followed, hidden, said
from tests.locking.people import person
from tests.locking.test_services import steps
from tests.signing.installation import BY

NEW, PREVIEW = "/locks/new/", "/locks/new/preview/"
LATER = (datetime.now(UTC) + timedelta(days=30)).replace(second=0, microsecond=0)


@pytest.fixture
def pages(fresh_database: Database, broker: str) -> Pages:
    return Pages(fresh_database)


def order(**changes: Any) -> dict[str, Any]:
    asked = {"ledger": "activity", "type": "auth.*", "kind": "governance", "for_good": "on", "reason": "audit 2026"}
    return {name: value for name, value in (asked | changes).items() if value is not None}


def lock(pages: Pages, **changes: Any) -> LogLock:
    asked = order(**changes)
    asked["seen"] = hidden(pages.officer.post(PREVIEW, asked), "seen")
    response = pages.officer.post(NEW, asked)
    assert response.status_code == 302, said(response, response.status_code)
    return LogLock.objects.get(pk=response["Location"].split("/")[2])


def test_the_log_leads_to_a_lock_of_what_it_shows(pages: Pages) -> None:
    assert 'href="/locks/new/?type=auth.login"' in pages.officer.get("/logs/?type=auth.login").content.decode()
    text = said(pages.officer.get(f"{NEW}?type=auth.login"))
    assert "Type auth.login: 10 entries" in text
    assert not LogLock.objects.exists()


def test_what_will_happen_is_said_before_and_nothing_is_locked_meanwhile(pages: Pages) -> None:
    response = pages.officer.post(PREVIEW, order(kind="compliance", for_good=None, until=f"{LATER:%Y-%m-%dT%H:%M}"))
    text = said(response)
    assert "10 entries would be locked as things stand" in text
    assert f"until {LATER:%Y-%m-%d %H:%M} UTC" in text
    assert "Nobody ends this lock before: no administrator, no approver, no override." in text
    assert not LogLock.objects.exists()


def test_a_lock_that_was_seen_is_made_and_its_page_tells_all_of_it(pages: Pages) -> None:
    made = lock(pages, case="C-7")
    assert (made.state, made.count, made.kind, made.until, made.scope) == (
        "in_force", 10, "governance", None, {"type": "auth.*"},
    )  # fmt: skip
    assert (made.reason, made.case_reference, made.locked_by) == ("audit 2026", "C-7", "olga")
    text = said(pages.officer.get(f"/locks/{made.pk}/"))
    for words in (
        f"Lock {made.pk}: retention (governance)", 'every type that begins with "auth."', "for good", "C-7", "in force",
        "Lock begun , olga valid", "In force , olga valid 10 entries, when the ledger had", "That is all of them.",
    ):  # fmt: skip
        assert words in text, words
    assert made.root is not None
    assert bytes(made.root).hex() in text


def test_without_having_looked_nothing_is_locked_and_one_is_shown_what_it_would_be(pages: Pages) -> None:
    text = said(pages.officer.post(NEW, order()))
    assert "Not locked yet." in text
    assert "10 entries would be locked" in text
    assert not LogLock.objects.exists()


@pytest.mark.parametrize(
    "change",
    [{"kind": "compliance"}, {"type": "auth.login"}, {"actor": "ada"}, {"for_good": None, "until": "2099-01-01T00:00"}],
)
def test_what_is_changed_after_one_has_looked_is_looked_at_again(pages: Pages, change: dict[str, Any]) -> None:
    seal = hidden(pages.officer.post(PREVIEW, order()), "seen")
    assert "This is not what you had looked at." in said(pages.officer.post(NEW, order(seen=seal, **change)))
    assert not LogLock.objects.exists()


def test_what_somebody_else_has_seen_does_not_count(pages: Pages) -> None:
    other = pages.of(person("otto", COMPLIANCE_OFFICER))
    seal = hidden(other.post(PREVIEW, order()), "seen")
    assert "Not locked yet." in said(pages.officer.post(NEW, order(seen=seal)))
    assert not LogLock.objects.exists()


def test_chosen_entries_are_locked_and_no_others(pages: Pages) -> None:
    one, two = pages.scene.ids(2, 3)
    text = said(pages.officer.get(f"{NEW}?entry={one}&entry={two}"))
    assert "2 entries, chosen one by one." in text
    made = lock(pages, entry=[one, two], ledger=None, type=None)
    assert made.count == 2
    assert set(ActivityLog.objects.filter(locked=True).values_list("pk", flat=True)) == {
        pages.scene.entry(2).pk,
        pages.scene.entry(3).pk,
    }


def test_a_whole_ledger_is_locked_only_if_it_is_said(pages: Pages) -> None:
    text = said(pages.officer.post(PREVIEW, order(type=None)), 400)
    assert "give a filter, or say that every entry of the ledger is meant" in text
    assert "there are filters" in said(pages.officer.post(PREVIEW, order(everything="on")), 400)
    assert "Every entry: " in said(pages.officer.post(PREVIEW, order(type=None, everything="on")))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": None}, "This field is required."),
        ({"kind": "eternal"}, "Select a valid choice."),
        ({"reason": " "}, "This field is required."),
        ({"reason": "x" * 2001}, "at most 2000 characters (it has 2001)"),
        ({"for_good": None}, "Say when it ends, or that it has no end."),
        ({"until": "2099-01-01T00:00"}, "It has an end, or none: not both."),
        ({"for_good": None, "until": "2020-01-01T00:00"}, "This is over already."),
        ({"for_good": None, "until": "soon"}, "Give a day and a time."),
        ({"kind": "hold"}, "A legal hold lasts until it is released"),
        ({"case": "x" * 201}, "at most 200 characters (it has 201)"),
        ({"ledger": "keys"}, "Select a valid choice."),
        ({"severity": "loud"}, "Severity: must be one of"),
        ({"ip": "here"}, "IP address: must be an IPv4 or IPv6 address"),
        ({"leaf_from": "-1"}, "Leaves from: must be a whole number"),
        ({"occurred_from": "2026-13-01T00:00"}, "Occurred from:"),
        ({"event_id": "e-1"}, "event_id: a lock cannot be for this"),
        ({"data.user": "ada"}, "data.user: a lock cannot be for this"),
        ({"entry": "nonsense"}, "Entries: are chosen one by one"),
        ({"entry": "nonsense", "type": None, "actor": None}, "Entries: there is no nonsense that you may read"),
        ({"entry": "01930000-0000-7000-8000-000000000000", "type": None, "actor": None}, "that you may read"),
    ],
)
def test_each_wrong_field_says_what_is_wrong_and_what_was_typed_stays(
    pages: Pages, wrong: dict[str, Any], words: str
) -> None:
    sent = order(**{"actor": "ann", "reason": "because of C-7"} | wrong)
    for address in (PREVIEW, NEW):
        response = pages.officer.post(address, sent)
        text = said(response, 400)
        assert words in text
        kept = response.content.decode()
        for name in ("actor", "reason"):
            if name not in wrong and "entry" not in wrong:
                assert str(sent[name]) in kept, name
    assert not LogLock.objects.exists()


def test_a_filter_that_finds_nothing_locks_nothing(pages: Pages) -> None:
    response = pages.officer.post(PREVIEW, order(type="shop.order"))
    assert "There is nothing to lock." in said(response)
    assert b'name="seen"' not in response.content


def test_a_ledger_that_is_not_granted_is_neither_offered_nor_locked(pages: Pages) -> None:
    open_ledger(name="secret", **BY)
    assert b"secret" not in pages.officer.get(NEW).content
    assert "Select a valid choice." in said(pages.officer.post(PREVIEW, order(ledger="secret")), 400)


def test_the_list_says_kind_scope_count_and_end_and_is_filtered(pages: Pages) -> None:
    kept = lock(pages, for_good=None, until=f"{LATER:%Y-%m-%dT%H:%M}", case="C-7")
    held = lock(pages, kind="hold", for_good=None, type="auth.login", severity="info")
    text = said(pages.officer.get("/locks/"))
    assert f"lock {held.pk} legal hold type auth.login, severity info in activity 10 until it is released" in text
    assert f"until {LATER:%Y-%m-%d %H:%M} UTC C-7 in force" in text
    for query, shown in [
        ("kind=hold", [held]), ("state=in_force", [held, kept]), ("case=C-7", [kept]), ("state=released", []),
    ]:  # fmt: skip
        page = pages.officer.get(f"/locks/?{query}").content.decode()
        assert [f"/locks/{one.pk}/" in page for one in (held, kept)] == [one in shown for one in (held, kept)], query
    assert "must be one of" in said(pages.officer.get("/locks/?state=gone"), 400)


def test_a_long_list_has_pages(pages: Pages) -> None:
    first, *_ = [pages.scene.lock(0) for _ in range(51)]
    page = pages.officer.get("/locks/")
    assert f"/locks/{first.pk}/" not in page.content.decode()
    assert f"/locks/{first.pk}/" in pages.officer.get(f"/locks/?{page.context['next']}").content.decode()


def test_a_lock_that_is_being_applied_shows_how_far_it_is(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "CHUNK", 2)
    made = lock(pages, type=None, everything="on")
    assert made.state == "applying"
    address = f"/locks/{made.pk}/progress/"
    assert "it is in force only when every entry holds it" in said(pages.officer.get(f"/locks/{made.pk}/"))
    response = pages.officer.get(address)
    assert 'max="100" value="' in response.content.decode()
    assert "HX-Refresh" not in response
    services.advance(lock_id=made.pk, chunks=1_000)
    assert pages.officer.get(address)["HX-Refresh"] == "true"
    assert "In force ," in said(pages.officer.get(f"/locks/{made.pk}/"))


def test_an_extension_under_way_is_shown_with_how_far_it_is(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    made = lock(pages, for_good=None, until=f"{LATER:%Y-%m-%dT%H:%M}")
    address, words = f"/locks/{made.pk}/", "being extended"
    assert words not in said(pages.officer.get(address))
    monkeypatch.setattr(services, "CHUNK", 2)
    text = followed(pages.officer.post(f"{address}extend/", {"for_good": "on", "reason": "appeal"}))
    assert f"Lock {made.pk} is being extended." in text
    assert f"in force {words}" in text
    assert "an entry that is not reached yet has the end that the lock had before" in text
    assert "A later end is possible" not in text, "one extension at a time"
    percent = queries.progress(LogLock.objects.get(pk=made.pk))
    assert percent is not None
    assert f"in force {words} {percent} %" in said(pages.officer.get("/locks/"))
    for page in ("/admin/locking/loglock/", f"/admin/locking/loglock/{made.pk}/change/"):
        assert f"in force {words} {percent} %" in said(pages.officer.get(page))
    asked = pages.officer.get(f"/api/v1/locks/{made.pk}").json()
    assert (asked["being_extended"], asked["progress"], asked["until"]) == (True, percent, None)
    assert "HX-Refresh" not in pages.officer.get(f"{address}progress/")
    services.refresh(lock_id=made.pk, chunks=1_000)
    assert pages.officer.get(f"{address}progress/")["HX-Refresh"] == "true"
    assert words not in said(pages.officer.get("/locks/"))
    asked = pages.officer.get(f"/api/v1/locks/{made.pk}").json()
    assert (asked["being_extended"], asked["progress"]) == (False, None)


def test_a_retention_is_extended_on_its_page_and_never_shortened(pages: Pages) -> None:
    made = lock(pages, for_good=None, until=f"{LATER:%Y-%m-%dT%H:%M}")
    address = f"/locks/{made.pk}/extend/"
    earlier = {"until": f"{LATER - timedelta(days=1):%Y-%m-%dT%H:%M}", "reason": "no more"}
    text = said(pages.officer.post(address, earlier), 400)
    assert "A lock is never shortened." in text
    assert "no more" in text
    assert "Say when it ends, or that it has no end." in said(pages.officer.post(address, {"reason": "r"}), 400)
    text = followed(pages.officer.post(address, {"for_good": "on", "reason": "appeal"}))
    assert "was extended" in text
    assert "Extended , olga valid For good. appeal" in text
    made.refresh_from_db()
    assert made.until is None


def test_a_release_takes_two_people_and_the_page_says_who(pages: Pages) -> None:
    made = lock(pages)
    address = f"/locks/{made.pk}/"
    assert "Ask for its release" not in said(pages.approver.get(address))
    assert "This field is required." in said(pages.officer.post(f"{address}ask-release/", {}), 400)
    text = followed(pages.officer.post(f"{address}ask-release/", {"reason": "the audit is over"}))
    assert "To be released by anton." in text
    assert "Release lock" not in text
    assert pages.officer.post(f"{address}release/").status_code == 403
    text = said(pages.approver.get(address))
    assert "olga says: the audit is over" in text
    assert "To be released by you." in text
    assert "is released" in followed(pages.approver.post(f"{address}release/"))
    assert not pages.scene.entry(2).locked
    assert steps(made)[-2:] == ["lock.release-requested", "lock.released"]
    text = said(pages.officer.get(address))
    assert "Released , anton valid the audit is over" in text
    assert "None any more: it has ended." in text


def test_whoever_asked_does_not_give_even_with_both_roles(pages: Pages) -> None:
    made = lock(pages)
    pages.scene.officer.groups.add(Group.objects.get(name=APPROVER))
    pages.officer.post(f"/locks/{made.pk}/ask-release/", {"reason": "over"})
    text = said(pages.officer.get(f"/locks/{made.pk}/"))
    assert "To be released by anton." in text
    assert "two people" in said(pages.officer.post(f"/locks/{made.pk}/release/"), 409)
    made.refresh_from_db()
    assert made.state == "in_force"


def test_compliance_offers_no_release(pages: Pages) -> None:
    made = lock(pages, kind="compliance")
    assert "Ask for its release" not in said(pages.officer.get(f"/locks/{made.pk}/"))
    text = said(pages.officer.post(f"/locks/{made.pk}/ask-release/", {"reason": "please"}), 400)
    assert "A lock in mode compliance is never released" in text


def test_who_may_see_locks_only_looks_and_who_may_not_sees_none(pages: Pages) -> None:
    made = lock(pages)
    auditor, reader = (pages.of(person(name, role)) for name, role in (("aud", AUDITOR), ("rea", READER)))
    text = said(auditor.get(f"/locks/{made.pk}/"))
    for words in ("Extend", "Ask for its release", "Lock entries"):
        assert words not in text
    for address in ("/locks/", f"/locks/{made.pk}/", "/locks/open/", NEW, "/overrides/"):
        assert reader.get(address).status_code == 403, address
    assert auditor.get(NEW).status_code == 403
    assert "Lock these" not in said(reader.get("/logs/"))


def test_locks_of_ledgers_that_are_not_granted_are_not_there(pages: Pages) -> None:
    made = lock(pages)
    open_ledger(name="shop", **BY)
    client = pages.of(person("otto", COMPLIANCE_OFFICER, "shop"))
    assert client.get(f"/locks/{made.pk}/").status_code == 404
    assert client.get("/locks/99999999999999999999/").status_code == 404
    assert "Nothing is locked." in said(client.get("/locks/"))
    root = pages.of(User.objects.create_superuser("root"))
    assert root.get("/locks/").status_code == 403


def test_the_page_of_an_entry_tells_its_locks_overrides_and_versions(pages: Pages) -> None:
    scene = pages.scene
    one = scene.ids(2)[0]
    assert "No lock holds it." in said(pages.officer.get(f"/logs/{one}/"))
    scene.amend(2)
    made = lock(pages, entry=[one], ledger=None, type=None, case="C-7")
    asked = scene.override(2)
    scene.approve(asked)
    text = said(pages.officer.get(f"/logs/{one}/"))
    assert "override runs" in text
    scene.amend(2)
    overriding.close_override(override_id=asked.pk, by=scene.officer)
    text = said(pages.officer.get(f"/logs/{one}/"))
    order = [
        "Recorded , shop", "Revision 1 superseded under no override",
        f"Lock {made.pk}: retention (governance), for good , olga audit 2026 (case C-7)",
        f"Override {asked.pk} asked for , olga a court says so", f"Override {asked.pk} approved , anton",
        f"Revision 2 superseded under override {asked.pk}", f"Override {asked.pk} closed",
    ]  # fmt: skip
    places = [text.find(words) for words in order]
    assert -1 not in places, dict(zip(order, places, strict=True))
    assert places == sorted(places)
    assert f"Held by lock {made.pk} ." in text
    reader = pages.of(person("rea", READER))
    assert "Held by" not in said(reader.get(f"/logs/{one}/"))


def test_an_ended_lock_stays_in_the_timeline_of_its_entries(pages: Pages) -> None:
    made = lock(pages)
    services.request_release(lock_id=made.pk, by=pages.scene.officer, reason="over")
    services.release(lock_id=made.pk, by=pages.scene.approver)
    text = said(pages.officer.get(f"/logs/{pages.scene.ids(2)[0]}/"))
    assert "No lock holds it." in text
    assert f"Lock {made.pk} released , anton" in text


def test_lists_of_entries_show_what_is_locked(pages: Pages) -> None:
    assert "locked" not in said(pages.officer.get("/logs/?type=auth.login"))
    lock(pages, entry=pages.scene.ids(2), ledger=None, type=None)
    assert said(pages.officer.get("/logs/?type=auth.login")).count(" locked ") == 1
    assert said(pages.officer.get("/admin/activity/activitylog/?type=auth.login")).count(" locked ") == 1


def test_a_blocked_entry_is_locked_without_a_word_of_it(pages: Pages) -> None:
    one = pages.scene.ids(2)[0]
    intruder = pages.scene.database.superuser()
    intruder.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    intruder.execute("UPDATE activity_logs SET actor = 'forged' WHERE id = %s", [one])
    with override_settings(AUDITLOG_ON_TAMPERED="block"):
        text = said(pages.officer.get(f"{NEW}?entry={one}"))
    assert "forged" not in text
    assert "tampered" in text
