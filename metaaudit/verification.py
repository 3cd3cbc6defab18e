"""Verification of ledgers of meta logs, beside that of entries: the same tree, checkpoints, anchors and command.

    1. every leaf has one meta log, none lies outside its ledger, and none claims a ledger of another kind
    2. SHA-256(0x00 || record) is the leaf that the ledger holds
    3. the index columns are what the record says, and the query hash is that of the record's own query
    4. a leaf without a meta log is archived: archive_check.py has found its tombstone right

Steps 1, 2 and the tree are those of `activity.verification.LedgerCheck`, reading another table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from django.db import connection

from activity.entry_rows import copied
from activity.report import MAX_FINDINGS
from activity.verification import LedgerCheck
from metaaudit import archives
from metaaudit.archive_check import archived
from metaaudit.record import columns_of, query_hash
from metaaudit.services import META_LEDGER
from signing.models import Ledger
from signing.queries import ledger_named
from signing.verdicts import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from metaaudit.models import MetaLog
    from signing.anchors import Anchor
    from signing.tree_check import ExpectedRoot
    from signing.verification import Trust

# What Python can hold; an owner can write infinity.
_YEARS = "BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"
_TIME = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""
_FIRST = {"leaf_index": "int8", "coalesce(record, '')": "bytea", "id::text": "text"}
_COLUMNS = {  # in the order of `columns_of`: expression and type
    f"CASE WHEN at {_YEARS} THEN to_char(at AT TIME ZONE 'UTC', {_TIME}) END": "text",
    "user_id": "varchar",
    "user_name": "varchar",
    "auth": "varchar",
    "auth_id": "varchar",
    "action": "varchar",
    "phase": "varchar",
    "completes::text": "text",
    "method": "varchar",
    "path": "varchar",
    "route": "varchar",
    "query::text": "text",
    "encode(query_hash, 'hex')": "text",
    "result_count": "int8",
    "encode(result_digest, 'hex')": "text",
    "sizes::text": "text",
    "status": "int4",
    "duration_ms": "int8",
    "bytes": "int8",
    "abbrev(ip)": "text",
    "agent": "varchar",
    "request_id": "varchar",
    "seen::text": "text",
}
_JSON = ("query", "sizes")


class Row(NamedTuple):
    """A meta log as the verifier reads it; `columns` in the order of `columns_of`."""

    leaf_index: int
    record: bytes
    id: str
    columns: tuple[Any, ...]


class MetaLedgerCheck(LedgerCheck):
    """One verification of one ledger of meta logs."""

    table = "meta_logs"

    def __init__(self, ledger: Ledger, trust: Trust, anchors: Sequence[Anchor], last: ExpectedRoot | None) -> None:
        """As every check of a ledger."""
        super().__init__(ledger, trust, anchors, last)
        self._archived_end, findings = archived(ledger, self._entries)
        self._seen_end = archives.end_of(ledger)
        self.report.add(findings)

    def run(self, *, processes: int = 1) -> Iterator[int]:
        """Verify as ledgers of entries are; rows that claim no ledger of this kind are reported once, with `meta`."""
        if self._ledger.name == META_LEDGER:
            self.report.add(_elsewhere())
        yield from super().run(processes=processes)

    def rows(self, first: int, end: int) -> Iterator[Any]:
        """Give the rows of leaves `first` to `end`, exclusive, in their order."""
        yield from rows_of(self._ledger, first, end)
        # What was archived since the check began has its tombstone before its rows go.
        if (seen_end := archives.end_of(self._ledger)) != self._seen_end:
            self._seen_end, (self._archived_end, _) = seen_end, archived(self._ledger, self._entries)

    def is_archived(self, leaf_index: int) -> bool:
        """Tell whether a tombstone stands for a leaf (step 4)."""
        return leaf_index < self._archived_end

    def check_row(self, row: Any) -> None:
        """Report what is wrong with a meta log whose record is its leaf (step 3)."""
        reason = misfit(row, self._ledger.name)
        if reason is not None:
            self.found.add([Finding(self._ledger.name, row.leaf_index, Verdict.TAMPERED, reason)])


def rows_of(ledger: Ledger, first: int, end: int) -> Iterator[Row]:
    """Give the meta logs of leaves `first` to `end`, exclusive, in their order, as the verifier reads them."""
    for leaf_index, record, row_id, *columns in copied(MetaLedgerCheck.table, _FIRST | _COLUMNS, ledger, first, end):
        yield Row(leaf_index, record, row_id, tuple(columns))


def row_of(log: MetaLog) -> Row | None:
    """Return a meta log as the verifier reads it, or None if its ledger has none at its leaf."""
    return next(rows_of(log.ledger, log.leaf_index, log.leaf_index + 1), None)


def misfit(row: Row, ledger: str) -> str | None:
    """Say what of a row is not what its record says, or None."""
    try:
        said = orjson.loads(row.record)
        wanted = columns_of(said, lambda name: ledger_named(name).pk)
        place = (said["id"], said["ledger"])
        told_hash, right_hash = said["query_hash"], query_hash(said)
        found = dict(zip(wanted, row.columns, strict=True))
        found |= {name: None if found[name] is None else orjson.loads(found[name]) for name in _JSON}
    except (orjson.JSONDecodeError, LookupError, TypeError, ValueError, AttributeError):
        return "the record is not made as this application makes records"
    if place != (row.id, ledger):
        return "columns differ from the record: id or ledger"
    differing = [name for name, value in wanted.items() if found[name] != value]
    if differing:
        return f"columns differ from the record: {', '.join(differing)}"
    return None if told_hash == right_hash else "the query hash is not that of the record's own query"


def _elsewhere() -> list[Finding]:
    """Return findings for meta logs that claim a ledger which takes none, or which there is not."""
    with connection.cursor() as cursor:
        cursor.execute(
            # From one ledger to the next along the index, as for entries.
            "WITH RECURSIVE claimed (ledger_id) AS ("
            "(SELECT m.ledger_id FROM public.meta_logs m ORDER BY m.ledger_id LIMIT 1) UNION ALL "
            "SELECT (SELECT m.ledger_id FROM public.meta_logs m WHERE m.ledger_id > c.ledger_id "
            "ORDER BY m.ledger_id LIMIT 1) FROM claimed c WHERE c.ledger_id IS NOT NULL) "
            "SELECT stray.id::text FROM claimed c, LATERAL (SELECT m.id FROM public.meta_logs m "
            "WHERE m.ledger_id = c.ledger_id LIMIT %s) stray "
            "WHERE c.ledger_id NOT IN (SELECT l.id FROM public.ledgers l WHERE l.kind = %s) UNION ALL "
            "(SELECT m.id::text FROM public.meta_logs m WHERE m.ledger_id IS NULL LIMIT %s)",
            [MAX_FINDINGS, Ledger.Kind.META.value, MAX_FINDINGS],
        )
        strays = [row[0] for row in cursor.fetchall()]
    reason = "the meta log %s is in no ledger of meta logs"
    return [Finding(META_LEDGER, None, Verdict.TAMPERED, reason % stray) for stray in strays]
