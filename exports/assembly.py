"""From the parts of an export to its container: hashes, claim, report, manifest, signature.

    1. the dataset digest, and the claim that names it      4. the SHA-256 of every file
    2. the report, signed as a PDF                          5. the manifest
    3. what stands before and after the rows                6. container and signature

Nothing is held in memory but the report and what is small; the parts are read twice, for hash and container.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest, sha256
from itertools import chain
from typing import TYPE_CHECKING

from django.conf import settings

from activity.record import timestamp
from exports import SOFTWARE, files, names, proofs, render_ndjson, verify_md
from exports.container import Member, write_container
from exports.making import PROOF, RENDERERS, proof_head, row_formats
from exports.manifest import Claim, File, Manifest
from exports.models import Export
from exports.pades import sign_pdf
from exports.render_pdf import MOST_ENTRIES, render_pdf
from signing import certificates, checkpoint, cms, queries
from signing.models import SigningKey
from signing.queries import node_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from exports.models import ExportPart
    from exports.rows import ExportedEntry
    from signing.certificates import Certified
    from signing.cms import TimeStamper

_PEM = "application/x-pem-file"
_SIGNED_ONCE = (SigningKey.State.ACTIVE, SigningKey.State.RETIRED)


@dataclass(frozen=True, slots=True)
class Assembled:
    """What came out: the container, and the claim that it makes."""

    path: Path
    claim: Claim
    sha256: str


def assemble(
    export: Export,
    parts: Sequence[ExportPart],
    signer: Certified,
    *,
    directory: Path,
    at: datetime,
    time_stamp: TimeStamper | None = None,
) -> Assembled:
    """Write the container of an export, whose parts are all made, into a directory."""
    sources = {name: _Source(parts, name) for name in row_formats(export)}
    digest = _dataset_digest(sources[Export.Format.NDJSON])  # 1
    claim = _claim(export, parts, signer, digest=digest, at=at)
    wanted = [name for name in sources if name in export.formats]
    members = _in_parallel([partial(_rows_member, sources[name], claim) for name in wanted])  # 3, 4
    if Export.Format.PDF in export.formats:
        report = _report(
            claim, sources[Export.Format.NDJSON], signer, directory=directory, at=at, time_stamp=time_stamp
        )
        members.append(report)  # 2
    members += [_proof_member(export, parts), *_keys(export, signer)]
    root = certificates.fingerprint([signer.certificate, *signer.chain][-1])
    told = verify_md.render(claim, file_name(export), {one.name for one in members}, root)
    members.append(Member.of(names.VERIFY, verify_md.MEDIA_TYPE, told))
    listed = tuple(File(one.name, one.media_type, one.sha256.hex(), one.size) for one in members)
    manifest = Manifest(claim, listed)  # 5
    members.insert(0, Member.of(names.MANIFEST, "application/json", manifest.to_json()))
    path = directory / file_name(export)
    sign = partial(cms.sign, signer=signer, at=at, time_stamp=time_stamp)
    with path.open("w+b") as target:  # 6
        write_container(target, members, sign)
    return Assembled(path, claim, _sha256_of(path))


class _Source:
    """The rows of one format, out of all parts."""

    def __init__(self, parts: Sequence[ExportPart], name: str) -> None:
        self.renderer = RENDERERS[name]
        self._names = [part.files[name] for part in parts]

    def rows(self) -> Iterator[bytes]:
        """Yield the bytes of all rows in pieces."""
        return files.pieces(self._names, self.renderer.SEPARATOR)

    def whole(self, claim: Claim) -> Iterator[bytes]:
        """Yield the bytes of the file in pieces."""
        return chain([self.renderer.header()], self.rows(), [self.renderer.footer(claim)])

    def lines(self) -> Iterator[bytes]:
        """Yield the lines without their newlines; for NDJSON."""
        rest = b""
        for piece in self.rows():
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines

    def entries(self) -> Iterator[ExportedEntry]:
        """Yield the entries again; for NDJSON."""
        return map(render_ndjson.parse_row, self.lines())


def _dataset_digest(source: _Source) -> str:
    digest = sha256()
    for line in source.lines():
        digest.update(render_ndjson.record_of(line) + b"\n")
    return digest.hexdigest()


def _claim(export: Export, parts: Sequence[ExportPart], signer: Certified, *, digest: str, at: datetime) -> Claim:
    head = checkpoint.parse(export.checkpoint).checkpoint
    entries = sum(part.entries for part in parts)
    span = export.complete_range
    verdicts: Counter[str] = Counter()
    for part in parts:
        verdicts.update(part.verdicts)
    return Claim(
        export_id=str(export.pk),
        exported_at=timestamp(at),
        exported_by=export.ordered_by,
        purpose=export.purpose,
        case=export.case,
        filters=export.filters,
        ledger=export.ledger.name,
        origin=head.origin,
        ledger_size=head.size,
        root=head.root.hex(),
        entries=entries,
        first_leaf=min((part.first_entry for part in parts if part.first_entry is not None), default=None),
        last_leaf=max((part.last_entry for part in parts if part.last_entry is not None), default=None),
        complete_range=span,
        withheld=None if span is None else span[1] - span[0] - entries,
        dataset_digest=digest,
        verdicts=dict(verdicts),
        software=SOFTWARE,
        signer_certificate_sha256=signer.fingerprint,
        time_stamp_authority=settings.AUDITLOG_TSA_URL or None,
    )


def _report(
    claim: Claim,
    source: _Source,
    signer: Certified,
    *,
    directory: Path,
    at: datetime,
    time_stamp: TimeStamper | None,
) -> Member:
    unsigned, path = directory / "unsigned.pdf", directory / names.REPORT
    address = f"{settings.AUDITLOG_PUBLIC_URL.rstrip('/')}/verify/" if settings.AUDITLOG_PUBLIC_URL else ""
    ndjson = b"".join(source.whole(claim)) if claim.entries <= MOST_ENTRIES else b""
    render_pdf(claim, source.entries(), ndjson=ndjson, to=unsigned, verify_address=address)
    reason = f"Export {claim.export_id}: {claim.purpose}"
    sign_pdf(unsigned, signer, name=claim.exported_by, reason=reason, at=at, to=path, time_stamp=time_stamp)
    return Member.of_file(names.REPORT, "application/pdf", path, bytes.fromhex(_sha256_of(path)))


def _rows_member(source: _Source, claim: Claim) -> Member:
    renderer = source.renderer
    return _streamed(renderer.NAME, renderer.MEDIA_TYPE, partial(source.whole, claim))


def _proof_member(export: Export, parts: Sequence[ExportPart]) -> Member:
    """Return the proof: the parts, and what lies before the first and after the last of them."""
    head, node_at = proof_head(export), node_reader(export.ledger)
    begin, end = (parts[0].first_leaf, parts[-1].end_leaf) if parts else (0, 0)
    around = partial(proofs.part, [], head=head, node_at=node_at)
    before = b"".join(around(begin=0, end=begin))
    after = b"".join(around(begin=end, end=head.size))
    names = [part.files[PROOF] for part in parts]

    def read() -> Iterator[bytes]:
        return chain([head.to_bytes(), before], files.pieces(names), [after, proofs.FOOTER])

    return _streamed(proofs.NAME, proofs.MEDIA_TYPE, read)


def _keys(export: Export, signer: Certified) -> list[Member]:
    """Return what a stranger verifies with, and compares with what he pinned."""
    jwks = json.dumps(queries.jwks(), sort_keys=True, indent=2).encode() + b"\n"
    vkeys = "".join(f"{key.vkey}\n" for key in queries.note_keys(export.ledger, *_SIGNED_ONCE))
    return [
        Member.of(names.CHECKPOINT, "text/plain", export.checkpoint.encode()),
        Member.of(names.JWKS, "application/jwk-set+json", jwks),
        Member.of(names.VKEYS, "text/plain", vkeys.encode()),
        Member.of(names.SIGNER, _PEM, certificates.to_pem([signer.certificate])),
        Member.of(names.ISSUERS, _PEM, certificates.to_pem(signer.chain)),
    ]


def _streamed(name: str, media_type: str, read: Callable[[], Iterable[bytes]]) -> Member:
    digest, size = sha256(), 0
    for piece in read():
        digest.update(piece)
        size += len(piece)
    return Member(name, media_type, size, digest.digest(), read)


def _in_parallel(jobs: Sequence[Callable[[], Member]]) -> list[Member]:
    """Return what each job gives; hashing leaves the interpreter's lock, so that two files take as long as one."""
    with ThreadPoolExecutor(max_workers=max(len(jobs), 1)) as pool:
        return [future.result() for future in [pool.submit(job) for job in jobs]]


def _sha256_of(path: Path) -> str:
    with path.open("rb") as source:
        return file_digest(source, "sha256").hexdigest()


def file_name(export: Export) -> str:
    """Return the name under which a container is downloaded."""
    return f"auditlog-export-{export.pk}.asice"
