"""The recomputed tree against stored tiles and signed roots, from nothing and from a base."""

import hashlib

import pytest

from signing.merkle import TILE_WIDTH, Frontier, tile_root
from signing.tree_check import ExpectedRoot, TreeCheck
from signing.verdicts import Verdict

LEAVES = [hashlib.sha256(str(number).encode()).digest() for number in range(3 * TILE_WIDTH + 10)]


def tree(size: int) -> Frontier:
    made = Frontier()
    made.extend(LEAVES[:size])
    return made


def expected(*sizes: int) -> list[ExpectedRoot]:
    return [ExpectedRoot(size, tree(size).root(), f"the checkpoint of {size}") for size in sizes]


def stored(level: int, index: int) -> bytes:
    if level == 0:
        return b"".join(LEAVES[index * TILE_WIDTH : (index + 1) * TILE_WIDTH])
    whole = len(LEAVES) // TILE_WIDTH
    return b"".join(tile_root(stored(0, number)) for number in range(whole)) if (level, index) == (1, 0) else b""


def checked(
    roots: list[ExpectedRoot], leaves: list[bytes] = LEAVES, start: int = 0, nodes: object = stored
) -> TreeCheck:
    check = TreeCheck("activity", roots, nodes, tree(start))  # type: ignore[arg-type]
    for first in range(start, len(leaves), TILE_WIDTH):
        check.add_tile(leaves[first : first + TILE_WIDTH])
    check.finish()
    return check


@pytest.mark.parametrize("start", [0, TILE_WIDTH, 3 * TILE_WIDTH])
def test_a_clean_ledger_has_no_findings(start: int) -> None:
    sizes = [0, 1, 255, 256, 257, 700, len(LEAVES)]
    assert checked(expected(*sizes), start=start).findings == []


def test_the_root_is_that_of_all_leaves() -> None:
    check = checked([])
    assert check.root(LEAVES[3 * TILE_WIDTH :]) == tree(len(LEAVES)).root()


@pytest.mark.parametrize("changed", [0, 256, 300, 777])
def test_a_changed_leaf_is_placed_between_the_roots_around_it(changed: int) -> None:
    leaves = [*LEAVES[:changed], bytes(32), *LEAVES[changed + 1 :]]
    (finding, *_) = checked(expected(256, 512, len(LEAVES)), leaves).findings
    assert finding.verdict == Verdict.TAMPERED
    assert finding.leaf_index == max(size for size in (0, 256, 512) if size <= changed)


def test_a_root_beyond_the_end_is_a_ledger_that_was_cut_off() -> None:
    (finding,) = checked(expected(len(LEAVES)), LEAVES[:700]).findings
    assert (finding.leaf_index, finding.verdict) == (700, Verdict.MISSING)
    assert "its end was cut off" in finding.reason


def test_a_stored_node_that_is_not_of_these_leaves_is_named_with_its_leaves() -> None:
    def damaged(level: int, index: int) -> bytes:
        nodes = stored(level, index)
        return nodes[:32] + bytes(32) + nodes[64:] if level == 1 else nodes

    (finding,) = checked(expected(len(LEAVES)), nodes=damaged).findings
    assert "the stored node over leaves 256 to 511" in finding.reason


def test_a_base_that_is_not_the_signed_tree_is_noticed() -> None:
    wrong = Frontier(TILE_WIDTH, [bytes(32)])
    check = TreeCheck("activity", expected(TILE_WIDTH), stored, wrong)
    assert [finding.verdict for finding in check.findings] == [Verdict.TAMPERED]
