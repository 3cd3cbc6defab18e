"""Every structural attack on every format of an export: refused, each by the check whose business it is.

An outsider has the file and no key. An insider signs what he changed with the right key, so that the signature is
right and the contents are not. Eve signs with a key of her own. Each row says which check fails; that others fail as
well is no matter. That the untouched export passes is proved first.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from pypdf import PdfWriter

from exports import names, proofs, render_csv, render_json, render_ndjson
from exports.container import MANIFEST_XML, SIGNATURE
from exports.verifier import pdf
from exports.verifier.files import check_files
from exports.verifier.pins import Pins, add_pins
from exports.verifier.report import Name, Report, State
from signing import certificates
from tests.exports.altered import zipped
from tests.exports.exported import entry
from tests.exports.exporting import Export, ada, checkpoint_key, members, note, packed
from tests.exports.reports import claim_of, report, signed_report
from tests.signing.issued import authority, person

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exports.rows import ExportedEntry

Files = dict[str, bytes]
FORMATS = {module.NAME: module for module in (render_csv, render_ndjson, render_json)}
OTHER = Export(ledger=tuple(entry(number, actor="mallory") for number in range(12)))


@pytest.fixture(params=FORMATS)
def export(request: pytest.FixtureRequest) -> Export:
    """Give an export of one format."""
    return Export(formats=(request.param,))


def wrong(raw: bytes) -> set[Name]:
    """Return the checks that fail."""
    pinned = Pins({certificates.fingerprint(ada().chain[0])}, [checkpoint_key()])
    add_pins(pinned, Export().contents()[names.JWKS][1], "jwks.json")
    (said,) = check_files([(io.BytesIO(raw), "export.asice")], pinned)
    return {check.name for check in said.checks if check.state is State.WRONG}


def test_untouched_nothing_is_wrong(export: Export) -> None:
    assert wrong(export.container()) == set()


def unpacked(raw: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rows(export: Export, entries: Sequence[ExportedEntry]) -> bytes:
    """Return the file of these entries as our renderer writes it, with the claim of the export."""
    renderer = FORMATS[export.formats[0]]
    raw: bytes = renderer.header() + renderer.rows(entries) + renderer.footer(export.claim())
    return raw


def dropped(export: Export) -> list[ExportedEntry]:
    return export.entries[1:]


def added(export: Export) -> list[ExportedEntry]:
    return [*export.entries, export.ledger[9]]


def doubled(export: Export) -> list[ExportedEntry]:
    return [*export.entries, export.entries[-1]]


def reordered(export: Export) -> list[ExportedEntry]:
    return export.entries[::-1]


def spliced(export: Export) -> list[ExportedEntry]:
    """Put an entry of another ledger in the place of ours, rightly signed by the same key."""
    return [export.entries[0], OTHER.ledger[4], *export.entries[2:]]


ROWS = [
    (dropped, Name.PROOFS),
    (dropped, Name.MANIFEST),
    (added, Name.PROOFS),
    (doubled, Name.RECORDS),
    (reordered, Name.RECORDS),
    (spliced, Name.PROOFS),
]


@pytest.mark.parametrize("attack", [dropped, added, doubled, reordered, spliced])
def test_rows_changed_by_an_outsider(export: Export, attack: Callable[[Export], list[ExportedEntry]]) -> None:
    files = unpacked(export.container()) | {export.formats[0]: rows(export, attack(export))}
    assert Name.DIGESTS in wrong(zipped([*files.items()]))


@pytest.mark.parametrize(("attack", "check"), ROWS)
def test_rows_changed_and_signed_by_an_insider(
    export: Export, attack: Callable[[Export], list[ExportedEntry]], check: Name
) -> None:
    contents = export.contents()
    name = export.formats[0]
    contents[name] = (contents[name][0], rows(export, attack(export)))
    found = wrong(packed(members(contents, export.claim()), export.signer))
    assert check in found
    assert Name.SIGNATURE not in found


def signature_stripped(files: Files, export: Export) -> None:
    del export
    del files[SIGNATURE]


def signature_emptied(files: Files, export: Export) -> None:
    del export
    files[SIGNATURE] = b""


def signature_of_another(files: Files, export: Export) -> None:
    files[SIGNATURE] = unpacked(replace(export, purpose="another").container())[SIGNATURE]


def manifest_swapped(files: Files, export: Export) -> None:
    files[names.MANIFEST] = unpacked(replace(export, purpose="another").container())[names.MANIFEST]


def manifest_and_list_swapped(files: Files, export: Export) -> None:
    other = unpacked(replace(export, purpose="another").container())
    files |= {name: other[name] for name in (names.MANIFEST, MANIFEST_XML, names.VERIFY)}
    files |= {name: other[name] for name in export.formats}


def filter_changed(files: Files, export: Export) -> None:
    del export
    files[names.MANIFEST] = files[names.MANIFEST].replace(b'"actor": "bob"', b'"actor": "eve"')


def proofs_cut(files: Files, export: Export) -> None:
    del export
    files[proofs.NAME] = files[proofs.NAME][:-60]


def proofs_left_out(files: Files, export: Export) -> None:
    del export
    del files[proofs.NAME]


def checkpoint_replayed(files: Files, export: Export) -> None:
    files[names.CHECKPOINT] = note(export.real_tree, 9).encode()


def certificates_replaced(files: Files, export: Export) -> None:
    del export
    files[names.SIGNER] = certificates.to_pem([person(authority(), "Ada Lovelace").certificate])


def mimetype_changed(files: Files, export: Export) -> None:
    del export
    files["mimetype"] = b"application/zip"


def container_nested(files: Files, export: Export) -> None:
    files[export.formats[0]] = export.container()


def file_added(files: Files, export: Export) -> None:
    files["note.txt"] = export.purpose.encode()


@pytest.mark.parametrize(
    ("attack", "check"),
    [
        (signature_stripped, Name.CONTAINER),
        (signature_emptied, Name.SIGNATURE),
        (signature_of_another, Name.SIGNATURE),
        (manifest_swapped, Name.DIGESTS),
        (manifest_and_list_swapped, Name.SIGNATURE),
        (filter_changed, Name.DIGESTS),
        (proofs_cut, Name.DIGESTS),
        (proofs_left_out, Name.CONTAINER),
        (checkpoint_replayed, Name.DIGESTS),
        (certificates_replaced, Name.DIGESTS),
        (mimetype_changed, Name.CONTAINER),
        (container_nested, Name.CONTAINER),
        (file_added, Name.CONTAINER),
    ],
)
def test_a_container_changed_by_an_outsider(
    export: Export, attack: Callable[[Files, Export], None], check: Name
) -> None:
    files = unpacked(export.container())
    attack(files, export)
    assert check in wrong(zipped([*files.items()]))


@pytest.mark.parametrize(
    ("attack", "check"),
    [
        (proofs_cut, Name.PROOFS),
        (proofs_left_out, Name.CONTAINER),
        (checkpoint_replayed, Name.CHECKPOINT),
        (certificates_replaced, Name.CERTIFICATE),
    ],
)
def test_a_container_changed_and_signed_by_an_insider(
    export: Export, attack: Callable[[Files, Export], None], check: Name
) -> None:
    contents = export.contents()
    files = {name: raw for name, (_, raw) in contents.items()}
    attack(files, export)
    changed = {name: (contents[name][0], raw) for name, raw in files.items()}
    found = wrong(packed(members(changed, export.claim()), export.signer))
    assert check in found
    assert Name.SIGNATURE not in found


@pytest.mark.parametrize(
    ("claim", "check"),
    [
        ({"ledger": "another"}, Name.RECORDS),
        ({"complete_range": (3, 9), "withheld": 2}, Name.PROOFS),
        ({"dataset_digest": "00" * 32}, Name.MANIFEST),
        ({"root": "00" * 32}, Name.CHECKPOINT),
        ({"time_stamp_authority": "https://tsa.example"}, Name.TIME_STAMP),
    ],
)
def test_another_claim_signed_by_an_insider(export: Export, claim: dict[str, Any], check: Name) -> None:
    found = wrong(packed(members(export.contents(), export.claim(**claim)), export.signer))
    assert check in found
    assert Name.SIGNATURE not in found


def test_another_filter_signed_by_an_insider_does_not_fit_the_claim_in_the_json() -> None:
    export = Export(formats=(render_json.NAME,))
    assert Name.JSON in wrong(packed(members(export.contents(), export.claim(filters={"actor": "eve"})), export.signer))


def test_signed_again_with_another_key(export: Export) -> None:
    eve = person(authority(), "Ada Lovelace")
    assert Name.CERTIFICATE in wrong(packed(export.members(), eve))
    forged = replace(export, signer=eve).container()
    (said,) = check_files([(io.BytesIO(forged), "forged")], Pins({certificates.fingerprint(ada().chain[0])}))
    assert Name.SIGNER in {check.name for check in said.checks if check.state is State.CANNOT_TELL}
    assert said.exit_code != 0


ENTRIES = [entry(number) for number in range(6)]
CLAIM = claim_of(ENTRIES, signer_certificate_sha256=ada().fingerprint)


@cache
def signed(purpose: str = "quarterly review", *, by_eve: bool = False) -> bytes:
    """Return the signed report of ENTRIES."""
    signer = person(authority(), "Ada Lovelace") if by_eve else ada()
    with TemporaryDirectory() as directory:
        changes: dict[str, Any] = {"purpose": purpose, "signer_certificate_sha256": ada().fingerprint}
        return signed_report(ENTRIES, Path(directory), signer, **changes).read_bytes()


def wrong_in_pdf(raw: bytes) -> set[Name]:
    said = Report("report.pdf")
    pdf.check(raw, said, Pins({certificates.fingerprint(ada().chain[0])}), CLAIM)
    return {check.name for check in said.checks if check.state is State.WRONG}


def place_of(raw: bytes) -> tuple[int, int]:
    match = pdf._BYTE_RANGE.search(raw)
    assert match
    return int(match[1]), int(match[2])


def pdf_signature_stripped(raw: bytes) -> bytes:
    before, after = place_of(raw)
    return raw[: before + 1] + b"0" * (after - before - 2) + raw[after - 1 :]


def pdf_never_signed(raw: bytes) -> bytes:
    del raw
    with TemporaryDirectory() as directory:
        return report(ENTRIES, Path(directory) / "unsigned.pdf").read_bytes()


def pdf_signature_of_another(raw: bytes) -> bytes:
    other = signed("another purpose")
    (before, after), (other_before, other_after) = place_of(raw), place_of(other)
    return raw[:before] + other[other_before:other_after] + raw[after:]


def pdf_appended(raw: bytes) -> bytes:
    return raw + b"%%EOF\n"


def pdf_annotated(raw: bytes) -> bytes:
    writer = PdfWriter(io.BytesIO(raw), incremental=True)
    remark = {"/Type": "/Annot", "/Subtype": "/FreeText", "/Rect": [50, 50, 200, 90], "/Contents": "all is well"}
    writer.add_annotation(0, remark)
    changed = io.BytesIO()
    writer.write(changed)
    return changed.getvalue()


def pdf_certificate_replaced(raw: bytes) -> bytes:
    mine, theirs = (one.certificate.hex().upper().encode() for one in (ada(), person(authority())))
    assert raw.count(mine) == 1
    return raw.replace(mine, theirs.ljust(len(mine), b"0")[: len(mine)])


def pdf_of_another_export(raw: bytes) -> bytes:
    del raw
    return signed("another purpose")


def pdf_signed_by_another(raw: bytes) -> bytes:
    del raw
    return signed(by_eve=True)


def test_an_untouched_report_is_right() -> None:
    assert wrong_in_pdf(signed()) == set()


@pytest.mark.parametrize(
    ("attack", "check"),
    [
        (pdf_never_signed, Name.PDF_SIGNATURE),
        (pdf_signature_stripped, Name.PDF_SIGNATURE),
        (pdf_signature_of_another, Name.PDF_SIGNATURE),
        (pdf_appended, Name.PDF_SIGNATURE),
        (pdf_annotated, Name.PDF_SIGNATURE),
        (pdf_certificate_replaced, Name.PDF_SIGNATURE),
        (pdf_signed_by_another, Name.CERTIFICATE),
        (pdf_of_another_export, Name.PDF_CONTENT),
    ],
)
def test_a_report_that_was_changed(attack: Callable[[bytes], bytes], check: Name) -> None:
    assert check in wrong_in_pdf(attack(signed()))


@pytest.mark.parametrize(
    "entries",
    [ENTRIES[1:], [*ENTRIES, entry(6)], ENTRIES[::-1], [*ENTRIES[:2], entry(2, actor="mallory"), *ENTRIES[3:]]],
    ids=["dropped", "added", "reordered", "spliced"],
)
def test_a_report_of_other_rows_signed_by_an_insider(entries: list[ExportedEntry], tmp_path: Path) -> None:
    leaves = sorted(one.leaf_index for one in entries)
    raw = signed_report(entries, tmp_path, ada(), first_leaf=leaves[0], last_leaf=leaves[-1]).read_bytes()
    assert wrong_in_pdf(raw) == {Name.PDF_CONTENT}, "right in itself, and not the report of this export"
