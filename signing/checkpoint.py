"""Checkpoints: the signed head of a ledger's tree, as a C2SP signed note.

    auditlog.example/activity                        origin
    20852163                                         size, decimal
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=     root, base64 of 32 bytes
                                                     (the signatures cover the lines above, with their newlines)
    — auditlog.example Az3grlgtzPICa5OS8npV…         key name, base64(key id || signature)

    key id = SHA-256(name || 0x0A || 0x01 || public key)[:4]
    vkey   = name+key id in hex+base64(0x01 || public key)

Reading is strict: one spelling per value. Lines after the root (extension lines) are covered by the signatures and
otherwise ignored. Signatures are Ed25519 (type 0x01); those of unknown keys are ignored, so keys can rotate.

Sources: https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint; the vkey is Go's x/mod/sumdb/note.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from signing.algorithms import ALGORITHMS
from signing.errors import BadCheckpointError, BadKeyError

MAX_NOTE_SIZE = 1_000_000
MAX_SIGNATURES = 100
MAX_TREE_SIZE = 2**63 - 1
_HASH_SIZE = 32
_KEY_ID_SIZE = 4
_PUBLIC_KEY_SIZE = 32
_ED25519 = b"\x01"
_BODY_LINES = 3
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
_DECIMAL = re.compile("(?:0|[1-9][0-9]{0,18})", re.ASCII)
_KEY_ID_HEX = re.compile("[0-9a-f]{8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a tree: whose log, how many leaves, which root. Raises BadCheckpointError for impossible values."""

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not self.origin or "\n" in self.origin or _CONTROL.search(self.origin):
            raise BadCheckpointError("the origin is empty or has control characters")
        if not 0 <= self.size <= MAX_TREE_SIZE:
            raise BadCheckpointError(f"no tree has {self.size} leaves")
        if len(self.root) != _HASH_SIZE:
            raise BadCheckpointError(f"the root has {_HASH_SIZE} bytes, not {len(self.root)}")

    def body(self) -> bytes:
        """Return the bytes that are signed."""
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n".encode()


@dataclass(frozen=True, slots=True)
class NoteKey:
    """An Ed25519 key that may sign checkpoints, under its name. Raises BadKeyError for impossible values."""

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        if not _is_key_name(self.name):
            raise BadKeyError("a key name is not empty and has no space, plus or control character")
        if len(self.public_key) != _PUBLIC_KEY_SIZE:
            raise BadKeyError(f"an Ed25519 public key has {_PUBLIC_KEY_SIZE} bytes")

    @property
    def key_id(self) -> bytes:
        """Four bytes that find the key; they prove nothing."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key).digest()[:_KEY_ID_SIZE]

    @property
    def vkey(self) -> str:
        """The one-line form in which a key is pinned."""
        return f"{self.name}+{self.key_id.hex()}+{to_base64(_ED25519 + self.public_key)}"

    @classmethod
    def parse(cls, vkey: str) -> "NoteKey":
        """Read a vkey line. Raises BadKeyError, also when the key id is not the key's."""
        parts = vkey.split("+", 2)  # base64 may hold a plus, name and key id may not
        if len(parts) != len(("name", "key id", "key")):
            raise BadKeyError("a vkey is name+key id+key")
        name, key_id_hex, encoded = parts
        try:
            typed_key = from_base64(encoded)
        except ValueError as error:
            raise BadKeyError("the key in the vkey is not base64") from error
        if typed_key[:1] != _ED25519:
            raise BadKeyError("the key in the vkey is not an Ed25519 note key (type 0x01)")
        key = cls(name, typed_key[1:])
        if not _KEY_ID_HEX.fullmatch(key_id_hex) or key.key_id.hex() != key_id_hex:
            raise BadKeyError("the key id in the vkey does not belong to its name and key")
        return key


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint as read from a note. Nothing in it is verified yet; the signatures cover `body`."""

    checkpoint: Checkpoint
    body: bytes
    signatures: tuple[NoteSignature, ...]


@dataclass(frozen=True, slots=True)
class VerifiedCheckpoint:
    """A checkpoint and those of the caller's keys that signed it, at least one."""

    checkpoint: Checkpoint
    keys: tuple[NoteKey, ...]


