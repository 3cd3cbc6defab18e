"""Verification of the `keys` ledger and of checkpoints: what may be believed before an entry is looked at.

    1. the records of the keys ledger are its leaves, without a gap
    2. they replay to a key ring: keys, windows, ledgers
    3. the ledger's checkpoints and anchors are of this tree, and signed by a pinned key or by one that a checkpoint of
       a believed key vouches for; without a pin, nothing here rules out that everything was rebuilt
    4. the tables of ledgers, keys and windows say what the ring says

Trees of other ledgers are compared by tree_check.py with the roots that `expected_roots` finds signed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from signing import checkpoint, trust
from signing.errors import BadCheckpointError, BadKeyError, DistrustedCheckpointError
from signing.keyring import KeyRing, RingCertificate, RingKey, RingLedger
from signing.merkle import Frontier, leaf_hash
from signing.models import ExportCertificate, KeyEvent, KeyWindow, Ledger, LedgerCheckpoint, SigningKey
from signing.queries import tile
from signing.tree_check import ExpectedRoot, TreeCheck
from signing.verdicts import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from signing.anchors import Anchor
    from signing.checkpoint import NoteKey

KEYS_LEDGER = "keys"
SIGNING_SECONDS = 1.0  # within which a committed leaf is under a signed checkpoint
TILE = 256


class Trust:
    """The checkpoint keys that a verifier believes, pinned ones first, and the ring that the keys ledger told."""

    def __init__(self, pinned: Sequence[NoteKey]) -> None:
        self.ring = KeyRing()
        self.pinned = list(pinned)
        self.findings: list[Finding] = []
        self.size = 0  # of the keys ledger
        self.root = Frontier().root()
        self.covered = True  # by a signed checkpoint, up to the last record
        self._believed: set[bytes] = set()  # beside the pinned ones

    def believe(self, keys: Iterable[RingKey]) -> bool:
        """Add checkpoint keys that a believed checkpoint vouches for; tell whether one was new."""
        new = {key.public_key for key in keys if key.purpose == SigningKey.Purpose.CHECKPOINT} - self._believed
        self._believed |= new
        return bool(new)

    def checked(self, note: str, ledger: str, origin: str) -> checkpoint.Checkpoint:
        """Return the checkpoint of a note if a believed key signed it within its window.

        Raises BadCheckpointError with the reason; DistrustedCheckpointError if it is that its key was compromised.
        """
        known = {key.public_key: key for key in self.ring.keys.values() if key.purpose == SigningKey.Purpose.CHECKPOINT}
        # A key that is pinned for another installation is a stranger here: its owner could have rebuilt this one.
        pinned = {key.public_key for key in trust.for_origin(self.pinned, origin)}
        try:
            keys = [checkpoint.NoteKey(origin, public_key) for public_key in {*known, *pinned}]
        except BadKeyError as error:
            raise BadCheckpointError(f"no key can have its name: {error}") from error
        verified = checkpoint.verify(note, keys)
        head = verified.checkpoint
        if head.origin != origin:
            raise BadCheckpointError(f"it is of {head.origin}, not of {origin}")
        refusals: list[BadCheckpointError] = []
        for key in verified.keys:
            believed = key.public_key in pinned | self._believed
            refusal = _refusal(known.get(key.public_key), ledger, head.size, believed=believed)
            if refusal is None:
                return head
            refusals.append(refusal)
        # That a thief may have signed explains a checkpoint; that nobody knows its other key does not.
        raise min(refusals, key=lambda refusal: not isinstance(refusal, DistrustedCheckpointError))


def _refusal(key: RingKey | None, ledger: str, size: int, *, believed: bool) -> BadCheckpointError | None:
    """Say why a key's signature under a checkpoint of this size counts for nothing, or None if it counts."""
    if not believed:
        return BadCheckpointError("its key is not pinned, and no checkpoint of a pinned key vouches for it")
    if key is None:
        return None
    window = key.windows.get(ledger)
    if window is None:
        return BadCheckpointError(f"{key.id} was never active")
    if window.until_leaf is not None and size > window.until_leaf:
        return BadCheckpointError(f"{key.id} was replaced at size {window.until_leaf}")
    if window.untrusted_from_leaf is not None and size > window.untrusted_from_leaf:
        return DistrustedCheckpointError(
            f"{key.id} was compromised, and is trusted up to size {window.untrusted_from_leaf} only"
        )
    return None


