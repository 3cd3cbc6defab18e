"""X.509 certificates of people who sign exports, and of the built-in CA: what they say, and what they must. Pure.

    signer   ECDSA P-256 or RSA from 3072 bits; keyUsage critical digitalSignature + nonRepudiation; SKI, AKI; no EKU
    CA       basicConstraints critical CA:TRUE, pathlen 0; keyUsage critical keyCertSign + cRLSign; SKI

OpenSSL, pyHanko and PDF readers all take this profile. OpenSSL 3.0 cannot verify CMS of Ed25519, hence none here.
issuing.py makes certificates and requests; those who verify need none of it.

Sources: RFC 5280, RFC 7292 (PKCS#12).
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asn1crypto import algos, core, pem, x509
from cryptography import x509 as standard
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, pkcs12

from signing.algorithms import ALGORITHMS
from signing.errors import BadCertificateError, BadKeyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from signing.algorithms import Signer

MAX_SIZE = 1 << 20
MAX_CHAIN = 8
_OIDS = {"ES256": "sha256_ecdsa", "RS256": "sha256_rsa"}
EXPORT_ALGORITHMS = tuple(_OIDS)
SIGNER_USAGE = frozenset({"digital_signature", "non_repudiation"})
CA_USAGE = frozenset({"key_cert_sign", "crl_sign"})


def root_of(certificate: bytes, chain: Sequence[bytes]) -> bytes:
    """Return the certificate above all: the last of the issuers, or the certificate itself if none is here."""
    return [certificate, *chain][-1]


@dataclass(frozen=True, slots=True)
class Certified:
    """Somebody who can sign: certificate and issuers up to the root (DER), and the function that signs.

    `sign` gives the raw signature of `algorithm` (ES256 as r || s); `sign_der` the one that X.509, CMS and PDF hold.
    """

    certificate: bytes
    chain: tuple[bytes, ...]
    algorithm: str
    sign: Signer

    def sign_der(self, message: bytes) -> bytes:
        """Return the signature as X.509 and CMS hold it: ECDSA as a DER sequence."""
        return der_signature(self.algorithm, self.sign(message))

    @property
    def root(self) -> bytes:
        """The certificate above all, which verifiers pin (DER)."""
        return root_of(self.certificate, self.chain)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, in hexadecimal."""
        return fingerprint(self.certificate)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a certificate says. `algorithm` is ours ("ES256"), or "" for a key that signs no exports.

    `name` is the common name of the subject, or the whole subject where it has none.
    """

    subject: str
    name: str
    issuer: str
    serial: int
    not_before: datetime
    not_after: datetime
    public_key: bytes  # SubjectPublicKeyInfo, DER
    algorithm: str
    is_ca: bool
    usages: frozenset[str]


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate, in hexadecimal."""
    return hashlib.sha256(certificate).hexdigest()


def der_signature(algorithm: str, signature: bytes) -> bytes:
    """Return a raw signature as X.509 and CMS hold it."""
    if algorithm != "ES256":
        return signature
    encoded: bytes = algos.DSASignature.from_p1363(signature).dump()
    return encoded


def raw_signature(algorithm: str, signature: bytes) -> bytes:
    """Return a signature of X.509 or CMS in the raw form of `algorithm`. Raises BadCertificateError."""
    if algorithm != "ES256":
        return signature
    try:
        parsed = algos.DSASignature.load(signature, strict=True)
        r, s = parsed["r"].native, parsed["s"].native
        raw: bytes = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        if algos.DSASignature({"r": r, "s": s}).dump() != signature:
            raise BadCertificateError("an ECDSA signature is not in DER")
    except (ValueError, TypeError, OverflowError) as error:
        raise BadCertificateError("an ECDSA signature is not in DER") from error
    return raw


def signature_algorithm(algorithm: str) -> algos.SignedDigestAlgorithm:
    """Return the AlgorithmIdentifier of signatures with this algorithm."""
    said: dict[str, Any] = {"algorithm": _OIDS[algorithm]}
    if algorithm == "RS256":
        said["parameters"] = core.Null()
    identifier: algos.SignedDigestAlgorithm = algos.SignedDigestAlgorithm(said)
    return identifier


def facts(certificate: bytes) -> Facts:
    """Return what a certificate says. Raises BadCertificateError for what is none."""
    parsed = _load(certificate)
    try:
        public_key = parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        subject, issuer = parsed.subject.rfc4514_string(), parsed.issuer.rfc4514_string()
        names = parsed.subject.get_attributes_for_oid(standard.NameOID.COMMON_NAME)
    except _UNREADABLE as error:
        raise BadCertificateError("its key or names cannot be read") from error
    basic = _extension(parsed, standard.BasicConstraints)
    usage = _extension(parsed, standard.KeyUsage)
    return Facts(
        subject=subject,
        name=str(names[0].value) if names else subject,
        issuer=issuer,
        serial=parsed.serial_number,
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        public_key=public_key,
        algorithm=algorithm_of(public_key),
        is_ca=basic is not None and basic.ca,
        usages=frozenset() if usage is None else _usages(usage),
    )


