"""What somebody brings to have it checked: a JWS, a record, a receipt, a proof, a checkpoint. Reads; writes nothing.

What comes out of it tells an outsider nothing about the log that he did not bring: whether his piece is what the log
holds, and if not, why. `checked` lists what was found right, step by step, so that `valid` is never just a word.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from activity.errors import BadEvidenceError
from activity.ground import present_ground
from activity.models import ActivityLog, ActivityRevision
from activity.retrieval import Tree, judge_entries
from signing import checkpoint, jws, tlog_proof
from signing.algorithms import ALGORITHMS
from signing.errors import BadCheckpointError, BadProofError, DistrustedCheckpointError
from signing.merkle import consistency_proof, leaf_hash, verify_consistency, verify_inclusion
from signing.models import Ledger
from signing.queries import node_reader
from signing.verdicts import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signing.checkpoint import Checkpoint
    from signing.keyring import RingKey


@dataclass(frozen=True, slots=True)
class Judgement:
    """What can be said of a piece of evidence now. `reasons` says why it is not valid."""

    verdict: Verdict
    reasons: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()


class _RefutedError(Exception):
    """A step of a check failed, with the verdict that follows."""

    def __init__(self, verdict: Verdict, reason: str) -> None:
        super().__init__(reason)
        self.verdict = verdict


@dataclass(slots=True)
class _Check:
    """The steps of one check; the first that fails ends it."""

    checked: list[str] = field(default_factory=list)
    signed: bool = True

    def right(self, step: str) -> None:
        self.checked.append(step)

    def judgement(self) -> Judgement:
        doubt = present_ground().doubt
        if doubt is not None:
            return Judgement(Verdict.CANNOT_TELL, (doubt,), tuple(self.checked))
        return Judgement(Verdict.VALID if self.signed else Verdict.UNSIGNED, (), tuple(self.checked))


def judge_jws(compact: str) -> Judgement:
    """Judge an entry as JWS. Raises BadJwsError, BadEvidenceError for what is none."""
    brought = jws.parse(compact)
    said = _members(brought.payload)
    entry_id(said["id"])

    def steps(check: _Check) -> None:
        key = _key(str(brought.header["kid"]))
        if brought.signing_input != jws.signing_input(jws.protected(key.algorithm, key.id), brought.payload):
            raise _RefutedError(Verdict.TAMPERED, f"its header is not the one of entries that {key.id} signs")
        _require_signature(check, key, brought.payload, brought.signature)
        _require_in_ledger(check, said, brought.payload)

    return _judged(steps)


def judge_record(record: bytes, signature: bytes | None) -> Judgement:
    """Judge a record with the signature beside it. Raises BadEvidenceError for what is no record."""
    said = _members(record)
    entry_id(said["id"])

    def steps(check: _Check) -> None:
        kid = said.get("kid")
        if kid is None:
            if signature is not None:
                raise _RefutedError(Verdict.TAMPERED, "the record names no key that could have signed it")
            check.signed = False
            check.right("the record names no key, so its log type required no signature")
        elif signature is None:
            raise _RefutedError(Verdict.TAMPERED, f"it must be signed by {kid}, and there is no signature")
        else:
            _require_signature(check, _key(str(kid)), record, signature)
        _require_in_ledger(check, said, record)

    return _judged(steps)


def judge_receipt(*, entry: UUID, ledger: str, leaf_index: int, hash_of_leaf: bytes, note: str) -> Judgement:
    """Judge a receipt. Raises BadCheckpointError if its checkpoint is none."""
    checkpoint.parse(note)

    def steps(check: _Check) -> None:
        opened = _ledger(ledger)
        head = _require_checkpoint(check, opened, note)
        if leaf_index >= head.size:
            raise _RefutedError(Verdict.TAMPERED, f"its checkpoint covers {head.size} leaves, so not leaf {leaf_index}")
        _require_leaf(check, opened, leaf_index, hash_of_leaf)
        if ActivityLog.objects.filter(ledger=opened, leaf_index=leaf_index, pk=entry).exists():
            check.right("the entry of this id stands at this leaf")
        elif ActivityRevision.objects.filter(ledger=opened, leaf_index=leaf_index, entry_id=entry).exists():
            check.right("a version of the entry of this id stood at this leaf; it was amended or removed since")
        else:
            raise _RefutedError(Verdict.MISSING, f"the entry {entry} is not at leaf {leaf_index} any more")

    return _judged(steps)


def judge_proof(
    *, ledger: str | None, leaf_index: int, hash_of_leaf: bytes, hashes: Sequence[bytes], note: str
) -> Judgement:
    """Judge an inclusion proof; without `ledger` the checkpoint's origin names it. Raises BadCheckpointError."""
    head = checkpoint.parse(note).checkpoint

    def steps(check: _Check) -> None:
        opened = _ledger_of(head) if ledger is None else _ledger(ledger)
        _require_checkpoint(check, opened, note)
        try:
            verify_inclusion(hash_of_leaf, leaf_index, head.size, hashes, head.root)
        except BadProofError as error:
            raise _RefutedError(
                Verdict.TAMPERED, f"the hashes do not tie leaf {leaf_index} to the root: {error}"
            ) from error
        check.right(f"the hashes tie leaf {leaf_index} to the root of {head.size} leaves")
        _require_leaf(check, opened, leaf_index, hash_of_leaf)

    return _judged(steps)


