"""The multi-proof: every exported leaf in its place, no gap, and nothing that can be cut, added or moved."""

import itertools
import random
from binascii import a2b_base64
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports import proofs
from exports.errors import BadMultiproofError
from exports.proofs import Head, Proved
from signing.merkle import leaf_hash
from tests.exports.exported import Tree

ORIGIN = "auditlog.local/activity"
SIZE = 100
TREE = Tree([leaf_hash(b"%d" % number) for number in range(SIZE)])
RANGE = (10, 31)
EXPORTED = [10, 11, 12, 17, 30]


def proof(
    exported: Sequence[int],
    complete_range: tuple[int, int] | None = None,
    *,
    size: int = SIZE,
    cuts: Sequence[int] = (),
) -> bytes:
    head = Head(ORIGIN, size, complete_range)
    bounds = [0, *cuts, size]
    pieces = [head.to_bytes()]
    for begin, end in itertools.pairwise(bounds):
        some = [(index, True) for index in exported if begin <= index < end]
        pieces += proofs.part(some, head=head, begin=begin, end=end, node_at=TREE.node_at)
    return b"".join([*pieces, proofs.FOOTER])


def verified(raw: bytes, exported: Sequence[int]) -> Proved:
    return proofs.verify(raw.splitlines(keepends=True), [(index, TREE.leaves[index], False) for index in exported])


@given(
    st.integers(1, SIZE),
    st.sets(st.integers(0, SIZE - 1)),
    st.none() | st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)),
    st.lists(st.integers(0, SIZE), max_size=3),
)
def test_any_choice_of_leaves_is_proved(
    size: int, chosen: set[int], span: tuple[int, int] | None, cuts: list[int]
) -> None:
    if span is not None:
        low, high = sorted(min(edge, size) for edge in span)
        span = (low, high)
    exported = sorted(index for index in chosen if index < size and (span is None or span[0] <= index < span[1]))
    raw = proof(exported, span, size=size, cuts=sorted(min(cut, size) for cut in cuts))
    shown = verified(raw, exported)
    assert (shown.root, shown.exported, shown.mismatched) == (TREE.root(size), len(exported), 0)
    assert shown.withheld == (0 if span is None else span[1] - span[0] - len(exported))


def test_an_empty_ledger_has_a_proof() -> None:
    raw = proof([], size=0)
    assert verified(raw, []).root == Tree([]).root()


def test_a_proof_without_a_range_is_small() -> None:
    assert proof([50]).count(b"\ns ") <= 2 * 7
    assert proof(range(SIZE)).count(b"\n") == 7


def test_every_leaf_of_the_range_is_there() -> None:
    raw = proof(EXPORTED, RANGE)
    assert raw.count(b"\nw ") == 21 - len(EXPORTED)
    assert verified(raw, EXPORTED).withheld == 21 - len(EXPORTED)


def test_a_mismatched_entry_is_shown_as_such() -> None:
    head = Head(ORIGIN, SIZE, None)
    lines = proofs.part([(3, True), (4, False), (5, True)], head=head, begin=0, end=SIZE, node_at=TREE.node_at)
    raw = head.to_bytes() + b"".join(lines) + proofs.FOOTER
    entries = [(3, TREE.leaves[3], False), (4, leaf_hash(b"changed"), True), (5, TREE.leaves[5], False)]
    shown = proofs.verify(raw.splitlines(keepends=True), entries)
    assert (shown.root, shown.exported, shown.mismatched) == (TREE.root(), 3, 1)
    with pytest.raises(BadMultiproofError, match="mismatched"):
        verified(raw, [3, 4, 5])
    entries[1] = (4, leaf_hash(b"changed"), False)
    with pytest.raises(BadMultiproofError, match="not marked"):
        proofs.verify(raw.splitlines(keepends=True), entries)


def test_entries_dropped_added_or_moved_are_noticed() -> None:
    raw = proof(EXPORTED, RANGE)
    for others in (EXPORTED[:-1], [*EXPORTED, 40], [10, 11, 13, 17, 30], [11, 10, 12, 17, 30], [], [9, *EXPORTED[1:]]):
        with pytest.raises(BadMultiproofError):
            verified(raw, others)


def test_another_record_leads_to_another_root() -> None:
    raw = proof(EXPORTED, RANGE)
    entries = [(index, TREE.leaves[index], False) for index in EXPORTED]
    entries[2] = (12, leaf_hash(b"forged"), False)
    assert proofs.verify(raw.splitlines(keepends=True), entries).root != TREE.root()


def test_a_withheld_run_cannot_hide_in_a_subtree() -> None:
    # Leaves 24 … 27 of the range, as one hash: the root is right, and how many were left out cannot be seen.
    lines = proof(EXPORTED, RANGE).splitlines(keepends=True)
    at = next(place for place, line in enumerate(lines) if TREE.leaves[24] in _hashes(line))
    subtree = b"s 2 %b\n" % proofs._base64(TREE.node_at(2, 6))
    with pytest.raises(BadMultiproofError, match="one by one"):
        verified(b"".join([*lines[:at], subtree, *lines[at + 4 :]]), EXPORTED)


def _hashes(line: bytes) -> list[bytes]:
    return [a2b_base64(line.split()[-1])] if line[:1] in b"wsx" and len(line) > 40 else []


def test_every_line_counts() -> None:
    lines = proof(EXPORTED, RANGE).splitlines(keepends=True)
    for place in range(len(lines)):
        for changed in ([*lines[:place], *lines[place + 1 :]], [*lines[:place], lines[place], *lines[place:]]):
            try:
                shown = verified(b"".join(changed), EXPORTED)
            except BadMultiproofError:
                continue
            assert (shown.root, shown.head.size) != (TREE.root(), SIZE)


def test_every_flipped_byte_is_noticed() -> None:
    raw = proof(EXPORTED, RANGE)
    generator = random.Random(6)
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1 << generator.randrange(8)
        try:
            shown = verified(bytes(changed), EXPORTED)
        except BadMultiproofError:
            continue
        right = (TREE.root(), SIZE, ORIGIN, RANGE)
        assert (shown.root, shown.head.size, shown.head.origin, shown.head.complete_range) != right


@pytest.mark.parametrize(
    "junk", [b"", b"\n", b"auditlog-multiproof/1\n", b"auditlog-multiproof/1\no\n5\n-\n\n" + b"e 6\n"]
)
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(BadMultiproofError):
        verified(junk, [])


def test_entries_out_of_order_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="out of order"):
        proof([5, 4])
