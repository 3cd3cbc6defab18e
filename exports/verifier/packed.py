"""The checks of a container: layout, hashes, signature, certificate, time stamp, and then what is in it.

    1. it is laid out as the format wants it          5. the signer, or an issuer of his certificate, is pinned
    2. every file has the hash that was signed        6. the time stamp is over this signature
    3. the signature is right and over this list      7. the manifest lists these files
    4. the certificate is one that may sign, in time  8. contents.py, and pdf.py for a report

A step that fails does not stop the others, except the first: nothing is read out of an archive that is not ours.
"""

from __future__ import annotations

from hashlib import sha256
from importlib import import_module
from typing import IO, TYPE_CHECKING

from exports import container, names, proofs
from exports.errors import BadContainerError
from exports.verifier.contents import ROW_FILES, check_contents, check_manifest
from exports.verifier.report import Name
from exports.verifier.signers import check_signer
from signing import certificates, cms
from signing.errors import BadCertificateError, BadCmsError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from exports.container import Container
    from exports.manifest import Claim, Manifest
    from exports.verifier.contents import Files
    from exports.verifier.pins import Pins
    from exports.verifier.report import Report
    from signing.cms import Signature

MAX_REPORT = 512 * 1024 * 1024
NEEDED = (names.MANIFEST, names.CHECKPOINT, proofs.NAME, names.SIGNER, names.ISSUERS)


class InContainer:
    """The files of a container, as contents.py takes them; where it has no rows, those inside its report stand in."""

    def __init__(self, opened: Container, embedded: dict[str, bytes]) -> None:
        self._opened = opened
        has_rows = any(name in opened.files for name in ROW_FILES)
        self._embedded = {} if has_rows else {name: embedded[name] for name in ROW_FILES if name in embedded}

    def __contains__(self, name: str) -> bool:
        return name in self._opened.files or name in self._embedded

    def size(self, name: str) -> int:
        """Return the size of a file."""
        return len(self._embedded[name]) if name in self._embedded else self._opened.size(name)

    def read(self, name: str) -> bytes:
        """Return a small file."""
        return self._embedded[name] if name in self._embedded else self._opened.read(name)

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        return iter([self._embedded[name]]) if name in self._embedded else self._opened.pieces(name)


def check_container(source: IO[bytes], report: Report, pins: Pins) -> None:
    """Check a container that can be sought."""
    try:
        opened = container.open_container(source)  # 1
        _check_all(opened, report, pins)
    except BadContainerError as error:
        report.wrong(Name.CONTAINER, str(error))


def _check_all(opened: Container, report: Report, pins: Pins) -> None:
    report.ok(Name.CONTAINER, f"ASiC-E of one spelling, {len(opened.files)} files")
    damaged = [name for name in opened.files if not opened.check_sums(name)]  # 2
    if damaged:
        report.wrong(Name.DIGESTS, f"not the files that were signed: {', '.join(damaged)}")
    else:
        report.ok(Name.DIGESTS, "every file has the SHA-256 that was signed")
    check_needed(opened.files, report)
    manifest = check_manifest(opened.read(names.MANIFEST), report) if names.MANIFEST in opened.files else None
    claim = None if manifest is None else manifest.claim
    check_signature(InContainer(opened, {}), opened.xml, opened.signature, report, pins, claim)
    if manifest is not None:
        _check_listing(opened, report, manifest)  # 7
    embedded: dict[str, bytes] = {}
    if names.REPORT in opened.files:
        if opened.size(names.REPORT) > MAX_REPORT:
            report.wrong(Name.PDF, f"it is larger than {MAX_REPORT:,} bytes")
        else:
            embedded = check_report(b"".join(opened.pieces(names.REPORT)), report, pins, claim)
    elif claim is not None and claim.entries and not any(name in opened.files for name in ROW_FILES):
        report.wrong(Name.RECORDS, "there are neither rows nor a report in it")
    check_contents(InContainer(opened, embedded), report, pins, claim)  # 8


def check_report(pdf: bytes, report: Report, pins: Pins, claim: Claim | None) -> dict[str, bytes]:
    """Check a PDF and return the files that are embedded in it, as far as pyHanko is there."""
    try:
        checks = import_module("exports.verifier.pdf")  # late: it needs packages that not everybody has
    except ImportError as error:
        report.not_checked(Name.PDF, f"a PDF needs the package {error.name}")
        return {}
    embedded: dict[str, bytes] = checks.check(pdf, report, pins, claim)
    return embedded


def check_needed(listed: Collection[str], report: Report) -> None:
    """Check that the files which every export has are among those that are signed."""
    missing = [name for name in NEEDED if name not in listed]
    if missing:
        report.wrong(Name.CONTAINER, f"files that every export has are missing: {', '.join(missing)}")


def check_signature(
    files: Files, xml: bytes | None, signature: bytes, report: Report, pins: Pins, claim: Claim | None
) -> None:
    """Check the signature over the list of files, and who made it; without the list only the latter."""
    try:
        digest = cms.content_digest(signature) if xml is None else sha256(xml).digest()
        found = cms.verify(signature, digest)  # 3
    except BadCmsError as error:
        report.wrong(Name.SIGNATURE, str(error))
        return
    said = certificates.facts(found.certificate)
    when = f"at {found.signing_time:%Y-%m-%d %H:%M:%S} UTC by his own clock"
    if xml is None:
        text = f"{said.subject} signed a list of files, {when}; the list, {container.MANIFEST_XML}, is not here"
        report.not_checked(Name.SIGNATURE, text)
    else:
        report.ok(Name.SIGNATURE, f"{said.subject} signed the list of files, {when}")
    try:
        _require_same_files(files, found)
    except BadCertificateError as error:
        report.wrong(Name.CERTIFICATE, str(error))
    check_signer(found, report, pins, claim)  # 4, 5, 6


def _require_same_files(files: Files, found: Signature) -> None:
    for name, expected in ((names.SIGNER, [found.certificate]), (names.ISSUERS, list(found.chain))):
        if name in files and certificates.read(files.read(name)) != expected:
            raise BadCertificateError(f"{name} is not what signed the export")


def _check_listing(opened: Container, report: Report, manifest: Manifest) -> None:
    listed = [(file.name, file.media_type, file.sha256, file.size) for file in manifest.files]
    found = [
        (name, media_type, digest.hex(), opened.size(name))
        for name, (media_type, digest) in opened.files.items()
        if name != names.MANIFEST
    ]
    if sorted(listed) != sorted(found):
        report.wrong(Name.MANIFEST, "it lists other files than there are, or other hashes, sizes or kinds of them")
    else:
        report.ok(Name.MANIFEST, f"it lists the {len(listed)} other files, with the right hashes and sizes")
