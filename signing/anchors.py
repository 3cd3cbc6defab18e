"""Anchors: copies of checkpoints in a directory outside the database, so that a rolled-back database shows.

    <directory>/<ledger>/20261123T054000123456Z-00000000000020852163.checkpoint    the signed note, verbatim
    <directory>/<ledger>/.last       size and root of the newest anchor (JSON); its mtime is when
    <directory>/<ledger>/.lock       held while one is written

Only adds files: what is anchored is never changed or removed here, and the directory belongs on a disk that whoever
administers the database cannot write. `write` looks at `.last` alone, so 100,000 anchors cost no more than one.
Plain files, no Django. Which checkpoint is current, and whether an anchor fits the database, is decided by the callers.
"""

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from signing import checkpoint
from signing.errors import AnchorConflictError, BadCheckpointError

SUFFIX = ".checkpoint"
MIN_INTERVAL_SECONDS = 1.0
RECENT_SIZES = 400  # five minutes of a busy ledger, with room
_LEDGER = re.compile("[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_NAME = re.compile(r"(?P<written_at>\d{8}T\d{12}Z)-(?P<size>\d{20})\.checkpoint", re.ASCII)
_TIME_FORMAT = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True, slots=True)
class Anchor:
    """One anchored checkpoint. `ledger` and `written_at` are None for a file that `write` did not name."""

    ledger: str | None
    path: Path
    written_at: datetime | None
    note: str


@dataclass(frozen=True, slots=True)
class _Last:
    """The newest anchor of a ledger, as far as the next one must agree with it."""

    size: int
    root: bytes


def write(directory: Path, ledger: str, note: str, size: int, *, now: datetime, force: bool = False) -> Path | None:
    """Anchor the note and return its path, or None if the ledger's newest anchor is less than a second old.

    `force` ignores that limit. When this returns a path, the anchor survives a power cut. The directory must exist.
    Raises AnchorConflictError if the newest anchor is of a larger tree, or of another tree of the same size: the
    caller, which may only have come late, looks whether the ledger has meanwhile reached `anchored_size`.
    """
    if not _LEDGER.fullmatch(ledger):
        raise ValueError(f"not a ledger name: {ledger!r}")
    if not force and _is_fresh(f"{directory}/{ledger}", now):  # first, for this is the answer to nearly every append
        return None
    folder = directory / ledger
    head = checkpoint.parse(note).checkpoint
    if head.size != size:
        raise ValueError(f"the note is of {head.size} leaves, not {size}")
    # Only this level: a missing directory is a disk that is not mounted, and must not be replaced by an empty one.
    folder.mkdir(exist_ok=True)
    with _locked(folder):
        if not force and _is_fresh(str(folder), now):  # another process was quicker
            return None
        last = _read_last(folder)
        if last is not None:
            _require_successor(last, head, folder)
        path = folder / f"{now.astimezone(UTC).strftime(_TIME_FORMAT)}-{size:020}{SUFFIX}"
        # The anchor first: after a crash in between, .last is older than the truth, which refuses nothing wrongly.
        _replace(path, note.encode(), durable=True)
        _replace(folder / ".last", _last_content(head), durable=False, mtime=now.timestamp())
        return path


def require_fit(directory: Path, ledger: str, head: Callable[[], checkpoint.Checkpoint | None]) -> None:
    """Raise AnchorConflictError if `write` would for a ledger that stands where `head` says; None is not judged.

    `head` is asked after the anchor was read: of others that append meanwhile the anchor must not be the later one.
    """
    folder = directory / ledger
    last = _read_last(folder) if folder.is_dir() else None
    if last is not None and (stands := head()) is not None:
        _require_successor(last, stands, folder)


def read_all(path: Path) -> list[Anchor]:
    """Return the anchors of a file, of one ledger's directory or of the whole directory, by ledger and time.

    Files of other names are passed over; a file that is named as a checkpoint and is none, or of another size than
    its name says, raises BadCheckpointError with its path.
    """
    if not path.is_dir():
        return [_read(path)]
    files = [*path.glob(f"*{SUFFIX}"), *path.glob(f"*/*{SUFFIX}")]
    return [_read(file) for file in sorted(files) if _is_anchor(file.name)]


