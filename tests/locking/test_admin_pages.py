"""The admin of locks: what each list and page shows, and that a policy is looked at before it is enabled."""

from hashlib import sha256
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from activity import authority
from auditlog_project.roles import AUDITOR, READER
from locking import panels, policies, services, timeline
from locking.models import LockPolicy, LogLock
from metaaudit.models import MetaLog
from signing.merkle import leaf_hash
from signing.services import open_ledger
from tests.administrators import WHO, administrator
from tests.clusters import Database
from tests.locking.pages import Pages, followed, hidden, said
from tests.locking.people import approver, person
from tests.locking.test_services import steps
from tests.signing.installation import BY

LOCKS, OVERRIDES, POLICIES = (f"/admin/locking/{name}/" for name in ("loglock", "lockoverride", "lockpolicy"))
ADD, ENTRIES = f"{POLICIES}add/", "/admin/activity/activitylog/"


@pytest.fixture
def pages(fresh_database: Database, broker: str) -> Pages:
    return Pages(fresh_database)


def asked(**changes: Any) -> dict[str, Any]:
    policy = {
        "name": "yearly", "ledger": "activity", "rule": "count", "entries": 1, "type": "auth.*", "kind": "governance",
        "lock_days": 365, "reason": "the rules",
    }  # fmt: skip
    return {name: value for name, value in (policy | changes).items() if value is not None}


def dry(client: Client, address: str = ADD, **changes: Any) -> Any:
    return client.post(address, asked(**changes) | {"dry": "1"})


def enabled(pages: Pages, **changes: Any) -> LockPolicy:
    seal = hidden(dry(pages.approver, **changes), "seen")
    response = pages.approver.post(ADD, asked(**changes) | {"enable": "1", "seen": seal})
    assert response.status_code == 302, said(response)
    return LockPolicy.objects.get()


def of(policy: LockPolicy, step: str) -> str:
    return f"{POLICIES}{policy.pk}/{step}/"


def test_a_dry_run_counts_shows_and_sets_nothing(pages: Pages) -> None:
    text = said(dry(pages.approver))
    assert "Dry run: nothing is locked" in text
    assert "It would lock 10 entries now" in text
    assert 'Each time the ledger has grown by 1 entry; every type that begins with "auth.".' in text
    assert "Each of its locks lasts 365 days from the moment it begins." in text
    assert "The latest 10 of them" in text
    assert not LockPolicy.objects.exists()


def test_a_policy_is_enabled_only_after_its_dry_run_was_seen(pages: Pages) -> None:
    text = said(pages.approver.post(ADD, asked() | {"enable": "1"}))
    assert "Not saved yet. What locks is enabled only after its dry run was seen." in text
    assert not LockPolicy.objects.exists()
    made = enabled(pages)
    assert (made.enabled, made.rule, made.scope, made.kind, made.lock_days, made.set_by) == (
        True, {"kind": "count", "entries": 1}, {"type": "auth.*"}, "governance", 365, "anton",
    )  # fmt: skip
    assert steps("yearly") == ["lock-policy.set"]


@pytest.mark.parametrize("change", [{"entries": 6}, {"type": "auth.login"}, {"kind": "compliance"}, {"lock_days": ""}])
def test_what_is_changed_after_the_dry_run_is_tried_again(pages: Pages, change: dict[str, Any]) -> None:
    seal = hidden(dry(pages.approver), "seen")
    assert "Not saved yet." in said(pages.approver.post(ADD, asked(**change) | {"enable": "1", "seen": seal}))
    assert not LockPolicy.objects.exists()


def test_a_policy_is_saved_without_locking_and_enabled_with_its_dry_run(pages: Pages) -> None:
    text = followed(pages.approver.post(ADD, asked() | {"save": "1"}))
    assert "saved, and locks nothing yet" in text
    made = LockPolicy.objects.get()
    assert not made.enabled
    page = pages.approver.get(of(made, "enable"))
    assert "It would lock 10 entries now" in said(page)
    refused = pages.approver.post(of(made, "enable"), {"reason": "go"})
    assert "This is not the dry run that you had looked at" in said(refused)
    assert not LockPolicy.objects.get().enabled
    seal = hidden(page, "seen")
    assert "This field is required." in said(pages.approver.post(of(made, "enable"), {"seen": seal}))
    assert "is enabled" in followed(pages.approver.post(of(made, "enable"), {"seen": seal, "reason": "go"}))
    assert LockPolicy.objects.get().enabled
    assert policies.run_all() == 1
    assert "10 entries, in force" in said(pages.approver.get(f"{POLICIES}{made.pk}/change/"))


