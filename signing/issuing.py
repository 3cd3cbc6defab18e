"""Certificates of the built-in CA and of signers, and requests to a CA outside. Pure: values in, DER or PEM out.

They are put together here and signed by a function, so the private half may lie anywhere. certificates.py has their
profile. Sources: RFC 5280, RFC 2986.
"""

from __future__ import annotations

import secrets
from datetime import UTC
from typing import TYPE_CHECKING, Any

from asn1crypto import core, csr, keys, pem, x509

from signing.certificates import CA_USAGE, SIGNER_USAGE, der_signature, signature_algorithm
from signing.errors import BadCertificateError

if TYPE_CHECKING:
    from datetime import datetime

    from signing.algorithms import Signer
    from signing.certificates import Certified

_SERIAL_BITS = 159


def issue(
    *,
    name: str,
    organization: str,
    public_key: bytes,
    not_before: datetime,
    not_after: datetime,
    issuer: Certified | None,
    algorithm: str,
    sign: Signer,
) -> bytes:
    """Return the certificate of a signer, signed by `issuer`; without an issuer, of a CA that signs itself."""
    subject = _name(name, organization)
    spki = keys.PublicKeyInfo.load(public_key)
    parent = None if issuer is None else x509.Certificate.load(issuer.certificate)
    signed_with = issuer.algorithm if issuer else algorithm
    tbs = x509.TbsCertificate(
        {
            "version": "v3",
            "serial_number": secrets.randbits(_SERIAL_BITS) | 1,
            "signature": signature_algorithm(signed_with),
            "issuer": subject if parent is None else parent.subject,
            "validity": {"not_before": _time(not_before), "not_after": _time(not_after)},
            "subject": subject,
            "subject_public_key_info": spki,
            "extensions": _extensions(spki, parent),
        }
    )
    signature = der_signature(signed_with, (issuer.sign if issuer else sign)(tbs.dump()))
    certificate = x509.Certificate(
        {
            "tbs_certificate": tbs,
            "signature_algorithm": signature_algorithm(signed_with),
            "signature_value": signature,
        }
    )
    encoded: bytes = certificate.dump()
    return encoded


def request(*, name: str, organization: str, public_key: bytes, algorithm: str, sign: Signer) -> bytes:
    """Return the certificate signing request (PKCS#10, PEM) for a key, for a CA outside."""
    info = csr.CertificationRequestInfo(
        {
            "version": "v1",
            "subject": _name(name, organization),
            "subject_pk_info": keys.PublicKeyInfo.load(public_key),
            "attributes": csr.CRIAttributes([]),
        }
    )
    made = csr.CertificationRequest(
        {
            "certification_request_info": info,
            "signature_algorithm": signature_algorithm(algorithm),
            "signature": der_signature(algorithm, sign(info.dump())),
        }
    )
    encoded: bytes = pem.armor("CERTIFICATE REQUEST", made.dump())
    return encoded


def _name(name: str, organization: str) -> x509.Name:
    try:
        return x509.Name.build({"organization_name": organization, "common_name": name})
    except ValueError as error:
        raise BadCertificateError(f"a certificate cannot name {name!r}") from error


def _time(moment: datetime) -> x509.Time:
    whole = moment.astimezone(UTC).replace(microsecond=0)
    first_generalized_year = 2050  # RFC 5280, 4.1.2.5
    kind = "utc_time" if whole.year < first_generalized_year else "general_time"
    return x509.Time({kind: whole})


def _extensions(spki: keys.PublicKeyInfo, parent: x509.Certificate | None) -> list[dict[str, Any]]:
    own = {"extn_id": "key_identifier", "critical": False, "extn_value": core.OctetString(spki.sha1)}
    if parent is None:
        return [
            {"extn_id": "basic_constraints", "critical": True, "extn_value": {"ca": True, "path_len_constraint": 0}},
            {"extn_id": "key_usage", "critical": True, "extn_value": set(CA_USAGE)},
            own,
        ]
    above = x509.AuthorityKeyIdentifier({"key_identifier": parent.key_identifier_value.native})
    return [
        {"extn_id": "basic_constraints", "critical": True, "extn_value": {"ca": False}},
        {"extn_id": "key_usage", "critical": True, "extn_value": set(SIGNER_USAGE)},
        own,
        {"extn_id": "authority_key_identifier", "critical": False, "extn_value": above},
    ]
