"""A whole ledger as CSV and NDJSON, hashed, proved and signed, against copying it with psql.

Ours is an order and its making in a process of its own, from the start of that process to the stored container: entries
read and judged as `verify` does, two formats, the proof, the signature. The peer is PostgreSQL's own client writing the
columns that a row of ours shows, once, as CSV; not verdict and leaf hash, which an export finds out. Two workers are
two such processes on one order. What one worker made is then verified offline: the tool as whoever got the container
runs it, with the keys pinned, so that it says "all is right".

How much two workers can gain depends on what one leaves idle: PostgreSQL, and what the system does for files, are busy
beside a single worker already. So the processor time of the whole machine is told too, and the ratio that two workers
would reach if they shared all of it evenly and waited for nothing.
"""

from __future__ import annotations

if __name__ == "__main__":
    import django

    django.setup()

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.test import override_settings

from activity import authority
from activity.services import record_many
from auditlog_project.embedded.programs import postgres_programs
from auditlog_project.roles import AUDITOR
from exports import services
from exports.models import Export
from signing import export_keys
from signing.queries import jwks
from tests.bench import clocks, events
from tests.bench.figures import Figure, Measurement, Scale, at_most, median_ratio
from tests.bench.policies import require_signatures
from tests.clusters import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clusters import Database

_BATCH = 1_000
_ROUNDS = 3
_STAT = Path("/proc/stat")
_COLUMNS = (
    "leaf_index, id, occurred_at, recorded_at, type, action, actor, target, outcome, severity, source, ip, event_id, "
    "ledger_id, revision, convert_from(record, 'UTF8'), detached_data, key_id, signature"
)