def test_a_policy_is_disabled_with_a_reason_and_its_locks_stay(pages: Pages) -> None:
    made = enabled(pages)
    policies.run_all()
    assert "Locks that it made stay until their own end." in said(pages.approver.get(of(made, "disable")))
    assert "This field is required." in said(pages.approver.post(of(made, "disable"), {}))
    assert "is disabled" in followed(pages.approver.post(of(made, "disable"), {"reason": "new rules"}))
    assert not LockPolicy.objects.get().enabled
    assert LogLock.objects.get().state == "in_force"
    assert steps("yearly") == ["lock-policy.set", "lock-policy.set"]


def test_an_enabled_policy_is_set_anew_only_after_a_dry_run_and_keeps_what_no_field_is_for(pages: Pages) -> None:
    policies.set_policy(
        name="yearly", ledger="activity", rule={"kind": "event", "type": "audit.completed", "sources": ["grc", "hr"]},
        scope={"type": "auth.*", "leaf_from": 3}, kind="hold", enabled=True, by=pages.scene.approver, reason="r",
    )  # fmt: skip
    made = LockPolicy.objects.get()
    page = pages.approver.get(of(made, "set"))
    assert ">\ngrc\nhr</textarea>" in page.content.decode().replace("\r", "")
    assert "Save, not enabled" not in said(page)
    new = {"rule": "age", "days": 90, "type": "auth.*", "kind": "hold", "reason": "shorter"}
    assert "Not saved yet." in said(pages.approver.post(of(made, "set"), new | {"save": "1"}))
    seal = hidden(pages.approver.post(of(made, "set"), new | {"dry": "1"}), "seen")
    assert "is enabled" in followed(pages.approver.post(of(made, "set"), new | {"enable": "1", "seen": seal}))
    made.refresh_from_db()
    assert (made.rule, made.scope, made.enabled) == (
        {"kind": "age", "days": 90}, {"type": "auth.*", "leaf_from": 3}, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "x" * 101}, "at most 100 characters (it has 101)"),
        ({"ledger": "keys"}, "Select a valid choice."),
        ({"rule": "moon"}, "Select a valid choice."),
        ({"entries": ""}, "This rule needs it."),
        ({"entries": "0"}, "Entries are a number from 1."),
        ({"rule": "age"}, "This rule needs it."),
        ({"rule": "age", "days": "-1"}, "Days are a number from 0 to"),
        ({"rule": "age", "days": "soon"}, "Enter a whole number."),
        ({"rule": "period", "days": "3"}, "This rule needs it."),
        ({"rule": "event", "event_type": "audit.*", "sources": "grc"}, "An event is of one type."),
        ({"rule": "event", "event_type": "Audit", "sources": "grc"}, "audit"),
        ({"rule": "event", "event_type": "audit.completed", "sources": " \n "}, "This rule needs it."),
        ({"severity": "loud"}, "Select a valid choice."),
        ({"ip": "here"}, "Ip is an IPv4 or IPv6 address."),
        ({"kind": "hold"}, "A legal hold lasts until it is released"),
        ({"lock_days": "0"}, "Its locks last 1 to 36,500 days"),
        ({"reason": ""}, "This field is required."),
    ],
)
def test_each_wrong_field_says_what_is_wrong_and_what_was_typed_stays(
    pages: Pages, wrong: dict[str, Any], words: str
) -> None:
    for way in ("dry", "save", "enable"):
        response = pages.approver.post(ADD, asked(**{"actor": "ann"} | wrong) | {way: "1"})
        text = said(response)
        assert words in text
        assert "errorlist" in response.content.decode()
        assert 'value="ann"' in response.content.decode()
    assert not LockPolicy.objects.exists()


def test_a_name_that_is_taken_leads_to_that_policy(pages: Pages) -> None:
    enabled(pages)
    assert "There is a policy of this name." in said(dry(pages.approver))