def algorithm_of(public_key: bytes) -> str:
    """Return the algorithm with which this key (SubjectPublicKeyInfo) signs exports, "" if it may not."""
    for name in EXPORT_ALGORITHMS:
        try:
            ALGORITHMS[name].load_public(public_key)
        except BadKeyError:
            continue
        return name
    return ""


def require_signer_profile(certificate: bytes) -> Facts:
    """Return the facts of a signer's certificate. Raises BadCertificateError naming what of the profile it lacks."""
    said = facts(certificate)
    parsed = _load(certificate)
    if not said.algorithm:
        raise BadCertificateError("its key is neither ECDSA P-256 nor RSA of at least 3072 bits")
    if said.is_ca:
        raise BadCertificateError("it is the certificate of a CA, and not of a person")
    if not said.usages & SIGNER_USAGE:
        raise BadCertificateError("its keyUsage has neither digitalSignature nor nonRepudiation")
    if _extension(parsed, standard.ExtendedKeyUsage) is not None and not _signs_documents(parsed):
        raise BadCertificateError("its extended keyUsage is for something else than signing documents")
    return said


def require_chain(certificate: bytes, chain: Sequence[bytes]) -> None:
    """Raise BadCertificateError unless each certificate is issued by the next, a CA, and the last by itself."""
    if len(chain) > MAX_CHAIN:
        raise BadCertificateError(f"more than {MAX_CHAIN} issuers")
    path = [_load(one) for one in (certificate, *chain)]
    for place, issuer in enumerate(path[1:]):
        basic = _extension(issuer, standard.BasicConstraints)
        usage = _extension(issuer, standard.KeyUsage)
        if basic is None or not basic.ca or (usage is not None and not usage.key_cert_sign):
            raise BadCertificateError(f"{issuer.subject.rfc4514_string()} is not a CA")
        if basic.path_length is not None and place > basic.path_length:
            raise BadCertificateError(f"{issuer.subject.rfc4514_string()} may not have so many CAs below it")
    for one, issuer in zip(path, [*path[1:], path[-1]], strict=True):
        _require_issued(one, issuer)


def require_validity(certificates: Sequence[bytes], at: datetime) -> None:
    """Raise BadCertificateError unless every certificate is valid at that time."""
    for one in map(_load, certificates):
        if not one.not_valid_before_utc <= at <= one.not_valid_after_utc:
            raise BadCertificateError(
                f"{one.subject.rfc4514_string()} is valid from {one.not_valid_before_utc:%Y-%m-%d %H:%M} to "
                f"{one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, not at {at:%Y-%m-%d %H:%M}"
            )


