"""signing/anchors.py: anchors survive, do not multiply, and contradict a rolled-back database."""

import fcntl
import os
import shutil
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signing import anchors
from signing.algorithms import ALGORITHMS
from signing.checkpoint import Checkpoint, NoteKey, sign
from signing.errors import AnchorConflictError, BadCheckpointError

PRIVATE, PUBLIC = ALGORITHMS["Ed25519"].generate()
KEY, SIGNER = NoteKey("auditlog.example", PUBLIC), ALGORITHMS["Ed25519"].load_private(PRIVATE)
NOW = datetime(2026, 11, 23, 5, 40, 0, 123456, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def note_of(size: int, root: int = 1) -> str:
    return sign(Checkpoint("auditlog.example/activity", size, bytes([root]) * 32), [(KEY, SIGNER)])


def write(
    directory: Path, size: int, *, root: int = 1, now: datetime = NOW, force: bool = False, ledger: str = "activity"
) -> Path | None:
    return anchors.write(directory, ledger, note_of(size, root), size, now=now, force=force)


def names(directory: Path, ledger: str = "activity") -> list[str]:
    return sorted(path.name for path in (directory / ledger).glob("*.checkpoint"))


# Writing


def test_an_anchor_holds_the_note_under_time_and_size(tmp_path: Path) -> None:
    path = write(tmp_path, 20852163)
    assert path == tmp_path / "activity" / "20261123T054000123456Z-00000000000020852163.checkpoint"
    assert path.read_text(encoding="utf-8") == note_of(20852163)


def test_the_time_in_the_name_is_utc(tmp_path: Path) -> None:
    path = write(tmp_path, 1, now=NOW.astimezone(tz=None))
    assert path is not None
    assert path.name.startswith("20261123T054000123456Z")


def test_nothing_else_stays_behind(tmp_path: Path) -> None:
    write(tmp_path, 1)
    assert sorted(path.name for path in (tmp_path / "activity").iterdir()) == [".last", ".lock", *names(tmp_path)]


def test_at_most_one_anchor_is_written_in_a_second(tmp_path: Path) -> None:
    assert write(tmp_path, 1)
    for milliseconds in (0, 1, 500, 999):
        assert write(tmp_path, 2, now=NOW + timedelta(milliseconds=milliseconds)) is None
    assert write(tmp_path, 2, now=NOW + SECOND)
    assert len(names(tmp_path)) == 2


def test_a_process_whose_clock_is_a_little_behind_does_not_write_either(tmp_path: Path) -> None:
    assert write(tmp_path, 1)
    assert write(tmp_path, 2, now=NOW - timedelta(milliseconds=999)) is None


def test_an_append_within_the_second_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert write(tmp_path, 1)

    def refuse(descriptor: object, operation: int) -> None:
        raise AssertionError(f"waits for the lock {operation}")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert write(tmp_path, 2) is None


def test_a_clock_set_back_does_not_stop_the_anchors(tmp_path: Path) -> None:
    assert write(tmp_path, 1)
    assert write(tmp_path, 2, now=NOW - timedelta(hours=1))


def test_force_writes_within_the_second(tmp_path: Path) -> None:
    assert write(tmp_path, 1)
    assert write(tmp_path, 1, now=NOW + timedelta(milliseconds=1), force=True)
    assert len(names(tmp_path)) == 2


def test_an_idle_ledger_is_anchored_again(tmp_path: Path) -> None:
    assert write(tmp_path, 5)
    assert write(tmp_path, 5, now=NOW + 60 * SECOND)


def test_the_second_counts_for_each_ledger_alone(tmp_path: Path) -> None:
    assert write(tmp_path, 1)
    assert write(tmp_path, 1, ledger="meta")
    assert write(tmp_path, 1) is None


def test_of_many_writers_one_succeeds(tmp_path: Path) -> None:
    paths: list[Path | None] = []
    start = threading.Barrier(8)

    def work(size: int) -> None:
        start.wait()
        paths.append(write(tmp_path, size, now=NOW + timedelta(milliseconds=size)))

    threads = [threading.Thread(target=work, args=(size,)) for size in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 8
    assert [path for path in paths if path] == list((tmp_path / "activity").glob("*.checkpoint"))
    assert len(names(tmp_path)) == 1


@pytest.mark.parametrize(
    "ledger", ["", ".", "..", "../activity", "a/b", "/etc", "Activity", "-a", "a_b", "a b", "a\n", "a" * 64, "é", "a\0"]
)
def test_a_name_that_is_none_never_reaches_the_disk(tmp_path: Path, ledger: str) -> None:
    directory = tmp_path / "anchors"
    directory.mkdir()
    with pytest.raises(ValueError, match="not a ledger name"):
        write(directory, 1, ledger=ledger)
    assert [*tmp_path.iterdir()] == [directory]
    assert not any(directory.iterdir())


def test_a_missing_directory_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "not mounted", 1)
    assert not any(tmp_path.iterdir())


def test_only_a_checkpoint_of_the_size_that_was_said_is_anchored(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpointError):
        anchors.write(tmp_path, "activity", "not a note", 1, now=NOW)
    with pytest.raises(ValueError, match="of 2 leaves, not 1"):
        anchors.write(tmp_path, "activity", note_of(2), 1, now=NOW)
    assert not any(tmp_path.iterdir())


# Contradictions


def test_a_growing_ledger_is_no_conflict(tmp_path: Path) -> None:
    for step, size in enumerate([0, 1, 1, 2, 1000]):
        assert write(tmp_path, size, root=size % 256, now=NOW + step * SECOND)


def test_a_smaller_tree_is_a_conflict(tmp_path: Path) -> None:
    assert write(tmp_path, 100)
    with pytest.raises(
        AnchorConflictError, match=r"100 leaves are anchored .* the database has 99: .* rolled back"
    ) as no:
        write(tmp_path, 99, now=NOW + SECOND)
    assert no.value.anchored_size == 100
    assert len(names(tmp_path)) == 1


def test_another_tree_of_the_same_size_is_a_conflict(tmp_path: Path) -> None:
    assert write(tmp_path, 100, root=1)
    with pytest.raises(AnchorConflictError, match="another tree of 100 leaves") as no:
        write(tmp_path, 100, root=2, now=NOW + SECOND)
    assert no.value.anchored_size == 100
    assert len(names(tmp_path)) == 1


def test_force_does_not_silence_a_conflict(tmp_path: Path) -> None:
    assert write(tmp_path, 100)
    with pytest.raises(AnchorConflictError):
        write(tmp_path, 99, force=True)


def test_after_a_conflict_the_true_ledger_goes_on(tmp_path: Path) -> None:
    assert write(tmp_path, 100)
    with pytest.raises(AnchorConflictError):
        write(tmp_path, 99, now=NOW + SECOND)
    assert write(tmp_path, 101, now=NOW + SECOND)


@pytest.mark.parametrize(
    ("size", "root", "said"), [(4, 1, "5 leaves are anchored"), (5, 2, "another tree of 5 leaves")]
)
def test_a_ledger_that_could_not_be_anchored_is_known_beforehand(
    tmp_path: Path, size: int, root: int, said: str
) -> None:
    head = Checkpoint("auditlog.example/activity", size, bytes([root]) * 32)
    anchors.require_fit(tmp_path, "activity", lambda: head)
    write(tmp_path, 5)
    for fits in (Checkpoint(head.origin, 5, b"\1" * 32), Checkpoint(head.origin, 6, b"\2" * 32), None):
        anchors.require_fit(tmp_path, "activity", lambda fits=fits: fits)  # type: ignore[misc]
    with pytest.raises(AnchorConflictError, match=said):
        anchors.require_fit(tmp_path, "activity", lambda: head)
    assert len(names(tmp_path)) == 1


def test_a_ledger_that_grows_meanwhile_is_not_taken_for_one_that_was_rolled_back(tmp_path: Path) -> None:
    write(tmp_path, 5)

    def head() -> Checkpoint:
        write(tmp_path, 7, now=NOW + MINUTE)
        return Checkpoint("auditlog.example/activity", 6, b"\1" * 32)

    anchors.require_fit(tmp_path, "activity", head)


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"{}", b'{"size":"x","root":"00"}', b"\xff"])
def test_without_a_readable_last_file_the_anchors_themselves_are_asked(tmp_path: Path, content: bytes | None) -> None:
    write(tmp_path, 100)
    write(tmp_path, 200, now=NOW - timedelta(days=1))  # the clock went back: the largest size is the newest
    last = tmp_path / "activity" / ".last"
    last.unlink()
    if content is not None:
        last.write_bytes(content)
    with pytest.raises(AnchorConflictError, match="200 leaves"):
        write(tmp_path, 150, now=NOW + timedelta(days=1), force=True)
    assert write(tmp_path, 200, now=NOW + timedelta(days=1), force=True)


