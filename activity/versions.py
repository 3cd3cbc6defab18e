"""Checking that versions of entries follow one another as their records say. Reads; writes nothing.

    a. a version in the archive was superseded by one at a later leaf, whose record names its leaf and hash
    b. what never changes is the same in both, and nothing that the application itself recorded was superseded
    c. what is no first version has the one before it in the archive
    d. bytes that were purged are named in a system entry that says so
    e. no archived version lies outside its ledger

The record of a version that was purged is gone, so what it said of its own predecessor cannot be compared any more;
that the predecessor is a leaf still is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from django.db import connection

from activity.amendment import amendment_of
from activity.models import ActivityLog
from signing.verdicts import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from activity.entry_check import Row
    from signing.models import Ledger

PURGED = "auditlog.archive.purged"  # type of the system entry that announces a purge
MAX_STRAYS = 1_000
_FACTS = "event_id, source, recorded_at"
_VERSIONS = f"""
    SELECT r.leaf_index, r.leaf_hash, r.revision, r.purged_by, starts_with(r.type, 'auditlog.'), s.leaf_index, s.record,
           s.purged_by IS NOT NULL, s.same
      FROM public.activity_revisions r
      LEFT JOIN LATERAL (
        SELECT a.leaf_index, a.record, NULL::uuid AS purged_by,
               (a.type = r.type OR a.type = 'auditlog.entry.removed')
               AND ({", ".join(f"a.{name}" for name in _FACTS.split(", "))})
                   IS NOT DISTINCT FROM ({", ".join(f"r.{name}" for name in _FACTS.split(", "))}) AS same
          FROM public.activity_logs a
         WHERE a.id = r.entry_id AND a.ledger_id = r.ledger_id AND a.revision = r.revision + 1
        UNION ALL
        SELECT n.leaf_index, n.record, n.purged_by,
               n.type = r.type AND ({", ".join(f"n.{name}" for name in _FACTS.split(", "))})
                   IS NOT DISTINCT FROM ({", ".join(f"r.{name}" for name in _FACTS.split(", "))})
          FROM public.activity_revisions n
         WHERE n.entry_id = r.entry_id AND n.ledger_id = r.ledger_id AND n.revision = r.revision + 1
        LIMIT 1) s ON true
     WHERE r.ledger_id = %s AND r.leaf_index >= %s AND r.leaf_index < %s ORDER BY r.leaf_index"""  # noqa: S608 names only
_WITHOUT_PREDECESSOR = """
    SELECT later.leaf_index, later.revision
      FROM unnest(%s::uuid[], %s::integer[], %s::bigint[]) later (id, revision, leaf_index)
     WHERE NOT EXISTS (SELECT FROM public.activity_revisions r
                        WHERE r.entry_id = later.id AND r.revision = later.revision - 1 AND r.ledger_id = %s)
     ORDER BY 1"""
_STRAYS = """
    SELECT r.leaf_index FROM public.activity_revisions r WHERE r.ledger_id = %s AND (r.leaf_index < 0 OR r.leaf_index >=
           coalesce((SELECT h.size FROM public.ledger_heads h WHERE h.ledger_id = %s), 0)) ORDER BY 1 LIMIT %s"""


class _Version(NamedTuple):
    """A version in the archive, and the one that superseded it, if there is one."""

    leaf_index: int
    leaf_hash: bytes
    revision: int
    purged_by: UUID | None
    is_system: bool
    next_leaf: int | None
    next_record: bytes | None
    next_purged: bool
    same_facts: bool | None


class VersionCheck:
    """Checks the versions of one ledger, a range of leaves at a time; `purged` has the hashes of purged ones in it."""

    def __init__(self, ledger: Ledger) -> None:
        self.purged: dict[int, bytes] = {}
        self._ledger = ledger
        self._announced: dict[UUID, frozenset[int]] = {}

    def read(self, first: int, end: int, rows: Iterable[Row]) -> Iterator[Finding]:
        """Check what is archived in a range of leaves (a, b, d), and the further versions among its rows (c)."""
        later = [(row.id, row.revision, row.leaf_index) for row in rows if row.revision != 1]
        with connection.cursor() as cursor:
            cursor.execute(_VERSIONS, [self._ledger.pk, first, end])
            archived = [_Version(*row) for row in cursor.fetchall()]
            alone = []
            if later:
                ids, revisions, leaves = zip(*later, strict=True)
                cursor.execute(_WITHOUT_PREDECESSOR, [list(ids), list(revisions), list(leaves), self._ledger.pk])
                alone = cursor.fetchall()
        self.purged = {one.leaf_index: bytes(one.leaf_hash) for one in archived if one.purged_by is not None}
        for version in archived:
            reason = self._misfit(version)
            if reason is not None:
                yield self._tampered(version.leaf_index, reason)
        for leaf_index, revision in alone:
            yield self._tampered(leaf_index, f"it is revision {revision}, and the one before it is not in the archive")

    def _misfit(self, version: _Version) -> str | None:
        """Say what is wrong with a version in the archive, or None."""
        if version.is_system:
            return "what the application itself recorded was superseded, which is never done"
        if version.next_leaf is None or version.next_leaf <= version.leaf_index:
            return "it lies in the archive, and no later version supersedes it"
        if not version.same_facts:
            return "the version that superseded it differs in what never changes"
        if not version.next_purged:
            amendment = amendment_of(bytes(version.next_record or b""))
            named = None if amendment is None else (amendment.leaf_index, amendment.leaf_hash)
            if named != (version.leaf_index, bytes(version.leaf_hash).hex()):
                return f"the version at leaf {version.next_leaf} does not say that it superseded this one"
        if version.purged_by is not None and version.leaf_index not in self._purged_by(version.purged_by):
            return "its bytes were purged, and no system entry says so"
        return None

    def _purged_by(self, system_entry: UUID) -> frozenset[int]:
        """Return the leaves of this ledger that a system entry says were purged."""
        if system_entry not in self._announced:
            entry = ActivityLog.objects.filter(pk=system_entry, type=PURGED).first()
            self._announced[system_entry] = frozenset() if entry is None else _leaves(entry, self._ledger.name)
        return self._announced[system_entry]

    def _tampered(self, leaf_index: int, reason: str) -> Finding:
        return Finding(self._ledger.name, leaf_index, Verdict.TAMPERED, reason)


def stray_versions(ledger: Ledger) -> list[Finding]:
    """Return findings for archived versions beyond the ledger's head (e)."""
    with connection.cursor() as cursor:
        cursor.execute(_STRAYS, [ledger.pk, ledger.pk, MAX_STRAYS])
        strays = [row[0] for row in cursor.fetchall()]
    reason = "a version lies in the archive that is not in the ledger"
    return [Finding(ledger.name, leaf_index, Verdict.TAMPERED, reason) for leaf_index in strays]


def _leaves(entry: ActivityLog, ledger: str) -> frozenset[int]:
    try:
        said: Any = orjson.loads(bytes(entry.record))["data"]
        return frozenset(said["leaves"]) if said["ledger"] == ledger else frozenset()
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return frozenset()  # not as our command writes it
