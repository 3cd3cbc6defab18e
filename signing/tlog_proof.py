"""Proof files: everything a stranger needs to check one record offline, as C2SP tlog-proof@v1.

    c2sp.org/tlog-proof@v1
    extra YWdl…                 base64, optional; nobody signed it
    index 73894                 leaf index, decimal
    gSKyXoYZUgZ6jduW…           sibling hashes, leaf first, base64 of 32 bytes each
    …
                                blank line
    auditlog.example/activity   the checkpoint's note, verbatim
    109482
    …

The record itself is not in the file; the verifier brings it. Usual file name: *.tlog-proof.

Source: https://c2sp.org/tlog-proof.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from signing import checkpoint, merkle
from signing.errors import BadProofError

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PROOF_SIZE = 2_000_000
MAX_HASHES = 63
_INDEX = re.compile("index (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof file as read. Nothing in it is verified yet, and `extra` never is."""

    index: int
    proof: tuple[bytes, ...]
    checkpoint_note: str
    extra: bytes | None


def format(  # noqa: A001 -- the pair is format and parse, read with the module's name
    index: int, proof: Sequence[bytes], checkpoint_note: str, extra: bytes | None = None
) -> str:
    """Return the proof file of leaf `index` under a checkpoint; `proof` is merkle.inclusion_proof's."""
    lines = [HEADER]
    if extra is not None:
        lines.append(f"extra {checkpoint.to_base64(extra)}")
    lines.append(f"index {index}")
    lines.extend(map(checkpoint.to_base64, proof))
    return "\n".join(lines) + "\n\n" + checkpoint_note


def parse(text: str) -> TlogProof:
    """Read a proof file without verifying it; the checkpoint stays text. Raises BadProofError, with the reason."""
    if len(text) > MAX_PROOF_SIZE:
        raise BadProofError(f"longer than {MAX_PROOF_SIZE} characters")
    head, separator, note = text.partition("\n\n")
    header, *lines = head.split("\n")
    if header != HEADER or not separator:
        raise BadProofError(f"not a proof file: it starts with {HEADER} and has a blank line before the checkpoint")
    extra = _decode(lines.pop(0)[len("extra ") :]) if lines and lines[0].startswith("extra ") else None
    index = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if index is None:
        raise BadProofError("the index line is missing or not a decimal number without leading zeros")
    if len(lines) > MAX_HASHES:
        raise BadProofError(f"more than {MAX_HASHES} hashes")
    return TlogProof(int(index[1]), tuple(map(_decode_hash, lines)), note, extra)


def verify(text: str, record: bytes, keys: Iterable[checkpoint.NoteKey]) -> checkpoint.Checkpoint:
    """Return the checkpoint under which this very record is logged.

    1. One of `keys` signed the checkpoint, else BadCheckpointError. 2. The hashes tie the record, at the index, to
    its root, else BadProofError. Whose log it is stands in the checkpoint's origin: the caller compares.
    """
    proof = parse(text)
    head = checkpoint.verify(proof.checkpoint_note, keys).checkpoint  # 1
    merkle.verify_inclusion(merkle.leaf_hash(record), proof.index, head.size, proof.proof, head.root)  # 2
    return head


def _decode(encoded: str) -> bytes:
    try:
        return checkpoint.from_base64(encoded)
    except ValueError as error:
        raise BadProofError("a line is not base64") from error


def _decode_hash(line: str) -> bytes:
    raw = _decode(line)
    if len(raw) != merkle.HASH_SIZE:
        raise BadProofError(f"a hash line is base64 of {merkle.HASH_SIZE} bytes")
    return raw
