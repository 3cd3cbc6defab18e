"""The pages of overrides: asked for by one, decided and reviewed by another; what is open is said with who must act."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.core import mail
from django.test import override_settings

from activity.amending import remove
from auditlog_project.roles import APPROVER, AUDITOR, COMPLIANCE_OFFICER
from locking import overriding, services
from locking.errors import LockNotFoundError
from locking.models import LockOverride
from signing.services import open_ledger
from tests.clusters import Database
from tests.locking.pages import Pages, followed, said
from tests.locking.people import approver, person
from tests.locking.test_policies import policy
from tests.locking.test_services import steps
from tests.signing.installation import BY

NEW, OPEN = "/overrides/new/", "/locks/open/"


@pytest.fixture
def pages(fresh_database: Database, broker: str) -> Pages:
    made = Pages(fresh_database)
    made.scene.lock(2, 3)
    return made


def ask(pages: Pages, **changes: Any) -> LockOverride:
    asked = {"entries": "\n".join(pages.scene.ids(2)), "hours": 4, "reason": "a court says so", "case": "C-7"}
    response = pages.officer.post(NEW, asked | changes)
    assert response.status_code == 302, said(response, response.status_code)
    return LockOverride.objects.latest("pk")


def test_one_override_from_its_request_to_its_review(pages: Pages) -> None:
    entry = pages.scene.ids(2)[0]
    page = pages.officer.get(f"/logs/{entry}/").content.decode()
    assert f'href="{NEW}?entry={entry}"' in page
    assert entry in said(pages.officer.get(f"{NEW}?entry={entry}"))
    made = ask(pages)
    address = f"/overrides/{made.pk}/"
    text = said(pages.officer.get(address))
    assert "To be decided by anton." in text
    assert "You asked for it" in text
    assert "Record the decision" not in text

    text = said(pages.approver.get(address))
    assert "olga asks to change 1 locked entry for 4 hours." in text
    assert "To be decided by you." in text
    decision = {"decision": "approve", "reason": "seen"}
    assert "runs from now on" in followed(pages.approver.post(f"{address}decide/", decision))
    assert "Nobody must act" in said(pages.officer.get(address))
    pages.scene.amend(2)
    assert "is closed" in followed(pages.officer.post(f"{address}close/"))

    text = said(pages.officer.get(address))
    assert "1 change was made under it." in text
    assert "To be reviewed by anton." in text
    assert "is reviewed" in followed(pages.approver.post(f"{address}review/", {"note": "one target put right"}))
    text = said(pages.officer.get(address))
    assert "What is open" not in text
    assert "Reviewed , anton valid one target put right" in text
    assert steps(made) == [f"override.{step}" for step in ("requested", "approved", "closed", "reviewed")]


def test_each_use_stands_in_its_timeline_in_the_words_of_its_record(pages: Pages) -> None:
    scene, entries = pages.scene, pages.scene.ids(2, 3)
    made = ask(pages, entries="\n".join(entries))
    scene.approve(made)
    for _ in range(2):
        scene.amend(2)
    remove(entry_id=scene.entry(3).pk, rule="90 days", by=scene.officer, reason="a court says so")
    overriding.close_override(override_id=made.pk, by=scene.officer)
    response = pages.officer.get(f"/overrides/{made.pk}/")
    moments = [(one.what, one.by, one.why, one.verdict) for one in response.context["moments"]]
    assert [what for what, *_ in moments] == [
        "Asked for", "Approved", *["Used: an entry amended"] * 2, "Used: an entry removed", "Closed",
    ]  # fmt: skip
    assert moments[2:5] == [
        ("Used: an entry amended", "olga", "a test", None),
        ("Used: an entry amended", "olga", "a test", "valid"),
        ("Used: an entry removed", "olga", "a court says so", "removed"),
    ]
    assert f'<a href="/logs/{entries[1]}/">Used: an entry removed</a>' in response.content.decode()
    assert "Used: an entry removed, olga." in said(pages.officer.get(f"/admin/locking/lockoverride/{made.pk}/change/"))


def test_who_asked_neither_decides_nor_reviews_even_with_every_role(pages: Pages) -> None:
    pages.scene.officer.groups.add(Group.objects.get(name=APPROVER))
    made = ask(pages)
    address = f"/overrides/{made.pk}/"
    text = said(pages.officer.post(f"{address}decide/", {"decision": "approve", "reason": "mine"}), 400)
    assert "An override takes two people" in text
    assert LockOverride.objects.get().state == "requested"
    pages.scene.approve(made)
    pages.officer.post(f"{address}close/")
    text = said(pages.officer.post(f"{address}review/", {"note": "all is well"}), 400)
    assert "Whoever asked for an override does not review it." in text
    assert LockOverride.objects.get().reviewed_by is None


def test_a_denied_override_changes_nothing(pages: Pages) -> None:
    made = ask(pages)
    decision = {"decision": "deny", "reason": "no court said so"}
    text = followed(pages.approver.post(f"/overrides/{made.pk}/decide/", decision))
    assert "is denied" in text
    assert "Denied , anton valid no court said so" in text
    assert not pages.scene.entry(2).override_id
    assert "It is denied already." in said(pages.approver.post(f"/overrides/{made.pk}/decide/", decision), 400)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"entries": ""}, "This field is required."),
        ({"entries": "this one"}, "this is not the id of an entry."),
        ({"entries": str(uuid4())}, "that you may read"),
        ({"hours": "25"}, "less than or equal to 24"),
        ({"hours": "0"}, "greater than or equal to 1"),
        ({"hours": "soon"}, "Enter a whole number."),
        ({"reason": ""}, "This field is required."),
        ({"case": "x" * 201}, "at most 200 characters"),
    ],
)
def test_each_wrong_field_says_what_is_wrong_and_what_was_typed_stays(
    pages: Pages, wrong: dict[str, Any], words: str
) -> None:
    asked = {"entries": pages.scene.ids(2)[0], "hours": 4, "reason": "a court says so", "case": "C-7"} | wrong
    response = pages.officer.post(NEW, asked)
    assert words in said(response, 400)
    kept = response.content.decode()
    assert all(str(asked[name]) in kept for name in asked if name not in wrong)
    assert not LockOverride.objects.exists()


def test_what_no_override_is_for_is_named_entry_by_entry(pages: Pages) -> None:
    pages.scene.lock(4, kind="compliance")
    pages.scene.lock(5, kind="hold")
    free, bound, held = pages.scene.ids(6, 4, 5)
    asked = {"entries": f"{free} {bound} {held}", "hours": 1, "reason": "r"}
    text = said(pages.officer.post(NEW, asked), 400)
    assert f"{free} is not locked" in text
    assert f"{bound} is under compliance, which no override lifts" in text
    assert f"{held} is under a legal hold" in text
    ask(pages, entries=held, lifts_holds="on")
    policy(pages.scene, {"kind": "age", "days": 0})
    assert "Ask for an override" in said(pages.officer.get(f"/logs/{free}/"))
    assert f"{free} is " not in said(pages.officer.post(NEW, asked), 400), "it is locked, for the override"
    assert ask(pages, entries=free).state == "requested"


def test_without_the_right_for_holds_the_box_is_not_there(pages: Pages) -> None:
    assert "Also where a legal hold applies" in said(pages.officer.get(NEW))
    asks = person("otto", AUDITOR)
    asks.groups.first().permissions.add(  # type: ignore[union-attr] # he has one
        *Group.objects.get(name=COMPLIANCE_OFFICER).permissions.filter(codename="add_lockoverride")
    )
    assert "Also where a legal hold applies" not in said(pages.of(asks).get(NEW))


def test_a_decision_needs_a_choice_and_a_reason(pages: Pages) -> None:
    made = ask(pages)
    text = said(pages.approver.post(f"/overrides/{made.pk}/decide/", {"reason": "hm"}), 400)
    assert "This field is required." in text
    assert "hm" in text
    assert "This field is required." in said(
        pages.approver.post(f"/overrides/{made.pk}/decide/", {"decision": "deny"}), 400
    )
    assert LockOverride.objects.get().state == "requested"


def test_what_does_not_run_is_not_closed_and_what_has_not_ended_not_reviewed(pages: Pages) -> None:
    made = ask(pages)
    assert "it does not run" in said(pages.officer.post(f"/overrides/{made.pk}/close/"), 409)
    text = said(pages.approver.post(f"/overrides/{made.pk}/review/", {"note": "fine"}), 400)
    assert "Nothing waits for a review" in text
    assert steps(made) == ["override.requested"]


def test_open_steps_name_who_must_act_and_come_first_for_them(pages: Pages) -> None:
    approver("berta")
    made = ask(pages)
    text = said(pages.officer.get(OPEN))
    assert (
        f"Override {made.pk} waits olga asks to change 1 locked entry for 4 hours. To be decided by anton or berta."
        in text
    )
    text = said(pages.approver.get(OPEN))
    assert "waits for you" in text
    assert "To be decided by you, or berta." in text
    assert pages.approver.get("/")["Location"] == OPEN
    for page in (pages.officer.get("/locks/"), pages.officer.get("/overrides/")):
        assert "1 step of locks and overrides waits for somebody." in said(page)
    pages.scene.approve(made)
    assert pages.approver.get("/")["Location"] == "/logs/"
    assert "It runs: 1 locked entry can be changed until" in said(pages.officer.get(OPEN))


def test_where_nobody_can_act_it_is_said_who_can_change_that(pages: Pages) -> None:
    pages.scene.approver.groups.clear()
    ask(pages)
    text = said(pages.officer.get(OPEN))
    assert "To be decided by somebody other than olga; nobody has this right for these entries yet" in text


def test_the_start_page_of_the_admin_shows_what_is_open(pages: Pages) -> None:
    made = ask(pages)
    lock = pages.scene.lock(5)
    services.request_release(lock_id=lock.pk, by=pages.scene.officer, reason="over")
    text = said(pages.approver.get("/admin/"))
    assert "Open steps of locks and overrides" in text
    assert f"waits for you Override {made.pk}" in text
    assert "olga asks to release it: retention (governance), 1 entry of activity." in text
    assert f"waits Override {made.pk}" in said(pages.officer.get("/admin/"))
    auditor = pages.of(person("ann", AUDITOR))
    assert "To be decided by anton." in said(auditor.get("/admin/"))
    sam = pages.of(person("sam", "security admin"))
    assert "Open steps" not in said(sam.get("/admin/"))


def test_overrides_of_entries_that_one_may_not_read_are_not_there(pages: Pages) -> None:
    made = ask(pages)
    open_ledger(name="shop", **BY)
    other = approver("berta", "shop")
    client = pages.of(other)
    address = f"/overrides/{made.pk}/"
    assert client.get(address).status_code == 404
    assert client.post(f"{address}decide/", {"decision": "approve", "reason": "r"}).status_code == 404
    assert "Nobody has asked to change a locked entry." in said(client.get("/overrides/"))
    assert "Nothing is open." in said(client.get(OPEN))
    with pytest.raises(LockNotFoundError):
        overriding.decide_override(override_id=made.pk, approve=True, by=other, reason="r")
    assert "To be decided by anton." in said(pages.officer.get(OPEN))
    assert client.get("/overrides/99999999999999999999/").status_code == 404


def test_the_list_is_filtered_and_paged(pages: Pages) -> None:
    made = [ask(pages, case=f"C-{number % 2}") for number in range(51)]
    page = pages.officer.get("/overrides/")
    assert f'href="/overrides/{made[0].pk}/"' not in page.content.decode()
    assert (
        f'href="/overrides/{made[0].pk}/"' in pages.officer.get(f"/overrides/?{page.context['next']}").content.decode()
    )
    found = pages.officer.get("/overrides/?case=C-1&state=requested").context["overrides"]
    assert len(found) == 25
    assert not pages.officer.get("/overrides/?state=review").context["overrides"]
    assert "Select a valid choice." in said(pages.officer.get("/overrides/?state=gone"), 400)


def test_the_mail_to_approvers_leads_to_the_page(pages: Pages) -> None:
    with override_settings(AUDITLOG_PUBLIC_URL="https://log.example.org/"):
        made = ask(pages)
    (told,) = mail.outbox
    assert told.to == ["anton@example.org"]
    assert told.body.endswith(f"https://log.example.org/overrides/{made.pk}/")
