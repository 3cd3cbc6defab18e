"""The checks of what an export says: manifest, records, proof, checkpoint, entry signatures, CSV and JSON.

    1. the manifest is about these files        4. the proof has each of them in the tree, and every leaf of the range
    2. rows are well-formed and in order        5. a pinned key signed the checkpoint, whose tree it is
    3. they are those that the claim counts     6. keys of the log signed the entries
                                                7. CSV, NDJSON and JSON hold the same

Works on a container or on loose files alike; what is not there is named as not checked. Memory stays flat: rows are
read in batches, which are shared among processes if there are many.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from exports import names, proofs, render_accesses_csv, render_csv, render_json, render_ndjson
from exports.claim_words import kinds_of_marked, of_marked
from exports.errors import BadManifestError, BadMultiproofError, BadRowError
from exports.manifest import Claim, Manifest
from exports.render_ndjson import SOUND
from exports.verifier import rows
from exports.verifier.pins import entry_keys
from exports.verifier.report import MAX_EXAMPLES, Name, examples
from signing import checkpoint, trust
from signing.errors import BadCheckpointError, BadKeyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from exports.proofs import Proved
    from exports.verifier.pins import EntryKey, Pins
    from exports.verifier.report import Report
    from exports.verifier.rows import Examined
    from signing.checkpoint import Checkpoint, NoteKey

ROW_FILES = tuple(rows.RENDERERS)
_CHECKS = {
    render_ndjson.NAME: Name.RECORDS,
    render_csv.NAME: Name.CSV,
    render_accesses_csv.NAME: Name.CSV,
    render_json.NAME: Name.JSON,
}
_MANY = 32 * 1024 * 1024  # bytes of rows from which on several processes pay
_QUEUED = 4  # batches for each process


class Hash(Protocol):
    """A running hash, as hashlib gives it."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""

    def digest(self) -> bytes:
        """Return the hash so far."""

    def hexdigest(self) -> str:
        """Return the hash so far in hexadecimal."""


