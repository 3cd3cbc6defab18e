"""Verification as command and schedule run it: keys first, then ledgers; every result is kept, every finding once.

    whole          from the first leaf; a finding that it does not show any more is marked as gone
    since_last     from where the last run without alarm ended; closes nothing

A finding stays one finding for as long as runs show it, so whoever is told, is told once (notices.py). That nothing
could be verified, or was not for too long, is a finding like any other.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from activity import notices, queries, services
from activity.models import OpenFinding, VerificationRun
from activity.report import Report
from activity.verification import CHECKS, FURTHER_CHECKS, LedgerCheck, entries_elsewhere, verify_log_types
from signing import anchors, statements, trust
from signing.models import Ledger
from signing.verdicts import ALARMS, Finding, Verdict
from signing.verification import KEYS_LEDGER, verify_keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from signing.anchors import Anchor
    from signing.checkpoint import NoteKey

    Progress = Callable[[LedgerCheck, int], None]

RECENT, WHOLE = "recent", "whole"
TOO_LATE = {RECENT: timedelta(minutes=20), WHOLE: timedelta(hours=26)}
_LOCKS = {RECENT: 0x61756401, WHOLE: 0x61756402}  # advisory locks of PostgreSQL; a dead worker's is free again
_LOG = logging.getLogger(__name__)


def verify(
    ledgers: Iterable[Ledger],
    *,
    pinned: Sequence[NoteKey],
    anchored: Sequence[Anchor],
    since_last: bool,
    processes: int = 1,
    progress: Progress | None = None,
) -> Iterator[Report]:
    """Verify the keys and then each ledger, keep each result, and give the reports in turn.

    Many leaves are shared among so many `processes`. `progress` is called after every chunk with the check and the
    number of leaves that are done.
    """
    started_at = datetime.now(UTC)
    base = verify_keys(pinned, anchored)
    keys = Report(KEYS_LEDGER, 0, base.size, base.root)
    keys.add(base.findings)
    if Ledger.objects.filter(name=KEYS_LEDGER).exists():
        services.record_verification(keys, started_at=started_at)
    yield keys
    for ledger in ledgers:
        if ledger.name == KEYS_LEDGER:
            continue
        kind = CHECKS.get(ledger.kind, LedgerCheck)
        check = kind(ledger, base, anchored, queries.last_verified(ledger) if since_last else None)
        for done in check.run(processes=processes):
            if progress is not None:
                progress(check, done)
        if ledger.name == queries.ACTIVITY_LEDGER:
            check.report.add(verify_log_types(base))
            check.report.add(entries_elsewhere())
        if ledger.kind == Ledger.Kind.ACTIVITY:
            for further in FURTHER_CHECKS:
                check.report.add(further(ledger, check.report.since == 0))
        services.record_verification(check.report, started_at=started_at)
        yield check.report


def run(kind: str) -> bool:
    """Verify everything as the schedule does, with pinned keys and anchors of the settings; False: one runs already."""
    with statements.alone(_LOCKS[kind]) as alone:
        if not alone:
            return False
        try:
            reports = list(
                verify(
                    Ledger.objects.order_by("pk"),
                    pinned=_pinned(),
                    anchored=_anchored(kind),
                    since_last=kind == RECENT,
                )
            )
        except Exception as error:
            _keep([_not_verified(kind, type(error).__name__)], closing=())
            raise
        found = [finding for report in reports for finding in report.findings if finding.verdict in ALARMS]
        closing = [report.ledger for report in reports] if kind == WHOLE else ()
        _keep(found, closing=closing, verified=kind)
        return True


def look_after() -> None:
    """Report what has not been verified for too long."""
    now = datetime.now(UTC)
    for kind, bound in TOO_LATE.items():
        runs = VerificationRun.objects.filter(**({"since": 0} if kind == WHOLE else {}))
        last = runs.order_by("-id").values_list("finished_at", flat=True).first()
        opened = Ledger.objects.order_by("created_at").values_list("created_at", flat=True).first()
        since = last or opened
        if since is not None and now - since > bound:
            _keep([_late(kind)], closing=())


def _late(kind: str) -> Finding:
    return Finding("*", None, Verdict.CANNOT_TELL, f"no {kind} verification has ended within {TOO_LATE[kind]}")


def _not_verified(kind: str, error: str) -> Finding:
    return Finding("*", None, Verdict.CANNOT_TELL, f"the {kind} verification could not be done: {error}")


@transaction.atomic
def _keep(found: Sequence[Finding], *, closing: Sequence[str], verified: str | None = None) -> None:
    """Open what is new, mark what is gone, and have notices of what is new sent."""
    now = datetime.now(UTC)
    by_print = {_fingerprint(finding): finding for finding in found}
    known = set(OpenFinding.objects.filter(gone_at=None).values_list("fingerprint", flat=True))
    new = [
        OpenFinding(
            fingerprint=fingerprint,
            ledger=finding.ledger,
            leaf_index=finding.leaf_index,
            verdict=finding.verdict,
            reason=finding.reason,
            found_at=now,
        )
        for fingerprint, finding in by_print.items()
        if fingerprint not in known
    ]
    gone = OpenFinding.objects.filter(gone_at=None, ledger__in=closing).exclude(fingerprint__in=by_print)
    gone.update(gone_at=now)
    if verified is not None:
        about = [f"the {verified} verification could not be done: ", f"no {verified} verification has ended "]
        for words in about:
            OpenFinding.objects.filter(gone_at=None, ledger="*", reason__startswith=words).update(gone_at=now)
    if new:
        notices.announce(OpenFinding.objects.bulk_create(new))
        for each in new:
            _LOG.error("verification: %s", each)


def _fingerprint(finding: Finding) -> str:
    said = f"{finding.ledger}\n{finding.leaf_index}\n{finding.verdict}\n{finding.reason}"
    return sha256(said.encode()).hexdigest()


def _pinned() -> list[NoteKey]:
    return trust.parse(Path(settings.AUDITLOG_TRUST_FILE).read_text()) if settings.AUDITLOG_TRUST_FILE else []


def _anchored(kind: str) -> list[Anchor]:
    read = anchors.read_all if kind == WHOLE else anchors.read_recent
    return read(Path(settings.AUDITLOG_ANCHOR_DIR)) if settings.AUDITLOG_ANCHOR_DIR else []
