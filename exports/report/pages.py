"""Pages of the table, filled line by line, and the pieces in which they are rendered. Pure.

    <section class=page><pre class=head>…</pre><div class="entry">…</div>…</section>

Every height is known before anything is drawn, so the number of pages is, too: "page x of y" needs no second pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from exports.report.columns import ROW_LINE
from exports.report.markup import Markup
from exports.report.rows import titles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from exports.report.rows import Block

PAGE_HEIGHT = 841.89  # A4 in points; margins as in report.css
MARGIN_TOP, MARGIN_BOTTOM = 42.0, 62.0
HEAD_HEIGHT = 2 * ROW_LINE + 8.0
_ROOM = PAGE_HEIGHT - MARGIN_TOP - MARGIN_BOTTOM - HEAD_HEIGHT - 2.0


def pages(blocks: Iterable[Block]) -> Iterator[Markup]:
    """Give each page of the table; an entry is never torn apart."""
    page: list[Block] = []
    height = 0.0
    for block in blocks:
        if page and height + block.height > _ROOM:
            yield _page(page)
            page, height = [], 0.0
        page.append(block)
        height += block.height
    if page:
        yield _page(page)


def _page(blocks: list[Block]) -> Markup:
    entries = "".join(
        f'<div class="entry{" zebra" if number % 2 else ""} {block.kind}">{block.inside}</div>'
        for number, block in enumerate(blocks)
    )
    return Markup(f"<section class=page><pre class=head>{titles()}</pre>{entries}</section>")
