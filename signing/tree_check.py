"""Recomputing a ledger's tree from its leaves, tile by tile, against what is stored and what was signed. Pure.

Memory stays flat: of a finished tile only its root is kept, and of 256 finished tiles only theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from signing.merkle import HASH_SIZE, TILE_WIDTH, Frontier, tile_root
from signing.verdicts import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True, slots=True)
class ExpectedRoot:
    """A root that somebody vouches for; `source` says who, as in "the anchor of 2026-11-23T…"."""

    size: int
    root: bytes
    source: str


class TreeCheck:
    """Takes the leaf hashes of a ledger in order, tile by tile, and collects what does not fit in `findings`.

    `base` is a tree of whole tiles that is taken as it is; `stored_tile(level, index)` gives what the database holds.
    """

    def __init__(
        self,
        ledger: str,
        expected: Iterable[ExpectedRoot],
        stored_tile: Callable[[int, int], bytes],
        base: Frontier | None = None,
    ) -> None:
        base = base or Frontier()
        self.size = base.size
        self.findings: list[Finding] = []
        self.last_good = base.size
        self._good_before = base.size
        self._ledger = ledger
        self._expected = sorted(expected, key=lambda root: root.size)
        self._stored_tile = stored_tile
        self._tiles = Frontier(base.size // TILE_WIDTH, base.nodes)
        self._levels = self._levels_below(base.size // TILE_WIDTH)
        self._check_roots([])

    def add_tile(self, leaf_hashes: Sequence[bytes]) -> None:
        """Take the next tile: 256 leaf hashes, or fewer at the end of the ledger."""
        self._check_roots(leaf_hashes)
        self.size += len(leaf_hashes)
        if len(leaf_hashes) == TILE_WIDTH:
            root = tile_root(b"".join(leaf_hashes))
            self._tiles.append(root)
            self._climb(1, root)

    def root(self, last_tile: Sequence[bytes]) -> bytes:
        """Return the root of all tiles so far followed by these leaves."""
        whole = self._tiles.size * TILE_WIDTH
        tree = Frontier(whole, self._tiles.nodes)
        tree.extend(last_tile)
        return tree.root()

    def finish(self) -> None:
        """Compare the unfinished upper tiles, and report roots that were signed for more leaves than there are."""
        for level, (index, hashes) in self._levels.items():
            self._compare(level, index, hashes)
        for expected in self._expected:
            self._report(
                min(self.size, expected.size),
                f"{expected.source} covers {expected.size} leaves, the ledger has {self.size}: its end was cut off",
                Verdict.MISSING,
            )

    def _check_roots(self, leaf_hashes: Sequence[bytes]) -> None:
        end = self.size + len(leaf_hashes)
        while self._expected and self._expected[0].size <= end:
            expected = self._expected.pop(0)
            if expected.size < self.size:
                continue  # lies inside the base, whose root vouches for it
            if self.root(leaf_hashes[: expected.size - self.size]) == expected.root:
                if expected.size > self.last_good:
                    self._good_before, self.last_good = self.last_good, expected.size
            else:
                # Of two roots of one size at most one fits: where they differ begins after the good one before both.
                first = self.last_good if self.last_good < expected.size else self._good_before
                span = f"between leaf {first} and leaf {expected.size - 1}" if expected.size else "at its start"
                self._report(
                    first,
                    f"the tree of the first {expected.size} leaves is not that of {expected.source}; it differs {span}",
                )

    def _climb(self, level: int, node: bytes) -> None:
        index, hashes = self._levels.setdefault(level, (0, []))
        hashes.append(node)
        if len(hashes) == TILE_WIDTH:
            self._compare(level, index, hashes)
            self._levels[level] = (index + 1, [])
            self._climb(level + 1, tile_root(b"".join(hashes)))

    def _compare(self, level: int, index: int, hashes: list[bytes]) -> None:
        stored = self._stored_tile(level, index)
        width = TILE_WIDTH**level
        for place, node in enumerate(hashes):
            if stored[place * HASH_SIZE : (place + 1) * HASH_SIZE] != node:
                first = (index * TILE_WIDTH + place) * width
                self._report(
                    first, f"the stored node over leaves {first} to {first + width - 1} is not that of these leaves"
                )

    def _levels_below(self, tiles: int) -> dict[int, tuple[int, list[bytes]]]:
        """Return the unfinished upper tiles of a base of so many tiles, as they are stored."""
        levels = {}
        level = 1
        while tiles:
            index, width = divmod(tiles, TILE_WIDTH)
            stored = self._stored_tile(level, index)[: width * HASH_SIZE]
            levels[level] = (index, [stored[at : at + HASH_SIZE] for at in range(0, len(stored), HASH_SIZE)])
            tiles, level = index, level + 1
        return levels

    def _report(self, leaf_index: int, reason: str, verdict: Verdict = Verdict.TAMPERED) -> None:
        self.findings.append(Finding(self._ledger, leaf_index, verdict, reason))
