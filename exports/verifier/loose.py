"""The checks of files that were taken out of a container, or downloaded alone: as far as they go, together.

What a file is shows in its first bytes, whatever its name. Several loose files are taken for parts of one export.
"""

from __future__ import annotations

import io
import re
from hashlib import sha256
from typing import IO, TYPE_CHECKING

from exports import container, names, proofs, render_accesses_csv, render_csv, render_json, render_ndjson
from exports.claim_words import FIRST, SECOND
from exports.errors import BadManifestError, ExportError
from exports.manifest import MANIFEST_FORMAT, Claim, Manifest
from exports.verifier.contents import ROW_FILES, check_contents, check_manifest
from exports.verifier.packed import MAX_REPORT, check_report
from exports.verifier.report import Name
from signing import certificates, checkpoint
from signing.errors import BadCertificateError, BadCheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exports.verifier.pins import Pins
    from exports.verifier.report import Report

_CHUNK = 1 << 20
_START = 4096
_MAX_SMALL = container.MAX_SMALL_FILE
_STARTS = {
    render_json.NAME: re.escape(render_json.header()),
    render_ndjson.NAME: rb'\{"record',
    render_csv.NAME: re.escape(render_csv.header()[:40]),
    render_accesses_csv.NAME: re.escape(render_accesses_csv.header()[:40]),
    proofs.NAME: re.escape(proofs.VERSION.encode()),
    names.REPORT: rb"%PDF-",
    names.VERIFY: rb"# How to check `",
    names.JWKS: rb'\{\s*"keys"',
    names.VKEYS: rb"[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}\s",
}
_CLAIM = f'"format": "({re.escape(FIRST)}|{re.escape(SECOND)})"'.encode()
_PEM = b"-----BEGIN CERTIFICATE-----"
# Of these only the manifest says something, by their hashes.
_LISTED_ONLY = (names.VERIFY, names.VKEYS, names.SIGNER, names.ISSUERS)


class UnknownFileError(ExportError):
    """A file is nothing that belongs to an export."""


class Loose:
    """Files that lie about, by the name that they have in a container."""

    def __init__(self) -> None:
        self._files: dict[str, IO[bytes]] = {}

    def add(self, source: IO[bytes], shown: str) -> None:
        """Add a file. Raises UnknownFileError if it is nothing of an export, or the second of its kind."""
        kind = kind_of(source)
        if kind is None:
            raise UnknownFileError(f"{shown} is no file of an export")
        if kind in self._files:
            raise UnknownFileError(f"{shown} is a second {kind}: check the exports one by one")
        self._files[kind] = source

    def embed(self, name: str, content: bytes) -> None:
        """Add a file that was inside another one."""
        self._files[name] = io.BytesIO(content)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def size(self, name: str) -> int:
        """Return the size of a file."""
        return self._files[name].seek(0, 2)

    def read(self, name: str) -> bytes:
        """Return a small file. Raises UnknownFileError if it is not."""
        limit = MAX_REPORT if name == names.REPORT else _MAX_SMALL
        if self.size(name) > limit:
            raise UnknownFileError(f"{name} is larger than {limit:,} bytes")
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        source = self._files[name]
        at = 0
        while True:
            source.seek(at)
            piece = source.read(_CHUNK)
            if not piece:
                return
            at += len(piece)
            yield piece


def kind_of(source: IO[bytes]) -> str | None:
    """Return the name that such a file has in a container, or None."""
    source.seek(0)
    start = source.read(_START)
    for name, expected in _STARTS.items():
        if re.match(expected, start):
            return name
    if start.startswith(_PEM):
        return _kind_of_certificates(source)
    if start.startswith(b"{\n") and f'"format": "{MANIFEST_FORMAT}"'.encode() in _end_of(source):
        return names.MANIFEST
    if start.startswith(b"{\n") and re.search(_CLAIM, start + _end_of(source)):
        return names.CLAIM
    try:
        checkpoint.parse(start.decode())
    except (BadCheckpointError, UnicodeDecodeError):
        return None
    return names.CHECKPOINT


def _kind_of_certificates(source: IO[bytes]) -> str | None:
    """Return whose certificates they are: no signer is a CA, and each issuer is."""
    source.seek(0)
    try:
        first, *_ = certificates.read(source.read(certificates.MAX_SIZE + 1))
        return names.ISSUERS if certificates.facts(first).is_ca else names.SIGNER
    except BadCertificateError:
        return None


def _end_of(source: IO[bytes]) -> bytes:
    source.seek(max(source.seek(0, 2) - 65_536, 0))
    return source.read(65_536)


def check_loose(given: Sequence[tuple[IO[bytes], str]], report: Report, pins: Pins) -> None:
    """Check files that are not in a container, together."""
    files = Loose()
    try:
        for source, shown in given:
            files.add(source, shown)
        _check(files, report, pins)
    except ExportError as error:
        report.wrong(Name.CONTAINER, str(error))


def _check(files: Loose, report: Report, pins: Pins) -> None:
    report.not_checked(Name.SIGNATURE, "loose files: the signature is in the container (.asice)")
    manifest = check_manifest(files.read(names.MANIFEST), report) if names.MANIFEST in files else None
    claim = None if manifest is None else manifest.claim
    alone = [name for name in files if name in _LISTED_ONLY]
    if alone and manifest is None:
        report.not_checked(
            Name.DIGESTS, f"only the manifest, which is not here, says what is right: {', '.join(alone)}"
        )
    if names.CLAIM in files:
        claim = _claim(files, report, claim)
    if manifest is not None:
        _check_listing(files, report, manifest)
    if names.REPORT in files:
        claim = _report(files, report, pins, claim)
    if claim is not None or any(name in files for name in (*ROW_FILES, proofs.NAME, names.CHECKPOINT)):
        check_contents(files, report, pins, claim)


def _claim(files: Loose, report: Report, other: Claim | None) -> Claim | None:
    try:
        claim = Claim.from_json(files.read(names.CLAIM))
    except BadManifestError as error:
        report.wrong(Name.MANIFEST, str(error))
        return other
    if other is not None and claim != other:
        report.wrong(Name.MANIFEST, "claim.json is not the claim of the manifest")
    return claim


def _check_listing(files: Loose, report: Report, manifest: Manifest) -> None:
    listed = {file.name: file for file in manifest.files}
    right = []
    for name in files:
        if name in (names.MANIFEST, names.CLAIM):
            continue
        digest = sha256()
        for piece in files.pieces(name):
            digest.update(piece)
        if name not in listed or (listed[name].sha256, listed[name].size) != (digest.hexdigest(), files.size(name)):
            report.wrong(Name.DIGESTS, f"{name} is not the file that the manifest lists")
        else:
            right.append(name)
    if right:
        report.ok(Name.DIGESTS, f"as the manifest lists them: {', '.join(right)}")
    missing = sorted(set(listed) - set(files))
    if missing:
        report.not_checked(Name.DIGESTS, f"not here: {', '.join(missing)}")


def _report(files: Loose, report: Report, pins: Pins, claim: Claim | None) -> Claim | None:
    """Check a PDF; where nothing else is there, what is embedded in it stands in. Return the claim."""
    embedded = check_report(files.read(names.REPORT), report, pins, claim)
    if names.CLAIM in embedded and claim is None:
        files.embed(names.CLAIM, embedded[names.CLAIM])
        claim = _claim(files, report, None)
    if render_ndjson.NAME in embedded and not any(name in files for name in ROW_FILES):
        files.embed(render_ndjson.NAME, embedded[render_ndjson.NAME])
    return claim
