"""The order of signature, time stamp and the end of the certificate, and whose time stamp it is."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from asn1crypto import keys as asn1_keys
from asn1crypto import tsp
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from pyhanko.sign.timestamps import DummyTimeStamper

from exports.container import write_container
from exports.verifier.files import check_files
from exports.verifier.pins import Pins
from exports.verifier.report import Name, Report, State
from signing import certificates, cms, time_stamps
from signing.authorities import time_stamp
from signing.errors import BadTimeStampError
from tests.exports.exporting import AT, Export, ada
from tests.signing.issued import START, authority, person
from tests.signing.local_tsa import LocalTsa, local_tsa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from signing.certificates import Certified
    from signing.cms import TimeStamper


@pytest.fixture(scope="module")
def tsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTsa]:
    with local_tsa(tmp_path_factory.mktemp("tsa")) as running:
        yield running


def stamped(
    tsa: LocalTsa,
    *,
    at: datetime,
    signer: Certified | None = None,
    stamp: TimeStamper | None = None,
    is_claimed: bool = True,
) -> bytes:
    """Return a container that was signed at a time, as the signer says, and stamped now."""
    export = replace(Export(), signer=signer or ada(), time_stamp_authority=tsa.url if is_claimed else None)
    target = io.BytesIO()
    sign = partial(cms.sign, signer=export.signer, at=at, time_stamp=stamp or partial(time_stamp, tsa.url))
    write_container(target, export.members(), sign)
    return target.getvalue()


def checked(raw: bytes, *pinned: bytes) -> Report:
    (report,) = check_files([(io.BytesIO(raw), "export.asice")], Pins({*map(certificates.fingerprint, pinned)}))
    return report


def root(tsa: LocalTsa) -> bytes:
    (certificate,) = certificates.read(tsa.root.read_bytes())
    return certificate


def found(report: Report, name: Name) -> list[tuple[State, str]]:
    return [(check.state, check.text) for check in report.checks if check.name is name]


def test_a_time_stamp_after_the_signature_and_of_a_pinned_authority_is_right(tsa: LocalTsa) -> None:
    report = checked(stamped(tsa, at=datetime.now(UTC)), root(tsa))
    ((state, text),) = found(report, Name.TIME_STAMP)
    assert (state, "says that the signature existed at" in text) == (State.OK, True)
    assert "valid when the time stamp was made" in report.table()


def test_one_of_an_authority_that_is_not_pinned_says_nothing(tsa: LocalTsa) -> None:
    ((state, text),) = found(checked(stamped(tsa, at=datetime.now(UTC))), Name.TIME_STAMP)
    assert (state, "not pinned" in text) == (State.CANNOT_TELL, True)


@pytest.mark.parametrize("is_pinned", [True, False])
def test_one_from_before_the_signature_is_refused(tsa: LocalTsa, *, is_pinned: bool) -> None:
    pinned = [root(tsa)] if is_pinned else []
    report = checked(stamped(tsa, at=datetime.now(UTC) + timedelta(hours=1)), *pinned)
    ((state, text),) = found(report, Name.TIME_STAMP)
    assert (state, "before the signer claims to have signed" in text) == (State.WRONG, True)


def test_one_from_after_the_end_of_the_certificate_is_refused(tsa: LocalTsa) -> None:
    short = person(authority(), valid=timedelta(days=1))
    report = checked(stamped(tsa, at=START + timedelta(hours=12), signer=short), root(tsa))
    assert found(report, Name.TIME_STAMP)[0][0] is State.OK
    assert State.WRONG in [state for state, _ in found(report, Name.CERTIFICATE)]


def test_one_of_which_the_claim_does_not_know_is_refused(tsa: LocalTsa) -> None:
    report = checked(stamped(tsa, at=datetime.now(UTC), is_claimed=False), root(tsa))
    assert found(report, Name.TIME_STAMP) == [
        (State.WRONG, "there is one, and the manifest says that none was asked for")
    ]


def test_without_one_a_certificate_that_has_ended_leaves_doubt() -> None:
    """Whoever found the key later could have dated the signature back."""
    ended = person(authority(), valid=AT - START + timedelta(minutes=1))
    (certificate, _) = found(checked(Export(signer=ended).container()), Name.CERTIFICATE)
    assert (certificate[0], "no time stamp says" in certificate[1]) == (State.CANNOT_TELL, True)


def test_one_over_another_signature_is_refused(tsa: LocalTsa) -> None:
    other = time_stamp(tsa.url, sha256(b"another signature").digest())
    report = checked(stamped(tsa, at=datetime.now(UTC), stamp=lambda _: other), root(tsa))
    assert found(report, Name.TIME_STAMP) == [(State.WRONG, "it stamps something else")]


def self_made(*usages: x509.ObjectIdentifier, is_critical: bool = True) -> TimeStamper:
    """Return an authority that anybody can make, with a certificate for these extended key usages."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "TSA")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(START).not_valid_after(START + timedelta(days=3_000))
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), is_critical)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    private = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    stamper = DummyTimeStamper(asn1.Certificate.load(certificate), asn1_keys.PrivateKeyInfo.load(private))

    def stamp(digest: bytes) -> bytes:
        asked, _ = time_stamps.request(digest)
        answer = stamper.request_tsa_response(tsp.TimeStampReq.load(asked))
        token: bytes = answer["time_stamp_token"].dump()
        return token

    return stamp


_STAMPING, _SERVER = ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.SERVER_AUTH


@pytest.mark.parametrize(
    "stamper",
    [self_made(), self_made(_SERVER), self_made(_STAMPING, _SERVER), self_made(_STAMPING, is_critical=False)],
    ids=["no usage", "another usage", "more usages", "not critical"],
)
def test_one_by_a_certificate_that_is_not_for_time_stamps_alone_is_refused(tsa: LocalTsa, stamper: TimeStamper) -> None:
    digest = sha256(b"signature").digest()
    with pytest.raises(BadTimeStampError, match="not one for time stamps"):
        time_stamps.verify(stamper(digest), digest)
    report = checked(stamped(tsa, at=datetime.now(UTC), stamp=stamper), root(tsa))
    assert found(report, Name.TIME_STAMP) == [(State.WRONG, "its certificate is not one for time stamps")]


def test_the_same_authority_with_the_right_certificate_is_refused_for_nothing_of_that() -> None:
    digest = sha256(b"signature").digest()
    with pytest.raises(BadTimeStampError) as refused:
        time_stamps.verify(self_made(_STAMPING)(sha256(b"other").digest()), digest)
    assert "something else" in str(refused.value)
