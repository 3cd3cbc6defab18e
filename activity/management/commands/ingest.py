"""`manage.py ingest FILE`: events of a file or of standard input into a ledger; run again, it goes on where it stopped.

What it prints: progress on standard error, the result on standard output. Exit 0 all recorded, 1 something was refused
(everything before its batch is recorded), 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.core.management.base import CommandError
from django.db import DatabaseError

from activity.errors import BadStreamError, BadUnitsError
from activity.formats import FORMATS
from activity.formats.options import MAPPABLE, Options, assignments
from activity.formats.reading import EventReader
from activity.formats.stream import EventStream
from activity.management.ingestion import Ingestion
from activity.models import ActivityLog
from activity.queries import ACTIVITY_LEDGER
from signing.errors import LedgerNotFoundError, SigningError
from signing.management.progress import ProgressLine
from signing.management.teaching import TeachingCommand
from signing.models import Ledger
from signing.queries import latest_checkpoint, ledger_named

_HELP = f"""
Record the events of a file: one JSON object a line, or CloudTrail's {{"Records": […]}}. Gzip is recognised.

Every batch is recorded whole or not at all. If anything stops the command (a bad line, Ctrl-C, a crash), run it again
with the same file and options: events that are in the ledger already are found by their event id and not recorded
twice. An event without an id gets one made from its line and all lines before it.

formats:
  own         our own JSON: type, action, actor, occurred_at, source, target, outcome, severity, ip, event_id, data
  cloudtrail  AWS CloudTrail
  windows     Windows events as flat JSON
  generic     any JSON objects; --map says where our fields are: {", ".join(MAPPABLE)}
  auto        the first event tells (generic, if there is a --map or --default)

examples:
  ./auditlog ingest samples/cloudtrail_sample.jsonl
  ./auditlog ingest security.jsonl.gz --format windows --dry-run
  zcat AWSLogs/*/CloudTrail/eu-central-1/2026/11/*/*.json.gz | ./auditlog ingest -
  ./auditlog ingest app.log --map type=event.kind --map actor=user.name --map occurred_at=ts --source shop-eu
