"""Verification of the entries of a ledger, streaming, with flat memory. Reads; writes nothing.

    1. every leaf has one entry, or one version of an entry in the archive, and no entry lies outside the ledger
    2. SHA-256(0x00 || record) is the leaf that the ledger holds
    3. the index columns, key and detached data are what the record says
    4. a record that names a key carries that key's signature, made inside its window and not by a thief
    5. the leaves make the tree whose roots were signed: checkpoints, anchors, the last verification
    6. log types are what their system entries say
    7. every superseded version is followed by the record that says so, and every further one by what it supersedes

Entries are read in short transactions of CHUNK leaves: one long snapshot would slow every writer down.
"""

from __future__ import annotations

import time
from hashlib import sha256
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from django.db import connection

from activity import entry_rows
from activity.entry_check import EntryCheck, Row
from activity.event import SYSTEM_PREFIX
from activity.models import ActivityLog, LogType
from activity.processes import in_order
from activity.queries import ACTIVITY_LEDGER, log_type_facts
from activity.report import MAX_FINDINGS, Report
from activity.versions import VersionCheck, stray_versions
from signing.anchors import RECENT_SIZES
from signing.errors import BadCheckpointError, BadProofError
from signing.merkle import HASH_SIZE, TILE_WIDTH, Frontier, consistency_proof, verify_consistency
from signing.models import Ledger, SigningKey
from signing.providers import PROVIDERS
from signing.queries import latest_checkpoint, node_reader, tile
from signing.tree_check import ExpectedRoot, TreeCheck
from signing.verdicts import Finding, Verdict
from signing.verification import SIGNING_SECONDS, expected_roots, stored_head, stored_tiles, stray_hashes, uncovered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from signing.algorithms import Verifier
    from signing.anchors import Anchor
    from signing.keyring import RingKey
    from signing.verification import Trust

CHUNK = 8 * TILE_WIDTH  # leaves
_WORTH_A_PROCESS = 2  # chunks; fewer are checked sooner than a process starts
_LOG_TYPE_STEPS = (f"{SYSTEM_PREFIX}log-type.set", f"{SYSTEM_PREFIX}log-type.removed")


class _Part(NamedTuple):
    """What came out of one chunk: its report, and the leaf hashes of each of its tiles."""

    report: Report
    tiles: list[list[bytes]]


