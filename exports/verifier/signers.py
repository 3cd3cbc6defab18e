"""Who made a CMS signature that is right: certificate, time stamp, and whether he is pinned. Pure.

1. the time stamp is over this signature and not older than it, of a pinned authority
2. the certificate is one that may sign, was valid then, and is the one that the claim names
3. the signer, or an issuer of his certificate, is pinned
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from exports.verifier.report import Name
from signing import certificates, time_stamps
from signing.errors import BadCertificateError, BadTimeStampError

if TYPE_CHECKING:
    from exports.manifest import Claim
    from exports.verifier.pins import Pins
    from exports.verifier.report import Report
    from signing.cms import Signature

_CLOCKS = timedelta(minutes=5)  # by which those of signer and authority may differ


def check_signer(found: Signature, report: Report, pins: Pins, claim: Claim | None) -> None:
    """Check who signed, whatever it was that he signed."""
    stamped_at = _check_time_stamp(report, pins, found, claim)  # 1
    _check_certificate(report, found, claim, stamped_at)  # 2
    said = certificates.facts(found.certificate)
    if pins.holds_one_of([found.certificate, *found.chain]):  # 3
        report.ok(Name.SIGNER, f"pinned: {said.subject}, certified by {said.issuer}")
    else:
        root = certificates.fingerprint(certificates.root_of(found.certificate, found.chain))
        report.cannot_tell(
            Name.SIGNER, f"intact, signer unknown: {said.subject}; the root above is SHA-256 {root} (--trust)"
        )


def _check_certificate(report: Report, found: Signature, claim: Claim | None, stamped_at: datetime | None) -> None:
    try:
        said = certificates.require_signer_profile(found.certificate)
        certificates.require_validity([found.certificate, *found.chain], stamped_at or found.signing_time)
    except BadCertificateError as error:
        report.wrong(Name.CERTIFICATE, str(error))
        return
    fingerprint = certificates.fingerprint(found.certificate)
    if claim is not None and fingerprint != claim.signer_certificate_sha256:
        report.wrong(Name.CERTIFICATE, "the export is signed with another certificate than its manifest names")
    elif stamped_at is None and datetime.now(UTC) > said.not_after:
        report.cannot_tell(
            Name.CERTIFICATE, f"it expired on {said.not_after:%Y-%m-%d}, and no time stamp says that it signed before"
        )
    else:
        when = "when the time stamp was made" if stamped_at else "at the time that the signer claims"
        report.ok(Name.CERTIFICATE, f"SHA-256 {fingerprint}; of the right kind, and valid {when}")
    report.note(Name.CERTIFICATE, "whether it was revoked is not in the file: ask the operator for revocations")


def _check_time_stamp(report: Report, pins: Pins, found: Signature, claim: Claim | None) -> datetime | None:
    """Return the time of the time stamp if a pinned authority says it."""
    claimed = None if claim is None else claim.time_stamp_authority
    if found.time_stamp is None:
        if claimed is not None:
            report.wrong(Name.TIME_STAMP, f"the manifest says that {claimed} was asked, and there is no time stamp")
        else:
            report.note(Name.TIME_STAMP, "none, and the export says so: when it was signed is the signer's word")
        return None
    try:
        stamp = time_stamps.verify(found.time_stamp, sha256(found.signature).digest())
    except BadTimeStampError as error:
        report.wrong(Name.TIME_STAMP, str(error))
        return None
    subject = certificates.facts(stamp.certificate).subject
    if claim is not None and claimed is None:
        report.wrong(Name.TIME_STAMP, "there is one, and the manifest says that none was asked for")
        return None
    if found.signing_time > stamp.at + _CLOCKS:
        when = f"{stamp.at:%Y-%m-%d %H:%M:%S}, before the signer claims to have signed"
        report.wrong(Name.TIME_STAMP, f"it is of {when} ({found.signing_time:%Y-%m-%d %H:%M:%S} UTC)")
        return None
    if not pins.holds_one_of([stamp.certificate, *stamp.chain]):
        text = f"{subject} says {stamp.at:%Y-%m-%d %H:%M:%S} UTC; that authority is not pinned (--trust tsa.pem)"
        report.cannot_tell(Name.TIME_STAMP, text)
        return None
    report.ok(
        Name.TIME_STAMP,
        f"{subject}, which is pinned, says that the signature existed at {stamp.at:%Y-%m-%d %H:%M:%S} UTC",
    )
    return stamp.at
