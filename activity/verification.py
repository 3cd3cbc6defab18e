"""Verification of the entries of a ledger, streaming, with flat memory. Reads; writes nothing.

    1. every leaf has one entry, and no entry lies outside the ledger
    2. SHA-256(0x00 || record) is the leaf that the ledger holds
    3. the index columns, key and detached data are what the record says
    4. a record that names a key carries that key's signature, made inside its window and not by a thief
    5. the leaves make the tree whose roots were signed: checkpoints, anchors, the last verification
    6. log types are what their system entries say

Entries are read in short transactions of CHUNK leaves: one long snapshot would slow every writer down.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from django.db import connection

from activity.entries import shown
from activity.models import ActivityLog, LogType
from activity.queries import ACTIVITY_LEDGER, log_type_facts
from activity.record import SYSTEM_PREFIX, after_data, before_data, claims_digest, timestamp
from signing import jws
from signing.algorithms import ALGORITHMS
from signing.merkle import HASH_SIZE, TILE_WIDTH, Frontier
from signing.models import SigningKey
from signing.providers import PROVIDERS
from signing.queries import node_reader, tile
from signing.tree_check import ExpectedRoot, TreeCheck
from signing.verdicts import ALARMS, Finding, Verdict, outcome
from signing.verification import expected_roots, stored_head, stored_tiles, uncovered

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from signing.algorithms import Verifier
    from signing.anchors import Anchor
    from signing.keyring import KeyRing, RingKey
    from signing.models import Ledger
    from signing.verification import Trust

CHUNK = 32 * TILE_WIDTH  # leaves
MAX_FINDINGS = 1_000  # of one run; more of them say nothing new
_COLUMNS = (
    "leaf_index, record, detached_data, event_digest, signature, key_id, event_id, id::text, host(ip), occurred_at, outcome, "
    "recorded_at, revision, severity, source, target, type, action, actor"
)
_TYPES = [
    "int8",
    "bytea",
    "bytea",
    "bytea",
    "bytea",
    "varchar",
    "varchar",
    "text",
    "text",
    "timestamptz",
    "varchar",
    "timestamptz",
    "int4",
    "varchar",
    "varchar",
    "varchar",
    "varchar",
    "varchar",
    "varchar",
]
_TEXTS = ("event_id", "source", "target", "action", "actor")
_LOG_TYPE_STEPS = (f"{SYSTEM_PREFIX}log-type.set", f"{SYSTEM_PREFIX}log-type.removed")
_DATA = b',"data":'
_DETACHED = re.compile(rb',"data_sha256":"([0-9a-f]{64})","data_size":([0-9]+)')


class Row(NamedTuple):
    """The columns of an entry as the verifier reads them; all that a record is compared with."""

    leaf_index: int
    record: bytes
    detached_data: bytes | None
    event_digest: bytes
    signature: bytes | None
    key_id: str | None
    event_id: str | None
    id: str
    ip: str | None
    occurred_at: datetime
    outcome: str
    recorded_at: datetime
    revision: int
    severity: str
    source: str
    target: str
    type: str
    action: str
    actor: str


@dataclass(slots=True)
class Report:
    """What came out of the verification of one ledger: leaves `since` to `size`, the tree's root, counts and findings."""

    ledger: str
    since: int
    size: int
    root: bytes
    findings: list[Finding] = field(default_factory=list)
    count: Counter[Verdict] = field(default_factory=Counter)  # of all findings, also those beyond MAX_FINDINGS
    signed: int = 0
    unsigned: int = 0

    @property
    def outcome(self) -> Verdict:
        """`valid`, `tampered` or `cannot_tell`."""
        return outcome(self.count)

    def add(self, findings: Iterable[Finding]) -> None:
        """Count findings, and keep them up to MAX_FINDINGS."""
        for finding in findings:
            self.count[finding.verdict] += 1
            if len(self.findings) < MAX_FINDINGS:
                self.findings.append(finding)

    def summary(self) -> str:
        """Return one line: what was read and what it showed."""
        read = f"{self.size:,} leaves" if self.since == 0 else f"leaves {self.since:,} to {self.size:,}"
        kinds = f", {self.signed:,} signed, {self.unsigned:,} without signature" if self.signed or self.unsigned else ""
        found = ", ".join(f"{number:,} {verdict}" for verdict, number in sorted(self.count.items())) or "nothing amiss"
        return f"{read}{kinds}: {found}"

    def as_json(self) -> dict[str, object]:
        """Return the report for machines; hashes in hex."""
        return {
            "ledger": self.ledger,
            "outcome": self.outcome,
            "since": self.since,
            "size": self.size,
            "root": self.root.hex(),
            "signed": self.signed,
            "unsigned": self.unsigned,
            "first_bad_leaf": self.first_bad_leaf,
            "count": dict(self.count),
            "findings": [asdict(finding) for finding in self.findings],
        }

    @property
    def first_bad_leaf(self) -> int | None:
        """The lowest leaf that an alarm names."""
        alarms = (finding.leaf_index for finding in self.findings if finding.verdict in ALARMS)
        return min((leaf_index for leaf_index in alarms if leaf_index is not None), default=None)


