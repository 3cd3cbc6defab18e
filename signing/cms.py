"""Detached CMS signatures in the form of CAdES-B, with a time stamp CAdES-T. Pure: bytes in, bytes out.

    SignedData      version 1, SHA-256, no content inside; certificates of the signer and its issuers
      SignerInfo    version 1, named by issuer and serial number
        signed      contentType = data, messageDigest, signingTime, signingCertificateV2 (SHA-256 of the certificate);
                    in a PDF (PAdES-B-B, EN 319 142-1) without signingTime: the time stands in the PDF's own dictionary
        unsigned    signatureTimeStampToken over the signature's bytes, if a time stamp authority was asked

`verify` puts the same parts together again and compares: of each signature there is one spelling, so that no byte of it
can be changed unseen, covered by the signature or not. `openssl cms -verify` takes it as it is.

Sources: RFC 5652, RFC 5035, ETSI EN 319 122-1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from asn1crypto import cms, core, tsp, x509

from signing import certificates
from signing.errors import BadCertificateError, BadCmsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from signing.certificates import Certified

MAX_SIZE = 1 << 20
DIGEST = "sha256"

TimeStamper = Callable[[bytes], bytes]
"""SHA-256 of a signature -> time stamp token (DER)."""


@dataclass(frozen=True, slots=True)
class Signature:
    """A CMS signature that fits its content. Whom to believe, and whether it was valid then, the caller decides.

    `chain` are the issuers of the certificate, nearest first, up to one that issued itself.
    """

    certificate: bytes
    chain: tuple[bytes, ...]
    signing_time: datetime
    algorithm: str
    signature: bytes  # as it stands in the CMS: what a time stamp covers
    time_stamp: bytes | None


def sign(digest: bytes, signer: Certified, *, at: datetime | None, time_stamp: TimeStamper | None = None) -> bytes:
    """Return the detached signature (DER) over content with this SHA-256.

    `at` is the time that the signer claims, None if the content says it. Raises whatever `time_stamp` raises.
    """
    attributes = _signed_attributes(digest, signer.certificate, at)
    signature = signer.sign_der(attributes.dump())
    token = time_stamp(_digest(signature)) if time_stamp else None
    return _assembled(
        attributes, signer.certificate, signer.chain, algorithm=signer.algorithm, signature=signature, token=token
    )


def verify(raw: bytes, digest: bytes, *, said_at: datetime | None = None) -> Signature:
    """Return the signature if it is one over content with this SHA-256. Raises BadCmsError.

    With `said_at`, the content claims the time of signing, and the signature must not.

    1. it has one signer, and his certificate is in it with those of its issuers 2. the signed attributes name this
    content and this certificate 3. the certificate's key made the signature 4. nothing else is in it, and all of it
    in one spelling
    """
    if len(raw) > MAX_SIZE:
        raise BadCmsError(f"larger than {MAX_SIZE:,} bytes")
    try:
        found, attributes = _parsed(raw, said_at)  # 1
        if attributes.get("message_digest") != digest:  # 2
            raise BadCmsError("it signs other content")
        at = None if said_at else found.signing_time
        expected = _signed_attributes(digest, found.certificate, at)
        message = expected.dump()
        signature = certificates.raw_signature(found.algorithm, found.signature)
        if not certificates.verify_signature(found.certificate, found.algorithm, signature, message):  # 3
            raise BadCmsError("the signature is not that of its certificate's key")
        again = _assembled(
            expected,
            found.certificate,
            found.chain,
            algorithm=found.algorithm,
            signature=found.signature,
            token=found.time_stamp,
        )
    except BadCertificateError as error:
        raise BadCmsError(str(error)) from error
    if again != raw:  # 4
        raise BadCmsError("more or other is in it than such a signature has")
    return found


def content_digest(raw: bytes) -> bytes:
    """Return the SHA-256 of the content that a signature names, where that is not at hand. Raises BadCmsError.

    It is worth what `verify` says of it.
    """
    if len(raw) > MAX_SIZE:
        raise BadCmsError(f"larger than {MAX_SIZE:,} bytes")
    named = _parsed(raw, None)[1].get("message_digest")
    if not isinstance(named, bytes):
        raise BadCmsError("not a CMS signature of one signer")
    return named


def _parsed(raw: bytes, said_at: datetime | None) -> tuple[Signature, dict[str, Any]]:
    try:
        info = cms.ContentInfo.load(raw, strict=True)
        if info["content_type"].native != "signed_data":
            raise BadCmsError("not a CMS signature")
        data = info["content"]
        (signer,) = data["signer_infos"]
        every = [choice.chosen.dump() for choice in data["certificates"]]
        named = [one for one in every if _is_named(one, signer["sid"].chosen)]
        if len(named) != 1:
            raise BadCmsError("its signer's certificate is not in it")
        attributes = {attribute["type"].native: attribute["values"][0].native for attribute in signer["signed_attrs"]}
        others = [one for one in every if one != named[0]]
        chain = certificates.sort_chain(named[0], others)
        if sorted(chain) != sorted(others):
            raise BadCmsError("certificates are in it that did not issue its signer's")
        certificates.require_chain(named[0], chain)
        algorithm = certificates.facts(named[0]).algorithm
        if not algorithm:
            raise BadCmsError("its key is neither ECDSA P-256 nor RSA of at least 3072 bits")
        found = Signature(
            certificate=named[0],
            chain=chain,
            signing_time=said_at or attributes["signing_time"],
            algorithm=algorithm,
            signature=signer["signature"].native,
            time_stamp=_token(signer["unsigned_attrs"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise BadCmsError("not a CMS signature of one signer") from error
    return found, attributes


def _is_named(certificate: bytes, sid: Any) -> bool:
    parsed = x509.Certificate.load(certificate)
    if not isinstance(sid, cms.IssuerAndSerialNumber):
        return False
    same_issuer: bool = sid["issuer"].dump() == parsed.issuer.dump()
    return same_issuer and sid["serial_number"].native == parsed.serial_number


def _token(attributes: Any) -> bytes | None:
    if isinstance(attributes, core.Void) or not len(attributes):
        return None
    (attribute,) = attributes
    (value,) = attribute["values"]
    token: bytes = value.dump()
    return token


def _signed_attributes(digest: bytes, certificate: bytes, at: datetime | None) -> cms.CMSAttributes:
    named = tsp.ESSCertIDv2({"cert_hash": _digest(certificate)})
    attributes: list[dict[str, Any]] = [
        {"type": "content_type", "values": ["data"]},
        {"type": "message_digest", "values": [digest]},
        {"type": "signing_certificate_v2", "values": [tsp.SigningCertificateV2({"certs": [named]})]},
    ]
    if at is not None:
        claimed = cms.Time({"utc_time": at.replace(microsecond=0)})
        attributes.insert(2, {"type": "signing_time", "values": [claimed]})
    return cms.CMSAttributes(attributes)


def _assembled(
    attributes: cms.CMSAttributes,
    certificate: bytes,
    chain: Sequence[bytes],
    *,
    algorithm: str,
    signature: bytes,
    token: bytes | None,
) -> bytes:
    parsed = x509.Certificate.load(certificate)
    digest_algorithm = {"algorithm": DIGEST}
    signer: dict[str, Any] = {
        "version": "v1",
        "sid": {"issuer_and_serial_number": {"issuer": parsed.issuer, "serial_number": parsed.serial_number}},
        "digest_algorithm": digest_algorithm,
        "signed_attrs": attributes,
        "signature_algorithm": certificates.signature_algorithm(algorithm),
        "signature": signature,
    }
    if token is not None:
        stamp = {"type": "signature_time_stamp_token", "values": [cms.ContentInfo.load(token)]}
        signer["unsigned_attrs"] = cms.CMSAttributes([stamp])
    data = cms.SignedData(
        {
            "version": "v1",
            "digest_algorithms": [digest_algorithm],
            "encap_content_info": {"content_type": "data"},
            "certificates": [x509.Certificate.load(one) for one in (certificate, *chain)],
            "signer_infos": [cms.SignerInfo(signer)],
        }
    )
    encoded: bytes = cms.ContentInfo({"content_type": "signed_data", "content": data}).dump()
    return encoded


def _digest(raw: bytes) -> bytes:
    return sha256(raw).digest()