class Files(Protocol):
    """The files at hand, by name."""

    def __contains__(self, name: str) -> bool: ...

    def size(self, name: str) -> int:
        """Return the size of a file."""

    def read(self, name: str) -> bytes:
        """Return a small file."""

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file."""


@dataclass(slots=True)
class Told:
    """What the rows came to, all together. `named`: the leaves that the filter names; None for another filter."""

    named: frozenset[int] | None = None
    unnamed: int = 0
    entries: int = 0
    first_leaf: int | None = None
    last_leaf: int | None = None
    in_order: bool = True
    verdicts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    right: Counter[str] = field(default_factory=Counter)  # signatures, by key
    unknown_keys: Counter[str] = field(default_factory=Counter)
    broken: str = ""


def check_contents(files: Files, report: Report, pins: Pins, claim: Claim | None) -> None:
    """Check everything that rows, proof, checkpoint and keys say (steps 2 to 7)."""
    source = next((name for name in ROW_FILES if name in files), None)
    head = _check_checkpoint(files, report, pins, claim)  # 5
    if source is None:
        if claim is not None:
            report.not_checked(Name.RECORDS, "there are no rows here: the records are in another file")
        return
    others = tuple(name for name in ROW_FILES if name in files and name != source)
    told, digest = Told(named=None if claim is None else claim.named_leaves), sha256()
    rendered = {name: sha256(rows.RENDERERS[name].header()) for name in (source, *others)}
    jwks = files.read(names.JWKS) if names.JWKS in files else _pinned_jwks(pins)
    examiner = rows.Examiner(source, others, jwks, None if claim is None else claim.ledger)
    with ExitStack() as stack:
        examined = _examined(files, source, examiner, stack)
        leaves = _leaves(examined, told, digest, rendered)
        proved = _check_proof(files, report, leaves, told)  # 2, 4
        for _ in leaves:  # what a broken proof left unread
            pass
    if told.broken:
        report.wrong(_CHECKS[source], f"{source} cannot be read: {told.broken}")
        return
    _check_rows(report, told, source)
    _check_claim(report, told, claim, digest.hexdigest())  # 3
    _check_tree(report, proved, head, claim)
    _check_signatures(report, told, pins, jwks)  # 6
    _check_formats(files, report, rendered, claim, source)  # 7


def check_manifest(raw: bytes, report: Report) -> Manifest | None:
    """Return the manifest, or None after saying what is wrong with it."""
    try:
        manifest = Manifest.from_json(raw)
    except BadManifestError as error:
        report.wrong(Name.MANIFEST, str(error))
        return None
    claim = manifest.claim
    for text in (f"exported by {claim.exported_by} at {claim.exported_at}, purpose: {claim.purpose}", _filter(claim)):
        report.note(Name.MANIFEST, text)
    return manifest


def _filter(claim: Claim) -> str:
    said = ", ".join(f"{name}={value}" for name, value in sorted(claim.filters.items())) or "none"
    return f"filter: {said}; ledger {claim.ledger} at {claim.ledger_size} leaves"


def _examined(files: Files, source: str, examiner: rows.Examiner, stack: ExitStack) -> Iterator[Examined]:
    batches = rows.split(source, files.pieces(source))
    processes = os.cpu_count() or 1
    if processes == 1 or files.size(source) < _MANY:
        return map(examiner, batches)
    pool = stack.enter_context(ProcessPoolExecutor(processes))
    return _shared(pool, batches, examiner, processes * _QUEUED)


def _shared(
    pool: ProcessPoolExecutor, batches: Iterator[list[bytes]], examiner: rows.Examiner, ahead: int
) -> Iterator[Examined]:
    """Yield what the processes found, in order, with a bounded number of batches under way."""
    waiting = [pool.submit(examiner, batch) for batch in islice(batches, ahead)]
    while waiting:
        done = waiting.pop(0).result()
        waiting += [pool.submit(examiner, batch) for batch in islice(batches, 1)]
        yield done


def _leaves(
    examined: Iterator[Examined], told: Told, digest: Hash, rendered: Mapping[str, Hash]
) -> Iterator[tuple[int, bytes, bool]]:
    """Yield leaf index, hash and whether it is marked of every row, and add up everything else on the way."""
    try:
        for seen in examined:
            for name, raw in seen.rendered.items():
                if told.entries:
                    rendered[name].update(rows.RENDERERS[name].SEPARATOR)
                rendered[name].update(raw)
            _add(told, seen)
            digest.update(seen.records)
            yield from seen.leaves
    except (BadRowError, BadKeyError, UnicodeDecodeError) as error:
        told.broken = str(error)


def _add(told: Told, seen: Examined) -> None:
    indexes = [leaf_index for leaf_index, _, _ in seen.leaves]
    before = -1 if told.last_leaf is None else told.last_leaf
    told.in_order &= all(one < other for one, other in zip([before, *indexes], indexes, strict=False))
    told.first_leaf = indexes[0] if told.first_leaf is None else told.first_leaf
    told.last_leaf = indexes[-1]
    told.entries += len(indexes)
    if told.named is not None:
        told.unnamed += sum(leaf_index not in told.named for leaf_index in indexes)
    told.verdicts.update(seen.verdicts)
    told.faults += seen.faults[: MAX_EXAMPLES - len(told.faults)] if len(told.faults) < MAX_EXAMPLES else []
    told.fault_count += len(seen.faults)
    told.right.update(seen.right)
    told.unknown_keys.update(seen.unknown_keys)


def _check_proof(files: Files, report: Report, leaves: Iterator[tuple[int, bytes, bool]], told: Told) -> Proved | None:
    if proofs.NAME not in files:
        return None
    try:
        proved = proofs.verify(_proof_lines(files), leaves)
    except BadMultiproofError as error:
        if not told.broken:
            report.wrong(Name.PROOFS, str(error))
        return None
    return proved


def _proof_lines(files: Files) -> Iterator[bytes]:
    rest = b""
    for piece in files.pieces(proofs.NAME):
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line + b"\n" for line in lines)
        if len(rest) > proofs.MAX_LINE:
            raise BadMultiproofError("a line of the proof is too long")
    if rest:
        yield rest


def _check_rows(report: Report, told: Told, source: str) -> None:
    if not told.in_order:
        report.wrong(Name.RECORDS, f"the rows of {source} are not in the order of their leaves, each once")
    if told.fault_count:
        report.wrong(Name.RECORDS, examples(told.faults, told.fault_count))
    if told.in_order and not told.fault_count:
        report.ok(Name.RECORDS, f"{told.entries} records, each in its one spelling and in order")
    marked = sum(count for verdict, count in told.verdicts.items() if verdict not in SOUND)
    if marked:
        kinds = kinds_of_marked(told.verdicts)
        text = f"the export itself says that {marked} entries {of_marked(told.verdicts)}: {kinds}"
        report.cannot_tell(Name.MARKED, text)


def _check_claim(report: Report, told: Told, claim: Claim | None, digest: str) -> None:
    if claim is None:
        report.not_checked(Name.MANIFEST, "there is no manifest here: that these are all rows, and whose, is not known")
        return
    misfits = [
        what
        for what, here, claimed in (
            ("number of entries", told.entries, claim.entries),
            ("first leaf", told.first_leaf, claim.first_leaf),
            ("last leaf", told.last_leaf, claim.last_leaf),
            ("set of leaves", told.unnamed, 0),
            ("verdicts", dict(told.verdicts), claim.verdicts),
            ("dataset digest", digest, claim.dataset_digest),
        )
        if here != claimed
    ]
    if misfits:
        report.wrong(Name.MANIFEST, f"the rows are not those of the manifest: another {', another '.join(misfits)}")
    else:
        report.ok(Name.MANIFEST, f"the rows are the {claim.entries} that it names; dataset digest {digest}")


def _check_tree(report: Report, proved: Proved | None, head: Checkpoint | None, claim: Claim | None) -> None:
    if proved is None:
        if not any(check.name == Name.PROOFS for check in report.checks):
            report.not_checked(Name.PROOFS, "there is no proof here that the records are in the ledger")
        return
    about = proved.head
    if claim is not None and (about.origin, about.size, about.complete_range) != (
        claim.origin,
        claim.ledger_size,
        claim.complete_range,
    ):
        report.wrong(Name.PROOFS, "the proof is about another ledger, size or range than the manifest")
    elif claim is not None and proved.root.hex() != claim.root:
        report.wrong(Name.PROOFS, "with these records the proof does not lead to the root that the manifest names")
    elif head is not None and (about.origin, about.size, proved.root) != (head.origin, head.size, head.root):
        report.wrong(Name.PROOFS, "with these records the proof does not lead to the root of the checkpoint")
    elif head is None and claim is None:
        text = f"it leads to the root {proved.root.hex()}, and no checkpoint here says if it is right"
        report.cannot_tell(Name.PROOFS, text)
    else:
        report.ok(Name.PROOFS, _proved_text(proved))


def _proved_text(proved: Proved) -> str:
    said = f"{proved.exported - proved.mismatched} entries are leaves of the tree of {proved.head.size}"
    if proved.mismatched:
        said += (
            f"; the records of {proved.mismatched} more, which are marked, are not what the tree has in their places"
        )
    if proved.head.complete_range is None:
        return f"{said}; no range is claimed to be complete"
    first, end = proved.head.complete_range
    none = "none is left out" if proved.mismatched else "none is missing"
    return f"{said}; of the leaves {first} to {end - 1} {none}, {proved.withheld} are here as hashes only"


def _check_checkpoint(files: Files, report: Report, pins: Pins, claim: Claim | None) -> Checkpoint | None:
    """Return the checkpoint if nothing is wrong with it."""
    if names.CHECKPOINT not in files:
        if claim is not None or proofs.NAME in files:
            report.not_checked(Name.CHECKPOINT, "there is no checkpoint here: that the log had this root is not known")
        return None
    try:
        note = files.read(names.CHECKPOINT).decode()
        head = checkpoint.parse(note).checkpoint
        _require_claimed(head, claim)
        own = _own_keys(files, head)
        pinned = trust.for_origin(pins.checkpoint_keys, head.origin)
        known = pinned or own
        if not known:
            report.cannot_tell(Name.CHECKPOINT, "no checkpoint key of this log is pinned (--trust trust.vkeys)")
            return head
        checkpoint.verify(note, known)
    except (BadCheckpointError, BadKeyError, UnicodeDecodeError) as error:
        report.wrong(Name.CHECKPOINT, str(error))
        return None
    if pinned:
        report.ok(Name.CHECKPOINT, f"a pinned key signed the root of {head.size} leaves of {head.origin}")
    else:
        text = "signed by a key that the export brings with it; pin the key of the log (--trust trust.vkeys)"
        report.cannot_tell(Name.CHECKPOINT, text)
    return head


def _require_claimed(head: Checkpoint, claim: Claim | None) -> None:
    here = (head.origin, head.size, head.root.hex())
    if claim is not None and here != (claim.origin, claim.ledger_size, claim.root):
        raise BadCheckpointError("it is not the one that the manifest names: another ledger, size or root")


def _own_keys(files: Files, head: Checkpoint) -> list[NoteKey]:
    if names.VKEYS not in files:
        return []
    return trust.for_origin(trust.parse(files.read(names.VKEYS).decode()), head.origin)


def _pinned_jwks(pins: Pins) -> bytes:
    return json.dumps({"keys": [key.jwk for key in pins.entry_keys.values()]}).encode()


def _check_signatures(report: Report, told: Told, pins: Pins, jwks: bytes) -> None:
    if told.unknown_keys:
        said = ", ".join(sorted(told.unknown_keys)[:MAX_EXAMPLES])
        count = sum(told.unknown_keys.values())
        report.cannot_tell(Name.ENTRY_SIGNATURES, f"{count} entries are signed by keys that are not here: {said}")
    try:
        brought = entry_keys(jwks)
    except BadKeyError as error:  # where there is no row nothing else reads them
        report.wrong(Name.ENTRY_SIGNATURES, str(error))
        return
    changed = sorted(
        kid for kid, key in brought.items() if kid in pins.entry_keys and pins.entry_keys[kid].jwk != key.jwk
    )
    if changed:
        report.wrong(Name.ENTRY_SIGNATURES, f"keys in the export are not the pinned ones: {', '.join(changed)}")
        return
    _check_pinned(report, told.right, pins, brought)


def _check_pinned(report: Report, right: Counter[str], pins: Pins, brought: Mapping[str, EntryKey]) -> None:
    strange = Counter({kid: count for kid, count in right.items() if kid not in pins.entry_keys})
    if right.total() > strange.total():
        report.ok(Name.ENTRY_SIGNATURES, f"{right.total() - strange.total()} entries are signed by pinned keys")
    if strange:
        whose = examples(sorted(strange), len(strange))
        text = f"{strange.total()} are right, by keys that the export brings with it: {whose}; pin them"
        report.cannot_tell(Name.ENTRY_SIGNATURES, f"{text} (--trust jwks.json)")
    # What signed nothing here is not relied upon: after a rotation the log publishes keys that nobody pinned yet. But
    # whoever takes his next pins out of an export would rely on it.
    idle = sorted(brought.keys() - right.keys() - pins.entry_keys.keys())
    if pins.entry_keys and idle:
        text = f"keys in the export that signed nothing here and are not pinned: {examples(idle, len(idle))}"
        report.note(Name.ENTRY_SIGNATURES, text)


def _check_formats(
    files: Files, report: Report, rendered: Mapping[str, Hash], claim: Claim | None, source: str
) -> None:
    for name, expected in rendered.items():
        if name == render_json.NAME and claim is None:
            report.not_checked(Name.JSON, "without a manifest its claim is compared with nothing")
            continue
        if claim is not None:
            expected.update(rows.RENDERERS[name].footer(claim))
        if sha256_of(files.pieces(name)) != expected.digest():
            against = "its own records" if name == source else "the records"
            report.wrong(_CHECKS[name], f"{name} does not say what {against} say")
        elif name != render_ndjson.NAME:
            report.ok(_CHECKS[name], f"{name} says exactly what the records say")


def sha256_of(pieces: Iterable[bytes]) -> bytes:
    """Return the SHA-256 of what comes in pieces."""
    digest = sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()