class EntryCheck:
    """Checks single entries (steps 3 and 4) of one ledger against the key ring."""

    def __init__(self, ledger: str, ring: KeyRing) -> None:
        self._ledger = ledger
        self._ring = ring
        self._verifiers: dict[str, Verifier] = {}

    def finding(self, row: Row) -> Finding | None:
        """Return what is wrong with an entry whose record is its leaf, or None."""
        reason = self._misfit(row)
        if reason is not None:
            return Finding(self._ledger, row.leaf_index, Verdict.TAMPERED, reason)
        if row.key_id is None and row.signature is None:
            return None
        return self._signature_finding(row)

    def _misfit(self, row: Row) -> str | None:
        """Say which part of the row is not what its record says."""
        occurred_at = timestamp(row.occurred_at)
        before, after = _around_data(row, occurred_at, self._ledger)
        if not _frames(before, row.record, after):
            # U+0000 is the one thing that columns show otherwise, so a misfit is looked at member by member.
            misfits = _differing_members(row, self._ledger)
            if misfits:
                return f"columns differ from the record: {', '.join(misfits)}"
            row = _as_recorded(row)
            before, after = _around_data(row, occurred_at, self._ledger)
            if not _frames(before, row.record, after):
                return "the record is not made as this application makes records"
        data = row.record[len(before) : len(row.record) - len(after)]
        detached = _DETACHED.fullmatch(data)
        if detached:
            data = row.detached_data or b""
            if (sha256(data).hexdigest().encode(), len(data)) != (detached[1], int(detached[2])):
                return "the detached data is not what the record says"
        elif row.detached_data is not None:
            return "data lies beside a record that has its data inside"
        else:
            data = data.removeprefix(_DATA)
            if not _is_object(data):
                return "the record is not made as this application makes records"
        said = (row.event_id, row.ip, occurred_at, row.outcome, row.severity, row.source, row.target, row.type)
        if row.event_digest != claims_digest(before, data, said):
            return "columns differ from the record: event_digest"
        return None

    def _signature_finding(self, row: Row) -> Finding | None:
        key = self._ring.keys.get(row.key_id or "")
        if key is None:
            return self._report(row, Verdict.UNTRUSTED_KEY, f"no record of the keys ledger knows its key {row.key_id}")
        window = key.windows.get(self._ledger)
        if key.purpose != SigningKey.Purpose.ENTRY or window is None:
            return self._report(row, Verdict.TAMPERED, f"its key {key.id} signs no entries here")
        refusal = window.refusal(row.leaf_index)
        if refusal is not None:
            return self._report(row, Verdict.TAMPERED, refusal)
        try:
            verify = self._verifier(key)
        except LookupError:
            reason = f"its HMAC key {key.id} was destroyed, and nobody else can verify HMAC"
            return self._report(row, Verdict.CANNOT_TELL, reason)
        signing_input = jws.signing_input(jws.protected(key.algorithm, key.id), row.record)
        if row.signature is None or not verify(row.signature, signing_input):
            return self._report(row, Verdict.TAMPERED, f"its signature is not that of {key.id} over its record")
        if window.untrusted_from_leaf is not None and row.leaf_index >= window.untrusted_from_leaf:
            reason = (
                f"{key.id} was compromised, and from leaf {window.untrusted_from_leaf} on a thief could have signed"
            )
            return self._report(row, Verdict.UNTRUSTED_KEY, reason)
        return None

    def _verifier(self, key: RingKey) -> Verifier:
        if key.id not in self._verifiers:
            algorithm = ALGORITHMS[key.algorithm]
            if algorithm.outsiders_can_verify:
                self._verifiers[key.id] = algorithm.load_public(key.public_key)
            else:
                stored = SigningKey.objects.filter(pk=key.id, sealed_private_key__isnull=False).first()
                if stored is None:
                    raise LookupError(key.id)
                self._verifiers[key.id] = PROVIDERS[stored.provider].verifier(stored)
        return self._verifiers[key.id]

    def _report(self, row: Row, verdict: Verdict, reason: str) -> Finding:
        return Finding(self._ledger, row.leaf_index, verdict, reason)


