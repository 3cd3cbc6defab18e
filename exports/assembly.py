"""From the parts of an export to its container: hashes, claim, report, manifest, signature.

    1. the hashes of the rows, each format in a thread of its own, and the dataset digest in another
    2. the claim that names it, and what stands after the rows
    3. the report, signed as a PDF
    4. the manifest
    5. container and signature, written from the first byte to the last and hashed meanwhile; it is on the disk before
       its parts are removed

This is what one worker does alone while the others wait, so it keeps two processors busy, reads the parts twice and
looks at no line: spans.py says where the records are. Nothing is held in memory but the report and what is small.
"""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING

from django.conf import settings

from activity.timestamps import timestamp
from exports import SOFTWARE, files, names, proofs, render_ndjson, spans, verify_md
from exports.behind import Behind, SyncedFile
from exports.container import Member, Sums, write_container
from exports.making import PROOF, SPANS, proof_head, renderers_of
from exports.manifest import Claim, File, Manifest
from exports.models import Export
from exports.pades import sign_pdf
from exports.render_pdf import MOST_ENTRIES, render_pdf
from signing import certificates, checkpoint, cms, queries
from signing.models import SigningKey
from signing.queries import node_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path
    from types import ModuleType

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
    sources = {name: _Source(parts, name, writer) for name, writer in renderers_of(export).items()}
    _in_parallel([source.add_up for source in sources.values()])  # 1
    digest = sources[Export.Format.NDJSON].records.hexdigest()
    claim = _claim(export, parts, signer, digest=digest, at=at)
    members = [sources[name].member(claim) for name in sources if name in export.formats]  # 2
    if Export.Format.PDF in export.formats:
        report = _report(
            claim, sources[Export.Format.NDJSON], signer, directory=directory, at=at, time_stamp=time_stamp
        )
        members.append(report)  # 3
    members += [_proof_member(export, parts), *_keys(export, signer)]
    root = certificates.fingerprint(signer.root)
    told = verify_md.render(claim, file_name(export), {one.name for one in members}, root)
    members.append(Member.of(names.VERIFY, verify_md.MEDIA_TYPE, told))
    listed = tuple(File(one.name, one.media_type, one.sha256.hex(), one.size) for one in members)
    manifest = Manifest(claim, listed)  # 4
    members.insert(0, Member.of(names.MANIFEST, "application/json", manifest.to_json()))
    path = directory / file_name(export)
    sign = partial(cms.sign, signer=signer, at=at, time_stamp=time_stamp)
    digested = sha256()
    with SyncedFile(path, last=True) as file, Behind(digested.update) as hashing:  # 5
        write_container(_Both(file, hashing), members, sign)
    return Assembled(path, claim, digested.hexdigest())


class _Source:
    """The rows of one format, out of all parts. `records` hashes those of NDJSON: the dataset digest."""

    def __init__(self, parts: Sequence[ExportPart], name: str, renderer: ModuleType) -> None:
        self.renderer = renderer
        self.records = sha256()
        self._sums = Sums()
        self._names = [part.files[name] for part in parts]
        self._spans = [part.files[SPANS] for part in parts]

    def add_up(self) -> None:
        """Read everything up to the last row once, for its hashes."""
        self._sums.add(self.renderer.header())
        if self.renderer is not render_ndjson:
            for piece in self.rows():
                self._sums.add(piece)
            return
        with Behind(self._sums.add) as summing:
            for lines, records in self._lines_and_records():
                summing.add(lines)
                self.records.update(records)

    def _lines_and_records(self) -> Iterator[tuple[bytes, bytes]]:
        for name, span in zip(self._names, self._spans, strict=True):
            with files.open_stored(name) as stored:
                yield from spans.read(b"".join(files.pieces([span])), stored)

    def member(self, claim: Claim) -> Member:
        """Return the file, which must have been added up."""
        self._sums.add(self.renderer.footer(claim))
        return self._sums.member(self.renderer.NAME, self.renderer.MEDIA_TYPE, partial(self.whole, claim))

    def rows(self, *, last: bool = False) -> Iterator[bytes]:
        """Yield the bytes of all rows in pieces; `last` says that nobody reads them again."""
        return files.pieces(self._names, self.renderer.SEPARATOR, last=last)

    def whole(self, claim: Claim) -> Iterator[bytes]:
        """Yield the bytes of the file in pieces, for the last time."""
        return chain([self.renderer.header()], self.rows(last=True), [self.renderer.footer(claim)])

    def lines(self) -> Iterator[bytes]:
        """Yield the lines without their newlines; for NDJSON."""
        rest = b""
        for piece in self.rows():
            *lines, rest = (rest + piece).split(b"\n")
            yield from lines

    def entries(self) -> Iterator[ExportedEntry]:
        """Yield the entries again; for NDJSON."""
        return map(render_ndjson.parse_row, self.lines())


class _Both:
    """Where a container goes: to its file, and through its hash at the same time."""

    def __init__(self, file: SyncedFile, hashing: Behind) -> None:
        self._file, self._hashing = file, hashing

    def write(self, piece: bytes) -> None:
        """Go on with these bytes."""
        self._hashing.add(piece)
        self._file.write(piece)


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
    return Member.of_file(names.REPORT, "application/pdf", path)


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

    sums = Sums()
    for piece in read():
        sums.add(piece)
    return sums.member(proofs.NAME, proofs.MEDIA_TYPE, read)


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


def _in_parallel(jobs: Sequence[Callable[[], None]]) -> None:
    """Do all jobs; hashing leaves the interpreter's lock, so that two files take as long as one."""
    with ThreadPoolExecutor(max_workers=len(jobs)) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result()


def file_name(export: Export) -> str:
    """Return the name under which a container is downloaded."""
    return f"auditlog-export-{export.pk}.asice"
