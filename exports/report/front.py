"""The pages before and after the table: cover, charts, what is claimed and how to check it. Pure: markup out."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import segno

from exports.claim_words import of_marked
from exports.manifest import NAMED_LEAVES
from exports.report import charts
from exports.report.cells import ALARMING, NOTHING, VERDICT_WORDS
from exports.report.columns import COLUMNS, GAP, MONO_ADVANCE, ROW_FONT
from exports.report.markup import Markup, fill, joined, text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exports.manifest import Claim
    from exports.report.summary import Summary

_LISTED = 60  # leaves of a filter that the cover shows


class Attachment(NamedTuple):
    """A file embedded in the report."""

    name: str
    media_type: str
    relationship: str  # PDF 2.0, 7.11.3: what the file is to the document
    description: str
    content: bytes


def document(content: Iterable[Markup], claim: Claim, *, pages_before: int, total: int) -> Markup:
    """Return a whole HTML document whose first page is number `pages_before` + 1."""
    return fill(
        "document.html",
        title=title(claim),
        stylesheet=fill("report.css", widths=_widths()),
        first=pages_before + 1,
        digest=claim.dataset_digest,
        root=claim.root,
        size=f"{claim.ledger_size:,}",
        origin=charts.shortened(claim.origin, 100),
        total=f"{total:,}",
        content=joined(content),
    )


def title(claim: Claim) -> str:
    """Return the title of the document, for its metadata."""
    return f"Activity log export {claim.export_id}"


def opening(claim: Claim, summary: Summary, *, verify_address: str) -> Markup:
    """Return cover and charts."""
    step, _ = summary.activity()
    return joined(
        (
            _cover(claim, summary, verify_address),
            fill(
                "charts.html",
                step=charts.step_words(step),
                activity=charts.activity_chart(summary),
                types=charts.counts_chart(summary.types, others="other types"),
                actors=charts.counts_chart(summary.actors, others="other actors"),
                verdicts=charts.verdicts_chart(summary.verdicts),
            ),
        )
    )


def closing(claim: Claim, attachments: Iterable[Attachment]) -> Markup:
    """Return the last page, with room for the signature panel below."""
    return fill(
        "closing.html",
        claims=_list(claim.claims()),
        claims_not=_list(claim.claims_not()),
        files=_rows(
            (
                file.name,
                f"{file.description}; {len(file.content):,} bytes",
                f"SHA-256 {sha256(file.content).hexdigest()}",
            )
            for file in attachments
        ),
        certificate=claim.signer_certificate_sha256,
    )


def _cover(claim: Claim, summary: Summary, verify_address: str) -> Markup:
    return fill(
        "cover.html",
        origin=charts.shortened(claim.origin, 60),
        purpose=claim.purpose or "No purpose was given.",
        notice=_notice(claim),
        tiles=_tiles(claim),
        facts=_rows(_facts(claim, summary)),
        code=_code(claim, verify_address),
        digest_upper=_grouped(claim.dataset_digest[:32]),
        digest_lower=_grouped(claim.dataset_digest[32:]),
        size=f"{claim.ledger_size:,}",
        root=claim.root,
        address=verify_address or "no address is configured: use the offline verifier",
        held="this address and the digest" if verify_address else "the digest",
    )


def _facts(claim: Claim, summary: Summary) -> Iterable[tuple[str, *tuple[str, ...]]]:
    yield "Case", claim.case or NOTHING
    yield "Exported by", claim.exported_by
    yield "Exported at", _moment(claim.exported_at)
    # Each text in an element of its own: a name that runs from right to left must not change places with its value.
    filters = [
        Markup(f"<span>{text(name)}</span> = <span>{text(_shown(name, value))}</span>")
        for name, value in sorted(claim.filters.items())
    ]
    yield "Filter", *(filters or [text("none: every entry of the ledger")])
    if summary.period is None:
        yield "Period", "no entries"
    else:
        first, last = summary.period
        yield "Period", f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC, as the sources reported"
    yield "Order", "by leaf: the order in which the ledger took them"
    if claim.first_leaf is not None:
        yield "Leaves", f"{claim.first_leaf:,} to {claim.last_leaf:,} of {claim.ledger_size:,}"
    yield "Completeness", _completeness(claim)
    if claim.redaction:
        yield "Redaction", claim.redaction
    yield "Time stamp", claim.time_stamp_authority or "none: the time of signing is the word of the signer"
    yield "Software", f"{claim.software}, export {claim.export_id}"


def _shown(name: str, value: str) -> str:
    """Return the text of a filter; of a long list of leaves the first, for all stand in the table and the claim."""
    if name != NAMED_LEAVES:
        return value
    leaves = value.split(",")
    rest = f" and {len(leaves) - _LISTED:,} more: all stand in the embedded claim" if len(leaves) > _LISTED else ""
    return f"{', '.join(leaves[:_LISTED])}{rest}"


def _completeness(claim: Claim) -> str:
    if claim.named_leaves is not None:
        return f"each of the {claim.entries:,} leaves that the filter names is here; of others nothing is said"
    if claim.complete_range is None:
        return "not provable for this filter: what it left out is not counted"
    first, end = claim.complete_range
    return f"leaves {first:,} up to {end:,} without a gap; {claim.withheld:,} of them as hashes only"


def _notice(claim: Claim) -> Markup:
    if not claim.marked:
        return Markup("")
    alarming = sum(number for verdict, number in claim.verdicts.items() if verdict in ALARMING)
    kinds = ", ".join(
        f"{count:,} {VERDICT_WORDS.get(verdict, verdict)}"
        for verdict, count in claim.verdicts.items()
        if count and verdict not in {"valid", "unsigned"}
    )
    number = "an entry" if claim.marked == 1 else f"{claim.marked:,} entries"
    return fill(
        "notice.html",
        kind="bad" if alarming else "doubt",
        heading=f"Warning: this export holds {number} that {of_marked(claim.verdicts)}",
        kinds=kinds,
        what="It is" if claim.marked == 1 else "Each is",
    )


def _tiles(claim: Claim) -> Markup:
    tiles = [("entries", claim.entries, "")]
    tiles += [
        (VERDICT_WORDS.get(verdict, verdict).lower(), number, charts.verdict_class(verdict))
        for verdict, number in claim.verdicts.items()
        if number
    ]
    if claim.withheld is not None:
        tiles.append(("withheld, as hashes", claim.withheld, ""))
    return joined(fill("tile.html", words=words, number=f"{number:,}", kind=kind) for words, number, kind in tiles)


def _code(claim: Claim, verify_address: str) -> Markup:
    """Return a QR code as SVG. Its content is letters of an address and hexadecimal digits: no log data."""
    content = f"{verify_address}#sha256={claim.dataset_digest}" if verify_address else f"sha256:{claim.dataset_digest}"
    code = segno.make_qr(content, error="m")
    return Markup(code.svg_inline(border=0, dark="#122b3e", omitsize=True, svgclass=None, lineclass=None))


def _widths() -> Markup:
    column = MONO_ADVANCE * ROW_FONT
    return joined(
        Markup(f".page .w{number} {{ width: {each.width * column:.3f}pt; margin-right: {GAP * column:.3f}pt }}\n")
        for number, each in enumerate(COLUMNS)
    )


def _rows(facts: Iterable[tuple[str, *tuple[str, ...]]]) -> Markup:
    """Return facts as rows of a table: a name and its lines, each of which stays one line whatever it holds."""
    return joined(fill("fact.html", name=name, value=Markup("<br>".join(map(text, lines)))) for name, *lines in facts)


def _list(sentences: Iterable[str]) -> Markup:
    return joined(fill("sentence.html", sentence=sentence) for sentence in sentences)


def _grouped(digits: str) -> str:
    return " ".join(digits[place : place + 8] for place in range(0, len(digits), 8))


def _moment(timestamp: str) -> str:
    return timestamp.replace("T", " ").replace("Z", " UTC")