def verify_keys(pinned: Sequence[NoteKey], anchors: Sequence[Anchor]) -> Trust:
    """Verify the keys ledger (steps 1 to 4 above) and return what may be believed, with the findings on the way.

    Reads one moment of the database, for a key may be rotated meanwhile; inside a transaction, the caller's. A moment
    between a key step's commit and its checkpoint tells too little, and is followed by another one.
    """
    if connection.in_atomic_block:
        return _verify_keys(pinned, anchors)
    deadline = time.monotonic() + SIGNING_SECONDS
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            base = _verify_keys(pinned, anchors)
        if base.covered or time.monotonic() > deadline:
            return base
        time.sleep(SIGNING_SECONDS / 20)


def _verify_keys(pinned: Sequence[NoteKey], anchors: Sequence[Anchor]) -> Trust:
    base = Trust(pinned)
    ledger = Ledger.objects.filter(name=KEYS_LEDGER).first()
    if ledger is None:
        base.findings.append(Finding(KEYS_LEDGER, None, Verdict.MISSING, "there is no keys ledger"))
        return base
    hashes = list(_replay(ledger, base))
    base.size, base.root = len(hashes), _root(hashes)
    _verify_tree(ledger, base, hashes, anchors)
    base.findings += _table_findings(base.ring)
    return base


def expected_roots(
    ledger: Ledger, base: Trust, anchors: Sequence[Anchor], *, checkpoints: int | None = None
) -> tuple[list[ExpectedRoot], list[Finding]]:
    """Return the roots that believed keys signed for a ledger, in database and anchors, and what was not signed so.

    `checkpoints` is how many of the database's are read, the newest; all of them unless said.
    """
    told = base.ring.ledgers.get(ledger.name)
    origin = told.origin if told else ledger.origin
    expected: list[ExpectedRoot] = []
    findings: list[Finding] = []
    anchored = False
    for note, source, stored in _notes(ledger, origin, anchors, checkpoints):
        try:
            head = base.checked(note, ledger.name, origin)
        except BadCheckpointError as error:
            is_stolen = isinstance(error, DistrustedCheckpointError)
            verdict = Verdict.UNTRUSTED_KEY if is_stolen else Verdict.TAMPERED
            findings.append(Finding(ledger.name, None, verdict, f"{source} cannot be believed: {error}"))
            continue
        if stored is not None and (head.size, head.root) != stored:
            reason = f"{source} is stored with another size or root than its note says"
            findings.append(Finding(ledger.name, None, Verdict.TAMPERED, reason))
        expected.append(ExpectedRoot(head.size, head.root, source))
        anchored |= stored is None
    if not anchored:
        reason = "no anchor outside the database: that it was rolled back to an older state cannot be ruled out"
        findings.append(Finding(ledger.name, None, Verdict.CANNOT_TELL, reason))
    return expected, findings


def uncovered(ledger: Ledger, size: int, newest_checkpoint: int | None) -> list[Finding]:
    """Return a finding if the leaves at the end of a ledger are under no signed checkpoint."""
    covered = newest_checkpoint or 0
    if covered >= size:
        return []
    if newest_checkpoint is None:  # the first one is signed when a ledger is opened
        return [Finding(ledger.name, 0, Verdict.TAMPERED, "every signed checkpoint of the ledger is gone")]
    reason = f"leaves {covered} to {size - 1} are under no signed checkpoint yet; the next append or beat signs one"
    return [Finding(ledger.name, covered, Verdict.CANNOT_TELL, reason)]


def stored_head(ledger: Ledger) -> tuple[Frontier | None, int | None]:
    """Return the stored head and the size of its newest checkpoint, of one moment; None for what is not there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT h.size, h.frontier, (SELECT max(c.size) FROM public.ledger_checkpoints c "
            "WHERE c.ledger_id = h.ledger_id) FROM public.ledger_heads h WHERE h.ledger_id = %s",
            [ledger.pk],
        )
        row = cursor.fetchone()
    if row is None:
        return None, None
    try:
        return Frontier(row[0], row[1]), row[2]
    except (TypeError, ValueError):
        return None, row[2]


def stray_hashes(ledger: Ledger) -> list[Finding]:
    """Return findings for stored tiles and nodes that a tree of the head's size does not have; read in one moment."""
    with connection.cursor() as cursor:
        cursor.execute(_STRAY_HASHES, {"ledger": ledger.pk})
        strays = cursor.fetchall()
    return [
        Finding(
            ledger.name, max(place, 0) << 8 * max(level, 0), Verdict.TAMPERED, f"a stored {what} is not of its tree"
        )
        for what, level, place in strays
    ]


