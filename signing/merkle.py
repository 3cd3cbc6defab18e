"""The Merkle tree of a ledger. Pure: hashes in, hashes out.

    leaf(record)      = SHA-256(0x00 || record)
    node(left, right) = SHA-256(0x01 || left || right)
    root of no leaves = SHA-256("")

The tree of n > 1 leaves splits after the largest power of two below n, so every subtree but those on the right edge
is perfect: 2^height leaves, aligned at a multiple of 2^height. Proofs are made from reads of perfect subtrees only.
Every hash is exactly 32 bytes: 31 + 33 bytes would hash like 32 + 32.

Source: RFC 9162, section 2.1 (the tree is that of RFC 6962). Storage and locking live in ledger.py.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence

from signing.errors import BadProofError

HASH_SIZE = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
EMPTY_ROOT = hashlib.sha256(b"").digest()

NodeReader = Callable[[int, int], bytes]
"""(height, index) -> hash of the perfect subtree over leaves [index * 2^height, (index + 1) * 2^height)."""


def leaf_hash(record: bytes) -> bytes:
    """Return the 32-byte leaf hash of a record."""
    return hashlib.sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the 32-byte hash of the node over two hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root of the tree over these records (not hashes). Source: RFC 9162, 2.1.1, MTH."""
    frontier = Frontier()
    frontier.extend(map(leaf_hash, leaves))
    return frontier.root()


def tile_root(hashes: bytes) -> bytes:
    """Return the root over 1 to 256 concatenated hashes: the node, 8 levels up, that a full tile stands for."""
    if not hashes or len(hashes) % HASH_SIZE or len(hashes) > TILE_WIDTH * HASH_SIZE:
        raise ValueError(f"a tile is 1 to {TILE_WIDTH} hashes of {HASH_SIZE} bytes, not {len(hashes)} bytes")
    level = [hashes[start : start + HASH_SIZE] for start in range(0, len(hashes), HASH_SIZE)]
    if len(level) != TILE_WIDTH:
        frontier = Frontier()
        frontier.extend(level)
        return frontier.root()
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def _parents(level: list[bytes]) -> list[bytes]:
    """Hash neighbours in pairs; the list has an even length. Written for speed: it is called once per level."""
    sha256 = hashlib.sha256
    return [sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=True)]


class Frontier:
    """The perfect subtrees that cover a tree of `size` leaves, largest first: enough to append and to know the root.

    `nodes` has one 32-byte hash per one-bit of `size`. Raises ValueError if it does not.
    """

    __slots__ = ("_nodes", "size")

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        """Restore a frontier; without arguments, the empty tree."""
        self.size = size
        self._nodes = [bytes(node) for node in nodes]
        if size < 0 or len(self._nodes) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves does not have {len(self._nodes)} perfect subtrees")
        _require_hashes(self._nodes)

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """The hashes of the perfect subtrees, largest first."""
        return tuple(self._nodes)

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf. For many, `extend` takes half the time."""
        if len(leaf_hash) != HASH_SIZE:
            _require_hashes([leaf_hash])
        nodes = self._nodes
        carry = self.size
        while carry & 1:
            leaf_hash = hashlib.sha256(b"\x01" + nodes.pop() + leaf_hash).digest()
            carry >>= 1
        nodes.append(leaf_hash)
        self.size += 1

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Add leaves in order. Holds them all in memory: a stream comes in pieces of some thousands.

        Works level by level, as in adding binary numbers: a subtree left over from before goes in front, an odd
        one at the end stays on the frontier, the pairs between them become the next level.
        """
        level = list(leaf_hashes)
        _require_hashes(level)
        older = self._nodes
        carry = self.size
        self.size += len(level)
        smallest_first: list[bytes] = []
        while level or carry:
            if carry & 1:
                level.insert(0, older.pop())
            if len(level) & 1:
                smallest_first.append(level.pop())
            level = _parents(level)
            carry >>= 1
        self._nodes = smallest_first[::-1]

    def append_subtree(self, height: int, node: bytes) -> None:
        """Add the root of a perfect subtree of 2^height leaves. Raises ValueError unless one can stand here."""
        if height < 0 or self.size & ((1 << height) - 1):
            raise ValueError(f"no subtree of height {height} begins at leaf {self.size}")
        _require_hashes([node])
        nodes = self._nodes
        carry = self.size >> height
        while carry & 1:
            node = node_hash(nodes.pop(), node)
            carry >>= 1
        nodes.append(node)
        self.size += 1 << height

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        return _fold(self._nodes)


def root_at(size: int, node_at: NodeReader) -> bytes:
    """Return the root of the first `size` leaves, from at most log2(size) + 1 reads."""
    if size < 0:
        raise ValueError(f"a tree cannot have {size} leaves")
    return _range_root(0, size, node_at)


