"""signing/algorithms.py: what we sign verifies, nothing else does, and other tools agree."""

import base64
import functools
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from signing.algorithms import ALGORITHMS, Verifier
from signing.errors import BadKeyError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "algorithms.json").read_text())
NAMES = ["Ed25519", "HS256", "PS256", "RS256", "ES256", "ML-DSA-65"]
WITH_PUBLIC_KEY = [name for name in NAMES if name != "HS256"]
IN_DER = [name for name in WITH_PUBLIC_KEY if name != "Ed25519"]
SIGNATURE_SIZES = {"Ed25519": 64, "HS256": 32, "PS256": 384, "RS256": 384, "ES256": 64, "ML-DSA-65": 3309}
MESSAGE = b"a record"
# SubjectPublicKeyInfo of ML-DSA-65 (OID 2.16.840.1.101.3.4.3.18) up to the raw key. RFC 9881, section 4.
ML_DSA_65_SPKI_HEAD = bytes.fromhex("308207b2300b0609608648016503040312038207a100")


@functools.cache
def key_pair(name: str) -> tuple[bytes, bytes]:
    """One key pair for each algorithm: RSA takes its time."""
    return ALGORITHMS[name].generate()


def sign(name: str, message: bytes = MESSAGE) -> bytes:
    return ALGORITHMS[name].load_private(key_pair(name)[0])(message)


def verifier(name: str) -> Verifier:
    private, public = key_pair(name)
    algorithm = ALGORITHMS[name]
    return algorithm.load_public(public) if algorithm.outsiders_can_verify else algorithm.load_secret(private)


def unbase64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_algorithms_are_those_of_the_design() -> None:
    assert list(ALGORITHMS) == NAMES
    assert all(algorithm.name == name for name, algorithm in ALGORITHMS.items())
    assert ALGORITHMS["Ed25519"].jose_name == "EdDSA"
    assert all(ALGORITHMS[name].jose_name == name for name in NAMES if name != "Ed25519")


def test_only_hmac_is_closed_to_outsiders() -> None:
    assert [name for name in NAMES if not ALGORITHMS[name].outsiders_can_verify] == ["HS256"]
    assert key_pair("HS256")[1] == b""


@pytest.mark.parametrize("name", NAMES)
def test_a_signature_verifies_and_has_its_size(name: str) -> None:
    signature = sign(name)
    assert len(signature) == SIGNATURE_SIZES[name]
    assert verifier(name)(signature, MESSAGE)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_and_a_large_message_are_signed_too(name: str) -> None:
    for message in (b"", bytes(1 << 20)):
        assert verifier(name)(sign(name, message), message)


@pytest.mark.parametrize("name", NAMES)
def test_another_message_is_refused(name: str) -> None:
    signature = sign(name)
    assert verifier(name)(signature, MESSAGE)
    assert not verifier(name)(signature, MESSAGE + b" ")
    assert not verifier(name)(signature, b"")


