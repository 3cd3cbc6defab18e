"""entries.json: one JSON document for those who want one, with the same rows as entries.ndjson. Pure and streaming.

    {"format":"auditlog-export/1","entries":[
    {…},
    {…}
    ],"claim":{…}}

A row is a line, as render_ndjson.py describes it; the claim is the one of claim.json. Parts made by several workers are
concatenated with SEPARATOR between those that are not empty.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from exports.render_ndjson import row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exports.manifest import Claim
    from exports.rows import ExportedEntry

NAME = "entries.json"
MEDIA_TYPE = "application/json"
SEPARATOR = b",\n"


def header() -> bytes:
    """Return what stands before the first row."""
    return b'{"format":"auditlog-export/1","entries":[\n'


def rows(entries: Iterable[ExportedEntry]) -> bytes:
    """Return the rows of these entries, which are in leaf order."""
    return SEPARATOR.join(map(row, entries))


def footer(claim: Claim) -> bytes:
    """Return what stands after the last row."""
    said = json.dumps(claim.to_dict(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return b'\n],"claim":%b}\n' % said.encode()
