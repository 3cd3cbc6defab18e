"""Signed reports: strangers take them as valid; whatever is done to one is refused with its reason."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name, pdf_string
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import copy_into_new_writer
from pypdf import PdfReader, PdfWriter

from exports import pades, render_ndjson, render_pdf
from exports.report.cells import printed
from exports.report.rows import block
from exports.verifier import pdf
from exports.verifier.pages import PageReader
from exports.verifier.pins import Pins
from exports.verifier.report import Report, State
from signing import certificates
from signing.authorities import time_stamp
from signing.verdicts import Verdict
from tests.exports.exported import entry
from tests.exports.reports import AT, claim_of, report, signed_report
from tests.signing.issued import START, authority, person
from tests.signing.local_tsa import local_tsa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from exports.manifest import Claim
    from exports.report.rows import Block
    from signing.certificates import Certified

made: Any = generic  # pyHanko has types, but not for what makes objects
CA = authority()
ADA = person(CA)
ENTRIES = [entry(number, signed=bool(number % 2)) for number in range(12)]
MARKED = [
    *ENTRIES[:2],
    entry(
        2,
        actor="שלום (עולם)",
        target="مرحبا بالعالم",
        action="e\u0301\u0337 \u202egpj.exe",
        data={"a b": "日本 😀\n  x"},
    ),
    entry(3, actor="x" * 400, source="\u202e" * 150, data={"text": "y z" * 2_000})._replace(
        verdict=Verdict.TAMPERED, reason="its record is not the leaf that the ledger holds"
    ),
    entry(4)._replace(record=b"\xff\xfe no json", verdict=Verdict.TAMPERED, reason="not a record"),
    entry(5)._replace(verdict=Verdict.CANNOT_TELL, reason="the key is not known here"),
]
CLAIM = claim_of(ENTRIES, signer_certificate_sha256=ADA.fingerprint)


def pins_of(*trusted: Certified) -> Pins:
    return Pins(fingerprints={one.fingerprint for one in trusted})


def verified(raw: bytes, pins: Pins | None = None, claim: Claim | None = None) -> Report:
    found = Report("report.pdf")
    pdf.check(raw, found, pins_of(CA) if pins is None else pins, claim)
    return found


def wrong(raw: bytes, **options: Any) -> str:
    """Return what is wrong with a report, "" if nothing is."""
    return "; ".join(check.text for check in verified(raw, **options).checks if check.state is State.WRONG)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return signed_report(ENTRIES, tmp_path_factory.mktemp("signed"), ADA).read_bytes()


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("trust") / "ca.pem"
    file.write_bytes(certificates.to_pem([CA.certificate]))
    return file


def signed_again(change: Callable[[Any], None], raw: bytes, tmp_path: Path, signer: Certified = ADA) -> bytes:
    """Return a report that somebody changed and signed with a key of his own, as our renderer signs."""
    writer: Any = copy_into_new_writer(PdfFileReader(io.BytesIO(raw)))
    change(writer)
    with (tmp_path / "changed.pdf").open("wb") as file:
        writer.write(file)
    pades.sign_pdf(tmp_path / "changed.pdf", signer, name="Eve", reason="none", at=AT, to=tmp_path / "again.pdf")
    return (tmp_path / "again.pdf").read_bytes()


def test_a_signed_report_is_right(signed: bytes) -> None:
    found = verified(signed, claim=CLAIM)
    assert {check.state for check in found.checks} == {State.OK, State.NOTE}
    assert found.exit_code == 0
    assert "stands on all" in found.table()


def test_the_report_of_another_export_is_refused(signed: bytes) -> None:
    assert wrong(signed, claim=CLAIM) == ""
    another = claim_of(ENTRIES, signer_certificate_sha256=ADA.fingerprint, purpose="another review")
    assert wrong(signed, claim=another) == "the claim in the PDF is not the claim of the export"


def test_a_stranger_who_signs_as_well_is_not_pinned(signed: bytes) -> None:
    found = verified(signed, pins=Pins())
    assert found.exit_code == 2
    assert "intact, signer unknown: CN=Ada Lovelace,O=Example" in found.table()


def test_what_is_embedded_comes_back(signed: bytes) -> None:
    embedded = pdf.check(signed, Report("report.pdf"), Pins(), None)
    assert embedded == {"claim.json": CLAIM.to_json(), "entries.ndjson": render_ndjson.rows(ENTRIES)}


@pytest.mark.parametrize("number", [0, 1])
def test_no_entry_and_one_are_right_too(number: int, tmp_path: Path) -> None:
    assert wrong(signed_report(ENTRIES[:number], tmp_path, ADA, purpose="", filters={}).read_bytes()) == ""


def test_marked_entries_and_texts_of_every_kind_are_read_back(tmp_path: Path) -> None:
    raw = signed_report(
        MARKED, tmp_path, ADA, purpose="שלום <b>\u202e", filters={"q": "x\ny", "é": "日本"}
    ).read_bytes()
    assert wrong(raw) == ""


# Whatever writes to a log may write this; none of it may make an honest report look changed.
ODD_TEXTS = (
    "监管审查第三季度" * 12,
    "ไทย การตรวจสอบ กำ " * 9,
    "हिन्दी समीक्षा देवनागरी",
    "\u0301\u0337\u0300 begins with marks, e\u0301\u0337",
    "\u0651\u064e الف بَّ " * 30,
    "السجلات (١٢٣) [x] {y} <z> ≤ ≥ ⟨a⟩ ∑",
    "brackets (a) [b] {c} <d> ≤ ≥ ⟨e⟩ ∑",
    "שלום [1 [[ עולם",
    "\u27ea\u27eb≤" * 60 + "\u2a7d" * 60 + "≥",
    "«U+0041\u200b and «U+00\u00a041» and »U+0041« «U+4 …+12",
    "…+5 " * 60 + "\u200b" * 40,
    "👩🏽\u200d⚖️ 🇩🇪 ﬁﬂ ①Ⅷ½ǆ Å Ω \u1100\u1161\u11a8",
    "\x07\x1b\x00\n\t\r\u202e\u2066\ufeff\u00ad\u2028",
)


@pytest.mark.parametrize("turn", range(len(ODD_TEXTS)))
def test_no_text_makes_an_honest_report_look_changed(turn: int, tmp_path: Path) -> None:
    purpose, case, person, value, *_ = texts = [*ODD_TEXTS[turn:], *ODD_TEXTS[:turn]]
    entries = [
        entry(number, actor=text, action=other[:200], target=f"x{text}", data={other[:40]: [text, other * 9]})
        for number, (text, other) in enumerate(zip(texts, reversed(texts), strict=True))
    ]
    entries[3] = entries[3]._replace(verdict=Verdict.TAMPERED, reason=purpose)
    said: dict[str, Any] = {
        "purpose": purpose,
        "case": case[:200],
        "exported_by": person[:30],
        "filters": {"actor": value},
    }
    assert wrong(signed_report(entries, tmp_path, ADA, **said).read_bytes()) == ""


def test_pdfsig_agrees(signed: bytes, tmp_path: Path) -> None:
    (tmp_path / "report.pdf").write_bytes(signed)
    said = subprocess.run(["pdfsig", "report.pdf"], cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert "Signature Validation: Signature is Valid." in said
    assert "Total document signed" in said
    assert "Signer Certificate Common Name: Ada Lovelace" in said
    assert "ETSI.CAdES.detached" in said


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_the_pyhanko_cli_agrees(algorithm: str, tmp_path: Path, trusted: Path) -> None:
    raw = signed_report(ENTRIES[:1], tmp_path, person(CA, algorithm=algorithm)).read_bytes()
    (tmp_path / "report.pdf").write_bytes(raw)
    assert wrong(raw) == ""
    command = [str(Path(sys.executable).with_name("pyhanko")), "sign", "validate", "--pretty-print"]
    options = ["--trust", str(trusted), "--trust-replace", "--no-revocation-check"]
    done = subprocess.run([*command, *options, "report.pdf"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "The signature covers the entire file." in done.stdout
    assert "The signature is judged VALID." in done.stdout


def test_the_panel_stands_on_the_last_page_and_says_who_why_and_when(signed: bytes, tmp_path: Path) -> None:
    said = _panel_of(signed)
    for line in ("SIGNED ELECTRONICALLY BY Ada Lovelace", "quarterly review", "2026-11-23 05:41:07 UTC, as the signer"):
        assert line in said
    assert ADA.fingerprint in said
    assert "account" not in said
    report(ENTRIES[:1], tmp_path / "unsigned.pdf")
    by_account = tmp_path / "by-account.pdf"
    pades.sign_pdf(tmp_path / "unsigned.pdf", ADA, name="ada", reason="audit", at=AT, to=by_account)
    assert "Ada Lovelace (account ada)" in _panel_of(by_account.read_bytes())
    long = f"Export {UUID(int=7)}: {'x' * 400}"
    pades.sign_pdf(tmp_path / "unsigned.pdf", ADA, name="ada", reason=long, at=AT, to=by_account)
    (shown,) = re.findall("x{20,}", _panel_of(by_account.read_bytes()))
    assert len(shown) < 76  # what fits beside the frame


def _panel_of(pdf: bytes) -> str:
    """Return the text of the panel."""
    (signature,) = PdfFileReader(io.BytesIO(pdf)).embedded_signatures
    assert signature.sig_object["/Name"] == "Ada Lovelace"
    assert list(signature.sig_field["/Rect"]) == list(pades.PANEL)
    panel = signature.sig_field["/AP"]["/N"]
    while "/Font" not in panel["/Resources"]:
        (panel,) = (panel["/Resources"]["/XObject"][name] for name in panel["/Resources"]["/XObject"])
    pieces, _ = PageReader().read({"/Contents": panel, "/Resources": panel["/Resources"]})
    return " ".join(piece.text for piece in pieces)


def test_signing_keeps_what_pdf_a_demands(signed: bytes) -> None:
    reader = PdfReader(io.BytesIO(signed))
    root: Any = reader.root_object
    assert {"/OutputIntents", "/Metadata", "/AF", "/Lang"} <= root.keys()
    widget = reader.pages[-1]["/Annots"][0].get_object()  # type: ignore[index]
    assert widget["/F"] & 4  # it is printed
    fonts = _fonts_below(widget["/AP"]["/N"])
    assert fonts
    assert all("/FontFile2" in font["/DescendantFonts"][0]["/FontDescriptor"] for font in fonts)


def _fonts_below(form: Any) -> list[Any]:
    resources = form["/Resources"]
    inner = [each.get_object() for each in resources.get("/XObject", {}).values()]
    own = [font.get_object() for font in resources.get("/Font", {}).values()]
    return [*own, *(font for each in inner if "/Resources" in each for font in _fonts_below(each))]


def test_a_time_stamp_is_checked(tmp_path: Path) -> None:
    with local_tsa(tmp_path, kind="ec") as tsa:
        stamp = partial(time_stamp, tsa.url)
        raw = signed_report(ENTRIES[:1], tmp_path, ADA, time_stamp=stamp, time_stamp_authority=tsa.url).read_bytes()
        pins = pins_of(CA)
        assert verified(raw, pins=pins).exit_code == 2
        pins.fingerprints |= {certificates.fingerprint(one) for one in certificates.read(tsa.root.read_bytes())}
        found = verified(raw, pins=pins)
    assert found.exit_code == 0, found.table()
    assert "says that the signature existed at" in found.table()


def _accepted(flipped: range) -> list[int]:
    """Return at which of these places a flipped bit goes unnoticed."""
    raw = bytearray(_small.read_bytes())
    found = []
    for place in flipped:
        raw[place] ^= 1 << place % 8
        if not wrong(bytes(raw)):
            found.append(place)
        raw[place] ^= 1 << place % 8
    return found


def _open_small(file: Path) -> None:
    global _small  # noqa: PLW0603 a process of its own
    _small = file


_small: Path


@pytest.mark.slow
def test_every_flipped_byte_is_refused(tmp_path: Path) -> None:
    small = signed_report(ENTRIES[:1], tmp_path, ADA)
    size = small.stat().st_size
    assert wrong(small.read_bytes()) == ""
    parts = [range(start, min(start + 2_000, size)) for start in range(0, size, 2_000)]
    context = get_context("spawn")
    with ProcessPoolExecutor(mp_context=context, initializer=_open_small, initargs=(small,)) as processes:
        assert [place for found in processes.map(_accepted, parts) for place in found] == []


# Every attack on a signed file, and the words with which it is refused.


def test_appended_bytes_are_refused(signed: bytes) -> None:
    for more in (b"\n", b"%%EOF\n", b"\0" * 100, b"<script>"):
        assert wrong(signed + more) == "the signature does not cover the whole file"
    assert wrong(signed[:-1]) == "the signature does not cover the whole file"
    assert wrong(b"\n" + signed).startswith("the signature does not cover the whole file")


def test_an_incremental_update_is_refused(signed: bytes) -> None:
    writer: Any = IncrementalPdfFileWriter(io.BytesIO(signed))
    writer.root[pdf_name("/Lang")] = pdf_string("xx")
    writer.update_root()
    changed = io.BytesIO()
    writer.write(changed)
    assert wrong(changed.getvalue()) == "the signature does not cover the whole file"


def test_an_annotation_is_refused(signed: bytes) -> None:
    writer = PdfWriter(io.BytesIO(signed), incremental=True)
    note = {"/Type": "/Annot", "/Subtype": "/FreeText", "/Rect": [50, 50, 200, 90], "/Contents": "all is well"}
    writer.add_annotation(0, note)
    changed = io.BytesIO()
    writer.write(changed)
    assert len(changed.getvalue()) > len(signed)
    assert wrong(changed.getvalue()) == "the signature does not cover the whole file"


def test_a_byte_range_that_leaves_something_out_is_refused(signed: bytes) -> None:
    match = pdf._BYTE_RANGE.search(signed)
    assert match
    before, after, rest = map(int, match.groups())
    for numbers in ((before, after, rest - 1), (before - 1, after, rest), (before, after + 1, rest - 1), (0, 0, 0)):
        text = b"/ByteRange [0 %d %d %d]" % numbers
        changed = signed.replace(match[0].ljust(len(text)), text.ljust(len(match[0])))
        assert wrong(changed) == "the signature does not cover the whole file"


def test_a_stripped_signature_is_refused(signed: bytes, tmp_path: Path) -> None:
    assert wrong(report(ENTRIES, tmp_path / "unsigned.pdf").read_bytes()) == "it is not signed"
    match = pdf._BYTE_RANGE.search(signed)
    assert match
    before, after, _ = map(int, match.groups())
    empty = signed[: before + 1] + b"0" * (after - before - 2) + signed[after - 1 :]
    assert wrong(empty) == "the signature is not spelled as our renderer spells it"


def test_the_signature_of_another_report_is_refused(signed: bytes, tmp_path: Path) -> None:
    other = signed_report(ENTRIES[::-1][:1], tmp_path, ADA).read_bytes()
    places = []
    for raw in (signed, other):
        match = pdf._BYTE_RANGE.search(raw)
        assert match
        places.append((int(match[1]), int(match[2])))
    (before, after), (other_before, other_after) = places
    assert after - before == other_after - other_before
    spliced = signed[:before] + other[other_before:other_after] + signed[after:]
    assert wrong(spliced) == "the signature is not right: it signs other content"


def test_another_signer_is_noticed(signed: bytes, tmp_path: Path) -> None:
    eve = person(authority("Eve's CA"), "Ada Lovelace")
    raw = signed_report(ENTRIES, tmp_path, eve, signer_certificate_sha256=ADA.fingerprint).read_bytes()
    assert wrong(raw) == "the export is signed with another certificate than its manifest names"
    assert "signer unknown" in verified(raw).table()


def test_replaced_certificates_are_refused(signed: bytes) -> None:
    match = pdf._BYTE_RANGE.search(signed)
    assert match
    other = person(CA)  # certified by the same CA for the same name
    mine, theirs = ADA.certificate.hex().upper().encode(), other.certificate.hex().upper().encode()
    assert signed.count(mine) == 1
    changed = signed.replace(mine, theirs.ljust(len(mine), b"0")[: len(mine)])
    assert wrong(changed).startswith("the signature is not right: ")


def test_an_expired_and_a_wrong_kind_of_certificate_are_refused(tmp_path: Path) -> None:
    expired = person(CA, valid=AT - START - timedelta(days=1))
    assert "is valid from" in wrong(signed_report(ENTRIES[:1], tmp_path, expired).read_bytes())
    assert "certificate of a CA" in wrong(signed_report(ENTRIES[:1], tmp_path, CA).read_bytes())


# A signer who lies: the signature is right, and what he signed is not a report.


def nothing(writer: Any) -> None:
    """Change nothing."""


def add_script(writer: Any) -> None:
    script = made.DictionaryObject(
        {pdf_name("/S"): pdf_name("/JavaScript"), pdf_name("/JS"): pdf_string("app.alert(1)")}
    )
    writer.root[pdf_name("/OpenAction")] = script


def add_layer(writer: Any) -> None:
    writer.root[pdf_name("/OCProperties")] = made.DictionaryObject()


def add_page_action(writer: Any) -> None:
    page(writer, 0)[pdf_name("/AA")] = made.DictionaryObject()


def add_note(writer: Any) -> None:
    note = {"/Type": pdf_name("/Annot"), "/Subtype": pdf_name("/FreeText"), "/Contents": pdf_string("all is well")}
    values: dict[Any, Any] = {pdf_name(name): value for name, value in note.items()}
    values[pdf_name("/Rect")] = made.ArrayObject(map(made.NumberObject, (50, 50, 200, 90)))
    page(writer, 0)[pdf_name("/Annots")] = made.ArrayObject([writer.add_object(made.DictionaryObject(values))])


def add_image(writer: Any) -> None:
    paint(writer, 2, b"\nq 100 0 0 100 0 0 cm /x0 Do Q\n")


def add_text(writer: Any) -> None:
    paint(writer, 2, b"\nBT 1 0 0 1 50 50 Tm (nothing happened) Tj ET\n")


def embed_more(writer: Any) -> None:
    names = writer.root["/Names"]["/EmbeddedFiles"]["/Names"]
    names.extend([pdf_string("virus.exe"), names[1]])


def swap_names(writer: Any) -> None:
    names = writer.root["/Names"]["/EmbeddedFiles"]["/Names"]
    names[1], names[3] = names[3], names[1]


def drop_page(writer: Any) -> None:
    tree = writer.root["/Pages"]
    del tree["/Kids"][2]
    tree[pdf_name("/Count")] = made.NumberObject(tree["/Count"] - 1)


def page(writer: Any, number: int) -> Any:
    return writer.root["/Pages"]["/Kids"][number].get_object()


def paint(writer: Any, number: int, more: bytes) -> None:
    old = page(writer, number)["/Contents"]
    stream = made.StreamObject(stream_data=old.data + more)
    page(writer, number)[pdf_name("/Contents")] = writer.add_object(stream)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (add_script, "its root has what no report has: /OpenAction"),
        (add_layer, "its root has what no report has: /OCProperties"),
        (add_page_action, "page 1 has what no report has: /AA"),
        (add_note, "page 1 has what no report has: /Annots"),
        (add_image, "page 3, of the table, has drawings"),
        (add_text, "a page is not written as our renderer writes pages"),
        (embed_more, "it does not embed claim.json and entries.ndjson, and these alone"),
        (swap_names, "the embedded claim"),
        (drop_page, "the footer of page 1 is not that of this export"),
    ],
)
def test_what_no_report_has_is_refused_although_it_is_signed(
    change: Callable[[Any], None], reason: str, tmp_path: Path
) -> None:
    unsigned = report(ENTRIES, tmp_path / "unsigned.pdf", signer_certificate_sha256=ADA.fingerprint).read_bytes()
    assert wrong(signed_again(nothing, unsigned, tmp_path)) == ""
    assert reason in wrong(signed_again(change, unsigned, tmp_path))


def test_pages_that_print_other_entries_than_are_embedded_are_refused(tmp_path: Path) -> None:
    """The pages of one export, and claim and records of another, signed by somebody who may sign."""
    true = report(ENTRIES, tmp_path / "true.pdf", signer_certificate_sha256=ADA.fingerprint).read_bytes()
    softened = [*ENTRIES[:3], entry(3, outcome="failure"), *ENTRIES[4:]]
    silent = [*ENTRIES[:3], ENTRIES[3]._replace(verdict=Verdict.TAMPERED), *ENTRIES[4:]]
    for others, reason, said in (
        (softened, "the footer of page 1 is not that of this export", {}),
        (ENTRIES[:-1], "the footer of page 1 is not that of this export", {}),
        (ENTRIES, "the cover does not show the purpose of the claim", {"purpose": "another review"}),
        (silent, "the cover does not warn of marked entries", {}),
    ):
        claim = claim_of(others, signer_certificate_sha256=ADA.fingerprint, **said)

        def embed(writer: Any, claim: Claim = claim, others: list[Any] = others) -> None:
            names = writer.root["/Names"]["/EmbeddedFiles"]["/Names"]
            for place, content in ((1, claim.to_json()), (3, render_ndjson.rows(others))):
                specification = names[place].get_object()
                stream = writer.add_object(made.StreamObject(stream_data=content))
                specification["/EF"][pdf_name("/F")] = stream

        assert reason in wrong(signed_again(embed, true, tmp_path))


def test_pages_that_print_more_entries_than_are_embedded_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made by somebody with a renderer of his own, who prints what the log never held."""
    draft, invented = render_pdf._Draft._blocks, entry(99)

    def blocks(self: Any, entries: Any) -> Iterator[Block]:
        yield from draft(self, entries)
        yield block(printed(invented), invented.verdict)

    monkeypatch.setattr(render_pdf._Draft, "_blocks", blocks)
    assert wrong(signed_report(ENTRIES, tmp_path, ADA).read_bytes()) == "the table prints entries that are not embedded"
