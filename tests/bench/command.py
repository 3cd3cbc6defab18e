"""The command line of the bench: which figures, measured how, printed how. __main__.py has set Django up before."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.core.management import call_command
from django.db import connections

from tests.bench import events
from tests.bench.figures import FULL, QUICK, chosen, judged
from tests.bench.peers import models
from tests.bench.registry import MEASUREMENTS
from tests.bench.settings import PEER_TABLES
from tests.clusters import EMBEDDED, Clusters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.figures import Measurement
    from tests.clusters import Database


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        measurements = chosen(MEASUREMENTS, options.names)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        for figure in (figure for measurement in measurements for figure in measurement.figures):
            _say(f"{figure.name:42}{figure.bound or ''!s:>8}  {figure.what}")
        return 0
    told = list(_measured(measurements, options.names, quick=options.quick))
    if options.json:
        _say(json.dumps(told))
    else:
        _show(told, quick=options.quick)
    return 1 if not options.quick and any(figure["holds"] is False for figure in told) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="auditlog bench", description="Measure docs/performance.md here.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures to measure; without any, all of them")
    parser.add_argument("--json", action="store_true", help="one JSON array on standard output")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, a few minutes; judges nothing")
    parser.add_argument("--list", action="store_true", help="the names, their bounds and what they say")
    return parser


def _measured(measurements: Sequence[Measurement], names: Sequence[str], *, quick: bool) -> Iterator[dict[str, Any]]:
    if events.source_file() != events.WINDOWS:
        _progress(f"{events.WINDOWS} is not there; measuring with {events.SAMPLE.name} instead")
    with Clusters() as clusters:
        for measurement in measurements:
            if measurement.full_only and quick:
                left_out = [figure.name for figure in measurement.figures if not names or figure.name in names]
                _progress(f"left out by --quick: {', '.join(left_out)}")
                continue
            _progress(f"measuring {', '.join(figure.name for figure in measurement.figures)}")
            with clusters[EMBEDDED].clone() as database, database.as_django_databases():
                _add_peers(database)
                values = measurement.measure(database, QUICK if quick else FULL)
            yield from judged(measurement, values, names)


def _add_peers(database: Database) -> None:
    """Make the tables of django-auditlog and of the peers, and let the runtime role use them."""
    call_command("migrate", "auditlog", database="owner", verbosity=0)
    with connections["owner"].schema_editor() as editor:
        for model in (models.PlainEntry, models.BareEntry, models.AuditedEvent):
            editor.create_model(model)
    database.owner().execute(f"GRANT SELECT, INSERT ON {', '.join(PEER_TABLES)} TO auditlog_app")


def _show(told: Sequence[dict[str, Any]], *, quick: bool) -> None:
    words = {True: "holds", False: "DOES NOT HOLD", None: ""}
    _say(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}")
    for figure in told:
        bound = " ".join(f"{kind.replace('_', ' ')} {number:g}" for kind, number in (figure["bound"] or {}).items())
        _say(f"{figure['name']:42}{figure['value']:>12,.4g}  {bound:14}{words[figure['holds']]}".rstrip())
    if quick:
        _say("--quick: small sizes, nothing is judged")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 what the command is for


def _progress(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)  # noqa: T201 progress
