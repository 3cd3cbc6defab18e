"""HTML, CSS and SVG in every text of an export: nothing is fetched, nothing runs, no file's bytes get into the report."""

from __future__ import annotations

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from pypdf import PdfReader

from exports import render_pdf
from exports.report.front import document
from exports.report.markup import Markup
from tests.exports.exported import entry
from tests.exports.reports import ACTIVE, claim_of, names_in, report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARKER = "c0ffee-bytes-of-a-file-c0ffee"
# {url} is the listener or the file, in turn.
CORPUS = (
    '<img src="{url}">',
    '"><script src="{url}"></script>',
    "<script>new XMLHttpRequest().open('GET','{url}')</script>",
    '<link rel="attachment" href="{url}">',
    '<link rel="stylesheet" href="{url}">',
    '<a rel="attachment" href="{url}">x</a>',
    '<base href="{url}">',
    '<iframe src="{url}"></iframe>',
    '<object data="{url}"></object>',
    '<embed src="{url}">',
    '<meta http-equiv="refresh" content="0;url={url}">',
    '</style><style>@import "{url}";body{{background:url({url})}}</style>',
    "</title></head><body style='background:url({url})'>",
    '<svg><image href="{url}"/><use href="{url}#x"/></svg>',
    "]]></text><svg onload=\"fetch('{url}')\">",
    '<!DOCTYPE x [<!ENTITY e SYSTEM "{url}">]>&e;',
    "&lt;img src={url}&gt;",
    "$content ${{stylesheet}}",
    "} @page {{ background: url({url}) }} p {{",
)


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """Give the address of a server and the list of what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/x", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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
