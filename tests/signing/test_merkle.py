"""signing/merkle.py against the published vectors, two other implementations and the definition itself."""

import base64
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import merkle
from signing.errors import BadProofError

PROJECT = Path(__file__).resolve().parents[2]
PUBLISHED = PROJECT.parent / "shared" / "vectors"
OWN = PROJECT / "tests" / "vectors"
TLOG = json.loads((OWN / "tlog.json").read_text())
OPENSSL = json.loads((OWN / "merkle_openssl.json").read_text())
LARGEST_EXHAUSTIVE_SIZE = 300
LARGEST_RANDOM_SIZE = 20_000


class Tree:
    """All levels of a tree over numbered records. Only perfect subtrees can be read from it."""

    def __init__(self, size: int) -> None:
        self.leaf_hashes = [merkle.leaf_hash(b"record %d" % index) for index in range(size)]
        self.levels = [self.leaf_hashes]
        while len(self.levels[-1]) > 1:
            level = self.levels[-1]
            pairs = zip(level[::2], level[1::2], strict=False)
            self.levels.append([merkle.node_hash(left, right) for left, right in pairs])

    def node_at(self, height: int, index: int) -> bytes:
        return self.levels[height][index]


TREE = Tree(LARGEST_RANDOM_SIZE)


def root_by_definition(leaf_hashes: list[bytes]) -> bytes:
    """MTH of RFC 9162, 2.1.1, written down as it stands there."""
    if not leaf_hashes:
        return hashlib.sha256(b"").digest()
    if len(leaf_hashes) == 1:
        return leaf_hashes[0]
    k = 1
    while k * 2 < len(leaf_hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + root_by_definition(leaf_hashes[:k]) + root_by_definition(leaf_hashes[k:])).digest()


def published(name: str) -> list[Any]:
    vectors = json.loads((PUBLISHED / name).read_text())
    return [pytest.param(vector, id=vector["name"]) for vector in vectors]


def decoded(vector: dict[str, Any], *names: str) -> list[bytes]:
    return [base64.b64decode(vector[name] or "") for name in names]


def decoded_proof(vector: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(line) for line in vector["proof"] or []]


def flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value, "big") ^ 1 << bit).to_bytes(len(value), "big")


# The tree


def test_the_hashes_are_those_that_openssl_makes() -> None:
    a, b, _ = (merkle.leaf_hash(leaf.encode()) for leaf in OPENSSL["leaves"])
    assert a.hex() == OPENSSL["leaf_a"]
    assert merkle.node_hash(a, b).hex() == OPENSSL["node_ab"]
    assert merkle.root(leaf.encode() for leaf in OPENSSL["leaves"]).hex() == OPENSSL["root"]


def test_no_leaves_have_the_hash_of_nothing_as_root() -> None:
    assert merkle.root([]) == merkle.EMPTY_ROOT == merkle.Frontier().root() == merkle.root_at(0, TREE.node_at)
    assert hashlib.sha256(b"").digest() == merkle.EMPTY_ROOT


def test_a_leaf_is_never_a_node() -> None:
    left, right = TREE.leaf_hashes[:2]
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


def test_roots_are_those_of_another_implementation() -> None:
    records = [b'{"record":%d}' % index for index in range(TLOG["size"])]
    for size, root in TLOG["roots"].items():
        assert merkle.root(records[: int(size)]).hex() == root


@pytest.mark.parametrize("size", range(1, 70))
def test_roots_follow_the_definition(size: int) -> None:
    assert merkle.root_at(size, TREE.node_at) == root_by_definition(TREE.leaf_hashes[:size])


def test_a_root_of_negative_size_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="-1 leaves"):
        merkle.root_at(-1, TREE.node_at)


# Tiles


@pytest.mark.parametrize("width", [1, 2, 3, 44, 255, 256])
def test_a_tile_root_is_the_root_over_its_hashes(width: int) -> None:
    hashes = TREE.leaf_hashes[:width]
    assert merkle.tile_root(b"".join(hashes)) == root_by_definition(hashes)


def test_a_full_tile_root_is_the_hash_that_another_implementation_puts_above_it() -> None:
    records = [b'{"record":%d}' % index for index in range(256)]
    assert merkle.tile_root(b"".join(map(merkle.leaf_hash, records))).hex() == TLOG["full_tile_root"]


@pytest.mark.parametrize("length", [0, 31, 33, 257 * 32])
def test_a_tile_of_impossible_length_is_the_callers_mistake(length: int) -> None:
    with pytest.raises(ValueError, match="a tile is"):
        merkle.tile_root(bytes(length))


# The frontier


