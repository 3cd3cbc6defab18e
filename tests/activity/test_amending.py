"""Amendment and removal: a new leaf that says why, the old version archived by the database, the event id taken."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import PermissionDenied

from activity import authority
from activity.amending import amend, remove
from activity.errors import AmendmentError, EntryNotFoundError, EventIdConflictError, TamperedEntryError
from activity.event import Event
from activity.evidence import judge_jws, judge_receipt
from activity.models import ActivityLog, ActivityRevision
from activity.queries import TOMBSTONE, entry_as_jws
from activity.recording import Receipt
from activity.retrieval import check_entries, prove
from activity.search import Search, find
from activity.services import record, record_many, set_log_type
from signing.merkle import leaf_hash, verify_inclusion
from signing.queries import ledger_named
from signing.services import open_ledger, rotate_key
from signing.verdicts import Verdict
from tests.signing.installation import BY, anchor_all, findings, unguarded, verify

EVENT = Event("shop.order", "order", "ada", datetime(2026, 11, 23, 5, 40, tzinfo=UTC), "shop", event_id="e-1")
WHY = "the customer's name was misspelt"


def an_editor(*ledgers: str, name: str = "grace", may: tuple[str, ...] = ("view", "change", "delete")) -> User:
    user = User.objects.create_user(name)
    user.user_permissions.set(Permission.objects.filter(codename__in=[f"{each}_activitylog" for each in may]))
    for ledger in ledgers or ("activity",):
        authority.grant_ledger(ledger=ledger, to=user, by="ada", reason="test")
    return user


@pytest.fixture
def editor(fresh_database: Any) -> User:
    return an_editor()


def entry_of(receipt: Receipt) -> Any:
    return ActivityLog.objects.select_related("ledger", "key").get(pk=receipt.id)


def said_by(entry: Any) -> dict[str, Any]:
    said: dict[str, Any] = orjson.loads(bytes(entry.record))
    return said


def assert_valid() -> None:
    anchor_all()
    assert findings(verify()) == []


def test_an_amended_entry_is_a_new_leaf_that_says_what_it_supersedes(editor: User) -> None:
    first = record(replace(EVENT, data={"total": 2**53 + 1, "nul": "\0"}))
    before = entry_of(first)
    receipt = amend(entry_id=before.pk, changes={"actor": "ada lovelace"}, by=editor, reason=WHY)
    entry = entry_of(first)
    assert (entry.leaf_index, entry.revision, entry.actor) == (receipt.leaf_index, 2, "ada lovelace")
    assert receipt.leaf_index > first.leaf_index
    assert receipt.leaf_hash == leaf_hash(bytes(entry.record))
    said = said_by(entry)
    assert {name: said[name] for name in ("data", "event_id", "recorded_at")} == {
        name: said_by(before)[name] for name in ("data", "event_id", "recorded_at")
    }
    assert said["amendment"] == {
        "at": said["amendment"]["at"],
        "by": "grace",
        "reason": WHY,
        "supersedes": {"leaf_hash": first.leaf_hash.hex(), "leaf_index": first.leaf_index},
    }
    assert_valid()


def test_the_version_before_lies_in_the_archive_as_it_was(editor: User) -> None:
    before = entry_of(record(EVENT))
    amend(entry_id=before.pk, changes={"outcome": "failure"}, by=editor, reason=WHY)
    (archived,) = ActivityRevision.objects.filter(entry_id=before.pk)
    same = ("ledger_id", "leaf_index", "record", "signature", "key_id", "event_digest", "actor", "outcome", "revision")
    assert [getattr(archived, name) for name in same] == [getattr(before, name) for name in same]
    assert bytes(archived.leaf_hash) == leaf_hash(bytes(before.record))


def test_many_amendments_make_a_chain(editor: User) -> None:
    first = record(EVENT)
    for number in range(5):
        amend(entry_id=entry_of(first).pk, changes={"data": {"n": number}}, by=editor, reason=WHY)
    archived = ActivityRevision.objects.filter(entry_id=first.id).order_by("revision")
    assert [one.revision for one in archived] == [1, 2, 3, 4, 5]
    assert entry_of(first).revision == 6
    assert_valid()


def test_large_data_may_come_and_go(editor: User) -> None:
    first = record(EVENT)
    amend(entry_id=entry_of(first).pk, changes={"data": {"a": "x" * 70_000}}, by=editor, reason="ä" * 2000)
    assert entry_of(first).detached_data is not None
    assert_valid()
    amend(entry_id=entry_of(first).pk, changes={"data": {"a": "x" * 60_000}}, by=editor, reason="\u0001" * 2000)
    assert_valid()
    amend(entry_id=entry_of(first).pk, changes={"data": {}}, by=editor, reason=WHY)
    assert entry_of(first).detached_data is None
    assert_valid()


def test_an_amendment_is_signed_with_the_key_that_is_active_now(editor: User) -> None:
    first = record(EVENT)
    new = rotate_key(purpose="entry", algorithm="Ed25519", **BY)
    amend(entry_id=entry_of(first).pk, changes={"target": "x"}, by=editor, reason=WHY)
    assert entry_of(first).key_id == new.id
    assert_valid()


def test_what_its_type_leaves_unsigned_stays_unsigned_and_what_was_signed_stays_signed(editor: User) -> None:
    signed = record(EVENT)
    unsigned = record(replace(EVENT, type="windows.sysmon.1", event_id="e-2"))
    set_log_type(pattern="shop.*", requires_signature=False, algorithm="Ed25519", description="", **BY)
    for each in (signed, unsigned):
        amend(entry_id=entry_of(each).pk, changes={"target": "x"}, by=editor, reason=WHY)
    assert entry_of(signed).signature is not None
    assert entry_of(unsigned).signature is None
    assert_valid()


def test_a_removed_entry_leaves_a_signed_tombstone(editor: User) -> None:
    first = record(replace(EVENT, type="windows.sysmon.1", ip="192.0.2.7", data={"secret": 1}))
    receipt = remove(entry_id=entry_of(first).pk, rule="web logs: 90 days", by=editor, reason="the time is over")
    entry = entry_of(first)
    assert (entry.type, entry.actor, entry.source, entry.event_id) == (TOMBSTONE, "grace", "shop", "e-1")
    assert (entry.ip, entry.signature is not None, entry.leaf_index) == (None, True, receipt.leaf_index)
    assert said_by(entry)["data"] == {
        "reason": "the time is over",
        "removed_type": "windows.sysmon.1",
        "rule": "web logs: 90 days",
    }
    (checked,) = check_entries([entry])
    assert checked.verdict == Verdict.REMOVED
    assert "removed by grace" in checked.reasons[0]
    assert "the time is over" in checked.reasons[0]
    assert_valid()


def test_a_retry_gets_the_first_receipt_whatever_became_of_the_entry(editor: User) -> None:
    events = [replace(EVENT, event_id=f"e-{number}") for number in range(3)]
    first = record_many(events)
    amend(entry_id=entry_of(first[0]).pk, changes={"actor": "eve"}, by=editor, reason=WHY)
    remove(entry_id=entry_of(first[1]).pk, rule="r", by=editor, reason=WHY)
    again = record_many(events)
    assert [(one.leaf_index, one.leaf_hash, one.duplicate) for one in again] == [
        (one.leaf_index, one.leaf_hash, True) for one in first
    ]
    for number, event in enumerate(events):
        with pytest.raises(EventIdConflictError):
            record(replace(event, actor="eve", data={"number": number}))


def test_a_jws_and_a_receipt_of_what_was_amended_stay_true_and_of_what_was_removed_say_so(editor: User) -> None:
    amended, removed = record(EVENT), record(replace(EVENT, event_id="e-2"))
    old = [entry_as_jws(entry_of(each)) or "" for each in (amended, removed)]
    amend(entry_id=entry_of(amended).pk, changes={"actor": "eve"}, by=editor, reason=WHY)
    remove(entry_id=entry_of(removed).pk, rule="r", by=editor, reason=WHY)
    told = judge_jws(old[0])
    assert told.verdict == Verdict.VALID
    assert "it was revision 1, and was amended since" in told.checked[-1]
    assert judge_jws(entry_as_jws(entry_of(amended)) or "").verdict == Verdict.VALID
    gone = judge_jws(old[1])
    assert (gone.verdict, "removed by grace" in gone.reasons[0]) == (Verdict.REMOVED, True)
    told = judge_receipt(
        entry=entry_of(amended).pk,
        ledger="activity",
        leaf_index=amended.leaf_index,
        hash_of_leaf=amended.leaf_hash,
        note=amended.checkpoint or "",
    )
    assert (told.verdict, "amended or removed since" in told.checked[-1]) == (Verdict.VALID, True)


def test_a_proof_is_of_the_newest_version_and_search_finds_it(editor: User) -> None:
    first = record(EVENT)
    amend(entry_id=entry_of(first).pk, changes={"actor": "grace hopper"}, by=editor, reason=WHY)
    entry = entry_of(first)
    proof = prove(entry)
    lines = proof.checkpoint.split("\n")
    import base64  # noqa: PLC0415 the one test that reads a note by hand

    verify_inclusion(
        leaf_hash(bytes(entry.record)), entry.leaf_index, int(lines[1]), proof.hashes, base64.b64decode(lines[2])
    )
    ledgers = [ledger_named("activity")]
    assert [one.pk for one in find(Search(ledgers, {"actor": "grace hopper"})).entries] == [entry.pk]
    assert find(Search(ledgers, {"actor": "ada", "type": "shop.order"})).entries == []


def test_since_last_goes_on_after_amendments(editor: User) -> None:
    from tests.attacks.intruder import assert_clean  # noqa: PLC0415 the real command

    receipts = record_many([replace(EVENT, event_id=f"e-{number}") for number in range(300)])
    anchor_all()
    assert_clean()
    for receipt in receipts[:3]:
        amend(entry_id=entry_of(receipt).pk, changes={"actor": "eve"}, by=editor, reason=WHY)
    remove(entry_id=entry_of(receipts[290]).pk, rule="r", by=editor, reason=WHY)
    anchor_all()
    assert_clean("--since-last")
    assert_clean("--since-last")
    assert_clean()


def test_an_amendment_lies_in_the_ledger_of_its_entry(fresh_database: Any) -> None:
    open_ledger(name="aaa", **BY)
    editor = an_editor("aaa")
    first = record(EVENT, ledger="aaa")
    amend(entry_id=entry_of(first).pk, changes={"actor": "eve"}, by=editor, reason=WHY)
    remove(entry_id=entry_of(first).pk, rule="r", by=editor, reason=WHY)
    assert entry_of(first).ledger.name == "aaa"
    anchor_all()
    assert findings(verify("aaa")) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "at least one of them"),
        ({"type": "auth.login"}, "what can be amended are"),
        ({"event_id": "other"}, "what can be amended are"),
        ({"actor": "ada"}, "says exactly this already"),
    ],
)
def test_what_cannot_be_amended_is_said(editor: User, changes: dict[str, Any], sentence: str) -> None:
    entry = entry_of(record(EVENT))
    with pytest.raises(AmendmentError, match=sentence):
        amend(entry_id=entry.pk, changes=changes, by=editor, reason=WHY)


def test_both_need_a_reason_a_right_and_a_ledger_that_one_may_read(editor: User) -> None:
    entry = entry_of(record(EVENT))
    reader = an_editor(name="reader", may=("view",))
    stranger = User.objects.create_superuser("root")
    change = {"actor": "eve"}
    for reason in (" ", "x" * 2001, "a\0b"):
        with pytest.raises(AmendmentError, match="reason"):
            amend(entry_id=entry.pk, changes=change, by=editor, reason=reason)
    with pytest.raises(AmendmentError, match="retention rule"):
        remove(entry_id=entry.pk, rule="", by=editor, reason=WHY)
    with pytest.raises(PermissionDenied, match=r"activity\.change_activitylog"):
        amend(entry_id=entry.pk, changes=change, by=reader, reason=WHY)
    with pytest.raises(PermissionDenied, match=r"activity\.delete_activitylog"):
        remove(entry_id=entry.pk, rule="r", by=reader, reason=WHY)
    for user, wanted in ((stranger, entry.pk), (editor, uuid4())):
        with pytest.raises(EntryNotFoundError):
            amend(entry_id=wanted, changes=change, by=user, reason=WHY)
    assert entry_of(record(EVENT)).revision == 1


def test_what_the_application_recorded_and_what_was_removed_stays(editor: User) -> None:
    system = ActivityLog.objects.filter(type="auditlog.log-type.set")[0]
    with pytest.raises(AmendmentError, match="never amended or removed"):
        amend(entry_id=system.pk, changes={"actor": "eve"}, by=editor, reason=WHY)
    entry = entry_of(record(EVENT))
    remove(entry_id=entry.pk, rule="r", by=editor, reason=WHY)
    with pytest.raises(AmendmentError, match="was removed already"):
        remove(entry_id=entry.pk, rule="r", by=editor, reason=WHY)


def test_what_was_tampered_with_is_not_covered_up_by_an_amendment(editor: User, fresh_database: Any) -> None:
    entry = entry_of(record(EVENT))
    with unguarded(fresh_database, "activity_logs") as superuser:
        superuser.execute("UPDATE activity_logs SET actor = 'eve' WHERE id = %s", [entry.pk])
    with pytest.raises(TamperedEntryError):
        amend(entry_id=entry.pk, changes={"action": "x"}, by=editor, reason=WHY)
