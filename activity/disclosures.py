"""What was shown of the log in one request, command or job. Pure: who shows entries notes them, floors above read it.

    with collecting() as shown:
        …                          retrieval.py notes each entry that it hands out, search.py how far it looked, and
                                   exports what is in a file that somebody takes
    shown.count, shown.digest()    SHA-256 over the leaf hashes in the order in which they were handed out

Nothing is recorded here: metaaudit does that, and is imported by nobody. Outside of `collecting` a note is dropped.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from signing.merkle import HASH_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SEARCHES = 4
MAX_RANGES = 4_096  # of leaves that are listed; count and digest cover all there are


class Disclosure:
    """Entries in the order in which they were shown. `sizes`: how many leaves of which ledger were looked at."""

    def __init__(self) -> None:
        self.count = 0
        self.sizes: dict[str, int] = {}
        self.searches: list[dict[str, Any]] = []  # what was asked for, as search.py says it
        self._hashes = sha256()
        self._ranges: dict[str, list[list[int]]] = {}  # by ledger: first and last leaf
        self._listed = 0

    def digest(self) -> bytes | None:
        """Return the SHA-256 over the leaf hashes, or None if no entry was shown and no ledger looked at."""
        return self._hashes.digest() if self.count or self.sizes else None

    def leaves(self) -> dict[str, list[tuple[int, int]]] | None:
        """Return the leaves that were shown, by ledger, as sorted (first, last); None if they are too scattered."""
        if self._listed > MAX_RANGES:
            return None
        return {ledger: _merged(ranges) for ledger, ranges in sorted(self._ranges.items())}

    def add(self, ledger: str, first_leaf: int, leaf_hashes: bytes) -> None:
        """Note one entry, or those of leaves that follow one another, with their hashes one after the other."""
        number = len(leaf_hashes) // HASH_SIZE
        last_leaf = first_leaf + number - 1
        self.count += number
        self._hashes.update(leaf_hashes)
        ranges = self._ranges.setdefault(ledger, [])
        if ranges and ranges[-1][0] - 1 <= last_leaf and first_leaf <= ranges[-1][1] + 1:  # the next one, either way
            last = ranges[-1]
            last[0], last[1] = min(last[0], first_leaf), max(last[1], last_leaf)
        elif self._listed <= MAX_RANGES:
            ranges.append([first_leaf, last_leaf])
            self._listed += 1


def note_entry(ledger: str, leaf_index: int, leaf_hash: bytes) -> None:
    """Note that an entry is shown."""
    note_entries(ledger, leaf_index, leaf_hash)


def note_entries(ledger: str, first_leaf: int, leaf_hashes: bytes) -> None:
    """Note that the entries of leaves that follow one another are shown; of each the hash, one after the other."""
    if (shown := _present.get()) is not None:
        shown.add(ledger, first_leaf, leaf_hashes)


def note_size(ledger: str, size: int) -> None:
    """Note that the first `size` leaves of a ledger were looked at; what was noted first counts."""
    if (shown := _present.get()) is not None:
        shown.sizes.setdefault(ledger, size)


def note_search(said: dict[str, Any]) -> None:
    """Note what is searched for, so that it can be run again; of many searches the first ones."""
    if (shown := _present.get()) is not None and len(shown.searches) < MAX_SEARCHES:
        shown.searches.append(said)


@contextmanager
def collecting(shown: Disclosure | None = None) -> Iterator[Disclosure]:
    """Collect what is noted meanwhile, in a new disclosure or in one that goes on."""
    shown = shown or Disclosure()
    token = _present.set(shown)
    try:
        yield shown
    finally:
        _present.reset(token)


_present: ContextVar[Disclosure | None] = ContextVar("disclosure", default=None)


def _merged(ranges: list[list[int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged
