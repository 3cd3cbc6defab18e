"""signing/sealing.py: opens with the same master key and row, and with nothing else."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.errors import MasterKeyError, SealError
from signing.sealing import seal, unseal

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "sealed.json").read_text())
MASTER_KEY = bytes(range(32))
ROW = b"signing_keys/k1/entry/Ed25519"
PRIVATE_KEY = b"the private half"


@given(st.binary(max_size=3000), st.binary(max_size=100))
def test_what_was_sealed_opens(plaintext: bytes, row: bytes) -> None:
    assert unseal(MASTER_KEY, seal(MASTER_KEY, plaintext, row), row) == plaintext


def test_a_seal_made_by_another_tool_opens() -> None:
    sealed, master_key = bytes.fromhex(VECTOR["sealed"]), bytes.fromhex(VECTOR["master_key"])
    assert unseal(master_key, sealed, VECTOR["associated_data"].encode()) == VECTOR["plaintext"].encode()


def test_the_plaintext_does_not_show() -> None:
    assert PRIVATE_KEY not in seal(MASTER_KEY, PRIVATE_KEY, ROW)


def test_sealing_twice_gives_different_bytes() -> None:
    assert seal(MASTER_KEY, PRIVATE_KEY, ROW) != seal(MASTER_KEY, PRIVATE_KEY, ROW)


def test_a_key_moved_to_another_row_does_not_open() -> None:
    sealed = seal(MASTER_KEY, PRIVATE_KEY, ROW)
    assert unseal(MASTER_KEY, sealed, ROW) == PRIVATE_KEY
    for other in (b"", ROW + b" ", b"signing_keys/k2/entry/Ed25519"):
        with pytest.raises(SealError):
            unseal(MASTER_KEY, sealed, other)


def test_another_master_key_does_not_open() -> None:
    sealed = seal(MASTER_KEY, PRIVATE_KEY, ROW)
    assert unseal(MASTER_KEY, sealed, ROW) == PRIVATE_KEY
    with pytest.raises(SealError, match="another master key"):
        unseal(bytes(32), sealed, ROW)


def test_no_bit_may_change() -> None:
    sealed = seal(MASTER_KEY, PRIVATE_KEY, ROW)
    assert unseal(MASTER_KEY, sealed, ROW) == PRIVATE_KEY
    for position in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[position] ^= 1 << bit
            with pytest.raises(SealError):
                unseal(MASTER_KEY, bytes(changed), ROW)


def test_no_shorter_or_longer_seal_opens() -> None:
    sealed = seal(MASTER_KEY, PRIVATE_KEY, ROW)
    assert unseal(MASTER_KEY, sealed, ROW) == PRIVATE_KEY
    for length in range(len(sealed)):
        with pytest.raises(SealError):
            unseal(MASTER_KEY, sealed[:length], ROW)
    with pytest.raises(SealError):
        unseal(MASTER_KEY, sealed + b"\x00", ROW)


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_a_master_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(MasterKeyError, match="32 bytes"):
        seal(bytes(size), PRIVATE_KEY, ROW)
    with pytest.raises(MasterKeyError, match="32 bytes"):
        unseal(bytes(size), seal(MASTER_KEY, PRIVATE_KEY, ROW), ROW)