def test_appending_one_by_one_gives_the_root_of_every_size() -> None:
    frontier = merkle.Frontier()
    for size, leaf in enumerate(TREE.leaf_hashes[:LARGEST_EXHAUSTIVE_SIZE], start=1):
        frontier.append(leaf)
        assert frontier.size == size
        assert frontier.root() == merkle.root_at(size, TREE.node_at)
        assert len(frontier.nodes) == size.bit_count()


@given(st.lists(st.integers(0, 700), max_size=8))
def test_extending_in_pieces_is_appending_one_by_one(pieces: list[int]) -> None:
    extended, appended, position = merkle.Frontier(), merkle.Frontier(), 0
    for piece in pieces:
        leaves = TREE.leaf_hashes[position : position + piece]
        extended.extend(leaves)
        for leaf in leaves:
            appended.append(leaf)
        position += piece
    assert (extended.size, extended.nodes) == (appended.size, appended.nodes)
    assert extended.root() == merkle.root_at(position, TREE.node_at)


@given(st.integers(0, 3000), st.integers(0, 600))
def test_a_restored_frontier_goes_on_where_it_was(size: int, added: int) -> None:
    before = merkle.Frontier()
    before.extend(TREE.leaf_hashes[:size])
    restored = merkle.Frontier(before.size, before.nodes)
    restored.extend(TREE.leaf_hashes[size : size + added])
    assert restored.root() == merkle.root_at(size + added, TREE.node_at)


def test_nodes_come_largest_subtree_first() -> None:
    frontier = merkle.Frontier()
    frontier.extend(TREE.leaf_hashes[:7])
    assert frontier.nodes == (TREE.node_at(2, 0), TREE.node_at(1, 2), TREE.node_at(0, 6))


def test_nodes_do_not_change_behind_the_callers_back() -> None:
    frontier = merkle.Frontier()
    frontier.extend(TREE.leaf_hashes[:3])
    nodes = frontier.nodes
    frontier.append(TREE.leaf_hashes[3])
    assert nodes == (TREE.node_at(1, 0), TREE.leaf_hashes[2])


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 0), (3, 1), (4, 2), (-1, 1)])
def test_a_frontier_with_the_wrong_number_of_nodes_is_refused(size: int, count: int) -> None:
    with pytest.raises(ValueError, match="perfect subtrees"):
        merkle.Frontier(size, [bytes(32)] * count)


def test_hashes_of_other_lengths_are_refused_for_31_and_33_bytes_hash_like_two_of_32() -> None:
    left, right = TREE.leaf_hashes[0], TREE.leaf_hashes[1]
    shifted = [left[:31], left[31:] + right]
    assert merkle.node_hash(*shifted) == merkle.node_hash(left, right)
    with pytest.raises(ValueError, match="32 bytes"):
        merkle.Frontier().extend(shifted)
    with pytest.raises(ValueError, match="32 bytes"):
        merkle.Frontier().append(shifted[0])
    with pytest.raises(ValueError, match="32 bytes"):
        merkle.Frontier(3, shifted)
    with pytest.raises(BadProofError, match="32 bytes"):
        merkle.verify_inclusion(shifted[0], 0, 2, [shifted[1]], merkle.node_hash(left, right))
    with pytest.raises(BadProofError, match="32 bytes"):
        merkle.verify_consistency(1, 2, shifted[0], merkle.node_hash(left, right), [shifted[1]])


# Inclusion


@pytest.mark.parametrize("vector", published("merkle_inclusion.json"))
def test_published_inclusion_vectors(vector: dict[str, Any]) -> None:
    leaf, root = decoded(vector, "leafHash", "root")
    arguments = (leaf, vector["leafIdx"], vector["treeSize"], decoded_proof(vector), root)
    if vector["wantErr"]:
        with pytest.raises(BadProofError):
            merkle.verify_inclusion(*arguments)
    else:
        merkle.verify_inclusion(*arguments)


def test_inclusion_proofs_are_those_of_another_implementation() -> None:
    leaf_hashes = [merkle.leaf_hash(b'{"record":%d}' % index) for index in range(TLOG["size"])]

    def node_at(height: int, index: int) -> bytes:
        return root_by_definition(leaf_hashes[index << height : index + 1 << height])

    for vector in TLOG["inclusion"]:
        proof = merkle.inclusion_proof(vector["index"], vector["size"], node_at)
        assert [node.hex() for node in proof] == vector["proof"]


def test_every_leaf_of_every_small_tree_proves_its_inclusion() -> None:
    for size in range(1, LARGEST_EXHAUSTIVE_SIZE + 1):
        root = merkle.root_at(size, TREE.node_at)
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, TREE.node_at)
            merkle.verify_inclusion(TREE.leaf_hashes[index], index, size, proof, root)


