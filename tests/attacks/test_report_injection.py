"""HTML, CSS and SVG in every text of an export: nothing is fetched, nothing runs, no file's bytes get into the report."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from pypdf import PdfReader

from exports import render_pdf
from exports.report.front import document
from exports.report.markup import Markup
from tests.exports.exported import entry
from tests.exports.injection import CORPUS, listening
from tests.exports.reports import ACTIVE, claim_of, names_in, report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEMBERS = (
    "type", "action", "actor", "target", "source", "outcome", "severity", "ip", "id", "event_id", "kid", "occurred_at",
    "recorded_at", "ledger", "revision", "data",
)  # fmt: skip
MARKER = "c0ffee-bytes-of-a-file-c0ffee"


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    with listening() as heard:
        yield heard


def test_no_text_of_an_export_fetches_runs_or_reads(listener: tuple[str, list[str]], tmp_path: Path) -> None:
    url, asked = listener
    secret = tmp_path / "secret.txt"
    secret.write_text(MARKER)
    texts = [line.replace("{url}", place) for line in CORPUS for place in (url, secret.as_uri())]
    entries = [
        entry(number, actor=line, action=line[:200], target=line, source=line[:200], data={line: line})
        for number, line in enumerate(texts)
    ]
    entries[0] = entries[0]._replace(verdict="tampered", reason=texts[0])
    # Whoever tampers puts his texts also where a record of ours has a time, a number or a word of a vocabulary.
    forged = [json.dumps(dict.fromkeys(MEMBERS, line)).encode() for line in texts]
    entries += [
        entry(len(texts) + number)._replace(record=record, verdict="tampered", reason="its record is not the leaf")
        for number, record in enumerate(forged)
    ]
    everything = " ".join(texts)
    pdf = report(
        entries,
        tmp_path / "report.pdf",
        purpose=everything,
        case=everything,
        exported_by=everything,
        filters={line: line for line in texts},
        origin=texts[0],
        software=texts[1],
    )
    assert asked == []
    assert [image.name for page in PdfReader(pdf).pages for image in page.images] == []
    assert not names_in(pdf) & ACTIVE
    said = subprocess.run(["pdftotext", str(pdf), "-"], capture_output=True, text=True, check=True).stdout
    assert MARKER not in said
    assert "<img" in said
    listed = subprocess.run(["pdfdetach", "-list", str(pdf)], capture_output=True, text=True, check=True).stdout
    assert listed.startswith("2 embedded files")


def test_even_markup_of_ours_fetches_nothing(listener: tuple[str, list[str]], tmp_path: Path) -> None:
    """The second wall: should a text ever go in unescaped, the renderer still opens no address and no file."""
    url, asked = listener
    secret = tmp_path / "secret.txt"
    secret.write_text(MARKER)
    for place in (url, secret.as_uri()):
        slipped = Markup(
            f'<img src="{place}"><link rel="attachment" href="{place}"><style>@import "{place}";</style>'
            f'<p style="background:url({place})"><svg><image href="{place}"/></svg><object data="{place}"></object>'
        )
        pdf = tmp_path / "slipped.pdf"
        render_pdf.typeset(document([slipped], claim_of([]), pages_before=0, total=1), pdf)
        assert MARKER.encode() not in pdf.read_bytes()
        listed = subprocess.run(["pdfdetach", "-list", str(pdf)], capture_output=True, text=True, check=True).stdout
        assert listed.startswith("0 embedded files")
    assert asked == []
