"""Files of any kind in, reports out: containers one by one, loose files together."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from exports.container import is_container
from exports.verifier.loose import check_loose
from exports.verifier.packed import check_container
from exports.verifier.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exports.verifier.pins import Pins


def check_files(given: Sequence[tuple[IO[bytes], str]], pins: Pins) -> list[Report]:
    """Return a report for each container, and one for all other files together. Files can be sought."""
    reports = []
    loose = []
    for source, shown in given:
        source.seek(0)
        if is_container(source.read(4)):
            reports.append(Report(shown))
            check_container(source, reports[-1], pins)
        else:
            loose.append((source, shown))
    if loose:
        reports.append(Report(", ".join(shown for _, shown in loose)))
        check_loose(loose, reports[-1], pins)
    return reports
