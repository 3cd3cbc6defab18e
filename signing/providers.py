"""Where private keys live and sign. One provider today: `local`, keys sealed in the database under a master key.

A provider may be an HSM or a KMS: it makes a key, signs with it, and the rest of the application never sees the private
half. The master key of `local` stands outside the database: AUDITLOG_MASTER_KEY, or the 0600 file that
AUDITLOG_MASTER_KEY_FILE names, 32 bytes in base64.
"""

from __future__ import annotations

import base64
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from django.conf import settings

from signing.algorithms import ALGORITHMS
from signing.errors import KeyStateError, MasterKeyError, SealError
from signing.sealing import MASTER_KEY_SIZE, seal, unseal

if TYPE_CHECKING:
    from signing.algorithms import Signer, Verifier
    from signing.models import SigningKey

_HOW = (
    "Make one with: python3 -c 'import base64, os; print(base64.b64encode(os.urandom(32)).decode())' "
    "and keep it outside the database, with a copy in a safe: without it no key of this installation signs again. "
    "An installation that has keys needs its own, from that safe."
)


@dataclass(frozen=True, slots=True)
class NewKey:
    """What a provider gives for a key that it made: the public half, and what to store to find the private half."""

    public_key: bytes
    sealed_private_key: bytes | None


class KeyProvider(Protocol):
    """Makes keys and signs with them. When `create` returns, the key survives a crash of the provider."""

    def create(self, key_id: str, purpose: str, algorithm: str) -> NewKey:
        """Make a key pair that is bound to this id, purpose and algorithm."""

    def take(self, key_id: str, purpose: str, algorithm: str, private: bytes, public: bytes) -> NewKey:
        """Take in a key pair that was made elsewhere. Raises KeyStateError if this provider only makes its own."""

    def signer(self, key: SigningKey) -> Signer:
        """Return the function that signs with the key. Raises SigningError if the key cannot be used."""

    def verifier(self, key: SigningKey) -> Verifier:
        """Return the function that verifies a symmetric key's signatures."""


class LocalProvider:
    """Keys sealed in `signing_keys.sealed_private_key` (AES-256-GCM), bound to their row."""

    def create(self, key_id: str, purpose: str, algorithm: str) -> NewKey:
        """Make a key pair and seal its private half."""
        private, public = ALGORITHMS[algorithm].generate()
        return self.take(key_id, purpose, algorithm, private, public)

    def take(self, key_id: str, purpose: str, algorithm: str, private: bytes, public: bytes) -> NewKey:
        """Seal a private half."""
        return NewKey(public, seal(master_key(), private, _row(key_id, purpose, algorithm, public)))

    def signer(self, key: SigningKey) -> Signer:
        """Unseal the private half, once in a process, and return its signer."""
        return _signer(*self._sealed(key))

    def verifier(self, key: SigningKey) -> Verifier:
        """Return the verifier of a symmetric key, which needs the secret."""
        sealed, row, algorithm = self._sealed(key)
        return ALGORITHMS[algorithm].load_secret(_unseal(sealed, row))

    def _sealed(self, key: SigningKey) -> tuple[bytes, bytes, str]:
        if key.sealed_private_key is None:
            raise KeyStateError(f"{key.id}: its private half was destroyed")
        public = bytes(key.public_key)
        return bytes(key.sealed_private_key), _row(key.id, key.purpose, key.algorithm, public), key.algorithm


PROVIDERS: dict[str, KeyProvider] = {"local": LocalProvider()}


def master_key() -> bytes:
    """Return the 32 bytes of the master key.

    Raises MasterKeyError, saying which variable is missing or wrong and how to make a key.
    """
    return _master_key(settings.AUDITLOG_MASTER_KEY, settings.AUDITLOG_MASTER_KEY_FILE)


@lru_cache(maxsize=4)
def _master_key(value: str, file_name: str) -> bytes:
    if not value and not file_name:
        raise MasterKeyError(f"AUDITLOG_MASTER_KEY or AUDITLOG_MASTER_KEY_FILE is not set. {_HOW}")
    name = "AUDITLOG_MASTER_KEY" if value else "AUDITLOG_MASTER_KEY_FILE"
    try:
        key = base64.b64decode(value or _read_private_file(Path(file_name)), validate=True)
    except ValueError:  # not base64, or not even ASCII
        key = b""
    if len(key) != MASTER_KEY_SIZE:
        # Without a cause: the failed decoding would carry the secret into the traceback.
        raise MasterKeyError(f"{name} is not {MASTER_KEY_SIZE} bytes in base64. {_HOW}") from None
    return key


def _read_private_file(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise MasterKeyError(f"AUDITLOG_MASTER_KEY_FILE {path} cannot be read: {error.strerror}. {_HOW}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise MasterKeyError(f"AUDITLOG_MASTER_KEY_FILE {path} can be read by others: run chmod 600 {path}")
    return text


@lru_cache(maxsize=256)
def _signer(sealed: bytes, row: bytes, algorithm: str) -> Signer:
    return ALGORITHMS[algorithm].load_private(_unseal(sealed, row))


def _unseal(sealed: bytes, row: bytes) -> bytes:
    try:
        return unseal(master_key(), sealed, row)
    except SealError as error:
        raise MasterKeyError(
            "a private key does not open: AUDITLOG_MASTER_KEY or AUDITLOG_MASTER_KEY_FILE holds another master key "
            "than the one that sealed it, or its row in signing_keys was changed; take the one from your safe"
        ) from error


def _row(key_id: str, purpose: str, algorithm: str, public: bytes) -> bytes:
    """Return the associated data that binds a sealed key to its row: fields with lengths, so none runs into another."""
    fields = (key_id.encode(), purpose.encode(), algorithm.encode(), public)
    return b"auditlog signing key" + b"".join(len(field).to_bytes(4, "big") + field for field in fields)
