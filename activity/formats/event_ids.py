"""Event ids for events that have none of their own. Pure.

    id_0 = SHA-256(format || 0x0A || source)
    id_n = SHA-256(id_(n-1) || line_n); the event id is its first 32 hex digits

The same file read again gives the same ids, so that an interrupted ingest goes on without duplicates; equal lines in
one file stay distinct, for each id depends on all lines before; and only the last id is held in memory. A line is what
stands between two line ends (in CloudTrail's file form: between the braces of a record); blank lines do not count.
"""

from __future__ import annotations

from hashlib import sha256


class LineIds:
    """The chain over the lines of one file; every line must pass through `next_id`, in order."""

    def __init__(self, format_name: str, source: str | None) -> None:
        self._last = sha256(f"{format_name}\n{source or ''}".encode()).digest()

    def next_id(self, line: bytes) -> str:
        """Return the event id of the next line (32 hex digits)."""
        self._last = sha256(self._last + line).digest()
        return self._last.hex()[:32]