_STRAY_HASHES = """
    WITH head AS (SELECT coalesce((SELECT h.size FROM public.ledger_heads h WHERE h.ledger_id = %(ledger)s), 0) AS size)
    SELECT 'tile', t.level + 1, t.tile_index FROM public.ledger_tiles t, head WHERE t.ledger_id = %(ledger)s
       AND (t.level NOT BETWEEN 0 AND 6 OR octet_length(t.hashes) <> 8192
            OR t.tile_index < 0 OR t.tile_index >= head.size >> 8 * (t.level + 1))
    UNION ALL
    SELECT 'node', n.level::integer, n.node_index FROM public.ledger_nodes n, head WHERE n.ledger_id = %(ledger)s
       AND (n.level NOT BETWEEN 0 AND 7 OR octet_length(n.hash) <> 32
            OR n.node_index < (head.size >> 8 * (n.level + 1)) << 8 OR n.node_index >= head.size >> 8 * n.level)
    LIMIT 1000
"""


def stored_tiles(ledger: Ledger) -> Callable[[int, int], bytes]:
    """Return the reader of a ledger's stored tiles."""
    return lambda level, index: tile(ledger, level, index)


def _replay(ledger: Ledger, base: Trust) -> Iterator[bytes]:
    """Yield the leaf hashes of the key events in order, replaying each (steps 1 and 2)."""
    events = KeyEvent.objects.order_by("leaf_index").values_list("leaf_index", "record", "ledger_id").iterator()
    for expected, (leaf_index, record, ledger_id) in enumerate(events):
        if leaf_index != expected:
            base.findings.append(Finding(ledger.name, expected, Verdict.MISSING, "the record of this leaf is gone"))
            return
        if ledger_id != ledger.pk:
            reason = "the record of this leaf claims another ledger"
            base.findings.append(Finding(ledger.name, leaf_index, Verdict.TAMPERED, reason))
        try:
            base.ring.replay(leaf_index, bytes(record))
        except BadKeyError as error:
            base.findings.append(Finding(ledger.name, leaf_index, Verdict.TAMPERED, str(error)))
        yield leaf_hash(bytes(record))


