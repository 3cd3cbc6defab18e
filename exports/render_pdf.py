"""The PDF report of an export. The only module that knows WeasyPrint, which is imported late: that takes a second.

    render_pdf(claim, entries, ndjson=…, to=path)

What is drawn, and where a line and a page end, is decided in exports.report; WeasyPrint sets it. A report that fits
into one piece is set in this process, a longer one piece by piece in processes of its own (exports.report.processes),
which run `python -m exports.render_pdf`; then the pieces are joined. So memory depends on the piece, not on the report.
"""

from __future__ import annotations

import gc
import itertools
import json
import logging
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from exports.errors import ReportError, ReportTooLargeError
from exports.report.cells import printed
from exports.report.fonts import check_fonts
from exports.report.front import Attachment, closing, document, opening, title
from exports.report.joining import join
from exports.report.markup import Markup
from exports.report.pages import pages
from exports.report.processes import renderers
from exports.report.rows import block
from exports.report.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from exports.manifest import Claim
    from exports.report.rows import Block
    from exports.rows import ExportedEntry

MOST_ENTRIES = 20_000
PIECE_PAGES = 32
_VARIANT = "pdf/a-3u"
_one_at_a_time = threading.Lock()  # nobody promises that WeasyPrint's threads do not meet


def render_pdf(
    claim: Claim, entries: Iterable[ExportedEntry], *, ndjson: bytes, to: Path, verify_address: str = ""
) -> int:
    """Write the report, not signed yet, with entries.ndjson and claim.json embedded; return its number of pages.

    `verify_address` is printed and goes into the QR code. Raises ReportTooLargeError, NoFontsError, or ReportError if
    the entries are not those of the claim.
    """
    require_printable(claim.entries)
    check_fonts()
    attachments = [
        Attachment("claim.json", "application/json", "Data", "What this export claims", claim.to_json()),
        Attachment("entries.ndjson", "application/x-ndjson", "Source", "The records, byte for byte", ndjson),
    ]
    with TemporaryDirectory(prefix="auditlog-report-") as directory:
        draft = _Draft(claim, Path(directory))
        draft.lay_out(entries)
        first = opening(claim, draft.summary, verify_address=verify_address)
        return join(
            draft.typeset(first, closing(claim, attachments)),
            title=title(claim),
            software=claim.software,
            made_at=datetime.fromisoformat(claim.exported_at),
            attachments=attachments,
            to=to,
        )


def require_printable(entries: int) -> None:
    """Raise ReportTooLargeError for more entries than a report holds."""
    if entries > MOST_ENTRIES:
        raise ReportTooLargeError(too_large(f"{entries:,}"))


def too_large(number: str) -> str:
    """Return why there is no report of so many entries, and what to do."""
    return f"{number} entries, and a PDF report holds at most {MOST_ENTRIES:,}: narrow the filter, or take CSV or JSON"


@dataclass
class _Draft:
    """A report while it is made. The pages of its table wait as markup in files, one a piece."""

    claim: Claim
    directory: Path
    summary: Summary = field(default_factory=Summary)
    sizes: list[int] = field(default_factory=list)  # pages of each piece of the table

    def lay_out(self, entries: Iterable[ExportedEntry]) -> None:
        """Write the pages of the table, and count for the charts on the way. Raises ReportError."""
        table = pages(self._blocks(entries))
        while piece := list(itertools.islice(table, PIECE_PAGES)):
            self._body(len(self.sizes)).write_text("".join(piece), encoding="utf-8")
            self.sizes.append(len(piece))

    def _blocks(self, entries: Iterable[ExportedEntry]) -> Iterator[Block]:
        digest = sha256()
        for entry in entries:
            texts = printed(entry)
            self.summary.add(texts, entry.verdict)
            digest.update(entry.record + b"\n")
            yield block(texts, entry.verdict)
        if digest.hexdigest() != self.claim.dataset_digest or self.summary.entries != self.claim.entries:
            raise ReportError("the entries are not those that the claim counts and hashes")
        if self.summary.verdicts != {verdict: number for verdict, number in self.claim.verdicts.items() if number}:
            raise ReportError("the verdicts are not those that the claim counts")

    def typeset(self, first: Markup, last: Markup) -> list[Path]:
        """Return the PDF files of the pieces, in order."""
        if len(self.sizes) > 1:
            return self._in_pieces(first, last)
        content = [first, *map(self._table, range(len(self.sizes))), last]
        pdf = self.directory / "report.pdf"
        total = 3 + sum(self.sizes)  # cover, charts and the last page; long texts make more of them
        drawn = typeset(document(content, self.claim, pages_before=0, total=total), pdf)
        if drawn != total:
            typeset(document(content, self.claim, pages_before=0, total=drawn), pdf)
        return [pdf]

    def _in_pieces(self, first: Markup, last: Markup) -> list[Path]:
        with renderers() as running:
            before, after = running.render([(self._html("before", first), None), (self._html("after", last), None)])
            sizes = [before, *self.sizes, after]
            starts = list(itertools.accumulate(sizes, initial=0))
            jobs = []
            for number, start in enumerate(starts[:-1]):
                content = first if number == 0 else last if number == len(sizes) - 1 else self._table(number - 1)
                html = self._html(f"piece-{number}", content, pages_before=start, total=starts[-1])
                jobs.append((html, html.with_suffix(".pdf")))
            drawn = running.render(jobs)
        if drawn != sizes:
            raise ReportError(f"pieces of {drawn} pages were drawn where {sizes} were laid out")
        return [pdf for _, pdf in jobs]

    def _html(self, name: str, content: Markup, *, pages_before: int = 0, total: int = 0) -> Path:
        html = self.directory / f"{name}.html"
        html.write_text(document([content], self.claim, pages_before=pages_before, total=total), encoding="utf-8")
        return html

    def _body(self, number: int) -> Path:
        return self.directory / f"table-{number}"

    def _table(self, number: int) -> Markup:
        return Markup(self._body(number).read_text(encoding="utf-8"))


def typeset(html: str, pdf: Path | None) -> int:
    """Lay a document out, write it unless there is no file to write to, and return its number of pages."""
    logging.getLogger("weasyprint.progress").setLevel(logging.WARNING)  # lines when it is imported, and for each page
    import weasyprint  # noqa: PLC0415 late: it takes a second, and needs libraries that other formats do without

    class DenyingFetcher(weasyprint.URLFetcher):  # type: ignore[misc]
        """A report is made of what it is given: no address is opened, no file read, not even a data: URL decoded."""

        def fetch(self, url: str, headers: Any = None) -> Any:  # noqa: ARG002 its signature
            raise ValueError(f"a report loads nothing, not {url[:60]!r} either")

    with _one_at_a_time, _collector_off():
        laid_out = weasyprint.HTML(string=html, url_fetcher=DenyingFetcher()).render(pdf_variant=_VARIANT)
        if pdf is not None:
            laid_out.write_pdf(pdf, pdf_variant=_VARIANT)
        return len(laid_out.pages)


@contextmanager
def _collector_off() -> Iterator[None]:
    """WeasyPrint makes millions of objects that live until its end: looking for garbage among them doubles the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def main() -> None:
    """Render what is asked for on standard input, until it ends."""
    gc.disable()
    for line in sys.stdin:
        asked = json.loads(line)
        html = Path(asked["html"]).read_text(encoding="utf-8")
        number = typeset(html, None if asked["pdf"] is None else Path(asked["pdf"]))
        sys.stdout.write(json.dumps({"pages": number}) + "\n")
        sys.stdout.flush()
        gc.collect()


if __name__ == "__main__":
    main()