def test_a_draft_left_by_a_crash_is_no_obstacle_and_no_anchor(tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    assert path is not None
    shutil.rmtree(tmp_path / "activity")
    (tmp_path / "activity").mkdir()
    (tmp_path / "activity" / f".{path.name}.draft").write_text("half a no")
    (tmp_path / "activity" / "..last.draft").write_text("{")
    assert anchors.read_all(tmp_path) == []
    assert write(tmp_path, 1) == path
    assert [anchor.path for anchor in anchors.read_all(tmp_path)] == [path]


def test_writing_never_lists_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert write(tmp_path, 1)

    def refuse(path: object) -> None:
        raise AssertionError(f"lists {path}")

    for listing in ("scandir", "listdir"):
        monkeypatch.setattr(os, listing, refuse)
    assert write(tmp_path, 2, now=NOW + SECOND)


# Reading


def test_anchors_come_back_by_ledger_and_time(tmp_path: Path) -> None:
    for step, size in enumerate([1, 2, 30]):
        for ledger in ("meta", "activity"):
            write(tmp_path, size, now=NOW + step * SECOND, ledger=ledger)
    read = anchors.read_all(tmp_path)
    assert [(anchor.ledger, anchor.written_at, anchor.note) for anchor in read] == [
        (ledger, NOW + step * SECOND, note_of(size))
        for ledger in ("activity", "meta")
        for step, size in enumerate([1, 2, 30])
    ]
    assert anchors.read_all(tmp_path / "meta") == read[3:]
    assert anchors.read_all(read[4].path) == [read[4]]


def test_recent_anchors_are_the_newest_of_each_of_the_largest_sizes(tmp_path: Path) -> None:
    for minute, size in enumerate([1, 2, 2, 2, 3, 4, 4]):
        for ledger in ("meta", "activity"):
            write(tmp_path, size, now=NOW + minute * MINUTE, ledger=ledger)
    copy = tmp_path / "from the lawyer.checkpoint"
    copy.write_text(note_of(1), encoding="utf-8")
    recent = anchors.read_recent(tmp_path, sizes=2)
    assert [(anchor.ledger, anchor.written_at, anchor.note) for anchor in recent] == [
        *[("activity", NOW + 4 * MINUTE, note_of(3)), ("activity", NOW + 6 * MINUTE, note_of(4))],
        (None, None, note_of(1)),
        *[("meta", NOW + 4 * MINUTE, note_of(3)), ("meta", NOW + 6 * MINUTE, note_of(4))],
    ]
    assert len(anchors.read_recent(tmp_path)) == 2 * 4 + 1
    assert anchors.read_recent(copy) == anchors.read_all(copy)


def test_an_idle_ledger_is_read_once_by_a_frequent_verification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for minute in range(50):
        write(tmp_path, 7, now=NOW + minute * MINUTE, force=True)
    opened: list[Path] = []
    read_bytes = Path.read_bytes

    def counted(path: Path) -> bytes:
        opened.append(path)
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    assert len(anchors.read_all(tmp_path)) == len(opened) == 50
    opened.clear()
    assert len(anchors.read_recent(tmp_path)) == len(opened) == 1


def test_an_empty_directory_has_no_anchors(tmp_path: Path) -> None:
    assert anchors.read_all(tmp_path) == []


def test_foreign_files_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    assert path is not None
    (tmp_path / "trust.vkeys").write_text(KEY.vkey)
    (tmp_path / "activity" / "README").write_bytes(b"\xff")
    (tmp_path / "activity" / f"._{path.name}").write_bytes(b"\xff")  # what macOS leaves on a network disk
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "activity" / "deeper").mkdir()
    assert [anchor.path for anchor in anchors.read_all(tmp_path)] == [path]


