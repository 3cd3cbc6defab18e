"""Reports for the tests: claims of any entries, and what other programs read of a PDF."""

from __future__ import annotations

import subprocess
from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pypdf import PdfReader
from pypdf.generic import NameObject

from exports import render_ndjson
from exports.manifest import Claim
from exports.pades import sign_pdf
from exports.render_pdf import render_pdf

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from exports.rows import ExportedEntry
    from signing.certificates import Certified
    from signing.cms import TimeStamper

AT = datetime(2026, 11, 23, 5, 41, 7, tzinfo=UTC)
ADDRESS = "https://audit.example.org/verify"


def claim_of(entries: Sequence[ExportedEntry], **changes: Any) -> Claim:
    """Return the claim of an export of these entries."""
    first, last = (entries[0].leaf_index, entries[-1].leaf_index) if entries else (None, None)
    said: dict[str, Any] = {
        "export_id": "01932f6e-0000-7000-8000-000000000000",
        "exported_at": "2026-11-23T05:40:00.123456Z",
        "exported_by": "ada",
        "purpose": "quarterly review",
        "case": "2026-17",
        "filters": {"type": "auth.*"},
        "ledger": "activity",
        "origin": "auditlog.local/activity",
        "ledger_size": (last or 0) + 100,
        "root": sha256(b"root").hexdigest(),
        "entries": len(entries),
        "first_leaf": first,
        "last_leaf": last,
        "complete_range": None,
        "withheld": None,
        "dataset_digest": sha256(b"".join(entry.record + b"\n" for entry in entries)).hexdigest(),
        "verdicts": {str(verdict): number for verdict, number in Counter(entry.verdict for entry in entries).items()},
        "software": "auditlog 0.1.0",
        "signer_certificate_sha256": "ef" * 32,
        "time_stamp_authority": None,
    }
    return Claim(**said | changes)


def report(entries: Sequence[ExportedEntry], to: Path, **changes: Any) -> Path:
    """Render an unsigned report and return its file."""
    ndjson = render_ndjson.rows(entries) if entries else b""
    render_pdf(claim_of(entries, **changes), iter(entries), ndjson=ndjson, to=to, verify_address=ADDRESS)
    return to


# Names of PDF objects that act, load or show what is elsewhere.
ACTIVE = frozenset(
    [
        "/JavaScript",
        "/JS",
        "/URI",
        "/Launch",
        "/OpenAction",
        "/AA",
        "/A",
        "/GoToR",
        "/GoToE",
        "/SubmitForm",
        "/ImportData",
        "/RichMedia",
    ]
)


def names_in(pdf: Path) -> set[str]:
    """Return every key and name in the objects of a file; in compressed bytes any name may stand by chance."""
    reader = PdfReader(pdf)
    return {name for number in reader.xref[0] for name in _names(reader.get_object(number))}


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from _names(each)
    elif isinstance(value, list):
        for each in value:
            yield from _names(each)
    elif isinstance(value, NameObject):
        yield value


def pages_text(pdf: Path) -> list[str]:
    """Return the text of each page as poppler reads it."""
    done = subprocess.run(["pdftotext", "-layout", str(pdf), "-"], capture_output=True, check=True, text=True)
    return done.stdout.split("\f")[:-1]


def signed_report(
    entries: Sequence[ExportedEntry],
    directory: Path,
    signer: Certified,
    *,
    time_stamp: TimeStamper | None = None,
    **changes: Any,
) -> Path:
    """Render and sign a report and return its file. `changes` are members of the claim."""
    said = {"signer_certificate_sha256": signer.fingerprint} | changes
    unsigned = report(entries, directory / "unsigned.pdf", **said)
    to = directory / "report.pdf"
    sign_pdf(unsigned, signer, name="Ada Lovelace", reason="quarterly review", at=AT, to=to, time_stamp=time_stamp)
    return to
