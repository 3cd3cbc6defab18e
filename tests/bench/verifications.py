"""Whole-ledger verification against COPY … TO STDOUT of the same rows, piped through SHA-256.

Ours is LedgerCheck.run as `verify` runs it: every record hashed and compared with its leaf, every column with its
record, every tile with its tree. The peer is COPY as it is written without options (text form), its stream hashed: what
a dump with a checksum does. The ratio to COPY in binary form, half the bytes of the text form, is told beside.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection

from activity import processes
from activity.services import record_many
from activity.verification import LedgerCheck
from signing import anchors, trust
from signing.queries import ledger_named
from signing.verdicts import Verdict
from signing.verification import verify_keys
from tests.bench import clocks, events
from tests.bench.figures import Figure, Measurement, Scale, at_least, median_ratio
from tests.bench.policies import require_signatures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import LiteralString

    from tests.clusters import Database

_BATCH = 1_000
_LEDGER = "activity"


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Verify and copy the ledger in turns, first unsigned, then as many entries again signed."""
    require_signatures(required=False)
    _record(scale.verified_events)
    database.superuser().execute("VACUUM ANALYZE activity_logs")  # else the first reader pays for all
    verified, copied, copied_binary = [], [], []
    for _ in range(scale.rounds):
        verified.append(clocks.seconds(lambda: list(verify())))
        copied.append(clocks.seconds(lambda: _copy("COPY public.activity_logs TO STDOUT")))
        copied_binary.append(clocks.seconds(lambda: _copy("COPY public.activity_logs TO STDOUT (FORMAT BINARY)")))
    rows = scale.verified_events
    values = {
        "verify_unsigned_ratio": median_ratio(copied, verified),
        "verify_unsigned_ratio_to_binary_copy": median_ratio(copied_binary, verified),
        "verify_unsigned_per_second": rows / median(verified),
        "copy_sha256_per_second": rows / median(copied),
    }
    require_signatures(required=True)
    _record(scale.verified_events)
    values["verify_signed_per_second"] = rows / (clocks.seconds(lambda: list(verify())) - median(verified))
    return values


MEASUREMENT = Measurement(
    (
        Figure(
            "verify_unsigned_ratio", "verify without signatures ÷ COPY TO STDOUT through SHA-256 (rates)", at_least(0.5)
        ),
        Figure(
            "verify_unsigned_ratio_to_binary_copy", "verify without signatures ÷ binary COPY through SHA-256 (rates)"
        ),
        Figure("verify_unsigned_per_second", "verify, entries without signature, entries/s"),
        Figure("verify_signed_per_second", "verify, Ed25519 on every entry, entries/s"),
        Figure("copy_sha256_per_second", "COPY TO STDOUT through SHA-256, rows/s"),
    ),
    measure,
)


def verify() -> Iterator[int]:
    """Verify the activity ledger with pins and anchors, as `manage.py verify` does, yielding how many leaves are done.

    Raises RuntimeError on any finding, for then something else was measured.
    """
    pinned = trust.parse(Path(settings.AUDITLOG_TRUST_FILE).read_text())
    anchored = anchors.read_all(Path(settings.AUDITLOG_ANCHOR_DIR))
    check = LedgerCheck(ledger_named(_LEDGER), verify_keys(pinned, anchored), anchored, None)
    yield from check.run(processes=processes.available())
    if check.report.outcome != Verdict.VALID:
        raise RuntimeError(check.report.summary())


def _record(number: int) -> None:
    for _ in range(number // _BATCH):
        record_many(events.fresh(_BATCH))


def _copy(statement: LiteralString) -> None:
    digest = sha256()
    with connection.cursor() as cursor, cursor.copy(statement) as rows:
        for row in rows:
            digest.update(row)
