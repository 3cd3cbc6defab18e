"""The PDF report: what stands on its pages, what is embedded, and what it refuses."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import segno
from PIL import Image
from pypdf import PdfReader

from exports import render_ndjson, render_pdf
from exports.errors import NoFontsError, ReportError, ReportTooLargeError
from exports.report import fonts, processes
from exports.report.front import opening
from exports.report.summary import Summary
from signing.verdicts import Verdict
from tests.exports.exported import entry
from tests.exports.reports import ACTIVE, ADDRESS, claim_of, names_in, pages_text, report

ENTRIES = [entry(number, signed=bool(number % 2)) for number in range(25)]
SPOILT = [
    *ENTRIES[:3],
    entry(3)._replace(verdict=Verdict.TAMPERED, reason="its record is not the leaf that the ledger holds"),
    entry(4)._replace(record=b"\xff no json", verdict=Verdict.TAMPERED, reason="its record is no record"),
    entry(5)._replace(verdict=Verdict.CANNOT_TELL, reason="the key is not known here"),
]


@pytest.fixture(scope="module")
def pdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(ENTRIES, tmp_path_factory.mktemp("report") / "report.pdf")


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render_pdf, "PIECE_PAGES", 1)
        yield report(ENTRIES, tmp_path_factory.mktemp("report") / "report.pdf")


def root(reader: PdfReader) -> Any:
    return reader.root_object


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("which", ["pdf", "pieces"])
def test_every_page_shows_digest_checkpoint_and_its_number(which: str, request: pytest.FixtureRequest) -> None:
    texts = pages_text(request.getfixturevalue(which))
    claim = claim_of(ENTRIES)
    assert len(texts) > 3
    for number, text in enumerate(texts, 1):
        assert claim.dataset_digest in text
        assert f"{claim.root} at {claim.ledger_size} leaves" in squeezed(text)
        assert claim.origin in text
        assert f"Page {number} of {len(texts)}\n" in text


def test_pieces_joined_say_what_one_piece_says(pdf: Path, pieces: Path) -> None:
    assert pages_text(pieces) == pages_text(pdf)


def test_the_cover_says_why_what_and_how_to_verify(pdf: Path) -> None:
    cover, charts, *_, last = map(squeezed, pages_text(pdf))
    for said in (
        "quarterly review",
        "2026-17",
        "ada",
        "type = auth.*",
        "2026-11-23 05:40:00 to 2026-11-23 05:40:24 UTC",
    ):
        assert said in cover
    assert "25 13 12 entries unsigned valid" in cover
    assert ADDRESS in cover
    assert "Warning" not in cover
    for said in ("Activity over time", "By type", "By actor", "Verdicts", "auth.login 25 (100.0%)", "valid 12 (48.0%)"):
        assert said in charts
    for said in (*claim_of(ENTRIES).claims(), *claim_of(ENTRIES).claims_not()):
        assert said in last


def test_the_commands_on_the_last_page_give_the_digest(pdf: Path, tmp_path: Path) -> None:
    lines = [line.strip() for line in pages_text(pdf)[-1].splitlines()]
    commands = [line for line in lines if line.startswith(("pdfdetach", "sed"))]
    shutil.copy(pdf, tmp_path / "report.pdf")
    done = subprocess.run(["sh", "-ec", "\n".join(commands)], cwd=tmp_path, capture_output=True, check=True, text=True)
    assert claim_of(ENTRIES).dataset_digest in done.stdout
    assert "python3 auditlog-verify.pyz --trust FINGERPRINT report.pdf" in lines


def test_filters_stand_on_the_cover_in_the_order_of_their_names() -> None:
    claim = claim_of(ENTRIES, filters={"type": "auth.*", "leaf_to": "30", "leaf_from": "7"})
    cover = opening(claim, Summary(), verify_address=ADDRESS)
    assert cover.index("leaf_from") < cover.index("leaf_to") < cover.index("auth.*")


def test_without_an_address_the_cover_sends_nobody_anywhere() -> None:
    cover = opening(claim_of(ENTRIES), Summary(), verify_address="")
    assert "no address is configured" in cover
    assert "The code holds the digest." in cover


def test_the_code_on_the_cover_holds_address_and_digest(pdf: Path, tmp_path: Path) -> None:
    """Each of its modules is found on the printed page; the decoder of another maker read it once."""
    said = f"{ADDRESS}#sha256={claim_of(ENTRIES).dataset_digest}"
    drawn = ["pdftoppm", "-r", "300", "-gray", "-f", "1", "-l", "1", "-singlefile", str(pdf), str(tmp_path / "cover")]
    subprocess.run(drawn, check=True)
    with Image.open(tmp_path / "cover.pgm") as page:
        assert shows(page, segno.make_qr(said, error="m").matrix)
        assert not shows(page, segno.make_qr(said[:-1] + "x", error="m").matrix)


def shows(page: Image.Image, modules: Sequence[Sequence[int]]) -> bool:
    """Tell whether a code 96 points wide stands in the right column of a page, drawn with 300 dots an inch."""
    dark = page.load()
    assert dark is not None
    width = 96 / 72 * 300
    middles = [(number + 0.5) * width / len(modules) for number in range(len(modules))]
    return any(
        all(
            (int(str(dark[int(left + x), int(top + y)])) < 128) == bool(module)
            for y, row in zip(middles, modules, strict=True)
            for x, module in zip(middles, row, strict=True)
        )
        for top in range(page.height - int(width) - 1)
        for left in range(page.width * 7 // 10, page.width * 8 // 10)
    )


def test_a_long_list_of_named_leaves_is_cut_on_the_cover_and_whole_in_the_claim(tmp_path: Path) -> None:
    leaves = ",".join(map(str, range(70)))
    pdf = report([entry(number) for number in range(70)], tmp_path / "report.pdf", filters={"leaf_indexes": leaves})
    cover = squeezed(pages_text(pdf)[0])
    assert "leaf_indexes = 0, 1, 2," in cover
    assert "58, 59 and 10 more: all stand in the embedded claim" in cover
    assert "each of the 70 leaves that the filter names is here; of others nothing is said" in cover
    (claim,) = PdfReader(pdf).attachments["claim.json"]
    assert f'"leaf_indexes": "{leaves}"'.encode() in claim


def test_every_entry_stands_in_the_table_in_leaf_order(pdf: Path) -> None:
    table = squeezed(" ".join(pages_text(pdf)[2:-1]))
    places = [table.index(f" {number} 2026-11-23 auth.login user-{number} ") for number in range(25)]
    assert places == sorted(places)
    assert '"note": "semi; =1+1 | -2 \\"quoted\\", Ärger"' in table


def test_the_head_of_the_table_is_repeated(pdf: Path) -> None:
    for text in pages_text(pdf)[2:-1]:
        assert text.split()[:7] == ["Leaf", "Occurred", "Type", "Actor", "Target", "Outcome", "Verdict"]


def test_what_did_not_verify_is_told_on_the_first_page_and_marked_in_the_table(tmp_path: Path) -> None:
    cover, _, table, _ = map(squeezed, pages_text(report(SPOILT, tmp_path / "report.pdf")))
    assert "Warning: this export holds 3 entries that did not verify" in cover
    assert "2 TAMPERED, 1 cannot tell." in cover
    assert "TAMPERED: its record is not the leaf that the ledger holds" in table
    assert "TAMPERED: its record is no record" in table
    assert "not readable as JSON; its bytes: \\xff no json" in table
    assert "cannot tell: the key is not known here" in table


@pytest.mark.parametrize("number", [0, 1])
def test_no_entry_and_one_are_reports_too(number: int, tmp_path: Path) -> None:
    texts = pages_text(report(ENTRIES[:number], tmp_path / "report.pdf", purpose="", case="", filters={}))
    assert len(texts) == 3 + number
    assert "none: every entry of the ledger" in texts[0]
    assert texts[1].count("No entries.") == (0 if number else 4)


def test_long_texts_are_wrapped_and_what_is_cut_is_counted(tmp_path: Path) -> None:
    actor = "arn:aws:sts::111122223333:assumed-role/" + "x" * 461
    long = entry(0, actor=actor, data={"text": "y" * 3_000})
    filters = {"q": "z" * 5_000}
    texts = pages_text(report([long], tmp_path / "report.pdf", filters=filters))
    assert len(texts) > 4  # the filter fills more than the cover
    shown = "".join("".join(texts).split())
    assert shown.count("z") >= 5_000
    (cut,) = re.findall(r"x…\+(\d+)", shown)
    assert shown.count("x") - "".join(texts[1]).count("x") >= 461 - int(cut) > 0
    (cut,) = re.findall(r"y…\+([\d,]+)", shown)
    assert 0 < int(cut.replace(",", "")) < 3_000


def test_the_data_are_embedded_and_associated(pdf: Path, tmp_path: Path) -> None:
    subprocess.run(["pdfdetach", "-saveall", "-o", str(tmp_path), str(pdf)], check=True, capture_output=True)
    assert (tmp_path / "entries.ndjson").read_bytes() == render_ndjson.rows(ENTRIES)
    assert (tmp_path / "claim.json").read_bytes() == claim_of(ENTRIES).to_json()
    associated = {file.get_object()["/UF"]: file.get_object() for file in root(PdfReader(pdf))["/AF"]}
    assert {name: file["/AFRelationship"] for name, file in associated.items()} == {
        "claim.json": "/Data",
        "entries.ndjson": "/Source",
    }
    assert {file["/EF"]["/F"]["/Subtype"] for file in associated.values()} == {
        "/application/json",
        "/application/x-ndjson",
    }


@pytest.mark.parametrize("which", ["pdf", "pieces"])
def test_it_is_what_pdf_a_3u_demands(which: str, request: pytest.FixtureRequest) -> None:
    """No validator is to be had on Debian; so the demands that joining could break are looked at one by one."""
    reader = PdfReader(request.getfixturevalue(which))
    catalog = root(reader)
    trailer: Any = reader.trailer
    assert reader.pdf_header == "%PDF-1.7"
    assert "/Encrypt" not in trailer
    assert len(trailer["/ID"]) == 2
    (intent,) = catalog["/OutputIntents"]
    assert intent["/S"] == "/GTS_PDFA1"
    assert intent["/DestOutputProfile"]["/N"] == 3
    assert intent["/DestOutputProfile"].get_data()[36:40] == b"acsp"
    xmp = ET.fromstring(catalog["/Metadata"].get_object().get_data().split(b"?>", 1)[1].rsplit(b"<?", 1)[0])
    texts = {element.tag.split("}")[1]: element.text for element in xmp.iter() if element.text and element.text.strip()}
    assert (texts["part"], texts["conformance"]) == ("3", "U")
    assert "/Filter" not in catalog["/Metadata"]
    resources: list[Any] = [page["/Resources"] for page in reader.pages]
    fonts_used = [font.get_object() for each in resources for font in each["/Font"].values()]
    assert len(fonts_used) > 2 * len(resources)
    for font in fonts_used:
        assert "/ToUnicode" in font
        assert "/FontFile2" in font["/DescendantFonts"][0]["/FontDescriptor"]


@pytest.mark.parametrize("which", ["pdf", "pieces"])
def test_nothing_in_it_acts(which: str, request: pytest.FixtureRequest) -> None:
    found = names_in(request.getfixturevalue(which))
    assert {"/Catalog", "/EmbeddedFiles"} <= found
    assert not found & (ACTIVE | {"/Annots"})


def test_entries_that_are_not_those_of_the_claim_are_refused(tmp_path: Path) -> None:
    claim = claim_of(ENTRIES)
    for others in (ENTRIES[1:], ENTRIES[::-1], [*ENTRIES, entry(25)]):
        with pytest.raises(ReportError, match="not those that the claim counts and hashes"):
            render_pdf.render_pdf(claim, others, ndjson=b"", to=tmp_path / "report.pdf")
    relabelled = [ENTRIES[0]._replace(verdict=Verdict.TAMPERED), *ENTRIES[1:]]
    with pytest.raises(ReportError, match="verdicts"):
        render_pdf.render_pdf(claim, relabelled, ndjson=b"", to=tmp_path / "report.pdf")
    assert list(tmp_path.iterdir()) == []


def test_too_many_entries_are_refused_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_pdf, "MOST_ENTRIES", 24)
    with pytest.raises(ReportTooLargeError, match="25 entries, and a PDF report holds at most 24: narrow the filter"):
        report(ENTRIES, tmp_path / "report.pdf")


def test_without_fonts_it_is_refused_and_no_process_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fonts.conf").write_text("<fontconfig></fontconfig>")
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "fonts.conf"))
    fonts.font_file.cache_clear()
    try:
        with pytest.raises(NoFontsError, match="fonts-dejavu-core"):
            report(ENTRIES, tmp_path / "report.pdf")
    finally:
        fonts.font_file.cache_clear()


def test_a_rendering_process_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDITLOG_MASTER_KEY", "secret")
    with processes.renderers(1) as running:
        (child,) = running.children
        environment = Path(f"/proc/{child.pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"secret" not in environment
    assert b"DATABASE" not in environment


def test_a_rendering_process_that_dies_is_told(tmp_path: Path) -> None:
    with processes.renderers(1) as running, pytest.raises(ReportError, match="a rendering process ended"):
        running.render([(tmp_path / "missing.html", None)])
