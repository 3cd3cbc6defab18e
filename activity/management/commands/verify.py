"""manage.py verify: tells whether the ledgers are what they were when they were signed."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from activity import queries, services
from activity.verification import LedgerCheck, Report, entries_elsewhere, verify_log_types
from signing import anchors, trust
from signing.errors import BadCheckpointError, BadKeyError, LedgerNotFoundError
from signing.models import Ledger
from signing.queries import ledger_named
from signing.verdicts import Verdict, outcome
from signing.verification import KEYS_LEDGER, verify_keys

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

    from signing.anchors import Anchor
    from signing.checkpoint import NoteKey
    from signing.verification import Trust

EXIT = {Verdict.VALID: 0, Verdict.TAMPERED: 1, Verdict.CANNOT_TELL: 2}
_SHOWN = 20  # findings a ledger on the terminal; --json has all that were kept
_PROGRESS_SECONDS = 0.5


class Command(BaseCommand):
    """Reads every leaf, compares, names the first bad one; exit 0 valid, 1 tampered, 2 cannot tell."""

    help = (
        "Verify the ledgers: every entry against its record, its signature and its place in the Merkle tree; the "
        "tree against signed checkpoints and anchors outside the database; keys and log types against their records. "
        "Exit code 0: valid (clean, pinned and anchored), 1: tampered, 2: cannot tell. "
        "Example: ./auditlog verify --ledger activity --anchor /mnt/worm/anchors --trust trust.vkeys"
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which ledger, from where, against what."""
        parser.add_argument("--ledger", metavar="NAME", help="one ledger; without it, all of them")
        parser.add_argument(
            "--since-last",
            action="store_true",
            help="read only the leaves since the last run that raised no alarm; the tree below must still be the same",
        )
        parser.add_argument(
            "--anchor", metavar="FILE", type=Path, help="a checkpoint file or a directory of them (AUDITLOG_ANCHOR_DIR)"
        )
        parser.add_argument(
            "--trust", metavar="FILE", type=Path, help="pinned checkpoint keys, one vkey a line (AUDITLOG_TRUST_FILE)"
        )
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify keys first, for entries are judged by them."""
        del args
        pinned = _pinned(options["trust"])
        anchored = _anchored(options["anchor"])
        try:
            chosen = [ledger_named(options["ledger"])] if options["ledger"] else list(Ledger.objects.order_by("pk"))
        except LedgerNotFoundError as error:
            raise CommandError(str(error), returncode=2) from error
        started_at = datetime.now(UTC)
        base = verify_keys(pinned, anchored)
        reports = [_keys_report(base)]
        for ledger in chosen:
            if ledger.name != KEYS_LEDGER:
                report = self._verify(ledger, base, anchored, options)
                reports.append(report)
                services.record_verification(report, started_at=started_at)
        verdict = outcome(report.outcome for report in reports)
        if options["json"]:
            self.stdout.write(json.dumps({"outcome": verdict, "ledgers": [report.as_json() for report in reports]}))
        else:
            self._show(reports, verdict)
        sys.exit(EXIT[verdict])

    def _verify(self, ledger: Ledger, base: Trust, anchored: Sequence[Anchor], options: dict[str, Any]) -> Report:
        last = queries.last_verified(ledger) if options["since_last"] else None
        check = LedgerCheck(ledger, base, anchored, last)
        started = shown_at = time.monotonic()
        for done in check.run():
            now = time.monotonic()
            if self.stderr.isatty() and not options["json"] and now - shown_at > _PROGRESS_SECONDS:
                shown_at = now
                rate = (done - check.report.since) / (now - started)
                self.stderr.write(
                    f"\r{ledger.name}: {done:,} of {check.report.size:,} leaves, {rate:,.0f}/s ", ending=""
                )
        if shown_at != started:
            self.stderr.write("\r\x1b[K", ending="")
        if ledger.name == queries.ACTIVITY_LEDGER:
            check.report.add(verify_log_types(base))
            check.report.add(entries_elsewhere())
        return check.report

    def _show(self, reports: Sequence[Report], verdict: Verdict) -> None:
        for report in reports:
            self.stdout.write(f"{report.ledger}: {report.summary()}")
            for finding in report.findings[:_SHOWN]:
                self.stdout.write(f"  {finding}")
            if sum(report.count.values()) > _SHOWN:
                self.stdout.write(f"  … {sum(report.count.values()):,} findings in all; --json lists up to 1,000")
        first = next(((r.ledger, r.first_bad_leaf) for r in reports if r.first_bad_leaf is not None), None)
        if verdict == Verdict.TAMPERED and first is not None:
            self.stdout.write(f"First bad leaf: {first[0]} {first[1]}")
        style = self.style.SUCCESS if verdict == Verdict.VALID else self.style.ERROR
        self.stdout.write(style(f"Outcome: {verdict}"))


def _keys_report(base: Trust) -> Report:
    report = Report(KEYS_LEDGER, 0, base.size, base.root)
    report.add(base.findings)
    return report


def _pinned(path: Path | None) -> list[NoteKey]:
    file = path or (Path(settings.AUDITLOG_TRUST_FILE) if settings.AUDITLOG_TRUST_FILE else None)
    if file is None:
        return []
    try:
        return trust.parse(file.read_text())
    except (OSError, UnicodeDecodeError, BadKeyError) as error:
        raise CommandError(f"the trust file {file} cannot be used: {error}", returncode=2) from error


def _anchored(path: Path | None) -> list[Anchor]:
    place = path or (Path(settings.AUDITLOG_ANCHOR_DIR) if settings.AUDITLOG_ANCHOR_DIR else None)
    if place is None:
        return []
    try:
        return anchors.read_all(place)
    except (OSError, BadCheckpointError) as error:
        raise CommandError(f"the anchors in {place} cannot be used: {error}", returncode=2) from error
