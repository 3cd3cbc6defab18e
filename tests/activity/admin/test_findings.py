"""Verification in the admin: runs, findings, and who was told what."""

from datetime import UTC, datetime

import pytest
from django.test import Client, override_settings

from activity import notices, services
from activity.models import ActivityLog, Delivery, Notice, OpenFinding, VerificationRun
from activity.report import Report
from signing.verdicts import Finding, Verdict
from tests.administrators import administrator, text_of

pytestmark = pytest.mark.django_db

RUNS, FINDINGS, NOTICES = (f"/admin/activity/{name}/" for name in ("verificationrun", "openfinding", "notice"))
REASON = "columns differ from the record: actor"


@pytest.fixture
def ann() -> Client:
    return administrator("ann", "auditor", "activity")


def run(*findings: Finding, since: int = 0) -> VerificationRun:
    report = Report("activity", since, 7, b"\x07" * 32)
    report.add(findings)
    return services.record_verification(report, started_at=datetime.now(UTC))


def found(leaf: int | None = 0, ledger: str = "activity") -> OpenFinding:
    return OpenFinding.objects.create(
        fingerprint=f"{ledger}{leaf}", ledger=ledger, leaf_index=leaf, verdict="tampered", reason=REASON,
        found_at=datetime.now(UTC),
    )  # fmt: skip


def test_runs_are_listed_with_outcome_and_number_of_findings(ann: Client) -> None:
    run()
    run(Finding("activity", 3, Verdict.TAMPERED, REASON), Finding("activity", 4, Verdict.TAMPERED, REASON), since=2)
    last, first = ann.get(RUNS).context["cl"].result_list
    assert (last.outcome, last.number, first.outcome, first.number) == ("tampered", 2, "valid", 0)
    assert [one.pk for one in ann.get(f"{RUNS}?outcome__exact=tampered").context["cl"].result_list] == [last.pk]


def test_a_run_says_what_it_found(ann: Client) -> None:
    said = text_of(ann.get(f"{RUNS}{run(Finding('activity', 3, Verdict.TAMPERED, REASON)).pk}/change/"))
    assert f"activity, leaf 3 tampered: {REASON}" in said
    assert "07" * 32 in said
    assert "Nothing is amiss" in text_of(ann.get(f"{RUNS}{run().pk}/change/"))


def test_a_finding_leads_to_its_entry_for_whoever_may_read_it(ann: Client) -> None:
    finding = found()
    entry = ActivityLog.objects.get(ledger__name="activity", leaf_index=0)
    (link,) = ann.get(f"{FINDINGS}{finding.pk}/change/").context["links"]
    assert link.address == f"/admin/activity/activitylog/{entry.pk}/change/"
    assert ann.get(link.address).status_code == 200
    sam = administrator("sam")
    response = sam.get(f"{FINDINGS}{finding.pk}/change/")
    assert REASON in text_of(response), "he sees what is wrong, and not the entry"
    assert response.context["links"] == []


def test_of_a_missing_entry_there_is_no_link(ann: Client) -> None:
    for finding in (found(10**6), found(None), found(None, "*")):
        assert ann.get(f"{FINDINGS}{finding.pk}/change/").context["links"] == []


def test_findings_are_filtered_by_whether_they_are_open(ann: Client) -> None:
    still = found(1)
    gone = found(2)
    OpenFinding.objects.filter(pk=gone.pk).update(gone_at=datetime.now(UTC))
    assert [one.pk for one in ann.get(FINDINGS).context["cl"].result_list] == [gone.pk, still.pk]
    assert [one.pk for one in ann.get(f"{FINDINGS}?state=open").context["cl"].result_list] == [still.pk]


@override_settings(AUDITLOG_NOTICE_EMAILS=["ada@example.org"], AUDITLOG_NOTICE_WEBHOOKS=["https://x.example/s3cret"])
def test_who_was_told_is_said_and_the_path_of_a_webhook_is_not(ann: Client) -> None:
    finding = found()
    notices.announce([finding])
    Delivery.objects.filter(kind="email").update(delivered_at=datetime.now(UTC), attempts=1)
    Delivery.objects.filter(kind="webhook").update(attempts=2, last_error="HTTPError 500")
    notice = Notice.objects.get()
    for address in (f"{FINDINGS}{finding.pk}/change/", f"{NOTICES}{notice.pk}/change/"):
        response = ann.get(address)
        said = text_of(response)
        assert "ada@example.org told 20" in said
        assert "webhook at x.example waits until" in said
        assert "2 attempts, the last one: HTTPError 500" in said
        assert "s3cret" not in response.content.decode()
    assert "1 of 2" in text_of(ann.get(NOTICES))
    Delivery.objects.filter(kind="webhook").update(attempts=notices.ATTEMPTS)
    assert "given up" in text_of(ann.get(f"{NOTICES}{notice.pk}/change/"))


def test_that_nobody_was_told_is_said(ann: Client) -> None:
    finding = found()
    notices.announce([finding])
    assert "No receiver was configured" in text_of(ann.get(f"{FINDINGS}{finding.pk}/change/"))


def test_pages_follow_each_other_without_a_gap(ann: Client) -> None:
    made = [found(leaf).pk for leaf in range(120)]
    seen: list[int] = []
    address = FINDINGS
    while address:
        changes = ann.get(address).context["cl"]
        seen += [one.pk for one in changes.result_list]
        address = FINDINGS + changes.next_page if changes.next_page else ""
    assert seen == made[::-1]


@pytest.mark.parametrize("after", ["x", "-1", "1" * 19, "²"])
def test_a_page_that_no_list_leads_to_is_the_first(ann: Client, after: str) -> None:
    response = ann.get(f"{FINDINGS}?after={after}", follow=True)
    assert response.redirect_chain[0][0].endswith("?e=1")


def test_a_reader_sees_none_of_it() -> None:
    client = administrator("rea", "reader", "activity")
    assert [client.get(address).status_code for address in (RUNS, FINDINGS, NOTICES)] == [403] * 3