def sign(checkpoint: Checkpoint, signers: Sequence[tuple[NoteKey, Callable[[bytes], bytes]]]) -> str:
    """Return the note: the checkpoint with one signature line for each key and its signer, at least one."""
    if not 1 <= len(signers) <= MAX_SIGNATURES:
        raise ValueError(f"a checkpoint is signed by 1 to {MAX_SIGNATURES} keys")
    body = checkpoint.body()
    lines = [f"— {key.name} {to_base64(key.key_id + signer(body))}\n" for key, signer in signers]
    return body.decode() + "\n" + "".join(lines)


def parse(note: str) -> SignedCheckpoint:
    """Read a checkpoint's note without verifying it. Raises BadCheckpointError, with the reason."""
    try:
        note_size = len(note.encode())
    except UnicodeEncodeError as error:
        raise BadCheckpointError("not valid Unicode") from error
    if note_size > MAX_NOTE_SIZE:
        raise BadCheckpointError(f"longer than {MAX_NOTE_SIZE} bytes")
    if _CONTROL.search(note):
        raise BadCheckpointError("control characters")
    body, separator, signature_lines = note.rpartition("\n\n")
    if not separator or not signature_lines.endswith("\n"):
        raise BadCheckpointError("no blank line and signatures after the text, or cut off at the end")
    body += "\n"
    lines = signature_lines[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise BadCheckpointError(f"more than {MAX_SIGNATURES} signatures")
    return SignedCheckpoint(_parse_body(body), body.encode(), tuple(map(_parse_signature, lines)))


def verify(note: str, keys: Iterable[NoteKey]) -> VerifiedCheckpoint:
    """Return the checkpoint if at least one of `keys` signed it and none of their signatures is wrong.

    Whose checkpoint it is stands in its origin: the caller compares. Raises BadCheckpointError.
    """
    signed = parse(note)
    known = {(key.name, key.key_id): key for key in keys}
    signed_by: dict[NoteKey, None] = {}
    for line in signed.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        if not ALGORITHMS["Ed25519"].load_public(key.public_key)(line.signature, signed.body):
            raise BadCheckpointError(f"the signature of {key.name} is wrong")
        signed_by[key] = None
    if not signed_by:
        raise BadCheckpointError("not signed by any of the keys asked for")
    return VerifiedCheckpoint(signed.checkpoint, tuple(signed_by))


def _parse_body(body: str) -> Checkpoint:
    lines = body[:-1].split("\n")
    if len(lines) < _BODY_LINES or not all(lines):
        raise BadCheckpointError("a checkpoint has origin, size and root, and no empty line")
    origin, size, root = lines[:_BODY_LINES]
    if not _DECIMAL.fullmatch(size):
        raise BadCheckpointError("the size is not a decimal number without leading zeros")
    try:
        return Checkpoint(origin, int(size), from_base64(root))
    except ValueError as error:
        raise BadCheckpointError("the root is not base64") from error


def _parse_signature(line: str) -> NoteSignature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—" or not _is_key_name(name):
        raise BadCheckpointError("a signature line is: em dash, key name, base64")
    try:
        raw = from_base64(encoded)
    except ValueError as error:
        raise BadCheckpointError("a signature is not base64") from error
    if len(raw) <= _KEY_ID_SIZE:
        raise BadCheckpointError("a signature is a key id and more")
    return NoteSignature(name, raw[:_KEY_ID_SIZE], raw[_KEY_ID_SIZE:])


def _is_key_name(name: str) -> bool:
    return bool(name) and not any(c.isspace() or c == "+" or c < " " for c in name)


def to_base64(raw: bytes) -> str:
    """Return standard base64 (RFC 4648, 4), as in every C2SP format."""
    return binascii.b2a_base64(raw, newline=False).decode("ascii")


def from_base64(text: str) -> bytes:
    """Decode base64 in its one canonical spelling. Raises ValueError (of which binascii.Error is one)."""
    raw = base64.b64decode(text, validate=True)
    if to_base64(raw) != text:
        raise ValueError("not canonical base64")
    return raw
