"""Sealing of private keys under the master key: AES-256-GCM.

    sealed = 0x01 || nonce (12 bytes, random) || ciphertext || tag (16 bytes)

The associated data names the row that the key belongs to, so a sealed key moved to another row does not open. Where
the master key comes from is the business of providers.py. With algorithms.py the only importer of `cryptography`.

Source: NIST SP 800-38D. Random nonces serve 2^32 seals of one master key; a key is sealed once or a few times.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signing.errors import MasterKeyError, SealError

MASTER_KEY_SIZE = 32
_VERSION = b"\x01"
_NONCE_SIZE = 12
_TAG_SIZE = 16
_HEADER_SIZE = len(_VERSION) + _NONCE_SIZE


def seal(master_key: bytes, plaintext: bytes, associated_data: bytes) -> bytes:
    """Return the sealed bytes, 29 longer than the plaintext. Raises MasterKeyError unless the key has 32 bytes."""
    nonce = os.urandom(_NONCE_SIZE)
    # The version is authenticated too: a later format must not be taken for this one.
    ciphertext = _cipher(master_key).encrypt(nonce, plaintext, _VERSION + associated_data)
    return _VERSION + nonce + ciphertext


def unseal(master_key: bytes, sealed: bytes, associated_data: bytes) -> bytes:
    """Return the plaintext.

    Raises SealError if the master key or the associated data is another, or the sealed bytes were changed.
    """
    cipher = _cipher(master_key)
    if sealed[:1] != _VERSION or len(sealed) < _HEADER_SIZE + _TAG_SIZE:
        raise SealError("not sealed bytes of version 1")
    nonce, ciphertext = sealed[len(_VERSION) : _HEADER_SIZE], sealed[_HEADER_SIZE:]
    try:
        return cipher.decrypt(nonce, ciphertext, _VERSION + associated_data)
    except InvalidTag as error:
        raise SealError("the seal does not open: another master key, another row, or changed bytes") from error


def _cipher(master_key: bytes) -> AESGCM:
    if len(master_key) != MASTER_KEY_SIZE:
        raise MasterKeyError(f"the master key has {MASTER_KEY_SIZE} bytes")
    return AESGCM(master_key)