class LedgerCheck:
    """One verification of one ledger of entries; `run` does it. Ledgers of other rows override what reads them."""

    table = "activity_logs"

    def __init__(self, ledger: Ledger, trust: Trust, anchors: Sequence[Anchor], last: ExpectedRoot | None) -> None:
        """`last` is what an earlier verification found: its leaves are not read again, but their root must stand."""
        recent = None if last is None else RECENT_SIZES
        expected, findings = expected_roots(ledger, trust, anchors, checkpoints=recent)
        head, self._newest_checkpoint = stored_head(ledger)
        if head is None:
            findings.append(Finding(ledger.name, None, Verdict.TAMPERED, "the head of the ledger is gone or no tree"))
            head = Frontier()
        size = head.size
        if last is not None and last.size < 0:  # whoever wrote that run was not `verify`
            last = None
        since = min(last.size, size) if last else 0
        self._first = since - since % TILE_WIDTH
        expected.append(ExpectedRoot(size, head.root(), "the stored head"))
        if last is not None:
            expected.append(last)
        self._ledger = ledger
        self._trust = trust
        base = _base(ledger, self._first)
        findings += _contradictions(ledger, expected, base)
        self._entries = EntryCheck(ledger.name, trust.ring, hmac_verifier)
        self._tree = TreeCheck(ledger.name, expected, stored_tiles(ledger), base)
        self._versions = VersionCheck(ledger) if ledger.kind == Ledger.Kind.ACTIVITY else None
        self.report = Report(ledger.name, since, size, b"")
        self.report.add(findings)
        self.found: Report  # of the chunk that is being checked; run() takes it into the whole

    def run(self, *, processes: int = 1) -> Iterator[int]:
        """Verify, yielding after every CHUNK how many leaves are done.

        Several processes check chunks side by side; this one makes the tree of them. Few chunks are checked here.
        """
        size = self.report.size
        last_tile: list[bytes] = []
        chunks = range(self._first, size, CHUNK)
        processes = max(1, min(processes, len(chunks) // _WORTH_A_PROCESS))
        for part in in_order(self._checked, chunks, processes=processes):
            self.report.take(part.report)
            for last_tile in part.tiles:
                self._tree.add_tile(last_tile)
            if not part.tiles:
                break
            yield part.report.size
        self._tree.finish()
        self.report.root = self._tree.root(last_tile if size % TILE_WIDTH else [])
        self.report.add(self._tree.findings)
        self.report.add(self._strays())
        if self._versions is not None:
            self.report.add(stray_versions(self._ledger))
        self.report.add(stray_hashes(self._ledger))
        if (self._newest_checkpoint or 0) < size:
            self._newest_checkpoint = self._later_checkpoint(size)
        self.report.add(uncovered(self._ledger, size, self._newest_checkpoint))

    def _checked(self, first: int) -> _Part:
        """Check the chunk that begins with a leaf; without tiles, the ledger ends before it."""
        end = min(first + CHUNK, self.report.size)
        name = self._ledger.name
        self.found = Report(name, first, end, b"")
        if not self._holds_anything(first, end):
            reason = f"the ledger holds no leaves from {first} on, its head says {self.report.size}"
            self.found.add([Finding(name, first, Verdict.TAMPERED, reason)])
            return _Part(self.found, [])
        tiles = {index: list(rows) for index, rows in groupby(self.rows(first, end), key=_tile_of)}
        if self._versions is not None:
            self.found.add(self._versions.read(first, end, chain.from_iterable(tiles.values())))
        return _Part(
            self.found,
            [
                self._check_tile(start, min(TILE_WIDTH, self.report.size - start), tiles.pop(start // TILE_WIDTH, []))
                for start in range(first, end, TILE_WIDTH)
            ],
        )

    def _later_checkpoint(self, size: int) -> int | None:
        """Return the size of the newest checkpoint, after checking that it continues the tree verified here.

        A writer signs a moment after he commits, so this waits that moment.
        """
        newest = latest_checkpoint(self._ledger)
        deadline = time.monotonic() + SIGNING_SECONDS
        while (newest is None or newest.size < size) and time.monotonic() < deadline:
            time.sleep(SIGNING_SECONDS / 20)
            newest = latest_checkpoint(self._ledger)
        if newest is None or newest.size < size:
            return None if newest is None else newest.size
        source = f"the checkpoint of {newest.size} leaves"
        try:
            head = self._trust.checked(newest.note, self._ledger.name, self._ledger.origin)
            proof = consistency_proof(size, head.size, node_reader(self._ledger))
            verify_consistency(size, head.size, self.report.root, head.root, proof)
        except (BadCheckpointError, BadProofError, IndexError, ValueError) as error:
            reason = f"{source}, signed meanwhile, does not continue this tree: {error}"
            self.report.add([Finding(self._ledger.name, None, Verdict.TAMPERED, reason)])
        return newest.size

    def _check_tile(self, first: int, width: int, rows: Sequence[Row]) -> list[bytes]:
        """Check the entries of one tile and return its leaf hashes, the stored ones where an entry does not fit."""
        stored = tile(self._ledger, 0, first // TILE_WIDTH)
        if [row.leaf_index for row in rows] != list(range(first, first + width)):
            rows = self._without_gaps(first, width, rows)
        hashes = [sha256(b"\0" + row.record).digest() for row in rows]
        if len(rows) == width and stored[: HASH_SIZE * width] == b"".join(hashes):
            for row in rows:
                self.check_row(row)
            return hashes
        for row, leaf in zip(rows, hashes, strict=True):
            place = (row.leaf_index - first) * HASH_SIZE
            if stored[place : place + HASH_SIZE] == leaf:
                self.check_row(row)
            elif stored[place : place + HASH_SIZE] == self._purged(row.leaf_index):
                continue
            else:
                reason = "its record is not the leaf that the ledger holds"
                self.found.add([Finding(self._ledger.name, row.leaf_index, Verdict.TAMPERED, reason)])
        if len(stored) < width * HASH_SIZE:
            end = first + len(stored) // HASH_SIZE
            reason = f"the ledger holds no leaves from {end} on, its head says {self.report.size}"
            self.found.add([Finding(self._ledger.name, end, Verdict.TAMPERED, reason)])
            return hashes[:width]
        return [stored[at : at + HASH_SIZE] for at in range(0, width * HASH_SIZE, HASH_SIZE)]

    def _purged(self, leaf_index: int) -> bytes | None:
        return None if self._versions is None else self._versions.purged.get(leaf_index)

    def check_row(self, row: Any) -> None:
        """Report what is wrong with a row whose record is its leaf (steps 3 and 4)."""
        if row.key_id is None:
            self.found.unsigned += 1
        else:
            self.found.signed += 1
        finding = self._entries.finding(row)
        if finding is not None:
            self.found.add([finding])

    def _without_gaps(self, first: int, width: int, rows: Sequence[Row]) -> list[Row]:
        """Report leaves without an entry and with two (step 1); return one row for each leaf that has any."""
        by_leaf: dict[int, Row] = {}
        for row in rows:
            if row.leaf_index in by_leaf:
                self.found.add(
                    [Finding(self._ledger.name, row.leaf_index, Verdict.TAMPERED, "two entries claim this leaf")]
                )
            by_leaf[row.leaf_index] = row
        for leaf_index in range(first, first + width):
            if leaf_index in by_leaf:
                continue
            if self.is_archived(leaf_index):
                self.found.archived += 1
            else:
                self.found.add([Finding(self._ledger.name, leaf_index, Verdict.MISSING, "the leaf has no entry")])
        return list(by_leaf.values())

    def rows(self, first: int, end: int) -> Iterator[Any]:
        """Give the rows of leaves `first` to `end`, exclusive, in their order."""
        return entry_rows.rows(self._ledger, first, end)

    def is_archived(self, leaf_index: int) -> bool:
        """Tell whether a leaf needs no row; of entries each needs one."""
        del leaf_index
        return False

    def _holds_anything(self, first: int, end: int) -> bool:
        """Tell whether there is a leaf or a row in a range; a head that lies can claim more than can be read."""
        if tile(self._ledger, 0, first // TILE_WIDTH):
            return True
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT EXISTS (SELECT FROM public.{self.table} WHERE ledger_id = %s "  # noqa: S608 a name of ours
                "AND leaf_index >= %s AND leaf_index < %s)",
                [self._ledger.pk, first, end],
            )
            return bool(cursor.fetchone()[0])

    def _strays(self) -> list[Finding]:
        """Return findings for rows beyond the ledger's head; head and rows are read in one moment."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT a.leaf_index FROM public.{self.table} a WHERE a.ledger_id = %s "  # noqa: S608 a name of ours
                "AND (a.leaf_index IS NULL OR a.leaf_index < 0 OR a.leaf_index >= "
                "coalesce((SELECT h.size FROM public.ledger_heads h WHERE h.ledger_id = %s), 0)) "
                "ORDER BY a.leaf_index LIMIT %s",
                [self._ledger.pk, self._ledger.pk, MAX_FINDINGS],
            )
            strays = [row[0] for row in cursor.fetchall()]
        reason = "an entry stands here that is not in the ledger"
        return [Finding(self._ledger.name, leaf_index, Verdict.TAMPERED, reason) for leaf_index in strays]


# Which check a ledger of each kind gets; an app that stores rows of another kind adds its own.
CHECKS: dict[str, type[LedgerCheck]] = {Ledger.Kind.ACTIVITY: LedgerCheck}


# What apps above check of a ledger of entries when its leaves are done; `whole` says that none was left out.
FURTHER_CHECKS: list[Callable[[Ledger, bool], Iterable[Finding]]] = []


def verify_log_types(trust: Trust) -> list[Finding]:
    """Compare the log types with their system entries (step 6)."""
    name = ACTIVITY_LEDGER
    if name not in trust.ring.ledgers:
        return []
    told: dict[str, dict[str, Any]] = {}
    steps = ActivityLog.objects.filter(type__in=_LOG_TYPE_STEPS, ledger__name=name).order_by("leaf_index")
    for step in steps.values_list("record", flat=True).iterator():
        try:
            said = orjson.loads(bytes(step))
            facts = {key: value for key, value in said["data"].items() if key != "reason"}
            if said["type"] == _LOG_TYPE_STEPS[0]:
                told[facts["pattern"]] = facts
            else:
                told.pop(facts["pattern"], None)
        except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
            continue  # not as our service writes it: steps 2 to 4 report the entry, and the comparison what it hides
    rows = {log_type.pattern: log_type_facts(log_type) for log_type in LogType.objects.all()}
    return [
        Finding(name, None, Verdict.TAMPERED, f"the log type {pattern} is not what its system entry says")
        for pattern in sorted({*told, *rows})
        if told.get(pattern) != rows.get(pattern)
    ]


def hmac_verifier(key: RingKey) -> Verifier | None:
    """Return what checks a symmetric key's signatures, or None once its secret was destroyed."""
    stored = SigningKey.objects.filter(pk=key.id, sealed_private_key__isnull=False).first()
    return None if stored is None else PROVIDERS[stored.provider].verifier(stored)


def entries_elsewhere() -> list[Finding]:
    """Return findings for entries that claim a ledger which takes none, or which there is not."""
    with connection.cursor() as cursor:
        cursor.execute(
            # Walks the index from one ledger to the next: a look at every entry would take as long as verifying them.
            "WITH RECURSIVE claimed (ledger_id) AS ("
            "(SELECT a.ledger_id FROM public.activity_logs a ORDER BY a.ledger_id LIMIT 1) UNION ALL "
            "SELECT (SELECT a.ledger_id FROM public.activity_logs a WHERE a.ledger_id > c.ledger_id "
            "ORDER BY a.ledger_id LIMIT 1) FROM claimed c WHERE c.ledger_id IS NOT NULL) "
            "SELECT stray.id::text, stray.ledger_id, stray.leaf_index "
            "FROM claimed c, LATERAL (SELECT a.id, a.ledger_id, a.leaf_index "
            "FROM public.activity_logs a WHERE a.ledger_id = c.ledger_id LIMIT %s) stray "
            "WHERE c.ledger_id NOT IN (SELECT l.id FROM public.ledgers l WHERE l.kind = 'activity') UNION ALL "
            "(SELECT a.id::text, NULL, a.leaf_index FROM public.activity_logs a WHERE a.ledger_id IS NULL LIMIT %s)",
            [MAX_FINDINGS, MAX_FINDINGS],
        )
        strays = cursor.fetchall()
    return [
        Finding(
            ACTIVITY_LEDGER,
            None,
            Verdict.TAMPERED,
            f"the entry {entry_id} is in no ledger of entries, but at leaf {leaf_index} of the ledger {ledger_id}",
        )
        for entry_id, ledger_id, leaf_index in strays
    ]


def _contradictions(ledger: Ledger, expected: Iterable[ExpectedRoot], base: Frontier) -> list[Finding]:
    """Return findings for signed roots below `base` that it does not continue: whoever chose `base` is not trusted."""
    findings = []
    node_at = node_reader(ledger)
    for signed in expected:
        if not 0 < signed.size < base.size:
            continue
        try:
            proof = consistency_proof(signed.size, base.size, node_at)
            verify_consistency(signed.size, base.size, signed.root, base.root(), proof)
        except (BadProofError, ValueError):
            reason = f"the tree that was verified last does not begin with the one of {signed.source}"
            findings.append(Finding(ledger.name, None, Verdict.TAMPERED, reason))
    return findings


def _base(ledger: Ledger, size: int) -> Frontier:
    """Return the stored tree of the first `size` leaves, a multiple of 256."""
    if size == 0:
        return Frontier()
    node_at = node_reader(ledger)
    nodes, first = [], 0
    for height in reversed(range(size.bit_length())):
        if size >> height & 1:
            nodes.append(node_at(height, first >> height))
            first += 1 << height
    return Frontier(size, nodes)


def _tile_of(row: Row) -> int:
    return row.leaf_index // TILE_WIDTH
