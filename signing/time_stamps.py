"""RFC 3161 time stamps: what is asked of an authority, and what its answer proves. Pure: bytes in, bytes out.

    request     version 1, SHA-256 of what is stamped, a nonce, and the wish for the authority's certificate
    token       CMS SignedData over TSTInfo, by a certificate whose one extended key usage is timeStamping

A token says: these bytes existed at that time. Whether its authority is one to believe, the caller decides. Source: RFC
3161, with SHA-256 in the request; the authority signs with RSA or ECDSA and SHA-256, SHA-384 or SHA-512.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asn1crypto import cms, core, tsp, x509

from signing import certificates
from signing.errors import BadCertificateError, BadTimeStampError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

MAX_SIZE = 1 << 20
QUERY_TYPE, REPLY_TYPE = "application/timestamp-query", "application/timestamp-reply"
_NONCE_BITS = 63
_DIGESTS = frozenset({"sha256", "sha384", "sha512"})
_ESS = {"signing_certificate": hashlib.sha1, "signing_certificate_v2": hashlib.sha256}
_BROKEN = (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a time stamp says: when, and its authority's certificate, with issuers up to the root or none of them."""

    at: datetime
    certificate: bytes
    chain: tuple[bytes, ...]


def request(digest: bytes) -> tuple[bytes, int]:
    """Return the request (DER) for a time stamp over a SHA-256, and the nonce that the answer must have."""
    nonce = secrets.randbits(_NONCE_BITS) | 1
    asked = tsp.TimeStampReq(
        {
            "version": "v1",
            "message_imprint": {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": digest},
            "nonce": nonce,
            "cert_req": True,
        }
    )
    encoded: bytes = asked.dump()
    return encoded, nonce


def token_of(answer: bytes, digest: bytes, nonce: int) -> bytes:
    """Return the token of an authority's answer if it is one for this request. Raises BadTimeStampError."""
    if len(answer) > MAX_SIZE:
        raise BadTimeStampError(f"the answer is larger than {MAX_SIZE:,} bytes")
    try:
        parsed = tsp.TimeStampResp.load(answer, strict=True)
        status = parsed["status"]["status"].native
        if status not in {"granted", "granted_with_mods"}:
            raise BadTimeStampError(f"the authority refused: {status}")
        token = _trimmed(parsed["time_stamp_token"].dump())
        if _info(_signed_data(token))["nonce"].native != nonce:
            raise BadTimeStampError("the answer is to another request")
    except _BROKEN as error:
        raise BadTimeStampError("the answer is no time stamp") from error
    verify(token, digest)
    return token


def verify(token: bytes, digest: bytes) -> Stamp:
    """Return what a token says of bytes with this SHA-256. Raises BadTimeStampError.

    1. it has one signer, whose certificate is in it and stamps times 2. it is about these bytes 3. the signed
    attributes name its content and that certificate 4. the certificate's key made the signature 5. the certificate was
    valid then, and so were its issuers 6. nothing else is in it
    """
    if len(token) > MAX_SIZE:
        raise BadTimeStampError(f"larger than {MAX_SIZE:,} bytes")
    try:
        data = _signed_data(token)
        (signer,) = data["signer_infos"]
        certificate, chain, others = _certificates(data, signer["sid"].chosen)  # 1
        info = _info(data)
        imprint = info["message_imprint"]
        if imprint["hash_algorithm"]["algorithm"].native != "sha256" or imprint["hashed_message"].native != digest:
            raise BadTimeStampError("it stamps something else")  # 2
        _require_attributes(data, signer, certificate)  # 3
        _require_signature(signer, certificate)  # 4
        at: datetime = info["gen_time"].native
        certificates.require_validity([certificate, *chain], at)  # 5
        _require_whole_chain(certificate, chain, others)  # 6
        _require_nothing_else(token, data, signer)
    except BadCertificateError as error:
        raise BadTimeStampError(str(error)) from error
    except _BROKEN as error:
        raise BadTimeStampError("not a time stamp") from error
    return Stamp(at, certificate, chain)


def _signed_data(token: bytes) -> Any:
    info = cms.ContentInfo.load(token, strict=True)
    if info["content_type"].native != "signed_data":
        raise BadTimeStampError("not a time stamp")
    data = info["content"]
    if data["encap_content_info"]["content_type"].native != "tst_info":
        raise BadTimeStampError("not a time stamp")
    return data


def _info(data: Any) -> Any:
    return tsp.TSTInfo.load(data["encap_content_info"]["content"].parsed.dump(), strict=True)


def _certificates(data: Any, sid: Any) -> tuple[bytes, tuple[bytes, ...], list[bytes]]:
    """Return the certificate of the signer, its issuers, and all that are in the token besides it."""
    every = [choice.chosen.dump() for choice in data["certificates"]]
    named = [one for one in every if _is_named(x509.Certificate.load(one), sid)]
    if len(named) != 1:
        raise BadTimeStampError("the certificate of its authority is not in it")
    others = [one for one in every if one != named[0]]
    certificates.require_time_stamping(named[0])
    return named[0], certificates.sort_chain(named[0], others), others


def _require_whole_chain(certificate: bytes, chain: Sequence[bytes], others: Sequence[bytes]) -> None:
    """Refuse certificates that nothing in the token vouches for: the signature covers that of the authority alone."""
    if sorted(chain) != sorted(others):
        raise BadTimeStampError("certificates are in it that did not issue its authority's")
    if chain:
        certificates.require_chain(certificate, chain)


def _trimmed(token: bytes) -> bytes:
    """Return a token without the issuers of its authority, unless they lead to the root. No signature covers them."""
    info = cms.ContentInfo.load(token, strict=True)
    data = info["content"]
    certificate, chain, others = _certificates(data, data["signer_infos"][0]["sid"].chosen)
    try:
        _require_whole_chain(certificate, chain, others)
    except (BadCertificateError, BadTimeStampError):
        data["certificates"] = [x509.Certificate.load(certificate)]
        token = info.dump(force=True)
    return token


def _is_named(certificate: Any, sid: Any) -> bool:
    if isinstance(sid, cms.IssuerAndSerialNumber):
        same: bool = sid["issuer"].dump() == certificate.issuer.dump()
        return same and sid["serial_number"].native == certificate.serial_number
    return sid.native is not None and sid.native == certificate.key_identifier


def _require_attributes(data: Any, signer: Any, certificate: bytes) -> None:
    attributes = {one["type"].native: one["values"] for one in signer["signed_attrs"]}
    if len(attributes) != len(signer["signed_attrs"]) or attributes["content_type"][0].native != "tst_info":
        raise BadTimeStampError("its signed attributes are not those of a time stamp")
    digest = signer["digest_algorithm"]["algorithm"].native
    if digest not in _DIGESTS:
        raise BadTimeStampError(f"it is hashed with {digest}")
    content = data["encap_content_info"]["content"].contents
    if attributes["message_digest"][0].native != hashlib.new(digest, content).digest():
        raise BadTimeStampError("its signature is over other content")
    named = next((name for name in ("signing_certificate_v2", "signing_certificate") if name in attributes), None)
    if named is None:
        raise BadTimeStampError("its signed attributes name no certificate")
    first = attributes[named][0]["certs"][0]
    algorithm = _ESS[named]
    if named == "signing_certificate_v2":
        algorithm = getattr(hashlib, first["hash_algorithm"]["algorithm"].native)
    if first["cert_hash"].native != algorithm(certificate).digest():
        raise BadTimeStampError("its signed attributes name another certificate")


def _require_signature(signer: Any, certificate: bytes) -> None:
    message = b"\x31" + signer["signed_attrs"].dump()[1:]  # signed as a SET, stored with the tag [0]
    if not certificates.verify_foreign(
        certificate,
        signer["signature_algorithm"].signature_algo,
        signer["digest_algorithm"]["algorithm"].native,
        signer["signature"].native,
        message,
    ):
        raise BadTimeStampError("its signature is not that of its authority")


def _require_nothing_else(token: bytes, data: Any, signer: Any) -> None:
    """Refuse what no signature covers: other versions, digest lists and attributes, and a second spelling."""
    by_key = signer["sid"].name == "subject_key_identifier"
    right = (
        data["version"].native == "v3"
        and signer["version"].native == ("v3" if by_key else "v1")
        and [one["algorithm"].native for one in data["digest_algorithms"]]
        == [signer["digest_algorithm"]["algorithm"].native]
        and isinstance(data["crls"], core.Void)
        and isinstance(signer["unsigned_attrs"], core.Void)
        and all(
            isinstance(one["parameters"], core.Void | core.Null)
            for one in (signer["digest_algorithm"], *data["digest_algorithms"])
        )
    )
    # OpenSSL does not sort the certificates as DER wants it, so they are put back in the order that they came in.
    again = cms.ContentInfo.load(token).copy().dump(force=True)
    sorted_ones = b"".join(one.chosen.dump() for one in _signed_data(again)["certificates"])
    given = b"".join(one.chosen.dump() for one in data["certificates"])
    if not right or again.replace(sorted_ones, given, 1) != token:
        raise BadTimeStampError("more or other is in it than a time stamp has")