def sort_chain(certificate: bytes, others: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the issuers of a certificate out of `others`, nearest first, as far as they are there."""
    chain: list[bytes] = []
    current = _load(certificate)
    while current.subject != current.issuer and len(chain) < MAX_CHAIN:
        issuer = next((one for one in others if one not in chain and _is_issued(current, _load(one))), None)
        if issuer is None:
            break
        chain.append(issuer)
        current = _load(issuer)
    return tuple(chain)


def read(raw: bytes) -> list[bytes]:
    """Return the certificates (DER) of PEM text, or of one DER. Raises BadCertificateError if there is none."""
    if len(raw) > MAX_SIZE:
        raise BadCertificateError(f"larger than {MAX_SIZE:,} bytes")
    try:
        if b"-----BEGIN" in raw:
            _require_positive_serial_numbers(raw)
            parsed = standard.load_pem_x509_certificates(raw)
        else:
            parsed = [_load(raw)]
    except _UNREADABLE as error:
        raise BadCertificateError("not a certificate, in PEM or DER") from error
    return [one.public_bytes(Encoding.DER) for one in parsed]


def _require_positive_serial_numbers(text: bytes) -> None:
    """Raise BadCertificateError for a certificate in PEM whose serial number `cryptography` would only warn of."""
    with suppress(*_UNREADABLE):  # what is no PEM, or no certificate, is refused by whoever reads it next
        for kind, _, one in pem.unarmor(text, multiple=True):
            if kind == "CERTIFICATE" and min(_serial_numbers(x509.Certificate.load(one, strict=True))) <= 0:
                raise BadCertificateError(_NOT_RFC_5280)


def to_pem(certificates: Sequence[bytes]) -> bytes:
    """Return certificates (DER) as PEM text."""
    return b"".join(pem.armor("CERTIFICATE", one) for one in certificates)


def open_pkcs12(raw: bytes, password: str) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    """Return private key (PKCS#8 DER), certificate and further certificates of a PKCS#12 file.

    Raises BadCertificateError: wrong password, no PKCS#12, or no key with its certificate in it.
    """
    if len(raw) > MAX_SIZE:
        raise BadCertificateError(f"larger than {MAX_SIZE:,} bytes")
    try:
        found = pkcs12.load_pkcs12(raw, password.encode() or None)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadCertificateError("it does not open: another password, or no PKCS#12 file") from error
    if found.key is None or found.cert is None:
        raise BadCertificateError("a private key and its certificate are not both in it")
    private = found.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    others = tuple(one.certificate.public_bytes(Encoding.DER) for one in found.additional_certs)
    return private, found.cert.certificate.public_bytes(Encoding.DER), others


def verify_signature(certificate: bytes, algorithm: str, signature: bytes, message: bytes) -> bool:
    """Tell whether the key of a certificate made this raw signature."""
    return ALGORITHMS[algorithm].load_public(facts(certificate).public_key)(signature, message)


def verify_foreign(certificate: bytes, scheme: str, digest: str, signature: bytes, message: bytes) -> bool:
    """Tell whether the key of a certificate, an authority's and so RSA or EC of any kind, made a signature of CMS.

    `scheme` and `digest` are asn1crypto's names. Raises BadCertificateError for a scheme that is not taken.
    """
    key, hashing = _load(certificate).public_key(), _HASHES[digest]()
    try:
        if scheme == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(hashing))
        elif scheme == "rsassa_pkcs1v15" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), hashing)
        else:
            raise BadCertificateError(f"its signature is made with {scheme}, which is not taken")
    except InvalidSignature:
        return False
    return True


_HASHES: dict[str, Callable[[], hashes.HashAlgorithm]] = {
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


def require_time_stamping(certificate: bytes) -> None:
    """Raise BadCertificateError unless a certificate is for time stamps and nothing else (RFC 3161, 2.3)."""
    parsed = _load(certificate)
    try:
        usage = parsed.extensions.get_extension_for_class(standard.ExtendedKeyUsage)
    except standard.ExtensionNotFound:
        raise BadCertificateError("its certificate is not one for time stamps") from None
    if not usage.critical or [one.dotted_string for one in usage.value] != [_TIME_STAMPING]:
        raise BadCertificateError("its certificate is not one for time stamps")


_TIME_STAMPING = "1.3.6.1.5.5.7.3.8"


_NOT_RFC_5280 = "its serial number or signature is not as RFC 5280 wants it"
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    standard.InvalidVersion,
    standard.DuplicateExtension,
    standard.UnsupportedGeneralNameType,
)


def _load(certificate: bytes) -> standard.Certificate:
    try:
        # `cryptography` takes both: the one with a warning, the other as a second spelling of the same certificate.
        strict = x509.Certificate.load(certificate, strict=True)
        if min(_serial_numbers(strict)) <= 0 or strict["signature_value"].contents[:1] != b"\0":
            raise BadCertificateError(_NOT_RFC_5280)
        parsed = standard.load_der_x509_certificate(certificate)
        _ = list(parsed.extensions), parsed.subject, parsed.issuer  # each is parsed when it is asked for
    except _UNREADABLE as error:
        raise BadCertificateError("not a certificate in DER that can be read") from error
    return parsed


def _serial_numbers(strict: x509.Certificate) -> list[int]:
    """Return a certificate's own serial number and the one that it names of its issuer's certificate, if it does."""
    issuer = strict.authority_key_identifier_value
    named = None if issuer is None else issuer["authority_cert_serial_number"].native
    return [strict.serial_number] if named is None else [strict.serial_number, named]


def _extension(parsed: standard.Certificate, kind: Any) -> Any:
    try:
        return parsed.extensions.get_extension_for_class(kind).value
    except standard.ExtensionNotFound:
        return None


def _usages(usage: standard.KeyUsage) -> frozenset[str]:
    names = {
        "digital_signature": usage.digital_signature,
        "non_repudiation": usage.content_commitment,
        "key_cert_sign": usage.key_cert_sign,
        "crl_sign": usage.crl_sign,
    }
    return frozenset(name for name, is_set in names.items() if is_set)


def _signs_documents(parsed: standard.Certificate) -> bool:
    allowed = {"1.3.6.1.5.5.7.3.36", "1.3.6.1.4.1.311.10.3.12", "1.3.6.1.5.5.7.3.4", "2.5.29.37.0"}
    usages = _extension(parsed, standard.ExtendedKeyUsage)
    return any(usage.dotted_string in allowed for usage in usages)


def _is_issued(one: standard.Certificate, issuer: standard.Certificate) -> bool:
    try:
        _require_issued(one, issuer)
    except BadCertificateError:
        return False
    return True


def _require_issued(one: standard.Certificate, issuer: standard.Certificate) -> None:
    try:
        one.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise BadCertificateError(
            f"{one.subject.rfc4514_string()} is not issued by {issuer.subject.rfc4514_string()}"
        ) from error
