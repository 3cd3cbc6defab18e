"""An access is run again: what somebody saw, what has changed since, and whether the digest still matches."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from activity import amending
from activity.models import ActivityLog
from activity.services import record, record_many
from auditlog_project.roles import AUDITOR_OF_AUDITORS, COMPLIANCE_OFFICER, READER
from metaaudit.models import MetaLog
from metaaudit.replay import replay, verdict_of
from tests.clusters import Database
from tests.metaaudit.conftest import EVENT, LOGS, last, recorded, signed_in
from tests.metaaudit.test_jobs import manage

DAY = {"occurred_from": "2026-11-23T00:00:00Z", "occurred_to": "2026-11-24T00:00:00Z"}


def amend(entry_id: str, **changes: Any) -> None:
    officer = User.objects.filter(username="cora").first()
    if officer is None:
        signed_in("cora", COMPLIANCE_OFFICER)
        officer = User.objects.get(username="cora")
    amending.amend(entry_id=ActivityLog.objects.get(pk=entry_id).pk, changes=changes, by=officer, reason="typo")


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"actor": "ann", "limit": "2"},
        {"order": "id", "limit": "2"},
        {"order": "occurred_at"},
        {"order": "-occurred_at", "limit": "3"},
        {"data.number": "3", **DAY},
        {"actor": "nobody"},
    ],
)
def test_what_was_found_is_found_again_whatever_came_since(ada: Client, query: dict[str, str]) -> None:
    events = [
        replace(EVENT, data={"number": n}, occurred_at=EVENT.occurred_at + timedelta(minutes=n % 3)) for n in range(6)
    ]
    record_many(events)
    assert ada.get(LOGS, query).status_code == 200
    log = last()
    record_many(events)
    found = replay(log)
    assert (found.matches, found.count, found.reasons) == (True, log.result_count, ())
    assert all(one.change == "unchanged" for one in found.entries)


@pytest.mark.parametrize("member", ["session_token", "login.password", "cookies.0"])
def test_a_secret_that_was_searched_for_is_nowhere_in_the_record_and_the_leaves_stand_for_it(
    ada: Client, member: str
) -> None:
    first, *rest = reversed(member.split("."))
    data: Any = {first: "hunter2"} if first != "0" else ["hunter2"]
    for name in rest:
        data = {name: data}
    record_many([replace(EVENT, data=data), EVENT, replace(EVENT, data=data)])
    ada.get(LOGS, {f"data.{member}": "hunter2", **DAY})
    log = last()
    assert log.result_count == 2
    assert b"hunter2" not in bytes(log.record)
    assert "hunter2" not in str(log.query)
    found = replay(log)
    assert (found.matches, found.count) == (True, 2)
    assert found.reasons == ("a value that was searched for is not kept, for its name sounds like a secret",)


def test_the_next_page_is_run_again_as_the_next_page(ada: Client) -> None:
    record_many([EVENT] * 5)
    first = ada.get(LOGS, {"type": "shop.order", "limit": "2"}).json()
    ada.get(LOGS, {"type": "shop.order", "limit": "2", "cursor": first["next"]})
    log = last()
    record_many([EVENT] * 5)
    assert (replay(log).matches, replay(log).count) == (True, 2)


@pytest.mark.parametrize(
    "address", ["/api/v1/logs/{id}", "/api/v1/logs/{id}/proof", "/logs/{id}/", "/logs/?type=shop.order"]
)
def test_single_entries_and_pages_are_run_again(ada: Client, address: str) -> None:
    receipt = record(EVENT)
    assert ada.get(address.format(id=receipt.id)).status_code == 200
    found = replay(last())
    assert (found.matches, [one.entry_id for one in found.entries]) == (True, [receipt.id])


def test_an_amended_entry_is_shown_as_it_was_beside_what_it_is(ada: Client) -> None:
    receipts = record_many([EVENT] * 3)
    ada.get(LOGS, {"type": "shop.order"})
    log = last()
    amend(receipts[1].id, actor="bob")
    found = replay(log)
    assert found.matches is True, "what was shown then is still proved"
    changed = [one for one in found.entries if one.change != "unchanged"]
    assert [(one.entry_id, one.change, one.then.actor) for one in changed] == [(receipts[1].id, "amended", "ann")]
    assert changed[0].now is not None
    assert changed[0].now.entry.actor == "bob"


def test_an_entry_that_fitted_the_filter_only_then_is_found(ada: Client) -> None:
    receipts = record_many([EVENT] * 2)
    ada.get(LOGS, {"actor": "ann"})
    log = last()
    amend(receipts[0].id, actor="bob")
    amend(receipts[0].id, actor="cleo")
    ada.get(LOGS, {"actor": "ann"})
    assert [replay(each).count for each in (log, last())] == [2, 1]
    assert [replay(each).matches for each in (log, last())] == [True, True]


def test_what_was_tampered_with_since_does_not_match(ada: Client, site: Database) -> None:
    record_many([EVENT] * 2)
    ada.get(LOGS, {"type": "shop.order"})
    log = last()
    intruder = site.superuser()
    intruder.execute("SET session_replication_role = replica")
    intruder.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    intruder.execute("UPDATE activity_logs SET record = record || ' ' WHERE type = 'shop.order'")
    found = replay(log)
    assert found.matches is False
    assert {one.now.verdict for one in found.entries if one.now} == {"tampered"}
    intruder.execute("DELETE FROM activity_logs WHERE leaf_index = (SELECT max(leaf_index) FROM activity_logs)")
    gone = replay(log)
    assert (gone.matches, gone.count) == (False, 1)
    assert gone.reasons[0] == "2 entries were shown, 1 are found now"
    assert gone.reasons[1].startswith("not found any more: activity leaf ")


def test_what_showed_nothing_has_nothing_to_compare(ada: Client) -> None:
    ada.get("/api/v1/log-types")
    assert replay(last()).matches is None


def test_a_forged_meta_log_says_so(ada: Client, site: Database) -> None:
    ada.get(LOGS)
    assert verdict_of(last()) == ("valid", ())
    site.superuser().execute("ALTER TABLE meta_logs DISABLE TRIGGER ALL")
    site.superuser().execute("UPDATE meta_logs SET user_name = 'bob'")
    assert verdict_of(last()) == ("tampered", ("columns differ from the record: user_name",))


def test_the_reviewer_replays_by_api_and_that_is_recorded(ada: Client) -> None:
    receipt = record(EVENT)
    ada.get(LOGS, {"type": "shop.order"})
    log = last()
    amend(receipt.id, actor="bob")
    reviewer = signed_in("rex", AUDITOR_OF_AUDITORS, READER)
    answer = reviewer.post(f"/api/v1/meta-logs/{log.pk}/replay")
    said = answer.json()
    assert (answer.status_code, said["matches"], said["verdict"]) == (200, True, "valid")
    (one,) = said["entries"]
    assert (one["change"], one["then"]["actor"], one["now"]["actor"]) == ("amended", "ann", "bob")
    assert said["recorded"] == said["found"]
    assert (last().action, last().user_name, last().result_count, last().phase) == ("replay", "rex", 1, "access")


def test_a_reviewer_without_the_ledger_sees_which_entries_and_not_what_they_say(ada: Client) -> None:
    receipt = record(EVENT)
    ada.get(LOGS, {"type": "shop.order"})
    log = last()
    reviewer = signed_in("rex", AUDITOR_OF_AUDITORS, ledger=None)
    (one,) = reviewer.post(f"/api/v1/meta-logs/{log.pk}/replay").json()["entries"]
    assert (one["entry"], one["then"]) == (receipt.id, {"leaf_index": receipt.leaf_index, "revision": 1})
    page = reviewer.post(f"/meta-logs/{log.pk}/replay/")
    assert page.status_code == 200
    assert "You may not read this ledger" in page.content.decode()
    assert "patient/4711" not in page.content.decode()


def test_the_page_shows_old_beside_new(ada: Client) -> None:
    receipt = record(EVENT)
    ada.get(LOGS, {"type": "shop.order"})
    log = last()
    amend(receipt.id, actor="<b>bob</b>")
    page = signed_in("rex", AUDITOR_OF_AUDITORS, READER).post(f"/meta-logs/{log.pk}/replay/").content.decode()
    assert "the digest matches" in page
    assert '<del class="words">ann</del> → <ins class="words">&lt;b&gt;bob&lt;/b&gt;</ins>' in page


def test_the_command_replays_and_its_exit_code_tells(ada: Client, site: Database) -> None:
    record(EVENT)
    ada.get(LOGS, {"type": "shop.order"})
    log = last()
    same = manage(site, "replay", str(log.pk))
    assert (same.returncode, "Outcome: the same" in same.stdout) == (0, True), same.stderr
    machine = manage(site, "replay", str(log.pk), "--json")
    assert json.loads(machine.stdout)["matches"] is True
    assert [one.action for one in recorded()[1:]] == ["replay"] * 4
    assert manage(site, "replay", "no-uuid").returncode == 1
    ada.get("/api/v1/log-types")
    nothing = MetaLog.objects.filter(action="config_view").get()
    assert manage(site, "replay", str(nothing.pk)).returncode == 2
