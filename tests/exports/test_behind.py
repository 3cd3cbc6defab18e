"""The threads behind whoever makes an export: they hash, and write to the disk."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exports.behind import Behind, SyncedFile

if TYPE_CHECKING:
    from collections.abc import Callable

PIECES = [b"%d" % number for number in range(20)]


def hand_over(take: Callable[[bytes], object], pieces: list[bytes]) -> None:
    with Behind(take) as behind:
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

    with Behind(take_slowly) as behind:
        for number, piece in enumerate(PIECES):
            behind.add(piece)
            assert len(taken) >= number - 4


@pytest.mark.parametrize("pieces", [PIECES, PIECES[:1]])
def test_what_fails_behind_is_an_error_in_front(pieces: list[bytes]) -> None:
    def fail(piece: bytes) -> None:
        raise OSError(piece)

    with pytest.raises(OSError, match="0"):
        hand_over(fail, pieces)


def test_a_synced_file_has_all_that_was_written_and_was_on_the_disk_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "part", []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.stat().st_size))
    pieces = [bytes([number]) * (3 << 20) for number in range(10)]
    with SyncedFile(path) as file:
        for piece in pieces:
            file.write(piece)
    assert path.read_bytes() == b"".join(pieces)
    assert [size >> 20 for size in synced] == [9, 18, 27, 30]


def test_a_synced_file_that_nobody_reads_soon_waits_for_the_disk_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "container", []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(path.stat().st_size))
    pieces = [bytes([number]) * (3 << 20) for number in range(10)]
    with SyncedFile(path, last=True) as file:
        for piece in pieces:
            file.write(piece)
    assert path.read_bytes() == b"".join(pieces)
    waits = 1 if hasattr(os, "posix_fadvise") else 4
    assert len(synced) == waits
    assert synced[-1] == 30 << 20


def test_a_synced_file_that_cannot_be_written_is_an_error() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no device that is always full")
    with pytest.raises(OSError, match="No space left"), SyncedFile(Path("/dev/full")) as file:
        file.write(b"x" * (1 << 20))
