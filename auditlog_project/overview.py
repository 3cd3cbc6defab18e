"""What the start page of the admin says, worst first: findings, open steps, verifications, keys. Only reads.

    bad      something is open that a verification found
    doubt    nothing bad is known, and something that one would need to be calm is not there
    good     every ledger was verified lately, nothing is open, keys are there

Each part is made for whoever may see it: one who may not gets neither the part nor its doubts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import F, Q
from django.urls import reverse

from activity import access, notices, queries, watch
from activity.models import ApiKey, Delivery, Notice, OpenFinding, VerificationRun
from locking.waiting import OpenStep, open_steps
from signing.models import Ledger, SigningKey
from signing.queries import latest_checkpoint
from signing.verdicts import ALARMS, Verdict

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

FINDINGS = 10  # that the page shows in full
SOON = timedelta(days=30)
_NOTICES = 5  # of one finding


@dataclass(frozen=True, slots=True)
class OpenCase:
    """An open finding, to whom it was told, and the address of its entry for whoever may read it."""

    finding: OpenFinding
    told: list[str]
    entry: str | None

    @property
    def verdict(self) -> Verdict:
        """Return the verdict with its words."""
        return Verdict(self.finding.verdict)


@dataclass(frozen=True, slots=True)
class LedgerState:
    """Where a ledger stands; runs are None where there was none, or for whoever may not see them."""

    ledger: Ledger
    size: int
    signed_size: int | None
    signed_at: datetime | None
    last: VerificationRun | None
    whole: VerificationRun | None

    @property
    def verdict(self) -> Verdict | None:
        """Return what the last verification said."""
        return None if self.last is None else Verdict(self.last.outcome)

    @property
    def is_late(self) -> bool:
        """Tell whether the last verification is too long ago."""
        return self.last is not None and datetime.now(UTC) - self.last.finished_at > watch.TOO_LATE[watch.RECENT]


@dataclass(slots=True)
class Overview:
    """The start page. `doubts` are whole sentences."""

    ledgers: list[LedgerState] = field(default_factory=list)
    cases: list[OpenCase] = field(default_factory=list)
    more_cases: bool = False
    doubts: list[str] = field(default_factory=list)
    steps: list[OpenStep] = field(default_factory=list)
    active_keys: list[SigningKey] = field(default_factory=list)
    ending_api_keys: list[ApiKey] = field(default_factory=list)
    sees_runs: bool = False
    sees_keys: bool = False

    @property
    def tone(self) -> str:
        """Return `bad`, `doubt` or `good`."""
        if any(case.finding.verdict in ALARMS for case in self.cases):
            return "bad"
        return "doubt" if self.cases or self.doubts or self.never_verified else "good"

    @property
    def never_verified(self) -> bool:
        """Tell whether no verification has ended yet."""
        return self.sees_runs and not any(state.last for state in self.ledgers)


def of(user: User | AnonymousUser) -> Overview:
    """Return the start page of a user."""
    page = Overview(sees_runs=_sees(user, "activity.view_verificationrun", "activity.view_openfinding"))
    page.sees_keys = _sees(user, "signing.view_signingkey")
    if _sees(user, "signing.view_ledger"):
        page.ledgers = [_state(ledger, sees_runs=page.sees_runs) for ledger in Ledger.objects.select_related("head")]
    if page.sees_runs:
        _add_findings(page, user)
        page.doubts += _doubts_of_runs(page.ledgers) + _doubts_of_settings() + _doubts_of_deliveries()
    if page.sees_keys:
        page.active_keys = list(SigningKey.objects.filter(state=SigningKey.State.ACTIVE).defer("sealed_private_key"))
        page.doubts += _doubts_of_keys(page.active_keys)
    page.steps = open_steps(user)
    if _sees(user, "activity.view_apikey"):
        page.ending_api_keys = _ending_api_keys()
    return page


def _sees(user: User | AnonymousUser, *permissions: str) -> bool:
    return all(map(user.has_perm, permissions))


def _state(ledger: Ledger, *, sees_runs: bool) -> LedgerState:
    newest = latest_checkpoint(ledger)
    return LedgerState(
        ledger,
        ledger.head.size,
        None if newest is None else newest.size,
        None if newest is None else newest.signed_at,
        queries.last_run(ledger) if sees_runs else None,
        queries.last_run(ledger, whole=True) if sees_runs else None,
    )


def _add_findings(page: Overview, user: User | AnonymousUser) -> None:
    alarms = Q(verdict__in=ALARMS)
    found = list(queries.open_findings().filter(alarms)[: FINDINGS + 1])
    found += queries.open_findings().exclude(alarms)[: FINDINGS + 1 - len(found)]
    page.more_cases = len(found) > FINDINGS
    readable = access.of_user(user).readable
    page.cases = [_case(finding, readable) for finding in found[:FINDINGS]]


def _case(finding: OpenFinding, readable: frozenset[str]) -> OpenCase:
    newest = Notice.objects.filter(findings=finding).values_list("pk", flat=True)[:_NOTICES]
    deliveries = Delivery.objects.filter(notice__in=list(newest)).order_by("pk")
    told = [f"{notices.receiver(delivery)}: {notices.state(delivery)}" for delivery in deliveries]
    entry = queries.entry_at(finding.ledger, finding.leaf_index) if finding.ledger in readable else None
    return OpenCase(finding, told, reverse("admin:activity_activitylog_change", args=[entry]) if entry else None)


def _doubts_of_runs(ledgers: list[LedgerState]) -> list[str]:
    said = []
    never = [state.ledger.name for state in ledgers if state.last is None]
    if never and len(never) < len(ledgers):
        said.append(f"Never verified yet: {', '.join(never)}.")
    late = [state for state in ledgers if state.is_late]
    if late:
        since = min(state.last.finished_at for state in late if state.last is not None)
        said.append(f"Verification is late: the last one ended {since:%Y-%m-%d %H:%M} UTC. Do worker and beat run?")
    for state in ledgers:
        if state.last is not None and state.last.outcome == VerificationRun.Outcome.CANNOT_TELL:
            reasons = sorted({finding["reason"] for finding in state.last.findings})[:3]
            said.append(f"Of {state.ledger} something cannot be told: {'; '.join(reasons)}.")
    return said


def _doubts_of_settings() -> list[str]:
    said = []
    if not settings.AUDITLOG_ANCHOR_DIR:
        said.append(
            "No copy of a checkpoint leaves the database (AUDITLOG_ANCHOR_DIR), so nobody can rule out that all of "
            "it was set back."
        )
    if not notices.receivers():
        said.append(
            "Nobody is told when a verification finds something: AUDITLOG_NOTICE_EMAILS and AUDITLOG_NOTICE_WEBHOOKS "
            "are empty."
        )
    return said


def _doubts_of_deliveries() -> list[str]:
    waiting = Delivery.objects.filter(delivered_at=None, attempts__gt=0).count()
    return [f"{waiting:,} notices did not arrive so far: see Notices."] if waiting else []


def _doubts_of_keys(active: list[SigningKey]) -> list[str]:
    there = {key.purpose for key in active}
    wanted = {
        SigningKey.Purpose.ENTRY: "There is no active entry key: events whose type requires a signature are refused.",
        SigningKey.Purpose.CHECKPOINT: "There is no active checkpoint key: nothing that is recorded gets signed.",
    }
    return [sentence for purpose, sentence in wanted.items() if purpose not in there]


def _ending_api_keys() -> list[ApiKey]:
    """Return the API keys in use that expire soon, or did lately, the first first."""
    now = datetime.now(UTC)
    near = Q(expires_at__lt=now + SOON, expires_at__gt=now - SOON)
    return list(ApiKey.objects.filter(near, revoked_at=None).order_by(F("expires_at").asc()))


def context(user: User | AnonymousUser) -> dict[str, Any]:
    """Return what the template of the start page shows."""
    return {"overview": of(user), "now": datetime.now(UTC)}