def read_recent(path: Path, sizes: int = RECENT_SIZES) -> list[Anchor]:
    """Return what `read_all` does, but of the anchors that `write` named only each ledger's newest `sizes` sizes.

    One anchor is read of each size, the newest: an idle ledger's are all of one. A year of minutes is half a million
    files a ledger, which a verification every few minutes cannot read; the nightly one does. Raises as `read_all`.
    """
    if not path.is_dir():
        return [_read(path)]
    chosen: list[Path] = []
    for folder in [path, *(entry for entry in path.iterdir() if entry.is_dir())]:
        by_size: dict[str, str] = {}
        for file in sorted(
            entry.name for entry in os.scandir(folder)
        ):  # by time, so that of each size the newest stays
            name = _NAME.fullmatch(file)
            if name is not None:
                by_size[name["size"]] = file
            elif _is_anchor(file):
                chosen.append(folder / file)
        chosen += [folder / by_size[size] for size in sorted(by_size)[-sizes:]]
    return [_read(file) for file in sorted(chosen)]


def newest(directory: Path, ledger: str, *, before: datetime, sizes: int) -> list[Anchor]:
    """Return the last anchors of a ledger that were written before a moment, largest first, one for each tree size.

    Only these are read, of up to `sizes` sizes; the others are known by their names. Raises as `read_all`.
    """
    folder = directory / ledger
    end = before.astimezone(UTC).strftime(_TIME_FORMAT)
    named = (_NAME.fullmatch(entry.name) for entry in os.scandir(folder)) if folder.is_dir() else ()
    by_size: dict[str, str] = {}
    for name in sorted((name for name in named if name is not None and name["written_at"] < end), key=_when):
        by_size[name["size"]] = name.string
    return [_read(folder / by_size[size]) for size in sorted(by_size, reverse=True)[:sizes]]


def _is_anchor(name: str) -> bool:
    return name.endswith(SUFFIX) and not name.startswith(".")


def _when(name: re.Match[str]) -> str:
    return name["written_at"]


def _read(path: Path) -> Anchor:
    try:
        note = path.read_bytes().decode()
        head = checkpoint.parse(note).checkpoint
    except UnicodeDecodeError as error:
        raise BadCheckpointError(f"{path}: not UTF-8") from error
    except BadCheckpointError as error:
        raise BadCheckpointError(f"{path}: {error}") from error
    name = _NAME.fullmatch(path.name)
    if name is None:
        return Anchor(None, path, None, note)
    if int(name["size"]) != head.size:
        raise BadCheckpointError(f"{path}: the checkpoint is of {head.size} leaves, the name says {name['size']}")
    try:
        written_at = datetime.strptime(name["written_at"], _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError as error:
        raise BadCheckpointError(f"{path}: the name holds no date") from error
    folder = path.absolute().parent.name
    return Anchor(folder if _LEDGER.fullmatch(folder) else None, path, written_at, note)


def _require_successor(last: _Last, head: checkpoint.Checkpoint, folder: Path) -> None:
    if last.size < head.size or (last.size == head.size and last.root == head.root):
        return
    if last.size > head.size:
        finding = f"{last.size} leaves are anchored in {folder}, the database has {head.size}"
    else:
        finding = f"another tree of {last.size} leaves is anchored in {folder}"
    raise AnchorConflictError(
        f"{finding}: the database was rolled back or rebuilt. Stop writing, keep both as evidence and run "
        "`manage.py verify --anchor`; if a backup was restored on purpose, say so in the records and give the "
        "ledger a new anchor directory.",
        anchored_size=last.size,
    )


def _is_fresh(folder: str, now: datetime) -> bool:
    """Say whether an anchor was written within a second of `now`, on either side: processes come out of order."""
    try:
        written_at = os.stat(f"{folder}/.last").st_mtime  # noqa: PTH116 the objects of a path take longer than this
    except FileNotFoundError:
        return False
    return abs(now.timestamp() - written_at) < MIN_INTERVAL_SECONDS


def _read_last(folder: Path) -> _Last | None:
    """Return the newest anchor from .last, or from the files if .last is missing or was cut off by a power cut."""
    try:
        content = json.loads((folder / ".last").read_bytes())
        return _Last(int(content["size"]), bytes.fromhex(content["root"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        names = [entry.name for entry in os.scandir(folder) if _NAME.fullmatch(entry.name)]
    if not names:
        return None
    newest = max(names, key=lambda name: name.partition("-")[2])  # by size: the clock may have gone back
    head = checkpoint.parse(_read(folder / newest).note).checkpoint
    return _Last(head.size, head.root)


def _last_content(head: checkpoint.Checkpoint) -> bytes:
    return json.dumps({"size": head.size, "root": head.root.hex()}).encode()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the ledger's anchor lock. The kernel lets it go when the process dies."""
    with (folder / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(path: Path, content: bytes, *, durable: bool, mtime: float | None = None) -> None:
    """Put a file in place, whole or not at all. Called under the lock, so the name of the draft is free."""
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)  # left by a crash
    with draft.open("xb") as file:
        file.write(content)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    if mtime is not None:
        os.utime(draft, (mtime, mtime))
    draft.replace(path)
    if durable:
        _sync_directory(path.parent)


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