"""
_SHOWN_FAULTS = 10
_DRY_RUN_FAULTS = 100
_INTERRUPTED = 130


class Command(TeachingCommand):
    help = _HELP

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", help="the file to read; - is standard input")
        parser.add_argument(
            "--format", choices=[*FORMATS, "auto"], default="auto", help="how events are written (auto)"
        )
        parser.add_argument("--ledger", default=ACTIVITY_LEDGER, help="name of the ledger to record in (activity)")
        parser.add_argument("--source", help="where the events come from, instead of what the format derives")
        parser.add_argument("--batch", type=int, default=1000, metavar="N", help="events a transaction (1000)")
        parser.add_argument(
            "--map", action="append", default=[], metavar="FIELD=PLACE", help="generic: user.name, roles.0"
        )
        parser.add_argument(
            "--default", action="append", default=[], metavar="FIELD=TEXT", help="generic: if PLACE is empty"
        )
        parser.add_argument("--dry-run", action="store_true", help="read, map and check everything, record nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        reader = _reader(options)
        if options["batch"] < 1:
            raise CommandError("--batch must be at least 1")
        _require_activity_ledger(options["ledger"])
        with _opened(options["file"]) as file:
            ingestion = Ingestion(EventStream(file), reader, ledger=options["ledger"], batch_size=options["batch"])
            if options["dry_run"]:
                self._check(ingestion, options["file"])
            else:
                self._ingest(ingestion, options["file"])

    def _ingest(self, ingestion: Ingestion, name: str) -> None:
        progress = ProgressLine(self.stderr)
        try:
            for _ in ingestion.batches():
                progress.show(_how_far(ingestion))
        except BadUnitsError as error:
            progress.end()
            raise CommandError("\n".join([*_fault_lines(error), _how_to_go_on(ingestion, error)])) from error
        except (BadStreamError, SigningError, DatabaseError) as error:
            progress.end()
            raise CommandError(f"{str(error).strip()}\n{_how_to_go_on(ingestion)}") from error
        except KeyboardInterrupt:
            progress.end()
            raise CommandError(f"Stopped.\n{_how_to_go_on(ingestion)}", returncode=_INTERRUPTED) from None
        progress.end()
        self._report(ingestion, name)

    def _report(self, ingestion: Ingestion, name: str) -> None:
        ledger = ledger_named(ingestion.ledger)
        signed = sum(
            ActivityLog.objects.filter(ledger=ledger, leaf_index__range=leaves, key__isnull=False).count()
            for leaves in ingestion.leaf_ranges
        )
        checkpoint = latest_checkpoint(ledger)
        self.stdout.write(f"{name} ({ingestion.reader.format_name or 'no events'}) → ledger {ledger.name}")
        self.stdout.write(f"  recorded       {ingestion.recorded:>12,}   of these signed {signed:,}")
        self.stdout.write(f"  already there  {ingestion.already_there:>12,}")
        self.stdout.write(f"  rate           {ingestion.per_second:>12,.0f}   events a second")
        self.stdout.write(f"checkpoint:\n{checkpoint.note if checkpoint else 'none yet'}")

    def _check(self, ingestion: Ingestion, name: str) -> None:
        good = bad = 0
        try:
            for fault in ingestion.faults(max_detached_bytes=settings.AUDITLOG_MAX_DETACHED_BYTES):
                if fault is None:
                    good += 1
                    continue
                bad += 1
                if bad <= _DRY_RUN_FAULTS:
                    self.stderr.write(f"{ingestion.stream.unit} {fault.number:,}, {fault.path}: {fault.reason}")
        except BadStreamError as error:
            raise CommandError(f"{error}; {good:,} events before are good, nothing was recorded") from error
        if bad:
            raise CommandError(f"{good:,} events are good, {bad:,} faults were found; nothing was recorded")
        form = ingestion.reader.format_name or "no events"
        self.stdout.write(f"{name} ({form}): all {good:,} events are good; nothing was recorded")


def _require_activity_ledger(name: str) -> None:
    try:
        ledger = ledger_named(name)
    except LedgerNotFoundError as error:
        raise CommandError(str(error)) from error
    if ledger.kind != Ledger.Kind.ACTIVITY:
        raise CommandError(f"the ledger {name!r} is written by the application alone")


def _reader(options: dict[str, Any]) -> EventReader:
    try:
        mapping, defaults = assignments(options["map"]), assignments(options["default"])
    except ValueError as error:
        raise CommandError(f"--map and --default: {error}") from error
    form = None if options["format"] == "auto" else options["format"]
    if mapping or defaults:
        if form not in (None, "generic"):
            raise CommandError("--map and --default are for --format generic")
        form = "generic"
    return EventReader(format_name=form, options=Options(options["source"], mapping, defaults))


@contextmanager
def _opened(name: str) -> Iterator[BufferedReader]:
    if name == "-":
        yield cast("BufferedReader", sys.stdin.buffer)
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115 only opening may fail like this, not what is done with the file
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror}") from error
    with file:
        yield file


def _fault_lines(error: BadUnitsError) -> list[str]:
    lines = [f"{error.unit} {fault.number:,}, {fault.path}: {fault.reason}" for fault in error.faults[:_SHOWN_FAULTS]]
    if len(error.faults) > _SHOWN_FAULTS:
        lines.append(f"and {len(error.faults) - _SHOWN_FAULTS:,} faults more in this batch")
    return lines


def _how_to_go_on(ingestion: Ingestion, error: BadUnitsError | None = None) -> str:
    unit = ingestion.stream.unit
    recorded = (
        f"{unit.capitalize()}s 1 to {ingestion.through:,} are recorded; "
        if ingestion.through
        else "Nothing is recorded yet; "
    )
    if error is None:
        return f"{recorded}run the same command again with the whole file: nothing is recorded twice."
    if error.conflict:
        return (
            f"{recorded}the events above were recorded before with other content: was the file changed, or is it "
            "mapped otherwise than then? What is recorded stays as it is."
        )
    return f"{recorded}fix {unit} {error.faults[0].number:,} and run the same command again: nothing is recorded twice."


def _how_far(ingestion: Ingestion) -> str:
    events = ingestion.recorded + ingestion.already_there
    return f"{events:,} events, {ingestion.per_second:,.0f}/s, {ingestion.stream.unit} {ingestion.through:,}"