@given(st.data())
def test_leaves_of_large_trees_prove_their_inclusion_and_no_bit_may_change(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, LARGEST_RANDOM_SIZE))
    index = data.draw(st.integers(0, size - 1))
    root, leaf = merkle.root_at(size, TREE.node_at), TREE.leaf_hashes[index]
    proof = merkle.inclusion_proof(index, size, TREE.node_at)
    merkle.verify_inclusion(leaf, index, size, proof, root)

    hashes = [leaf, root, *proof]
    which, bit = data.draw(st.integers(0, len(hashes) - 1)), data.draw(st.integers(0, 255))
    hashes[which] = flipped(hashes[which], bit)
    with pytest.raises(BadProofError):
        merkle.verify_inclusion(hashes[0], index, size, hashes[2:], hashes[1])


@pytest.mark.parametrize("size", [1, 2, 5, 8, 11])
def test_every_single_bit_of_an_inclusion_proof_counts(size: int) -> None:
    root = merkle.root_at(size, TREE.node_at)
    for index in range(size):
        hashes = [TREE.leaf_hashes[index], root, *merkle.inclusion_proof(index, size, TREE.node_at)]
        merkle.verify_inclusion(hashes[0], index, size, hashes[2:], hashes[1])
        for which in range(len(hashes)):
            for bit in range(256):
                changed = [*hashes]
                changed[which] = flipped(hashes[which], bit)
                with pytest.raises(BadProofError):
                    merkle.verify_inclusion(changed[0], index, size, changed[2:], changed[1])


def test_a_proof_holds_for_no_other_index() -> None:
    for size in range(1, 40):
        root = merkle.root_at(size, TREE.node_at)
        for index in range(size):
            proof = merkle.inclusion_proof(index, size, TREE.node_at)
            for other in range(-1, size + 2):
                if other != index:
                    with pytest.raises(BadProofError):
                        merkle.verify_inclusion(TREE.leaf_hashes[index], other, size, proof, root)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 299])
def test_a_longer_or_shorter_inclusion_proof_is_refused(size: int) -> None:
    index, root = size // 2, merkle.root_at(size, TREE.node_at)
    proof = merkle.inclusion_proof(index, size, TREE.node_at)
    merkle.verify_inclusion(TREE.leaf_hashes[index], index, size, proof, root)
    for other in ([*proof, root], [root, *proof], [*proof, *proof], proof[:-1], proof[1:]):
        if other != proof:
            with pytest.raises(BadProofError):
                merkle.verify_inclusion(TREE.leaf_hashes[index], index, size, other, root)


def test_the_reason_says_whether_a_proof_is_too_long_or_too_short() -> None:
    leaf, root1, root2 = TREE.leaf_hashes[2], merkle.root_at(3, TREE.node_at), merkle.root_at(7, TREE.node_at)
    inclusion = merkle.inclusion_proof(2, 7, TREE.node_at)
    consistency = merkle.consistency_proof(3, 7, TREE.node_at)
    for proof, reason in (([*inclusion, root2], "too long"), (inclusion[:-1], "too short")):
        with pytest.raises(BadProofError, match=reason):
            merkle.verify_inclusion(leaf, 2, 7, proof, root2)
    for proof, reason in (([*consistency, root2], "too long"), (consistency[:-1], "too short"), ([], "is empty")):
        with pytest.raises(BadProofError, match=reason):
            merkle.verify_consistency(3, 7, root1, root2, proof)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (8, 8), (-1, 8)])
def test_a_leaf_outside_the_tree_has_no_inclusion_proof(index: int, size: int) -> None:
    with pytest.raises(IndexError, match="not in a tree"):
        merkle.inclusion_proof(index, size, TREE.node_at)


def test_a_proof_in_a_huge_tree_needs_few_reads() -> None:
    reads: list[tuple[int, int]] = []

    def node_at(height: int, index: int) -> bytes:
        reads.append((height, index))
        return bytes(32)

    size = 2**40 - 1
    assert len(merkle.inclusion_proof(2**39, size, node_at)) == 40
    assert len(reads) <= 2 * 40
    assert all(index + 1 << height <= size for height, index in reads)


# Consistency


@pytest.mark.parametrize("vector", published("merkle_consistency.json"))
def test_published_consistency_vectors(vector: dict[str, Any]) -> None:
    root1, root2 = decoded(vector, "root1", "root2")
    arguments = (vector["size1"], vector["size2"], root1, root2, decoded_proof(vector))
    if vector["wantErr"]:
        with pytest.raises(BadProofError):
            merkle.verify_consistency(*arguments)
    else:
        merkle.verify_consistency(*arguments)