class LedgerCheck:
    """One verification of one ledger; `run` does it."""

    def __init__(self, ledger: Ledger, trust: Trust, anchors: Sequence[Anchor], last: ExpectedRoot | None) -> None:
        """`last` is what an earlier verification found: its leaves are not read again, but their root must stand."""
        expected, findings = expected_roots(ledger, trust, anchors)
        head, self._newest_checkpoint = stored_head(ledger)
        if head is None:
            findings.append(Finding(ledger.name, None, Verdict.TAMPERED, "the head of the ledger is gone or no tree"))
            head = Frontier()
        size = head.size
        since = min(last.size, size) if last else 0
        self._first = since - since % TILE_WIDTH
        expected.append(ExpectedRoot(size, head.root(), "the stored head"))
        if last is not None:
            expected.append(last)
        self._ledger = ledger
        self._entries = EntryCheck(ledger.name, trust.ring)
        self._tree = TreeCheck(ledger.name, expected, stored_tiles(ledger), _base(ledger, self._first))
        self.report = Report(ledger.name, since, size, b"")
        self.report.add(findings)

    def run(self) -> Iterator[int]:
        """Verify, yielding after every CHUNK how many leaves are done."""
        size = self.report.size
        last_tile: list[bytes] = []
        for chunk in range(self._first, size, CHUNK):
            end = min(chunk + CHUNK, size)
            tiles = {index: list(rows) for index, rows in groupby(_rows(self._ledger, chunk, end), key=_tile_of)}
            for first in range(chunk, end, TILE_WIDTH):
                last_tile = self._check_tile(first, min(TILE_WIDTH, size - first), tiles.get(first // TILE_WIDTH, []))
                self._tree.add_tile(last_tile)
            yield end
        self._tree.finish()
        self.report.root = self._tree.root(last_tile if size % TILE_WIDTH else [])
        self.report.add(self._tree.findings)
        self.report.add(_strays(self._ledger))
        self.report.add(uncovered(self._ledger, size, self._newest_checkpoint))

    def _check_tile(self, first: int, width: int, rows: Sequence[Row]) -> list[bytes]:
        """Check the entries of one tile and return its leaf hashes, the stored ones where an entry does not fit."""
        stored = tile(self._ledger, 0, first // TILE_WIDTH)
        if [row.leaf_index for row in rows] != list(range(first, first + width)):
            rows = self._without_gaps(first, width, rows)
        hashes = [sha256(b"\0" + row.record).digest() for row in rows]
        if len(rows) == width and stored[: HASH_SIZE * width] == b"".join(hashes):
            for row in rows:
                self._check_entry(row)
            return hashes
        for row, leaf in zip(rows, hashes, strict=True):
            place = (row.leaf_index - first) * HASH_SIZE
            if stored[place : place + HASH_SIZE] == leaf:
                self._check_entry(row)
            else:
                reason = "its record is not the leaf that the ledger holds"
                self.report.add([Finding(self._ledger.name, row.leaf_index, Verdict.TAMPERED, reason)])
        if len(stored) < width * HASH_SIZE:
            reason = f"the ledger holds no leaves from {first + len(stored) // HASH_SIZE} on, its head says {self.report.size}"
            self.report.add([Finding(self._ledger.name, first + len(stored) // HASH_SIZE, Verdict.TAMPERED, reason)])
            return hashes[:width]
        return [stored[at : at + HASH_SIZE] for at in range(0, width * HASH_SIZE, HASH_SIZE)]

    def _check_entry(self, row: Row) -> None:
        if row.key_id is None:
            self.report.unsigned += 1
        else:
            self.report.signed += 1
        finding = self._entries.finding(row)
        if finding is not None:
            self.report.add([finding])

    def _without_gaps(self, first: int, width: int, rows: Sequence[Row]) -> list[Row]:
        """Report leaves without an entry and with two (step 1); return one row for each leaf that has any."""
        by_leaf: dict[int, Row] = {}
        for row in rows:
            if row.leaf_index in by_leaf:
                self.report.add(
                    [Finding(self._ledger.name, row.leaf_index, Verdict.TAMPERED, "two entries claim this leaf")]
                )
            by_leaf[row.leaf_index] = row
        for leaf_index in range(first, first + width):
            if leaf_index not in by_leaf:
                self.report.add([Finding(self._ledger.name, leaf_index, Verdict.MISSING, "the leaf has no entry")])
        return list(by_leaf.values())


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
        except orjson.JSONDecodeError:
            continue  # step 2 reports the entry
        if said["type"] == _LOG_TYPE_STEPS[0]:
            told[said["data"]["pattern"]] = {key: value for key, value in said["data"].items() if key != "reason"}
        else:
            told.pop(said["data"]["pattern"], None)
    rows = {log_type.pattern: log_type_facts(log_type) for log_type in LogType.objects.all()}
    return [
        Finding(name, None, Verdict.TAMPERED, f"the log type {pattern} is not what its system entry says")
        for pattern in sorted({*told, *rows})
        if told.get(pattern) != rows.get(pattern)
    ]


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


def _rows(ledger: Ledger, first: int, end: int) -> Iterator[Row]:
    query = (
        f"COPY (SELECT {_COLUMNS} FROM public.activity_logs WHERE ledger_id = {int(ledger.pk)} "  # noqa: S608 integers only
        f"AND leaf_index >= {int(first)} AND leaf_index < {int(end)} ORDER BY leaf_index) TO STDOUT (FORMAT BINARY)"
    )
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        copy.set_types(_TYPES)
        yield from map(Row._make, copy.rows())


def _tile_of(row: Row) -> int:
    return row.leaf_index // TILE_WIDTH


def _strays(ledger: Ledger) -> list[Finding]:
    """Return findings for entries beyond the ledger's head; head and entries are read in one moment."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.leaf_index FROM public.activity_logs a WHERE a.ledger_id = %s AND (a.leaf_index < 0 OR a.leaf_index >= "
            "coalesce((SELECT h.size FROM public.ledger_heads h WHERE h.ledger_id = %s), 0)) ORDER BY a.leaf_index LIMIT %s",
            [ledger.pk, ledger.pk, MAX_FINDINGS],
        )
        strays = [row[0] for row in cursor.fetchall()]
    reason = "an entry stands here that is not in the ledger"
    return [Finding(ledger.name, leaf_index, Verdict.TAMPERED, reason) for leaf_index in strays]


def _around_data(row: Row, occurred_at: str, ledger: str) -> tuple[bytes, bytes]:
    """Return what must stand around the data in the record of such a row."""
    after = after_data(
        event_id=row.event_id,
        entry_id=row.id,
        ip=row.ip,
        kid=row.key_id,
        ledger=ledger,
        occurred_at=occurred_at,
        outcome=row.outcome,
        recorded_at=timestamp(row.recorded_at),
        revision=row.revision,
        severity=row.severity,
        source=row.source,
        target=row.target,
        type_name=row.type,
    )
    return before_data(row.action, row.actor), after


def _frames(before: bytes, record: bytes, after: bytes) -> bool:
    return len(before) + len(after) <= len(record) and record.startswith(before) and record.endswith(after)


def _is_object(data: bytes) -> bool:
    try:
        return data[:1] == b"{" and isinstance(orjson.loads(data), dict)
    except orjson.JSONDecodeError:
        return False


def _as_recorded(row: Row) -> Row:
    """Return the row with the texts of its record, where columns could not hold U+0000."""
    said = orjson.loads(row.record)
    return row._replace(**{name: said[name] for name in _TEXTS if isinstance(said.get(name), str)})


def _differing_members(row: Row, ledger: str) -> list[str]:
    """Return the members of a record that its columns show otherwise; U+0000 as U+2400 is no difference."""
    try:
        said = orjson.loads(row.record)
    except orjson.JSONDecodeError:
        return ["record"]
    columns = {
        "action": row.action,
        "actor": row.actor,
        "event_id": row.event_id,
        "id": row.id,
        "ip": row.ip,
        "kid": row.key_id,
        "ledger": ledger,
        "occurred_at": timestamp(row.occurred_at),
        "outcome": row.outcome,
        "recorded_at": timestamp(row.recorded_at),
        "revision": row.revision,
        "severity": row.severity,
        "source": row.source,
        "target": row.target,
        "type": row.type,
    }
    members = {name: shown(value) if isinstance(value, str) else value for name, value in said.items()}
    return [name for name, value in columns.items() if members.get(name) != value]
