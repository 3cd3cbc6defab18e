"""What joins the parts of an export: the thread that hashes behind whoever writes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from exports.assembly import _Behind

if TYPE_CHECKING:
    from collections.abc import Callable

PIECES = [b"%d" % number for number in range(20)]


def hand_over(take: Callable[[bytes], object], pieces: list[bytes]) -> None:
    with _Behind(take) as behind:
        for piece in pieces:
            behind.add(piece)


def test_all_pieces_are_taken_in_their_order_when_the_block_ends() -> None:
    taken: list[bytes] = []
    hand_over(taken.append, PIECES)
    assert taken == PIECES


def test_only_a_few_pieces_wait() -> None:
    taken: list[bytes] = []

    def take_slowly(piece: bytes) -> None:
        time.sleep(0.002)
        taken.append(piece)

    with _Behind(take_slowly) as behind:
        for number, piece in enumerate(PIECES):
            behind.add(piece)
            assert len(taken) >= number - 4


@pytest.mark.parametrize("pieces", [PIECES, PIECES[:1]])
def test_what_fails_behind_is_an_error_in_front(pieces: list[bytes]) -> None:
    def fail(piece: bytes) -> None:
        raise OSError(piece)

    with pytest.raises(OSError, match="0"):
        hand_over(fail, pieces)