def test_consistency_proofs_are_those_of_another_implementation() -> None:
    leaf_hashes = [merkle.leaf_hash(b'{"record":%d}' % index) for index in range(TLOG["size"])]

    def node_at(height: int, index: int) -> bytes:
        return root_by_definition(leaf_hashes[index << height : index + 1 << height])

    for vector in TLOG["consistency"]:
        proof = merkle.consistency_proof(vector["size1"], vector["size2"], node_at)
        assert [node.hex() for node in proof] == vector["proof"]


def test_every_small_tree_is_consistent_with_every_smaller_one() -> None:
    roots = [merkle.root_at(size, TREE.node_at) for size in range(LARGEST_EXHAUSTIVE_SIZE + 1)]
    for size2 in range(1, LARGEST_EXHAUSTIVE_SIZE + 1):
        for size1 in range(1, size2 + 1):
            proof = merkle.consistency_proof(size1, size2, TREE.node_at)
            merkle.verify_consistency(size1, size2, roots[size1], roots[size2], proof)


@given(st.data())
def test_large_trees_are_consistent_and_no_bit_may_change(data: st.DataObject) -> None:
    size2 = data.draw(st.integers(1, LARGEST_RANDOM_SIZE))
    size1 = data.draw(st.integers(1, size2))
    root1, root2 = merkle.root_at(size1, TREE.node_at), merkle.root_at(size2, TREE.node_at)
    proof = merkle.consistency_proof(size1, size2, TREE.node_at)
    merkle.verify_consistency(size1, size2, root1, root2, proof)

    hashes = [root1, root2, *proof]
    which, bit = data.draw(st.integers(0, len(hashes) - 1)), data.draw(st.integers(0, 255))
    hashes[which] = flipped(hashes[which], bit)
    with pytest.raises(BadProofError):
        merkle.verify_consistency(size1, size2, hashes[0], hashes[1], hashes[2:])


@pytest.mark.parametrize(("size1", "size2"), [(1, 2), (3, 7), (4, 8), (6, 8), (9, 300)])
def test_a_longer_or_shorter_consistency_proof_is_refused(size1: int, size2: int) -> None:
    root1, root2 = merkle.root_at(size1, TREE.node_at), merkle.root_at(size2, TREE.node_at)
    proof = merkle.consistency_proof(size1, size2, TREE.node_at)
    merkle.verify_consistency(size1, size2, root1, root2, proof)
    for other in ([*proof, root1], [root1, *proof], [*proof, *proof], proof[:-1], proof[1:], []):
        with pytest.raises(BadProofError):
            merkle.verify_consistency(size1, size2, root1, root2, other)


def test_a_rewritten_past_has_no_consistency_proof() -> None:
    rewritten = Tree(100)
    root1, root2 = merkle.root_at(60, rewritten.node_at), merkle.root_at(100, rewritten.node_at)
    proof = merkle.consistency_proof(60, 100, rewritten.node_at)
    merkle.verify_consistency(60, 100, root1, root2, proof)
    rewritten.leaf_hashes[17] = merkle.leaf_hash(b"another past")
    newer = merkle.Frontier()
    newer.extend(rewritten.leaf_hashes)
    with pytest.raises(BadProofError, match="does not start with"):
        merkle.verify_consistency(60, 100, root1, newer.root(), proof)


@pytest.mark.parametrize(("size1", "size2"), [(0, 0), (0, 5), (5, 4), (-1, 3)])
def test_impossible_sizes_have_no_consistency_proof(size1: int, size2: int) -> None:
    with pytest.raises(IndexError, match="no consistency proof"):
        merkle.consistency_proof(size1, size2, TREE.node_at)
    with pytest.raises(BadProofError, match="no consistency proof"):
        merkle.verify_consistency(size1, size2, merkle.EMPTY_ROOT, merkle.EMPTY_ROOT, [])


def test_verification_ends_for_any_numbers() -> None:
    chance = random.Random(9162)
    for _ in range(2000):
        size1, size2, index = (chance.getrandbits(chance.randint(1, 70)) for _ in range(3))
        proof = [chance.randbytes(32) for _ in range(chance.randint(0, 70))]
        with pytest.raises(BadProofError):
            merkle.verify_inclusion(bytes(32), index, size1, proof, bytes(32))
        with pytest.raises(BadProofError):
            merkle.verify_consistency(size1, size2, bytes(32), b"\x01" * 32, proof)