def measure(database: Database, scale: Scale) -> dict[str, float]:
    """Export a tenth of the ledger, then in turns copy all of it with psql, and export it by one worker and by two."""
    require_signatures(required=False)
    for _ in range(scale.exported_events // _BATCH):
        record_many(events.fresh(_BATCH))
    database.superuser().execute("VACUUM ANALYZE activity_logs")
    with tempfile.TemporaryDirectory() as directory, _stored_in(directory):
        auditor = auditor_with_key()
        with _made(database, auditor, directory, leaf_to=scale.exported_events // 10) as made:
            small = made
        copied: list[float] = []
        verified: list[float] = []
        alone: list[_Made] = []
        together: list[_Made] = []
        for _ in range(_ROUNDS):
            copied.append(clocks.seconds(lambda: _copied(database, Path(directory))))
            with _made(database, auditor, directory) as made:
                alone.append(made)
                if not verified:
                    verified.append(clocks.seconds(lambda: _verified(database, Path(directory), alone[0].export)))
            with _made(database, auditor, directory, workers=2) as made:
                together.append(made)
    by_one, by_two = ([made.seconds for made in several] for several in (alone, together))
    shared = [made.processor_seconds / len(os.sched_getaffinity(0)) for made in together]
    return {
        "export_to_copy_ratio": median_ratio(by_one, copied),
        "export_memory_growth": max(made.peak_bytes for made in alone) / small.peak_bytes,
        "export_two_workers_ratio": median_ratio(by_two, by_one),
        "export_two_workers_least_ratio": median_ratio(shared, by_one),
        "export_one_worker_processors": median_ratio([made.processor_seconds for made in alone], by_one),
        "export_verify_ratio": verified[0] / by_one[0],
        "export_entries_per_second": scale.exported_events / median(by_one),
        "export_two_workers_entries_per_second": scale.exported_events / median(by_two),
        "export_peak_memory_mb": max(made.peak_bytes for made in alone) / 1e6,
        "psql_copy_rows_per_second": scale.exported_events / median(copied),
    }


MEASUREMENT = Measurement(
    (
        Figure("export_to_copy_ratio", "CSV and NDJSON of 1,000,000 entries, signed ÷ psql copy (time)", at_most(4)),
        Figure("export_memory_growth", "resident memory of that at 1,000,000 ÷ at 100,000 entries", at_most(1.2)),
        Figure("export_two_workers_ratio", "two workers ÷ one on that export (time)", at_most(0.6)),
        Figure(
            "export_two_workers_least_ratio", "the same, if two shared their processor time evenly and never waited"
        ),
        Figure("export_one_worker_processors", "processors that one worker and its PostgreSQL keep busy"),
        Figure("export_verify_ratio", "offline verification of that export ÷ making it (time)", at_most(1.5)),
        Figure("export_entries_per_second", "one worker on that export, entries/s"),
        Figure("export_two_workers_entries_per_second", "two workers on that export, entries/s"),
        Figure("export_peak_memory_mb", "resident memory of that worker, most, MB"),
        Figure("psql_copy_rows_per_second", "psql copy of the same columns as CSV, rows/s"),
    ),
    measure,
)


@contextmanager
def _stored_in(directory: str) -> Iterator[None]:
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": directory}}
    with override_settings(STORAGES={**settings.STORAGES, "exports": storage}, AUDITLOG_EXPORT_QUOTA_BYTES=1 << 50):
        yield


def auditor_with_key() -> User:
    """Return somebody who may export the ledger `activity`, and has a key for it."""
    auditor = User.objects.create_user("auditor")
    auditor.groups.add(Group.objects.get(name=AUDITOR))
    authority.grant_ledger(ledger="activity", to=auditor, by="bench", reason="bench")
    export_keys.certify(person="auditor", by="bench", reason="bench")
    return auditor


def _copied(database: Database, directory: Path) -> None:
    psql = postgres_programs() / "psql"
    file = directory / "copied.csv"
    copy = f"\\copy (SELECT {_COLUMNS} FROM activity_logs ORDER BY leaf_index) TO '{file}' (FORMAT csv, HEADER)"
    subprocess.run([psql, "-q", "-d", database.url(), "-c", copy], check=True)
    file.unlink()


class _Made(NamedTuple):
    """An export that is ready, how long it took, what the machine's processors did, and the most memory of a worker."""

    export: Export
    seconds: float
    processor_seconds: float
    peak_bytes: int


@contextmanager
def _made(
    database: Database, auditor: User, directory: str, *, leaf_to: int | None = None, workers: int = 1
) -> Iterator[_Made]:
    """Give an export that so many workers made, and remove its file: it would fill the disk of the next one."""
    filters = {} if leaf_to is None else {"leaf_to": str(leaf_to)}
    formats = [Export.Format.CSV, Export.Format.NDJSON]
    export = services.order(by=auditor, ledger="activity", filters=filters, formats=formats, purpose="bench").export
    environment = database.environment() | {"AUDITLOG_EXPORT_DIR": directory}
    command = [sys.executable, "-m", "tests.bench.exporting", str(export.pk)]
    started, busy_before = time.perf_counter(), _busy_seconds()
    children = [
        subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    told = [child.communicate()[0] for child in children]
    took, busy = time.perf_counter() - started, _busy_seconds() - busy_before
    export.refresh_from_db()
    if export.state != Export.State.READY:
        raise RuntimeError(f"the export is {export.state}: {export.failure}")
    yield _Made(export, took, busy, max(map(int, told)))
    services.expire(now=export.expires_at)


def _busy_seconds() -> float:
    """Return for how long the processors of this machine have worked since it started, added up."""
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts = map(int, _STAT.read_text().split()[1:8])
    return (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")


def _verified(database: Database, directory: Path, export: Export) -> None:
    """Verify an export as a stranger does who pinned its signer and the keys of the log; all must be right."""
    keys = directory / "jwks.json"
    keys.write_text(json.dumps(jwks()))
    pins = [export.signer_certificate_sha256, str(database.anchors / "trust.vkeys"), str(keys)]
    command = [sys.executable, "-m", "exports.verifier", str(directory / export.file)]
    command += [word for pin in pins for word in ("--trust", pin)]
    subprocess.run(command, cwd=PROJECT, stdout=subprocess.DEVNULL, check=True)


def main(export_id: str) -> None:
    """Work on an export, and say how much memory that took at most."""
    services.work(export=UUID(export_id))
    status = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM"))
    os.write(1, f"{int(peak) * 1024}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1])