def test_policies_are_set_by_approvers_alone_and_in_granted_ledgers(pages: Pages) -> None:
    made = enabled(pages)
    auditor = pages.of(person("ann", AUDITOR))
    assert "Set anew" not in said(auditor.get(f"{POLICIES}{made.pk}/change/"))
    for client in (auditor, pages.officer):
        for address in (ADD, *(of(made, step) for step in ("set", "enable", "disable"))):
            assert client.get(address).status_code == 403, address
            assert client.post(address, {"reason": "r"}).status_code == 403, address
    open_ledger(name="shop", **BY)
    other = pages.of(approver("berta", "shop"))
    for step in ("set", "enable", "disable"):
        assert other.get(of(made, step)).status_code == 404
    assert "yearly" not in said(other.get(POLICIES))
    reader = pages.of(person("rea", READER))
    assert reader.get(POLICIES).status_code == 403


def test_lists_say_in_words_what_there_is(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    enabled(pages)
    pages.scene.lock(2, kind="hold", case_reference="C-7")
    monkeypatch.setattr(services, "CHUNK", 2)
    services.lock(ledger="activity", scope={"leaf_from": 0}, kind="governance", reason="r", by=pages.scene.officer)
    text = said(pages.officer.get(LOCKS))
    assert "legal hold 1 entry, by its id in activity 1 in force until it is released" in text
    assert "every entry in activity" in text
    assert " % " in text
    assert len(pages.officer.get(f"{LOCKS}?kind__exact=hold").context["cl"].result_list) == 1
    made = pages.scene.override(2, lifts_holds=True)
    assert f"override {made.pk}" in said(pages.officer.get(OVERRIDES))
    assert "each time the ledger has grown by 1 entry" in said(pages.officer.get(POLICIES))


def test_a_row_tells_all_and_leads_to_where_the_steps_are_taken(pages: Pages) -> None:
    lock = pages.scene.lock(2)
    made = pages.scene.override(2)
    page = pages.officer.get(f"{LOCKS}{lock.pk}/change/")
    assert "Timeline, as the ledger tells it" in said(page)
    assert f'href="/locks/{lock.pk}/"' in page.content.decode()
    page = pages.officer.get(f"{OVERRIDES}{made.pk}/change/")
    assert "To be decided by anton." in said(page)
    assert f'href="/overrides/{made.pk}/"' in page.content.decode()
    assert pages.officer.post(f"{LOCKS}{lock.pk}/change/", {}).status_code == 403


def entry_page(pages: Pages, number: int = 2) -> str:
    return f"{ENTRIES}{pages.scene.ids(number)[0]}/change/"


def test_an_entry_shows_its_timeline_to_look_at(pages: Pages) -> None:
    scene = pages.scene
    assert "No lock holds it." in said(pages.officer.get(entry_page(pages)))
    ended = scene.lock(2)
    services.request_release(lock_id=ended.pk, by=scene.officer, reason="over")
    services.release(lock_id=ended.pk, by=scene.approver)
    lock = scene.lock(2)
    made = scene.override(2)
    scene.approve(made)
    scene.amend(2)
    response = pages.officer.get(entry_page(pages))
    text = said(response)
    order = [
        "valid It is exactly what was recorded", "Timeline", f"Held by lock {lock.pk} .", f"override {made.pk} runs",
        "Recorded , shop", f"Lock {ended.pk} released , anton", f"Lock {lock.pk}: retention (governance)",
        f"Override {made.pk} asked for , olga a court says so", f"Override {made.pk} approved , anton",
        f"Revision 1 superseded under override {made.pk}", "The whole timeline", "Exactly as it is stored",
    ]  # fmt: skip
    places = [text.lower().find(words.lower()) for words in order]
    assert -1 not in places, dict(zip(order, places, strict=True))
    assert places == sorted(places)
    panel = response.content.decode().split('aria-label="Timeline"')[1].split("</section>")[0]
    assert f'<a href="/logs/{scene.ids(2)[0]}/">The whole timeline</a>' in panel
    for step in ("<form", "<button", "button", "/locks/new/", "/overrides/new/"):
        assert step not in panel
    reader = administrator("rea", READER, "activity")
    assert "Timeline" not in said(reader.get(entry_page(pages)))


def test_an_entry_shows_its_newest_moments_with_as_many_queries(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked_for() -> tuple[int, list[str]]:
        with CaptureQueriesContext(connection) as queries:
            (panel,) = pages.officer.get(entry_page(pages)).context["panels"]
        return len(queries), [moment.what for moment in panel.content["moments"]]

    monkeypatch.setattr(panels, "NEWEST", 3)
    first = pages.scene.lock(2)
    pages.scene.amend(3)
    asked_for()  # what is cached from now on
    few, moments = asked_for()
    assert moments == ["Recorded", f"Lock {first.pk}: retention (governance), for good"]
    locks = [pages.scene.lock(2, kind=kind) for kind in ("hold", "hold", "governance")]
    many, moments = asked_for()
    assert [words.partition(":")[0] for words in moments] == [str(lock).capitalize() for lock in locks]
    assert many == few
    shown = said(pages.officer.get(entry_page(pages)))
    held = [str(lock) for lock in reversed(locks)]
    assert f"Held by {held[0]} , {held[1]} , {held[2]} and 1 more." in shown
    assert "The newest are shown, 3 at most." in shown


def test_of_versions_and_ended_locks_the_newest_are_shown(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        pages.scene.amend(2)
    monkeypatch.setattr(panels, "NEWEST", 2)
    text = said(pages.officer.get(entry_page(pages)))
    assert [f"Revision {number} superseded" in text for number in (1, 2, 3)] == [False, True, True]
    for _ in range(2):
        made = pages.scene.lock(3)
        services.request_release(lock_id=made.pk, by=pages.scene.officer, reason="over")
        services.release(lock_id=made.pk, by=pages.scene.approver)
    monkeypatch.setattr(panels, "NEWEST", 10)
    monkeypatch.setattr(timeline, "_NEWEST_LOCKS", 1)
    text = said(pages.officer.get(entry_page(pages, 3)))
    assert f"Lock {made.pk} released" in text
    assert f"Lock {made.pk - 1} released" not in text


def test_of_a_blocked_entry_no_timeline_is_shown(pages: Pages) -> None:
    pages.scene.lock(2)
    intruder = pages.scene.database.superuser()
    intruder.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    intruder.execute("UPDATE activity_logs SET actor = 'forged' WHERE id = %s", [pages.scene.ids(2)[0]])
    with override_settings(AUDITLOG_ON_TAMPERED="block"):
        text = said(pages.officer.get(entry_page(pages)))
    assert "tampered" in text
    assert "Timeline" not in text


def test_to_look_at_an_entry_with_its_timeline_is_one_access_to_it(pages: Pages) -> None:
    pages.scene.lock(2)
    pages.scene.amend(3)
    pages.officer.get(entry_page(pages))
    access = MetaLog.objects.latest("leaf_index")
    entry = pages.scene.entry(2)
    assert (access.action, access.path, access.result_count) == ("retrieve", entry_page(pages), 1)
    assert bytes(access.result_digest or b"") == sha256(leaf_hash(bytes(entry.record))).digest()


def test_rows_of_ledgers_that_are_not_granted_are_not_there_for_a_superuser_either(pages: Pages) -> None:
    lock = pages.scene.lock(2)
    made = pages.scene.override(2)
    root = User.objects.create_superuser("root")
    client = pages.of(root)
    assert f"lock {lock.pk} " not in said(client.get(LOCKS))
    for address in (f"{LOCKS}{lock.pk}/change/", f"{OVERRIDES}{made.pk}/change/"):
        assert client.get(address)["Location"] == "/admin/"
    authority.grant_ledger(ledger="activity", to=root, **WHO)
    assert f"lock {lock.pk} " in said(client.get(LOCKS))


def test_entries_are_locked_from_the_list_of_entries(pages: Pages) -> None:
    page = pages.officer.get(f"{ENTRIES}?type=auth.login").content.decode()
    assert 'formaction="/locks/new/"' in page
    assert 'href="/locks/new/?type=auth.login"' in page
    assert page.count('type="checkbox" name="entry"') == 10
    one = said(pages.officer.get(f"{ENTRIES}{pages.scene.ids(2)[0]}/change/"))
    assert "Export this entry… Lock this entry…" in one
    assert "Lock these" not in one
    assert pages.officer.get(f"{LOCKS}add/?type=auth.login")["Location"] == "/locks/new/?type=auth.login"
    for client in (pages.approver, pages.of(person("ann", AUDITOR))):
        assert 'formaction="/locks/new/"' not in client.get(ENTRIES).content.decode(), "he may not lock them"