def test_a_copy_under_another_name_is_read_without_ledger_and_time(tmp_path: Path) -> None:
    copy = tmp_path / "from the lawyer.checkpoint"
    copy.write_text(note_of(7), encoding="utf-8")
    receipt = tmp_path / "receipt.txt"
    receipt.write_text(note_of(8), encoding="utf-8")
    assert anchors.read_all(tmp_path) == [anchors.Anchor(None, copy, None, note_of(7))]
    assert anchors.read_all(receipt) == [anchors.Anchor(None, receipt, None, note_of(8))]


@pytest.mark.parametrize(
    "content",
    [b"", b"not a note", b"\xff\xfe", note_of(5).encode()[:-10], note_of(6).encode()],
    ids=["empty", "no note", "not UTF-8", "cut off", "of another size"],  # the keys of the notes differ by process
)
def test_a_broken_anchor_is_named(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, 5)
    assert path is not None
    assert anchors.read_all(tmp_path)
    path.write_bytes(content)
    with pytest.raises(BadCheckpointError, match=path.name):
        anchors.read_all(tmp_path)


def test_an_anchor_named_for_an_impossible_date_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, 5)
    assert path is not None
    renamed = path.rename(path.with_name(path.name.replace("20261123", "20261399")))
    with pytest.raises(BadCheckpointError, match=f"{renamed.name}.* no date"):
        anchors.read_all(tmp_path)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        anchors.read_all(tmp_path / "none")


def test_anchors_are_synced_before_they_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def record_fsync(descriptor: int) -> None:
        calls.append("sync directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def record_replace(draft: Path, target: Path) -> Path:
        calls.append("name last" if target.name == ".last" else "name anchor")
        return replace(draft, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    write(tmp_path, 1)
    assert calls == ["sync file", "name anchor", "sync directory", "name last"]
