"""Archiving accesses: the only remover of meta logs. A signed export takes the place of their rows.

    1. the file is one that the verifier finds right, with the keys of this installation
    2. this installation exported it: a row of `exports` has its SHA-256
    3. it has every leaf from the end of the last archive on, none as a hash only
    4. the rows that are here are leaves of the tree that it was exported from, with the right columns, and its records
    5. the youngest of them is older than AUDITLOG_META_RETENTION_DAYS
    6. a signed tombstone becomes a leaf of the same ledger, and its archive says which leaves: one transaction
    7. the tombstone is under a signed checkpoint, and anchored
    8. the rows are removed, CHUNK leaves a transaction

After a crash in 6 nothing has happened; after one in 7 or 8, `archive_of` finds the archive and `remove` goes on. Rows
that are still there are as good as ever. The database lets nobody but the owner do 6 and 8, and only in this order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import file_digest, sha256
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.models import Max

from activity.amending import key_for
from activity.ground import present_ground
from activity.policies import DEFAULT
from activity.services import MAX_EXPLANATION
from activity.timestamps import timestamp
from exports import names
from exports.container import open_container
from exports.judging import judge_export
from exports.manifest import Manifest
from exports.models import Export
from metaaudit import archives, store
from metaaudit.errors import ArchiveRefusedError
from metaaudit.extraction import AccessReader
from metaaudit.models import MetaArchive, MetaLog
from metaaudit.queries import Wanted
from metaaudit.record import draft
from metaaudit.tombstone import Tombstone
from signing import jws
from signing.errors import BadCheckpointError, NoActiveKeyError
from signing.ledger import sign_checkpoint
from signing.merkle import root_at
from signing.models import Ledger
from signing.queries import ledger_named, node_reader
from signing.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import BufferedReader

    from exports.manifest import Claim
    from metaaudit.record import Access

OWNER = "owner"
CHUNK = 10_000  # leaves whose rows are removed in one transaction
MAX_BY = 150  # characters
_ATTEMPTS = 5  # keys may rotate between signing and locking
_REFUSED = "AL001"
_REMOVE = "DELETE FROM public.meta_logs WHERE ledger_id = %s AND leaf_index >= %s AND leaf_index < %s"


@dataclass(frozen=True, slots=True)
class Prefix:
    """Leaves that may be archived: the first ones of a ledger that still have rows, and the export that has them."""

    ledger: Ledger
    first_leaf: int
    end_leaf: int
    root: bytes  # of the first `end_leaf` leaves
    until: datetime  # of the youngest access
    export_id: str
    export_sha256: str

    def tombstone(self, *, by: str, reason: str, kid: str) -> Tombstone:
        """Return what will stand in their place."""
        return Tombstone(
            by=by,
            count=self.end_leaf - self.first_leaf,
            end_leaf=self.end_leaf,
            export=self.export_id,
            export_sha256=self.export_sha256,
            first_leaf=self.first_leaf,
            kid=kid,
            reason=reason,
            root=self.root.hex(),
            until=timestamp(self.until),
        )


def digest_of(source: BufferedReader) -> str:
    """Return the SHA-256 of a file that can be sought, in hex."""
    source.seek(0)
    return file_digest(source, "sha256").hexdigest()


def archive_of(digest: str) -> MetaArchive | None:
    """Return the archive that an export of this SHA-256 is, if it is one."""
    made = (one for one in MetaArchive.objects.all() if one.tombstone and one.tombstone.export_sha256 == digest)
    return next(made, None)


def examine(source: BufferedReader, name: str, *, now: datetime) -> Prefix:
    """Return what an export would archive (steps 1 to 5). Raises ArchiveRefusedError, saying which step and why."""
    report = judge_export(source, name)  # 1
    if report.exit_code != 0:
        raise ArchiveRefusedError(f"the verifier does not find everything right:\n{report.table()}")
    opened = open_container(source)
    claim = Manifest.from_json(opened.read(names.MANIFEST)).claim
    digest = digest_of(source)
    if not Export.objects.filter(pk=claim.export_id, file_sha256=digest).exists():  # 2
        raise ArchiveRefusedError("no export of this installation has this SHA-256")
    ledger = ledger_named(claim.ledger)
    if ledger.kind != Ledger.Kind.META:
        raise ArchiveRefusedError(f"{ledger.name} is no ledger of accesses")
    first, end = _range(claim, archives.end_of(ledger))
    try:
        head = present_ground().checked(ledger, opened.read(names.CHECKPOINT).decode())
    except BadCheckpointError as error:
        raise ArchiveRefusedError(f"the checkpoint of the export is not one of this ledger: {error}") from error
    _require_same_records(claim, AccessReader(ledger, Wanted(None), head), first, end)
    until = _youngest(ledger, first, end)
    if now - until < timedelta(days=settings.AUDITLOG_META_RETENTION_DAYS):  # 5
        days = settings.AUDITLOG_META_RETENTION_DAYS
        raise ArchiveRefusedError(f"the youngest access is of {until:%Y-%m-%d}, and each is kept for {days:,} days")
    return Prefix(ledger, first, end, root_at(end, node_reader(ledger)), until, claim.export_id, digest)


def archive(prefix: Prefix, *, access: Callable[..., Access], by: str, reason: str) -> MetaArchive:
    """Put a signed tombstone in the place of a prefix, whose rows are still there (step 6).

    `access` takes the tombstone, and makes the access whose record it stands in. Raises NoActiveKeyError, and
    ArchiveRefusedError if the database refuses.
    """
    if len(by) > MAX_BY or len(reason) > MAX_EXPLANATION:
        raise ArchiveRefusedError(f"who is said in at most {MAX_BY} characters, why in at most {MAX_EXPLANATION:,}")
    for _ in range(_ATTEMPTS):
        key = key_for(DEFAULT.algorithm)
        one = draft(access(tombstone=prefix.tombstone(by=by, reason=reason, kid=key.id)), prefix.ledger.name)
        row = MetaArchive(
            id=one.id,
            ledger=prefix.ledger,
            record=one.record,
            signature=key.signer(jws.signing_input(key.header, one.record)),
            key_id=key.id,
            first_leaf=prefix.first_leaf,
            end_leaf=prefix.end_leaf,
        )
        try:
            with transaction.atomic(using=OWNER):
                appended = store.insert(prefix.ledger, [one], key_ids=[key.id], using=OWNER)
                if appended is not None:
                    row.leaf_index = appended.first_leaf
                    row.save(using=OWNER)
                    return row
        except DatabaseError as error:
            cause: Any = error.__cause__
            if getattr(cause, "sqlstate", None) != _REFUSED:
                raise
            raise ArchiveRefusedError(cause.diag.message_primary) from error
    raise NoActiveKeyError("the entry keys changed again and again while a tombstone was signed; try again")


def remove(archive: MetaArchive) -> int:
    """Sign where the ledger stands, remove the rows of an archive (7, 8), and return how many were still there."""
    sign_checkpoint(archive.ledger, force_anchor=True)
    removed = 0
    for first in range(archive.first_leaf, archive.end_leaf, CHUNK):
        with connections[OWNER].cursor() as cursor:
            cursor.execute(_REMOVE, [archive.ledger_id, first, min(first + CHUNK, archive.end_leaf)])
            removed += cursor.rowcount
    return removed


def _range(claim: Claim, first: int) -> tuple[int, int]:
    """Return the leaves that the export has, which must begin at `first` (step 3)."""
    if claim.complete_range is None:
        raise ArchiveRefusedError("the export does not claim to be complete: filter by `to` alone, or not at all")
    begin, end = claim.complete_range
    if begin != first:
        raise ArchiveRefusedError(f"the export begins with leaf {begin}, and leaf {first} is the first to be archived")
    if claim.withheld or not claim.entries:
        raise ArchiveRefusedError(f"{claim.withheld:,} of the {end - begin:,} leaves are in the export as hashes only")
    return begin, end


def _require_same_records(claim: Claim, reader: AccessReader, first: int, end: int) -> None:
    """Compare the rows with tree, columns and export (step 4)."""
    records = sha256()
    for row in reader.read(first, end, (first, end)):
        if row.verdict != Verdict.UNSIGNED:
            raise ArchiveRefusedError(f"leaf {row.leaf_index} of {claim.ledger} is {row.verdict}: {row.reason}")
        records.update(row.record + b"\n")
    if records.hexdigest() != claim.dataset_digest:
        raise ArchiveRefusedError("the records of the export are not those of the rows")


def _youngest(ledger: Ledger, first: int, end: int) -> datetime:
    rows = MetaLog.objects.filter(ledger=ledger, leaf_index__gte=first, leaf_index__lt=end)
    youngest: datetime = rows.aggregate(at=Max("at"))["at"]
    return youngest.astimezone(UTC)
