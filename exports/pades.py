"""The signature inside a PDF: PAdES-B-B, with a time stamp PAdES-B-T (ETSI EN 319 142-1). Pure: a file in, a file out.

    /ByteRange [0 a b c]   everything but the signature itself, up to the last byte
    /Contents <30…00>      the CMS of signing.cms, in upper-case hexadecimal, then zeros up to the room reserved for it
    /M, /Reason, /Name     what the panel on the last page shows; the name is that in the certificate

The whole file is written anew with the signature in it, not added as an update: it has one revision, so whatever is
added later shows. pyHanko writes the file, and the signature is made where the container's is.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from exports.render_pdf import typeset
from exports.report.charts import shortened
from exports.report.markup import Markup, escaped, fill
from exports.report.rows import wrap
from exports.report.visible import visible
from signing import certificates, cms

if TYPE_CHECKING:
    from datetime import datetime

    from pyhanko.stamp import StaticStampStyle

    from signing.certificates import Certified
    from signing.cms import TimeStamper

FIELD = "AuditlogSignature"
PANEL = (46, 74, 553, 198)  # points from the lower left corner of the last page, above its footer
_CMS_BYTES = 1_024  # beside the certificates
_TIME_STAMP_BYTES = 16_384
_COLUMNS = 76  # that surely fit into a line of the panel
_WIDE_COLUMNS = 66  # the same where letters are spelled as code points


def sign_pdf(
    pdf: Path,
    signer: Certified,
    *,
    name: str,
    reason: str,
    at: datetime,
    to: Path,
    time_stamp: TimeStamper | None = None,
) -> None:
    """Write the report with a visible signature on its last page. `name` is the account, `at` the time of the signer.

    Raises whatever `time_stamp` raises.
    """
    from pyhanko.pdf_utils.reader import PdfFileReader  # noqa: PLC0415 late: it takes half a second
    from pyhanko.pdf_utils.writer import copy_into_new_writer  # noqa: PLC0415 the same
    from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter  # noqa: PLC0415 the same
    from pyhanko.sign.signers import cms_embedder, pdf_byterange  # noqa: PLC0415 the same

    at = at.replace(microsecond=0)
    facts = certificates.facts(signer.certificate)
    room = _CMS_BYTES + len(signer.certificate) + sum(map(len, signer.chain)) + (_TIME_STAMP_BYTES if time_stamp else 0)
    placeholder = pdf_byterange.SignatureObject(
        timestamp=at, subfilter=SigSeedSubFilter.PADES, name=facts.name, reason=reason, bytes_reserved=2 * room
    )
    html = _panel_html(facts, signer.fingerprint, account=name, reason=reason, at=at, is_stamped=time_stamp is not None)
    with TemporaryDirectory(prefix="auditlog-panel-") as directory, pdf.open("rb") as source, to.open("wb+") as target:
        panel = Path(directory) / "panel.pdf"
        typeset(html, panel)
        appearance = cms_embedder.SigAppearanceSetup(style=_style(panel), timestamp=at, name=facts.name)
        writer = copy_into_new_writer(PdfFileReader(source))
        steps = cms_embedder.PdfCMSEmbedder(SigFieldSpec(FIELD, on_page=-1, box=PANEL)).write_cms(FIELD, writer)
        next(steps)
        steps.send(cms_embedder.SigObjSetup(placeholder, appearance_setup=appearance))
        prepared, _ = steps.send(cms_embedder.SigIOSetup(md_algorithm=cms.DIGEST, output=target))
        steps.send(cms.sign(prepared.document_digest, signer, at=None, time_stamp=time_stamp))


def _panel_html(
    facts: certificates.Facts, fingerprint: str, *, account: str, reason: str, at: datetime, is_stamped: bool
) -> Markup:
    """Return what the signature field shows; it is set as the rest of the report is."""
    stamp = "with the time stamp of an authority" if is_stamped else "as the signer says; no authority stamped it"
    return fill(
        "panel.html",
        width=PANEL[2] - PANEL[0],
        height=PANEL[3] - PANEL[1],
        name=shortened(facts.name if facts.name == account else f"{facts.name} (account {account})", 44),
        reason=Markup("<br>".join(map(escaped, wrap(visible(reason), _WIDE_COLUMNS, 2)))),
        time=f"{at:%Y-%m-%d %H:%M:%S} UTC, {stamp}",
        subject=shortened(facts.subject, _COLUMNS),
        issuer=shortened(facts.issuer, _COLUMNS - 10),
        fingerprint=fingerprint,
    )


def _style(panel: Path) -> StaticStampStyle:
    """Return the page as it is, from edge to edge; pyHanko reads it when it draws the field."""
    from pyhanko.pdf_utils import layout  # noqa: PLC0415 late: it takes half a second
    from pyhanko.stamp import StaticStampStyle  # noqa: PLC0415 the same

    edge_to_edge = layout.SimpleBoxLayoutRule(
        x_align=layout.AxisAlignment.ALIGN_MIN, y_align=layout.AxisAlignment.ALIGN_MIN
    )
    return StaticStampStyle.from_pdf_file(
        str(panel), border_width=0, background_opacity=1, background_layout=edge_to_edge
    )
