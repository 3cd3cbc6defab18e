"""The start page of the admin: what is wrong comes first, then what cannot be told, and calm if all is there."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client, override_settings

from activity import authority, notices, watch
from activity.models import ActivityLog, ApiKey, Delivery, OpenFinding
from signing.models import SigningKey
from tests.administrators import WHO, administrator, superuser, text_of
from tests.clusters import Database
from tests.signing.installation import anchor_all, record

START = "/admin/"


@pytest.fixture
def verified(fresh_database: Database) -> Any:
    """Give an installation in which all is there, and everything was verified."""
    with override_settings(AUDITLOG_NOTICE_EMAILS=["ada@example.org"]):
        record(3)
        anchor_all()
        watch.run(watch.WHOLE)
        yield fresh_database


def overview(client: Client) -> Any:
    return client.get(START).context["overview"]


def tamper(database: Database) -> ActivityLog:
    entry = ActivityLog.objects.filter(type="test.event").latest("leaf_index")
    intruder = database.superuser()
    intruder.execute("ALTER TABLE activity_logs DISABLE TRIGGER ALL")
    intruder.execute("UPDATE activity_logs SET actor = 'eve' WHERE id = %s", (entry.pk,))
    return entry


def test_all_is_well_where_everything_was_verified(verified: Database) -> None:
    sam = administrator()
    page = overview(sam)
    assert (page.tone, page.doubts, page.cases) == ("good", [], [])
    said = text_of(sam.get(START))
    assert "All is well" in said
    for ledger in ("activity", "keys", "meta"):
        assert f"{ledger} " in said
    assert {state.verdict for state in page.ledgers} == {"valid"}
    assert {(key.purpose, key.state) for key in page.active_keys} == {("entry", "active"), ("checkpoint", "active")}


def test_before_the_first_verification_the_page_says_so(fresh_database: Database) -> None:
    sam = administrator()
    said = text_of(sam.get(START))
    assert "Nothing was verified yet" in said
    assert "All is well" not in said
    assert overview(sam).tone == "doubt"


def test_a_finding_comes_first_with_who_was_told_and_the_entry(verified: Database) -> None:
    entry = tamper(verified)
    watch.run(watch.WHOLE)
    Delivery.objects.update(delivered_at=datetime.now(UTC))
    ann = administrator("ann", "auditor", "activity")
    response = ann.get(START)
    said = text_of(response)
    assert "something is not as it was recorded" in said
    assert said.index("Open findings") < said.index("Ledgers")
    assert f"activity, leaf {entry.leaf_index} columns differ from the record: actor" in said
    assert "ada@example.org: told 20" in said
    assert f"/admin/activity/activitylog/{entry.pk}/change/" in response.content.decode()
    assert overview(ann).tone == "bad"


def test_who_may_not_read_the_ledger_gets_no_link_to_the_entry(verified: Database) -> None:
    entry = tamper(verified)
    watch.run(watch.WHOLE)
    for client in (administrator(), superuser()):
        page = client.get(START).content.decode()
        assert "columns differ from the record: actor" in page
        assert str(entry.pk) not in page


def test_an_alarm_is_shown_before_any_number_of_doubts(verified: Database) -> None:
    tamper(verified)
    watch.run(watch.WHOLE)
    OpenFinding.objects.bulk_create(
        OpenFinding(fingerprint=f"{number}", ledger="*", verdict="cannot_tell", reason="?", found_at=datetime.now(UTC))
        for number in range(30)
    )
    page = overview(administrator())
    assert [case.finding.verdict for case in page.cases][:2] == ["tampered", "cannot_tell"]
    assert (len(page.cases), page.more_cases, page.tone) == (10, True, "bad")


def test_a_finding_that_only_cannot_be_told_is_a_doubt(verified: Database) -> None:
    OpenFinding.objects.create(ledger="*", verdict="cannot_tell", reason="late", found_at=datetime.now(UTC))
    assert overview(administrator()).tone == "doubt"


def test_late_verification_is_said(verified: Database) -> None:
    sam = administrator()
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=21)):
        (doubt,) = overview(sam).doubts
    assert doubt.startswith("Verification is late: the last one ended 20")


def test_a_ledger_that_was_not_verified_is_named(verified: Database) -> None:
    from signing.services import open_ledger  # noqa: PLC0415 -- one test of many opens one

    open_ledger(name="shop", **WHO)
    (doubt,) = overview(administrator()).doubts
    assert doubt == "Never verified yet: shop."


def test_what_a_run_cannot_tell_is_said(verified: Database) -> None:
    with override_settings(AUDITLOG_TRUST_FILE=""):
        watch.run(watch.WHOLE)
    assert any("something cannot be told: " in doubt for doubt in overview(administrator()).doubts)


def test_a_notice_that_does_not_arrive_is_said(verified: Database) -> None:
    finding = OpenFinding.objects.create(ledger="*", verdict="cannot_tell", reason="?", found_at=datetime.now(UTC))
    notices.announce([finding])
    sam = administrator()
    assert overview(sam).doubts == []
    Delivery.objects.update(attempts=1, last_error="ConnectionRefusedError")
    assert overview(sam).doubts == ["1 notices did not arrive so far: see Notices."]


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [("AUDITLOG_ANCHOR_DIR", "", "leaves the database"), ("AUDITLOG_NOTICE_EMAILS", [], "Nobody is told")],
)
def test_a_setting_that_leaves_a_gap_is_said(verified: Database, setting: str, value: Any, words: str) -> None:
    sam = administrator()
    with override_settings(**{setting: value}):
        (doubt,) = overview(sam).doubts
    assert words in doubt


def test_missing_keys_are_said(verified: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    sam = administrator()
    verified.superuser().execute("ALTER TABLE signing_keys DISABLE TRIGGER ALL")
    verified.superuser().execute("UPDATE signing_keys SET state = 'retired'")
    assert not SigningKey.objects.filter(state="active").exists()
    assert [doubt.split(":")[0] for doubt in overview(sam).doubts] == [
        "There is no active entry key",
        "There is no active checkpoint key",
    ]


def test_api_keys_that_end_soon_are_named(verified: Database) -> None:
    sam = administrator()
    for name, days in (("soon", 9), ("late", 90)):
        authority.create_api_key(
            name=name, scopes=["logs:write"], ledger="activity", source="s",
            expires_at=datetime.now(UTC) + timedelta(days=days), **WHO,
        )  # fmt: skip
    assert [key.name for key in overview(sam).ending_api_keys] == ["soon"]
    with time_machine.travel(datetime.now(UTC) + timedelta(days=10)):
        assert "soon (" in text_of(superuser().get(START))
        assert "expired" in text_of(superuser("other").get(START))
    authority.revoke_api_key(prefix=ApiKey.objects.get(name="soon").prefix, **WHO)
    assert overview(sam).ending_api_keys == []


def test_a_reader_sees_ledgers_and_no_verdict_on_them(verified: Database) -> None:
    tamper(verified)
    watch.run(watch.WHOLE)
    said = text_of(administrator("rea", "reader", "activity").get(START))
    assert "activity" in said
    for words in ("tampered", "All is well", "columns differ", "Keys that sign"):
        assert words not in said