@pytest.mark.parametrize("name", NAMES)
def test_no_bit_of_a_signature_may_change(name: str) -> None:
    signature, verify = sign(name), verifier(name)
    assert verify(signature, MESSAGE)
    for position in range(0, len(signature), max(1, len(signature) // 64)):
        for bit in (0x01, 0x80):
            changed = bytearray(signature)
            changed[position] ^= bit
            assert not verify(bytes(changed), MESSAGE)


@pytest.mark.parametrize("name", NAMES)
def test_a_signature_of_any_other_length_is_refused_without_an_error(name: str) -> None:
    signature, verify = sign(name), verifier(name)
    assert verify(signature, MESSAGE)
    for other in (b"", b"\x00", signature[:-1], signature + b"\x00", b"\x00" + signature, signature * 2, bytes(10_000)):
        assert not verify(other, MESSAGE)


@pytest.mark.parametrize("name", NAMES)
def test_another_key_is_refused(name: str) -> None:
    if name in {"PS256", "RS256"}:  # each the other's other key: a third one would only cost time
        other = "RS256" if name == "PS256" else "PS256"
        verify = ALGORITHMS[name].load_public(key_pair(other)[1])
    else:
        private, public = ALGORITHMS[name].generate()
        algorithm = ALGORITHMS[name]
        verify = algorithm.load_public(public) if public else algorithm.load_secret(private)
    assert verifier(name)(sign(name), MESSAGE)
    assert not verify(sign(name), MESSAGE)


def test_one_rsa_key_under_two_algorithms_makes_two_kinds_of_signature() -> None:
    private, public = key_pair("PS256")
    signature = ALGORITHMS["RS256"].load_private(private)(MESSAGE)
    assert ALGORITHMS["RS256"].load_public(public)(signature, MESSAGE)
    assert not ALGORITHMS["PS256"].load_public(public)(signature, MESSAGE)


def test_an_ecdsa_signature_has_one_spelling() -> None:
    signature = sign("ES256")
    assert verifier("ES256")(signature, MESSAGE)
    assert not verifier("ES256")(signature[:32] + b"\x00" + signature[32:], MESSAGE)  # the same two numbers


def test_an_ecdsa_signature_of_zeros_is_refused() -> None:
    assert verifier("ES256")(sign("ES256"), MESSAGE)
    assert not verifier("ES256")(bytes(64), MESSAGE)


def test_hmac_verifies_with_the_secret_only() -> None:
    secret, _ = key_pair("HS256")
    assert ALGORITHMS["HS256"].load_secret(secret)(sign("HS256"), MESSAGE)
    assert not ALGORITHMS["HS256"].load_secret(bytes(32))(sign("HS256"), MESSAGE)
    with pytest.raises(ValueError, match="no public key"):
        ALGORITHMS["HS256"].load_public(b"")


@pytest.mark.parametrize("name", WITH_PUBLIC_KEY)
def test_the_others_do_not_verify_with_a_secret(name: str) -> None:
    with pytest.raises(ValueError, match="public key"):
        ALGORITHMS[name].load_secret(bytes(32))


# Keys that are none


@pytest.mark.parametrize("name", WITH_PUBLIC_KEY)
@pytest.mark.parametrize("junk", [b"", b"\x30\x00", bytes(31), bytes(33), bytes(500)])
def test_bytes_that_are_no_key_are_refused(name: str, junk: bytes) -> None:
    with pytest.raises(BadKeyError):
        ALGORITHMS[name].load_private(junk)
    with pytest.raises(BadKeyError):
        ALGORITHMS[name].load_public(junk)
    with pytest.raises(BadKeyError):
        ALGORITHMS[name].public_numbers(junk)


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_an_hmac_secret_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(BadKeyError):
        ALGORITHMS["HS256"].load_private(bytes(size))
    with pytest.raises(BadKeyError):
        ALGORITHMS["HS256"].load_secret(bytes(size))


@pytest.mark.parametrize("name", IN_DER)
def test_a_key_of_another_kind_is_refused(name: str) -> None:
    other = "RS256" if name == "ES256" else "ES256"
    private, public = key_pair(other)
    with pytest.raises(BadKeyError):
        ALGORITHMS[name].load_private(private)
    with pytest.raises(BadKeyError):
        ALGORITHMS[name].load_public(public)


def der(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("name", ["PS256", "RS256"])
def test_a_short_rsa_key_is_refused(name: str) -> None:
    private, public = der(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    with pytest.raises(BadKeyError, match="3072"):
        ALGORITHMS[name].load_private(private)
    with pytest.raises(BadKeyError, match="3072"):
        ALGORITHMS[name].load_public(public)


def test_another_curve_is_refused() -> None:
    private, public = der(ec.generate_private_key(ec.SECP384R1()))
    with pytest.raises(BadKeyError, match="P-256"):
        ALGORITHMS["ES256"].load_private(private)
    with pytest.raises(BadKeyError, match="P-256"):
        ALGORITHMS["ES256"].load_public(public)


def test_a_private_key_under_a_password_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    encrypted = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
    with pytest.raises(BadKeyError):
        ALGORITHMS["ES256"].load_private(encrypted)


# Other tools


def test_ed25519_signs_as_rfc_8032_says() -> None:
    vector = {name: bytes.fromhex(value) for name, value in VECTORS["Ed25519"].items() if name != "source"}
    algorithm = ALGORITHMS["Ed25519"]
    assert algorithm.load_private(vector["private"])(vector["message"]) == vector["signature"]
    assert algorithm.load_public(vector["public"])(vector["signature"], vector["message"])


def test_es256_verifies_the_example_of_rfc_7515() -> None:
    vector = VECTORS["ES256"]
    x, y = (int.from_bytes(unbase64url(vector["jwk"][name]), "big") for name in ("x", "y"))
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    verify = ALGORITHMS["ES256"].load_public(public)
    assert verify(unbase64url(vector["signature"]), vector["message_text"].encode())
    numbers = ALGORITHMS["ES256"].public_numbers(public)
    assert numbers == {name: unbase64url(vector["jwk"][name]) for name in ("x", "y")}


def test_ml_dsa_verifies_what_another_implementation_signed() -> None:
    vector = {name: bytes.fromhex(value) for name, value in VECTORS["ML-DSA-65"].items() if name != "source"}
    public = ML_DSA_65_SPKI_HEAD + vector["public"]
    verify = ALGORITHMS["ML-DSA-65"].load_public(public)
    assert verify(vector["signature"], vector["message"])
    assert not verify(vector["signature"], vector["message"] + b"!")
    assert ALGORITHMS["ML-DSA-65"].public_numbers(public) == {"pub": vector["public"]}


@pytest.mark.parametrize("name", ["PS256", "RS256", "ES256"])
def test_openssl_verifies_our_signatures(name: str, tmp_path: Path) -> None:
    signature = sign(name)
    if name == "ES256":
        signature = _as_der(signature)
    (tmp_path / "key.der").write_bytes(key_pair(name)[1])
    (tmp_path / "message").write_bytes(MESSAGE)
    (tmp_path / "signature").write_bytes(signature)
    options = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"] if name == "PS256" else []
    command = ["openssl", "dgst", "-sha256", "-verify", "key.der", "-keyform", "DER", "-signature", "signature"]
    done = subprocess.run(
        [*command, *options, "message"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.stdout == b"Verified OK\n", done.stderr


def _as_der(signature: bytes) -> bytes:
    """Encode r || s as SEQUENCE of two INTEGER, by hand: not with what signed."""
    integers = b""
    for half in (signature[:32], signature[32:]):
        number = half.lstrip(b"\x00")
        number = b"\x00" + number if number[0] & 0x80 else number
        integers += b"\x02" + bytes([len(number)]) + number
    return b"\x30" + bytes([len(integers)]) + integers
