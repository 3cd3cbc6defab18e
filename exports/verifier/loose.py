"""The checks of files that were taken out of a container, or downloaded alone: as far as they go, together.

What a file is shows in its first bytes, whatever its name. Several loose files are taken for parts of one export.
"""

from __future__ import annotations

import io
import re
from typing import IO, TYPE_CHECKING

from exports import container, names, proofs, render_accesses_csv, render_csv, render_json, render_ndjson
from exports.claim_words import FIRST, SECOND
from exports.errors import BadContainerError, BadManifestError, ExportError
from exports.manifest import MANIFEST_FORMAT, Claim, Manifest
from exports.verifier.contents import ROW_FILES, check_contents, check_manifest, sha256_of
from exports.verifier.packed import MAX_REPORT, check_needed, check_report, check_signature
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
    container.MIMETYPE_FILE: re.escape(container.MIMETYPE),
    container.MANIFEST_XML: rb"(?s)<\?xml.{0,1000}ASiCManifest",
    container.SIGNATURE: rb"(?s)\x30.{1,5}\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02",  # the type SignedData
}
_CLAIM = f'"format": "({re.escape(FIRST)}|{re.escape(SECOND)})"'.encode()
_PEM = b"-----BEGIN CERTIFICATE-----"
# Of these only the manifest says something, by their hashes.
_LISTED_ONLY = (names.VERIFY, names.VKEYS, names.SIGNER, names.ISSUERS)
# Of the container itself, so that no list has them.
_AROUND = (container.MIMETYPE_FILE, container.MANIFEST_XML, container.SIGNATURE)


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
    manifest = check_manifest(files.read(names.MANIFEST), report) if names.MANIFEST in files else None
    claim = None if manifest is None else manifest.claim
    if names.CLAIM in files:
        claim = _claim(files, report, claim)
    _check_lists(files, report, manifest)
    _check_around(files, report, pins, claim)
    if names.REPORT in files:
        claim = _report(files, report, pins, claim)
    if claim is not None or any(name in files for name in (*ROW_FILES, proofs.NAME, names.CHECKPOINT)):
        check_contents(files, report, pins, claim)


def _check_around(files: Loose, report: Report, pins: Pins, claim: Claim | None) -> None:
    """Check what is of the container itself: its type, and the signature over the list of files."""
    if container.MIMETYPE_FILE in files:
        said = container.MIMETYPE.decode()
        if files.read(container.MIMETYPE_FILE) == container.MIMETYPE:
            report.ok(Name.CONTAINER, f"its mimetype is {said}, as that of every export")
        else:
            report.wrong(Name.CONTAINER, f"its mimetype is not {said}")
    if container.SIGNATURE in files:
        xml = files.read(container.MANIFEST_XML) if container.MANIFEST_XML in files else None
        check_signature(files, xml, files.read(container.SIGNATURE), report, pins, claim)
    else:
        report.not_checked(Name.SIGNATURE, "loose files: the signature is in the container (.asice)")


def _check_lists(files: Loose, report: Report, manifest: Manifest | None) -> None:
    """Compare the files with the list that is signed and with the manifest's, as far as these are here."""
    signed = _signed_list(files, report)
    if signed is None and manifest is None:
        alone = [name for name in files if name in _LISTED_ONLY]
        if alone:
            text = f"only the manifest, which is not here, says what is right: {', '.join(alone)}"
            report.not_checked(Name.DIGESTS, text)
        return
    lists: dict[str, dict[str, tuple[str, int | None]]] = {}
    if manifest is not None:
        lists["the manifest"] = {file.name: (file.sha256, file.size) for file in manifest.files}
    if signed is not None:
        lists["the signed list"] = {name: (digest.hex(), None) for name, (_, digest) in signed.items()}
    if signed is not None and manifest is not None:
        _require_same_list(report, signed, manifest)
    found = {name: sha256_of(files.pieces(name)).hex() for name in files if name not in (names.CLAIM, *_AROUND)}
    for where, listed in lists.items():
        here = [name for name in found if name != names.MANIFEST or where != "the manifest"]
        right = [name for name in here if listed.get(name) in ((found[name], files.size(name)), (found[name], None))]
        _say(report, where, right, [name for name in here if name not in right])
    missing = sorted({name for listed in lists.values() for name in listed} - set(files))
    if missing:
        report.not_checked(Name.DIGESTS, f"not here: {', '.join(missing)}")


def _say(report: Report, where: str, right: list[str], wrong: list[str]) -> None:
    for name in wrong:
        report.wrong(Name.DIGESTS, f"{name} is not the file that {where} lists")
    if right:
        report.ok(Name.DIGESTS, f"as {where} lists them: {', '.join(right)}")


def _signed_list(files: Loose, report: Report) -> dict[str, tuple[str, bytes]] | None:
    if container.MANIFEST_XML not in files:
        return None
    try:
        listed = container.parse_list(files.read(container.MANIFEST_XML))
    except BadContainerError as error:
        report.wrong(Name.CONTAINER, str(error))
        return None
    check_needed(listed, report)
    return listed


def _require_same_list(report: Report, signed: dict[str, tuple[str, bytes]], manifest: Manifest) -> None:
    listed = {(file.name, file.media_type, file.sha256) for file in manifest.files}
    if listed != {(name, kind, digest.hex()) for name, (kind, digest) in signed.items() if name != names.MANIFEST}:
        report.wrong(Name.MANIFEST, "it lists other files than the signed list, or other hashes or kinds of them")


def _claim(files: Loose, report: Report, other: Claim | None) -> Claim | None:
    try:
        claim = Claim.from_json(files.read(names.CLAIM))
    except BadManifestError as error:
        report.wrong(Name.MANIFEST, str(error))
        return other
    if other is not None and claim != other:
        report.wrong(Name.MANIFEST, "claim.json is not the claim of the manifest")
    return claim


def _report(files: Loose, report: Report, pins: Pins, claim: Claim | None) -> Claim | None:
    """Check a PDF; where nothing else is there, what is embedded in it stands in. Return the claim."""
    embedded = check_report(files.read(names.REPORT), report, pins, claim)
    if names.CLAIM in embedded and claim is None:
        files.embed(names.CLAIM, embedded[names.CLAIM])
        claim = _claim(files, report, None)
    if render_ndjson.NAME in embedded and not any(name in files for name in ROW_FILES):
        files.embed(render_ndjson.NAME, embedded[render_ndjson.NAME])
    return claim
