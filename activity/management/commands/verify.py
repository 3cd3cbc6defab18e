"""manage.py verify: tells whether the ledgers are what they were when they were signed."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentTypeError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from activity import processes, watch
from activity.report import Report
from activity.verification import LedgerCheck
from signing import anchors, trust
from signing.errors import BadCheckpointError, BadKeyError, LedgerNotFoundError
from signing.management.progress import ProgressLine
from signing.models import Ledger
from signing.queries import ledger_named
from signing.verdicts import Verdict, outcome

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Sequence

    from signing.anchors import Anchor
    from signing.checkpoint import NoteKey

EXIT = {Verdict.VALID: 0, Verdict.TAMPERED: 1, Verdict.CANNOT_TELL: 2}
_MAX_PROCESSES = 64
_SHOWN = 20  # findings a ledger on the terminal; --json has all that were kept


class Command(BaseCommand):
    """Reads every leaf, compares, names the first bad one; exit 0 valid, 1 tampered, 2 cannot tell."""

    help = (
        "Verify the ledgers: every entry against its record, its signature and its place in the Merkle tree; the "
        "tree against signed checkpoints and anchors outside the database; keys and log types against their records. "
        "Exit code 0: valid (clean, pinned and anchored), 1: tampered, 2: cannot tell. "
        "Example: ./auditlog verify --ledger activity --anchor /mnt/worm/anchors --trust trust.vkeys"
    )

    # Also where the master key is lost: only HMAC needs it.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which ledger, from where, against what."""
        parser.add_argument("--ledger", metavar="NAME", help="one ledger; without it, all of them")
        parser.add_argument(
            "--since-last",
            action="store_true",
            help="read only the newest checkpoints and anchors, and the leaves since the last run that raised no "
            "alarm; the tree below must still be the same",
        )
        parser.add_argument(
            "--anchor", metavar="FILE", type=Path, help="a checkpoint file or a directory of them (AUDITLOG_ANCHOR_DIR)"
        )
        parser.add_argument(
            "--trust", metavar="FILE", type=Path, help="pinned checkpoint keys, one vkey a line (AUDITLOG_TRUST_FILE)"
        )
        parser.add_argument(
            "--processes",
            metavar="N",
            type=_number,
            default=processes.available(),
            help="processes that share many leaves among them; as many as there are processors unless said",
        )
        parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify keys first, for entries are judged by them."""
        del args
        pinned = _pinned(options["trust"])
        anchored = _anchored(options["anchor"], recent=options["since_last"])
        try:
            chosen = [ledger_named(options["ledger"])] if options["ledger"] else list(Ledger.objects.order_by("pk"))
        except LedgerNotFoundError as error:
            raise CommandError(str(error), returncode=2) from error
        try:
            reports = list(
                watch.verify(
                    chosen,
                    pinned=pinned,
                    anchored=anchored,
                    since_last=options["since_last"],
                    processes=options["processes"],
                    progress=None if options["json"] or not self.stderr.isatty() else self._progress(),
                )
            )
        except BrokenProcessPool as error:
            reason = "a process of the verification was killed, perhaps for its memory; --processes 1 needs the least"
            raise CommandError(reason, returncode=2) from error
        verdict = outcome(report.outcome for report in reports)
        if options["json"]:
            self.stdout.write(json.dumps({"outcome": verdict, "ledgers": [report.as_json() for report in reports]}))
        else:
            self._show(reports, verdict)
        sys.exit(EXIT[verdict])

    def _progress(self) -> Callable[[LedgerCheck, int], None]:
        line, started = ProgressLine(self.stderr), time.monotonic()

        def show(check: LedgerCheck, done: int) -> None:
            nonlocal started
            report = check.report
            rate = (done - report.since) / max(time.monotonic() - started, 1e-9)
            line.show(f"{report.ledger}: {done:,} of {report.size:,} leaves, {rate:,.0f}/s")
            if done == report.size:
                line.end()
                started = time.monotonic()

        return show

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


def _number(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_PROCESSES:
        raise ArgumentTypeError(f"a number from 1 to {_MAX_PROCESSES}, not {text}")
    return int(text)


def _pinned(path: Path | None) -> list[NoteKey]:
    file = path or (Path(settings.AUDITLOG_TRUST_FILE) if settings.AUDITLOG_TRUST_FILE else None)
    if file is None:
        return []
    try:
        return trust.parse(file.read_text())
    except (OSError, UnicodeDecodeError, BadKeyError) as error:
        raise CommandError(f"the trust file {file} cannot be used: {error}", returncode=2) from error


def _anchored(path: Path | None, *, recent: bool) -> list[Anchor]:
    place = path or (Path(settings.AUDITLOG_ANCHOR_DIR) if settings.AUDITLOG_ANCHOR_DIR else None)
    if place is None:
        return []
    try:
        return anchors.read_recent(place) if recent else anchors.read_all(place)
    except (OSError, BadCheckpointError) as error:
        raise CommandError(f"the anchors in {place} cannot be used: {error}", returncode=2) from error
