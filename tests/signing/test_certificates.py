"""Certificates: OpenSSL takes them, and the profile refuses what may not sign an export."""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from signing import certificates, issuing
from signing.algorithms import ALGORITHMS
from signing.certificates import Certified
from signing.errors import BadCertificateError
from tests.signing.issued import END, START, authority, person

OPENSSL = shutil.which("openssl") or "openssl"


def openssl(*arguments: str, at: Path) -> str:
    done = subprocess.run([OPENSSL, *arguments], cwd=at, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_openssl_takes_the_chain(tmp_path: Path, algorithm: str) -> None:
    ca = authority(algorithm=algorithm)
    ada = person(ca, algorithm=algorithm)
    (tmp_path / "ca.pem").write_bytes(certificates.to_pem(ada.chain))
    (tmp_path / "ada.pem").write_bytes(certificates.to_pem([ada.certificate]))
    assert openssl("verify", "-x509_strict", "-CAfile", "ca.pem", "ada.pem", at=tmp_path) == "ada.pem: OK\n"
    text = openssl("x509", "-in", "ada.pem", "-noout", "-text", at=tmp_path)
    assert "Digital Signature, Non Repudiation" in text
    assert "Extended Key Usage" not in text
    assert "X509v3 Authority Key Identifier" in text
    certificates.require_chain(ada.certificate, ada.chain)
    said = certificates.require_signer_profile(ada.certificate)
    assert (said.subject, said.issuer) == ("CN=Ada Lovelace,O=Example", "CN=Example CA,O=Example")
    assert (said.not_before, said.not_after, said.algorithm) == (START, END, algorithm)


def test_openssl_takes_the_request(tmp_path: Path) -> None:
    private, public = ALGORITHMS["ES256"].generate()
    sign = ALGORITHMS["ES256"].load_private(private)
    request = issuing.request(name="Ada", organization="Example", public_key=public, algorithm="ES256", sign=sign)
    (tmp_path / "ada.csr").write_bytes(request)
    assert "Ada" in openssl("req", "-in", "ada.csr", "-verify", "-noout", "-subject", at=tmp_path)


def test_a_chain_that_does_not_hang_together_is_refused() -> None:
    ca, other = authority(), authority("Other CA")
    ada = person(ca)
    for chain in ((other.certificate,), (), (ada.certificate,), (other.certificate, ca.certificate)):
        with pytest.raises(BadCertificateError):
            certificates.require_chain(ada.certificate, chain)
    with pytest.raises(BadCertificateError, match="not a CA"):
        certificates.require_chain(person(_as_issuer(ada)).certificate, (ada.certificate, ca.certificate))


def _as_issuer(somebody: Certified) -> Certified:
    return Certified(somebody.certificate, (), somebody.algorithm, somebody.sign)


def test_validity_is_of_the_whole_chain() -> None:
    ada = person(authority(), valid=timedelta(days=1))
    certificates.require_validity([ada.certificate, *ada.chain], START + timedelta(hours=1))
    for moment in (START - timedelta(seconds=1), START + timedelta(days=2)):
        with pytest.raises(BadCertificateError, match="Ada Lovelace,O=Example is valid from 2026-01-01"):
            certificates.require_validity([ada.certificate, *ada.chain], moment)


def foreign(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, *extensions: x509.ExtensionType
) -> bytes:
    """Return a certificate as somebody else's CA may make it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Bob")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 5, START, END)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return certificates.read(builder.sign(key, algorithm).public_bytes(Encoding.DER))[0]


USAGE = x509.KeyUsage(True, True, False, False, False, False, False, False, False)  # noqa: FBT003 X.509's own order
NO_USAGE = x509.KeyUsage(False, False, True, False, False, False, False, False, False)  # noqa: FBT003 the same
P256 = ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (lambda: foreign(ed25519.Ed25519PrivateKey.generate(), USAGE), "neither ECDSA P-256 nor RSA"),
        (lambda: foreign(rsa.generate_private_key(65537, 2048), USAGE), "neither ECDSA P-256 nor RSA"),
        (lambda: foreign(ec.generate_private_key(ec.SECP384R1()), USAGE), "neither ECDSA P-256 nor RSA"),
        (lambda: foreign(P256, NO_USAGE), "keyUsage"),
        (lambda: foreign(P256), "keyUsage"),
        (lambda: foreign(P256, USAGE, x509.BasicConstraints(ca=True, path_length=None)), "of a CA"),
        (lambda: foreign(P256, USAGE, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])), "extended keyUsage"),
        (lambda: authority().certificate, "of a CA"),
        (lambda: b"junk", "not a certificate"),
    ],
)
def test_what_may_not_sign_exports_is_refused(certificate: object, reason: str) -> None:
    assert callable(certificate)
    with pytest.raises(BadCertificateError, match=reason):
        certificates.require_signer_profile(certificate())


def test_a_certificate_of_another_ca_for_signing_documents_is_taken() -> None:
    signs_documents = x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")])
    certificates.require_signer_profile(foreign(P256, USAGE, signs_documents))


def test_pkcs12_gives_key_and_certificates() -> None:
    certificate = x509.load_der_x509_certificate(foreign(P256, USAGE))
    raw = pkcs12.serialize_key_and_certificates(b"bob", P256, certificate, None, BestAvailableEncryption(b"secret"))
    private, found, others = certificates.open_pkcs12(raw, "secret")
    assert (found, others) == (certificate.public_bytes(Encoding.DER), ())
    signature = ALGORITHMS["ES256"].load_private(private)(b"message")
    assert certificates.verify_signature(found, "ES256", signature, b"message")
    for wrong, password in ((raw, "wrong"), (b"junk", "")):
        with pytest.raises(BadCertificateError, match="does not open"):
            certificates.open_pkcs12(wrong, password)


def test_a_chain_is_put_in_order() -> None:
    ada = person(authority())
    stranger = authority("Stranger").certificate
    assert certificates.sort_chain(ada.certificate, [stranger, *ada.chain]) == ada.chain
    assert certificates.sort_chain(ada.certificate, [stranger]) == ()


def test_pem_and_der_are_read() -> None:
    ada = person(authority())
    both = [ada.certificate, *ada.chain]
    assert certificates.read(certificates.to_pem(both)) == both
    assert certificates.read(ada.certificate) == [ada.certificate]
    for junk in (b"", b"-----BEGIN CERTIFICATE-----\n", b"x" * (certificates.MAX_SIZE + 1)):
        with pytest.raises(BadCertificateError):
            certificates.read(junk)


def test_a_negative_serial_number_is_refused_however_it_comes() -> None:
    right = person(authority()).certificate
    start = right.index(b"\xa0\x03\x02\x01\x02\x02") + 7  # behind the version: INTEGER, its length, its bytes
    wrong = right[:start] + bytes([right[start] | 0x80]) + right[start + 1 :]
    for given in (wrong, certificates.to_pem([wrong]), certificates.to_pem([right, wrong])):
        with pytest.raises(BadCertificateError, match="serial number"):
            certificates.read(given)


def test_a_name_that_is_no_text_is_refused_whatever_is_asked_of_its_certificate() -> None:
    right = person(authority()).certificate
    place = right.index(certificates.facts(right).issuer.split("=")[-1].encode())
    wrong = right[:place] + b"\xff" + right[place + 1 :]
    for ask in (
        certificates.facts,
        lambda one: certificates.require_validity([one], datetime.now(UTC)),
        lambda one: certificates.sort_chain(one, []),
    ):
        with pytest.raises(BadCertificateError, match="that can be read"):
            ask(wrong)


def test_a_serial_number_of_the_issuer_is_positive_too() -> None:
    certificate = person(authority()).certificate
    start = certificate.index(b"\x30\x16\x80\x14") + 2  # the issuer named by the id of its key alone
    negative = certificate[:start] + b"\x82\x14\xff" + certificate[start + 3 :]
    with pytest.raises(BadCertificateError, match="serial number"):
        certificates.facts(negative)
