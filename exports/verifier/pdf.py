"""The checks of a PDF report. Stricter than a PDF reader: what our renderer would not write is refused.

    1. the signature covers every byte but itself, is right, and is spelled in the one way
    2. its certificate may sign, and the signer is pinned; the time stamp is over this signature
    3. the file has one revision, so nothing came after the signature
    4. nothing in it acts or hides: the objects of the file's root and of its pages are those of a report
    5. claim.json and entries.ndjson are embedded, the claim is the export's, and the records have its digest
    6. every page's footer has digest, checkpoint and number; cover and table print what is embedded

Steps 3 and 4 are needed although 1 covers every byte: PDF readers disagree about files that say two things.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation.status import SignatureCoverageLevel

from exports import names, render_ndjson
from exports.errors import BadManifestError, BadReportError, BadRowError
from exports.manifest import Claim
from exports.verifier import printout
from exports.verifier.pages import PageReader, inflated
from exports.verifier.report import Name
from exports.verifier.signers import check_signer
from signing import cms
from signing.errors import BadCmsError

if TYPE_CHECKING:
    from exports.verifier.pages import Piece
    from exports.verifier.pins import Pins
    from exports.verifier.report import Report
    from signing.cms import Signature

_BYTE_RANGE = re.compile(rb"/ByteRange \[0 (\d{1,12}) (\d{1,12}) (\d{1,12})\]")
_CONTENTS = re.compile(rb"<((?:[0-9A-F]{2})+)>")
_END = re.compile(rb"startxref\n\d{1,12}\n%%EOF\n\Z")
_TIME = re.compile(r"D:(\d{14})Z")
_UNKNOWN = datetime(1, 1, 1, tzinfo=UTC)
_ROOT = frozenset(
    {"/Type", "/Pages", "/OutputIntents", "/Lang", "/ViewerPreferences", "/Names", "/AF", "/Metadata", "/AcroForm"}
)
_PAGE = frozenset({"/Type", "/MediaBox", "/TrimBox", "/BleedBox", "/Contents", "/Resources", "/Parent"})
_FIELD = frozenset({"/FT", "/T", "/Type", "/Subtype", "/F", "/Rect", "/P", "/AP", "/V"})
_FORM = frozenset({"/Fields", "/SigFlags"})
_UNREADABLE = (PdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError)
_MOST_PAGES = 50_000
_MOST_EMBEDDED = 512 * 1024 * 1024
_EMBEDDED = (names.CLAIM, render_ndjson.NAME)


def check(pdf: bytes, report: Report, pins: Pins, claim: Claim | None) -> dict[str, bytes]:
    """Check a report and return the files that are embedded in it, none if its signature is not right.

    `claim` is that of the container, if there is one.
    """
    try:
        found, byte_range = signature_of(pdf)  # 1
    except BadReportError as error:
        report.wrong(Name.PDF_SIGNATURE, str(error))
        return {}
    try:
        opened = _opened(pdf, byte_range)  # 3
        found = replace(found, signing_time=opened.signed_at)
    except BadReportError as error:
        report.wrong(Name.PDF_REVISIONS, str(error))
        return {}
    report.ok(Name.PDF_SIGNATURE, "it covers every byte of the file, and is right")
    report.ok(Name.PDF_REVISIONS, "one revision: nothing was added or changed after the signature")
    try:
        embedded = _embedded(opened)  # 4
        pages = _pages(opened)
    except BadReportError as error:
        report.wrong(Name.PDF, str(error))
        return {}
    report.ok(Name.PDF, f"{len(pages)} pages as a report has them: no scripts, actions, layers or annotations")
    own = _own_claim(embedded, report)
    check_signer(found, report, pins, own or claim)  # 2
    if own is not None:
        if claim is not None and own != claim:
            report.wrong(Name.PDF_CONTENT, "the claim in the PDF is not the claim of the export")
        _check_content(pages, own, embedded[render_ndjson.NAME], report)
    return embedded


def signature_of(pdf: bytes) -> tuple[Signature, list[int]]:
    """Return the one signature over all of the file but itself, and its byte range (step 1). Raises BadReportError.

    Its time is read later, from the PDF's own dictionary.
    """
    ranges = _BYTE_RANGE.findall(pdf)
    if len(ranges) != 1:
        raise BadReportError("it is not signed" if not ranges else "it has more than one signature")
    before, after, rest = map(int, ranges[0])
    contents = _CONTENTS.fullmatch(pdf, before, after) if before < after else None
    if contents is None or after + rest != len(pdf):
        raise BadReportError("the signature does not cover the whole file")
    raw = bytes.fromhex(contents[1].decode())
    size = _der_size(raw)
    if size is None or any(raw[size:]):
        raise BadReportError("the signature is not spelled as our renderer spells it")
    digest = sha256(memoryview(pdf)[:before])
    digest.update(memoryview(pdf)[after:])
    if digest.digest() not in raw:  # the same is found below, after much more work
        raise BadReportError("the signature is not right: it signs other content")
    try:
        found = cms.verify(raw[:size], digest.digest(), said_at=_UNKNOWN)
    except BadCmsError as error:
        raise BadReportError(f"the signature is not right: {error}") from error
    return found, [0, before, after, rest]


def _der_size(raw: bytes) -> int | None:
    """Return the length of the DER sequence with which the bytes begin, None if they are too few or none."""
    if len(raw) < 4 or raw[0] != 0x30 or raw[1] != 0x82:  # noqa: PLR2004 a SEQUENCE whose length takes two bytes
        return None
    size = 4 + int.from_bytes(raw[2:4], "big")
    return size if size <= len(raw) else None


@dataclass(slots=True)
class _Opened:
    """A report with one revision and one signature field."""

    reader: PdfFileReader
    root: Any
    field: Any
    signed_at: datetime


def _opened(pdf: bytes, byte_range: list[int]) -> _Opened:
    if pdf.count(b"%%EOF") != 1 or pdf.count(b"startxref") != 1 or not _END.search(pdf):
        raise BadReportError(
            "it was changed after the signature: it has more than one revision, or something behind it"
        )
    try:
        reader = PdfFileReader(io.BytesIO(pdf), strict=True)
        (signature,) = reader.embedded_signatures
        whole = signature.evaluate_signature_coverage() is SignatureCoverageLevel.ENTIRE_FILE
        is_one = reader.xrefs.total_revisions == 1 and list(signature.byte_range) == byte_range
        said_at = _TIME.fullmatch(str(signature.sig_object["/M"]))
        if reader.encrypted or not whole or not is_one or said_at is None:
            raise BadReportError("its signature is not the one that a PDF reader finds in it")
        signed_at = datetime.strptime(said_at[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return _Opened(reader, reader.root, signature.sig_field, signed_at)
    except _UNREADABLE as error:
        raise BadReportError("it cannot be read as a PDF with one signature") from error


def _embedded(opened: _Opened) -> dict[str, bytes]:
    """Return the embedded files. Raises BadReportError if the root has more or other things than a report."""
    try:
        root = opened.root
        _require_keys(root, _ROOT, "its root")
        _require_keys(root["/Names"], frozenset({"/EmbeddedFiles"}), "its names")
        _require_keys(root["/AcroForm"], _FORM, "its form")
        _require_keys(opened.field, _FIELD, "its signature field")
        if len(root["/AcroForm"]["/Fields"]) != 1:
            raise BadReportError("it has form fields beside the signature")
        listed = list(root["/Names"]["/EmbeddedFiles"]["/Names"])
        found = {str(name): _file(spec.get_object()) for name, spec in zip(listed[::2], listed[1::2], strict=True)}
    except _UNREADABLE as error:
        raise BadReportError("what a report has in its root is missing or cannot be read") from error
    if tuple(found) != _EMBEDDED:
        raise BadReportError(f"it does not embed {' and '.join(_EMBEDDED)}, and these alone")
    return found


def _file(specification: Any) -> bytes:
    return inflated(specification["/EF"]["/F"], _MOST_EMBEDDED)


def _pages(opened: _Opened) -> list[list[Piece]]:
    """Return the text of every page. Raises BadReportError for a page that a report does not have."""
    try:
        references = _leaves(opened.root["/Pages"])
        if not 0 < len(references) <= _MOST_PAGES:
            raise BadReportError(f"it has {len(references):,} pages")
        reader = PageReader()
        read = []
        for number, page in enumerate(references, 1):
            is_last = number == len(references)
            _require_keys(page, _PAGE | {"/Annots"} if is_last else _PAGE, f"page {number}")
            if is_last and [each.get_object() for each in page["/Annots"]] != [opened.field]:
                raise BadReportError("it has annotations beside the signature")
            pieces, has_drawings = reader.read(page)
            if has_drawings and printout.is_table(pieces):
                raise BadReportError(f"page {number}, of the table, has drawings")
            read.append(pieces)
    except _UNREADABLE as error:
        raise BadReportError("its pages cannot be read") from error
    return read


def _leaves(tree: Any) -> list[Any]:
    """Return the pages of a page tree of one level."""
    kids = [kid.get_object() for kid in tree["/Kids"]]
    if any(kid["/Type"] != "/Page" for kid in kids) or len(kids) != tree["/Count"]:
        raise BadReportError("its page tree is not that of a report")
    return kids


def _require_keys(dictionary: Any, allowed: frozenset[str], what: str) -> None:
    surplus = sorted(str(key) for key in dictionary if key not in allowed)
    if surplus:
        raise BadReportError(f"{what} has what no report has: {', '.join(surplus)}")


def _own_claim(embedded: dict[str, bytes], report: Report) -> Claim | None:
    try:
        return Claim.from_json(embedded[names.CLAIM])
    except BadManifestError as error:
        report.wrong(Name.PDF_CONTENT, f"the embedded claim: {error}")
        return None


def _check_content(pages: list[list[Piece]], claim: Claim, ndjson: bytes, report: Report) -> None:
    try:
        printout.check_footers(pages, claim)  # 6
        table = [pieces for pieces in pages if printout.is_table(pieces)]
        printout.check_cover([pieces for pieces in pages if not printout.is_table(pieces)], claim)
        _check_table(printout.Table(table), claim, ndjson)  # 5, 6
    except (BadReportError, BadRowError) as error:
        report.wrong(Name.PDF_CONTENT, str(error))
        return
    report.ok(
        Name.PDF_CONTENT,
        f"the dataset digest stands on all {len(pages)} pages and is that of the {claim.entries:,} embedded records, "
        "which the table prints; charts are drawings, which nobody reads here",
    )


def _check_table(table: printout.Table, claim: Claim, ndjson: bytes) -> None:
    digest, verdicts = sha256(), Counter[str]()
    lines = ndjson.splitlines(keepends=True)
    for line in lines:
        if not line.endswith(b"\n"):
            raise BadReportError("the embedded entries end in the middle of a line")
        entry = render_ndjson.parse_row(line[:-1])
        digest.update(entry.record + b"\n")
        verdicts[entry.verdict] += 1
        table.check(entry)
    table.check_end()
    counted = {verdict: number for verdict, number in claim.verdicts.items() if number}
    if digest.hexdigest() != claim.dataset_digest or verdicts != counted:
        raise BadReportError("the embedded entries are not those that the claim counts and hashes")
