"""Sealed keys and the master key: what opens, what does not, and that no message holds a secret."""

import base64
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from django.test import override_settings

from signing import providers
from signing.algorithms import ALGORITHMS
from signing.errors import KeyStateError, MasterKeyError
from signing.models import SigningKey
from signing.providers import PROVIDERS, master_key
from signing.sealing import unseal

LOCAL = PROVIDERS["local"]
KEY = bytes(range(32))
TEXT = base64.b64encode(KEY).decode()
OTHER = base64.b64encode(bytes(32)).decode()


def key_file(tmp_path: Path, content: str, mode: int = 0o600) -> str:
    path = tmp_path / "master.key"
    path.write_text(content, encoding="utf-8")
    path.chmod(mode)
    return str(path)


def made_key(algorithm: str = "Ed25519", key_id: str = "k1") -> SigningKey:
    made = LOCAL.create(key_id, "entry", algorithm)
    return SigningKey(
        id=key_id, purpose="entry", algorithm=algorithm,
        public_key=made.public_key, sealed_private_key=made.sealed_private_key,
    )  # fmt: skip


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_signs_what_its_public_half_verifies(algorithm: str) -> None:
    key = made_key(algorithm)
    signature = LOCAL.signer(key)(b"message")
    outsiders = ALGORITHMS[algorithm].outsiders_can_verify
    verify = ALGORITHMS[algorithm].load_public(bytes(key.public_key)) if outsiders else LOCAL.verifier(key)
    assert verify(signature, b"message")
    assert not verify(signature, b"massage")


def test_the_private_half_is_not_stored_in_the_clear() -> None:
    with override_settings(AUDITLOG_MASTER_KEY=TEXT):
        key = made_key("HS256")
        sealed = bytes(key.sealed_private_key or b"")
        private = unseal(KEY, sealed, providers._row("k1", "entry", "HS256", b""))
    assert len(private) == 32
    assert private not in sealed


@pytest.mark.parametrize("column", ["id", "purpose", "algorithm", "public_key"])
def test_a_sealed_key_in_another_row_does_not_open(column: str) -> None:
    key = made_key()
    assert LOCAL.signer(key)(b"message")
    other = {"id": "k2", "purpose": "checkpoint", "algorithm": "HS256", "public_key": bytes(32)}
    setattr(key, column, other[column])
    with pytest.raises(MasterKeyError, match="or its row in signing_keys was changed"):
        LOCAL.signer(key)


def test_another_master_key_does_not_open_and_the_variable_is_named() -> None:
    with override_settings(AUDITLOG_MASTER_KEY=TEXT):
        key = made_key()
    with override_settings(AUDITLOG_MASTER_KEY=OTHER), pytest.raises(MasterKeyError) as refused:
        LOCAL.signer(key)
    said = "".join(traceback.format_exception(refused.value))
    assert "AUDITLOG_MASTER_KEY" in str(refused.value)
    assert TEXT not in said
    assert OTHER not in said


def test_a_destroyed_key_does_not_sign() -> None:
    key = made_key()
    key.sealed_private_key = None
    with pytest.raises(KeyStateError, match="its private half was destroyed"):
        LOCAL.signer(key)


# The master key


def test_the_variable_or_the_file_gives_the_master_key(tmp_path: Path) -> None:
    with override_settings(AUDITLOG_MASTER_KEY=TEXT):
        assert master_key() == KEY
    with override_settings(AUDITLOG_MASTER_KEY="", AUDITLOG_MASTER_KEY_FILE=key_file(tmp_path, f"{TEXT}\n")):
        assert master_key() == KEY


MISTAKES: dict[str, tuple[Callable[[Path], dict[str, str]], str]] = {
    "none": (lambda _: {}, "AUDITLOG_MASTER_KEY or AUDITLOG_MASTER_KEY_FILE is not set"),
    "not base64": (lambda _: {"AUDITLOG_MASTER_KEY": "secret!"}, "AUDITLOG_MASTER_KEY is not 32 bytes"),
    "not ASCII": (lambda _: {"AUDITLOG_MASTER_KEY": "sécret"}, "AUDITLOG_MASTER_KEY is not 32 bytes"),
    "too short": (lambda _: {"AUDITLOG_MASTER_KEY": "c2VjcmV0"}, "AUDITLOG_MASTER_KEY is not 32 bytes"),
    "no file": (
        lambda tmp: {"AUDITLOG_MASTER_KEY_FILE": str(tmp / "none")},
        "AUDITLOG_MASTER_KEY_FILE .* cannot be read: No such file",
    ),
    "a directory": (lambda tmp: {"AUDITLOG_MASTER_KEY_FILE": str(tmp)}, "cannot be read: Is a directory"),
    "an empty file": (
        lambda tmp: {"AUDITLOG_MASTER_KEY_FILE": key_file(tmp, "")},
        "AUDITLOG_MASTER_KEY_FILE is not 32 bytes",
    ),
    "a file of something else": (
        lambda tmp: {"AUDITLOG_MASTER_KEY_FILE": key_file(tmp, "sécret secret!")},
        "AUDITLOG_MASTER_KEY_FILE is not 32 bytes",
    ),
    "a file for everybody": (
        lambda tmp: {"AUDITLOG_MASTER_KEY_FILE": key_file(tmp, TEXT, 0o640)},
        "can be read by others: run chmod 600",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_the_variable_and_holds_no_secret(mistake: str, tmp_path: Path) -> None:
    made, message = MISTAKES[mistake]
    given = {"AUDITLOG_MASTER_KEY": "", "AUDITLOG_MASTER_KEY_FILE": ""} | made(tmp_path)
    with override_settings(**given), pytest.raises(MasterKeyError, match=message) as refused:
        master_key()
    said = "".join(traceback.format_exception(refused.value))
    for secret in ("secret!", "sécret", "c2VjcmV0", TEXT):
        assert secret not in said.replace(str(tmp_path), "")


@pytest.mark.parametrize("mistake", ["none", "not base64", "a file for everybody"])
def test_the_message_says_what_to_do(mistake: str, tmp_path: Path) -> None:
    given = {"AUDITLOG_MASTER_KEY": "", "AUDITLOG_MASTER_KEY_FILE": ""} | MISTAKES[mistake][0](tmp_path)
    with override_settings(**given), pytest.raises(MasterKeyError, match=r"Make one with: python3 -c|run chmod 600"):
        master_key()