def _verify_tree(ledger: Ledger, base: Trust, hashes: Sequence[bytes], anchors: Sequence[Anchor]) -> None:
    _follow_checkpoints(ledger, base, hashes)
    if not base.pinned:
        reason = (
            "no checkpoint key is pinned (AUDITLOG_TRUST_FILE, --trust): "
            "that everything was rebuilt with fresh keys cannot be ruled out"
        )
        base.findings.append(Finding(ledger.name, None, Verdict.CANNOT_TELL, reason))
        base.believe(base.ring.keys.values())
    expected, findings = expected_roots(ledger, base, anchors)
    base.findings += findings
    head, newest_checkpoint = stored_head(ledger)
    base.covered = (newest_checkpoint or 0) >= len(hashes)
    base.findings += uncovered(ledger, len(hashes), newest_checkpoint)
    if head is None or head.size != len(hashes) or head.root() != _root(hashes):
        reason = f"the head of the ledger is not that of its {len(hashes)} records"
        base.findings.append(Finding(ledger.name, min(head.size if head else 0, len(hashes)), Verdict.TAMPERED, reason))
    check = TreeCheck(ledger.name, expected, stored_tiles(ledger))
    for first in range(0, len(hashes), TILE):
        run = hashes[first : first + TILE]
        stored = tile(ledger, 0, first // TILE)
        base.findings += compare_leaves(ledger.name, first, run, stored)
        # The stored leaves where there are any, so that a changed record is named and not the whole range.
        whole = len(stored) >= 32 * len(run)
        check.add_tile([stored[at : at + 32] for at in range(0, 32 * len(run), 32)] if whole else run)
    check.finish()
    base.findings += check.findings
    base.findings += stray_hashes(ledger)


def compare_leaves(ledger: str, first_leaf: int, hashes: Sequence[bytes], stored: bytes) -> list[Finding]:
    """Return a finding for each record whose hash is not the leaf that is stored for it."""
    if stored[: 32 * len(hashes)] == b"".join(hashes):
        return []
    return [
        Finding(ledger, first_leaf + place, Verdict.TAMPERED, "its record is not the leaf that the ledger holds")
        for place, leaf in enumerate(hashes)
        if stored[32 * place : 32 * place + 32] != leaf
    ]


def _follow_checkpoints(ledger: Ledger, base: Trust, hashes: Sequence[bytes]) -> None:
    """Believe every checkpoint key that was made before a checkpoint which a believed key signed (step 3)."""
    told = base.ring.ledgers.get(ledger.name)
    origin = told.origin if told else ledger.origin
    notes = list(LedgerCheckpoint.objects.filter(ledger=ledger).order_by("size").values_list("note", flat=True))
    learned = True
    while learned:
        learned = False
        for note in notes:
            try:
                head = base.checked(note, ledger.name, origin)
            except BadCheckpointError:
                continue  # expected_roots reports it once all keys are known
            if head.size <= len(hashes) and head.root == _root(hashes[: head.size]):
                learned |= base.believe(key for key in base.ring.keys.values() if key.created_leaf < head.size)


def _root(hashes: Sequence[bytes]) -> bytes:
    tree = Frontier()
    tree.extend(hashes)
    return tree.root()


def _notes(
    ledger: Ledger, origin: str, anchors: Sequence[Anchor], checkpoints: int | None
) -> Iterator[tuple[str, str, tuple[int, bytes] | None]]:
    stored = LedgerCheckpoint.objects.filter(ledger=ledger).order_by("size")
    if checkpoints is not None:
        older = stored.reverse().values_list("size", flat=True)[checkpoints : checkpoints + 1].first()
        stored = stored.filter(size__gt=-1 if older is None else older)
    for row in stored.iterator():
        yield row.note, f"the checkpoint of {row.size} leaves", (row.size, bytes(row.root))
    before = ""
    for anchor in anchors:
        if anchor.note != before and anchor.note.partition("\n")[0] == origin:  # an idle ledger's are all alike
            yield anchor.note, f"the anchor {anchor.path.name}", None
        before = anchor.note


def _table_findings(ring: KeyRing) -> Iterator[Finding]:
    """Compare ledgers, keys and windows with the ring (step 4)."""
    yield from _differences(
        "ledger", _ledger_rows(), {name: _ledger_facts(told) for name, told in ring.ledgers.items()}
    )
    yield from _differences("key", _key_rows(), {key.id: _key_facts(key) for key in ring.keys.values()})
    windows = {
        f"{key.id} in {ledger}": (window.first_leaf, window.until_leaf, window.untrusted_from_leaf)
        for key in ring.keys.values()
        for ledger, window in key.windows.items()
    }
    yield from _differences("window of key", _window_rows(), windows)
    certificates = {key_id: _certificate_facts(told) for key_id, told in ring.certificates.items()}
    yield from _differences("certificate of", _certificate_rows(), certificates)


def _differences(what: str, rows: dict[str, Any], told: dict[str, Any]) -> Iterator[Finding]:
    for name in sorted({*rows, *told}):
        if name not in told:
            reason = f"the {what} {name} is in no record of the keys ledger"
        elif name not in rows:
            reason = f"the {what} {name} is gone from its table"
        elif rows[name] != told[name]:
            reason = f"the {what} {name} is not what the keys ledger says"
        else:
            continue
        yield Finding(KEYS_LEDGER, None, Verdict.TAMPERED, reason)


def _ledger_facts(told: RingLedger) -> tuple[str, str, str]:
    return (told.name, told.origin, told.kind)


def _ledger_rows() -> dict[str, Any]:
    return {row[0]: row for row in Ledger.objects.values_list("name", "origin", "kind")}


def _key_facts(key: RingKey) -> tuple[Any, ...]:
    return (key.purpose, key.algorithm, key.provider, key.public_key, key.state)


def _key_rows() -> dict[str, Any]:
    return {
        key.id: (key.purpose, key.algorithm, key.provider, bytes(key.public_key), key.state)
        for key in SigningKey.objects.all()
    }


def _certificate_facts(told: RingCertificate) -> tuple[Any, ...]:
    return (told.person, told.certificate, told.chain, told.revoked)


def _certificate_rows() -> dict[str, Any]:
    return {
        row.key_id: (
            row.person,
            None if row.certificate is None else bytes(row.certificate),
            tuple(map(bytes, row.chain)),
            row.revoked_at is not None,
        )
        for row in ExportCertificate.objects.all()
    }


def _window_rows() -> dict[str, Any]:
    return {
        f"{window.key_id} in {window.ledger.name}": (window.first_leaf, window.until_leaf, window.untrusted_from_leaf)
        for window in KeyWindow.objects.select_related("ledger")
    }