def inclusion_proof(index: int, size: int, node_at: NodeReader) -> list[bytes]:
    """Return the sibling hashes (32 bytes each, leaf first) that tie leaf `index` to the root of `size`.

    Raises IndexError if index >= size. Source: RFC 9162, 2.1.3.1.
    """
    if not 0 <= index < size:
        raise IndexError(f"leaf {index} is not in a tree of {size} leaves")
    begin, end = 0, size
    root_first: list[bytes] = []
    while end - begin > 1:
        middle = begin + _left_size(end - begin)
        if index < middle:
            root_first.append(_range_root(middle, end, node_at))
            end = middle
        else:
            root_first.append(_range_root(begin, middle, node_at))
            begin = middle
    return root_first[::-1]


def consistency_proof(size1: int, size2: int, node_at: NodeReader) -> list[bytes]:
    """Return the hashes that show that the first `size1` of `size2` leaves are the older tree; [] for equal sizes.

    Raises IndexError unless 1 <= size1 <= size2. Source: RFC 9162, 2.1.4.1, PROOF and SUBPROOF.
    """
    if not 1 <= size1 <= size2:
        raise IndexError(f"no consistency proof from {size1} to {size2} leaves")
    begin, end = 0, size2
    known = True  # SUBPROOF's b: the subtree at hand is a complete tree whose root the verifier has
    root_first: list[bytes] = []
    while end != size1:
        middle = begin + _left_size(end - begin)
        if size1 <= middle:
            root_first.append(_range_root(middle, end, node_at))
            end = middle
        else:
            root_first.append(_range_root(begin, middle, node_at))
            begin = middle
            known = False
    if not known:
        root_first.append(_range_root(begin, end, node_at))
    return root_first[::-1]


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise BadProofError unless `proof` ties leaf `index` to `root` of `size` leaves.

    Source: RFC 9162, 2.1.3.2; step numbers below are its.
    """
    _require_proof_hashes([leaf_hash, root, *proof])
    if not 0 <= index < size:  # 1
        raise BadProofError(f"leaf {index} is not in a tree of {size} leaves")
    node, last, result = index, size - 1, leaf_hash  # 2, 3
    for sibling in proof:  # 4
        if last == 0:
            raise BadProofError("the inclusion proof is too long")
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last:  # 5
        raise BadProofError("the inclusion proof is too short")
    if result != root:
        raise BadProofError(f"the inclusion proof of leaf {index} does not lead to the root of {size} leaves")


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> None:
    """Raise BadProofError unless the tree of `root2` starts with the tree of `root1`.

    Size 0 has no proof, equal sizes need an empty one and equal roots. Source: RFC 9162, 2.1.4.2; its step numbers.
    """
    if not 1 <= size1 <= size2:
        raise BadProofError(f"no consistency proof leads from {size1} to {size2} leaves")
    if size1 == size2:  # nothing is hashed here; the published vectors put roots of other lengths to this comparison
        if proof or root1 != root2:
            raise BadProofError(f"two different trees of {size1} leaves")
        return
    _require_proof_hashes([root1, root2, *proof])
    if not proof:  # 1
        raise BadProofError("the consistency proof is empty")
    path = [root1, *proof] if size1.bit_count() == 1 else list(proof)  # 2
    node, last = size1 - 1, size2 - 1  # 3
    while node & 1:  # 4
        node, last = node >> 1, last >> 1
    older, newer = _climb(path, node, last)  # 5, 6
    if older != root1 or newer != root2:  # 7
        raise BadProofError(f"the tree of {size2} leaves does not start with the tree of {size1}")


def _climb(path: Sequence[bytes], node: int, last: int) -> tuple[bytes, bytes]:
    """Return the two roots that a consistency proof leads to. Source: RFC 9162, 2.1.4.2, steps 5 to 7."""
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise BadProofError("the consistency proof is too long")
        if node & 1 or node == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise BadProofError("the consistency proof is too short")
    return older, newer


def _left_size(size: int) -> int:
    """Return the largest power of two below `size` (RFC 9162's k)."""
    return 1 << (size - 1).bit_length() - 1


def _range_root(begin: int, end: int, node_at: NodeReader) -> bytes:
    """Return the root over leaves [begin, end), where `begin` is a multiple of a power of two >= end - begin."""
    subtrees: list[bytes] = []
    while begin < end:
        height = (end - begin).bit_length() - 1
        subtrees.append(node_at(height, begin >> height))
        begin += 1 << height
    return _fold(subtrees)


def _fold(subtrees: Sequence[bytes]) -> bytes:
    """Join perfect subtrees, largest first, into one root."""
    if not subtrees:
        return EMPTY_ROOT
    result = subtrees[-1]
    for subtree in reversed(subtrees[:-1]):
        result = node_hash(subtree, result)
    return result


def _require_hashes(hashes: Sequence[bytes]) -> None:
    if not set(map(len, hashes)) <= {HASH_SIZE}:
        raise ValueError(f"a hash has {HASH_SIZE} bytes")


def _require_proof_hashes(hashes: Sequence[bytes]) -> None:
    if not set(map(len, hashes)) <= {HASH_SIZE}:
        raise BadProofError(f"every hash of a proof has {HASH_SIZE} bytes")