def judge_tlog_proof(text: str, record: bytes) -> Judgement:
    """Judge a C2SP tlog-proof of a record. Raises BadProofError, BadCheckpointError for what is none."""
    brought = tlog_proof.parse(text)
    return judge_proof(
        ledger=None,
        leaf_index=brought.index,
        hash_of_leaf=leaf_hash(record),
        hashes=brought.proof,
        note=brought.checkpoint_note,
    )


def judge_checkpoint(note: str) -> Judgement:
    """Judge a checkpoint. Raises BadCheckpointError for what is none."""
    head = checkpoint.parse(note).checkpoint
    return _judged(lambda check: _require_checkpoint(check, _ledger_of(head), note))


def entry_id(text: str) -> UUID:
    """Return the id that a text names. Raises BadEvidenceError for a text that no entry has as its id."""
    try:
        return UUID(text)
    except ValueError:
        raise BadEvidenceError("the id is no UUID") from None


def _judged(steps: Any) -> Judgement:
    check = _Check()
    try:
        steps(check)
    except _RefutedError as stop:
        return Judgement(stop.verdict, (str(stop),), tuple(check.checked))
    return check.judgement()


def _members(record: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(record)
    except orjson.JSONDecodeError as error:
        raise BadEvidenceError("the payload is no JSON, so no record of an entry") from error
    if not isinstance(said, dict) or not all(isinstance(said.get(name), str) for name in ("id", "ledger")):
        raise BadEvidenceError("the payload is no record of an entry: it names no id and ledger")
    return said


def _key(key_id: str) -> RingKey:
    key = present_ground().trust.ring.keys.get(key_id)
    if key is None:
        raise _RefutedError(Verdict.UNTRUSTED_KEY, f"no key {key_id} ever signed here")
    if not ALGORITHMS[key.algorithm].outsiders_can_verify:
        raise _RefutedError(Verdict.CANNOT_TELL, f"{key_id} is an HMAC key: whoever could verify could sign as well")
    return key


def _require_signature(check: _Check, key: RingKey, record: bytes, signature: bytes) -> None:
    verify = ALGORITHMS[key.algorithm].load_public(key.public_key)
    if not verify(signature, jws.signing_input(jws.protected(key.algorithm, key.id), record)):
        raise _RefutedError(Verdict.TAMPERED, f"the signature is not that of {key.id} over this record")
    check.right(f"the signature is that of {key.id} over this very record")


def _require_in_ledger(check: _Check, said: dict[str, Any], record: bytes) -> None:
    """Require that the ledger holds this very record, and that nothing is wrong with its entry."""
    entry = ActivityLog.objects.select_related("ledger").filter(pk=entry_id(said["id"])).first()
    if entry is None or entry.ledger.name != said["ledger"]:
        raise _RefutedError(Verdict.MISSING, f"the ledger {said['ledger']} holds no entry {said['id']}")
    if bytes(entry.record) != record:
        _require_superseded(check, entry, record)
        return
    (present,) = judge_entries([entry])
    if present.reasons:
        raise _RefutedError(present.verdict, present.reasons[0])
    check.right(f"the record is leaf {entry.leaf_index} of the ledger {entry.ledger.name}, under a signed checkpoint")


def _require_superseded(check: _Check, entry: ActivityLog, record: bytes) -> None:
    """Require that the record was a version of its entry, at the leaf where it stood; say what became of it."""
    archived = ActivityRevision.objects.filter(entry_id=entry.pk, leaf_hash=leaf_hash(record)).first()
    if archived is None:
        raise _RefutedError(Verdict.TAMPERED, f"the ledger {entry.ledger.name} holds another record under this id")
    _require_leaf(check, entry.ledger, archived.leaf_index, leaf_hash(record))
    (present,) = judge_entries([entry])
    if present.reasons:
        raise _RefutedError(present.verdict, present.reasons[0])
    check.right(
        f"it was revision {archived.revision}, and was amended since: "
        f"revision {entry.revision} is leaf {entry.leaf_index}"
    )


def _ledger(name: str) -> Ledger:
    known = name in present_ground().trust.ring.ledgers  # before a text is asked for that no database could hold
    ledger = Ledger.objects.filter(name=name).first() if known else None
    if ledger is None:
        raise _RefutedError(Verdict.MISSING, f"there is no ledger {name!r}")
    return ledger


def _ledger_of(head: Checkpoint) -> Ledger:
    told = next((one for one in present_ground().trust.ring.ledgers.values() if one.origin == head.origin), None)
    if told is None:
        raise _RefutedError(Verdict.CANNOT_TELL, f"{head.origin} is no ledger of this installation")
    return _ledger(told.name)


def _require_checkpoint(check: _Check, ledger: Ledger, note: str) -> Checkpoint:
    """Require that a believed key signed it, and that the ledger's newest checkpoint continues it."""
    ground = present_ground()
    try:
        head = ground.checked(ledger, note)
    except DistrustedCheckpointError as error:
        raise _RefutedError(Verdict.UNTRUSTED_KEY, f"its checkpoint cannot be believed: {error}") from error
    except BadCheckpointError as error:
        raise _RefutedError(Verdict.TAMPERED, f"its checkpoint cannot be believed: {error}") from error
    check.right(f"a checkpoint key of this installation signed the checkpoint of {head.size} leaves")
    newest = ground.head(ledger)
    if isinstance(newest, Finding):
        raise _RefutedError(newest.verdict, newest.reason)
    if head.size > newest.size:
        raise _RefutedError(Verdict.TAMPERED, f"the ledger has {newest.size} leaves now: it was rolled back")
    if head.size:
        try:
            proof = consistency_proof(head.size, newest.size, node_reader(ledger))
            verify_consistency(head.size, newest.size, head.root, newest.root, proof)
        except (BadProofError, ValueError, IndexError) as error:
            raise _RefutedError(
                Verdict.TAMPERED, "the ledger's tree does not continue the one of its checkpoint"
            ) from error
    check.right(f"the ledger, now of {newest.size} leaves, continues that tree")
    return head


def _require_leaf(check: _Check, ledger: Ledger, leaf_index: int, hash_of_leaf: bytes) -> None:
    misfit = Tree(ledger, present_ground()).misfit(leaf_index, hash_of_leaf)
    if misfit is not None:
        raise _RefutedError(misfit.verdict, misfit.reason)
    check.right(f"the ledger holds this hash as leaf {leaf_index}")
