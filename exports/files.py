"""Where the files of exports lie: Django's storage of the alias `exports`, a directory or a bucket."""

from __future__ import annotations

import os
from io import BufferedReader
from typing import TYPE_CHECKING

from django.core.files import File
from django.core.files.storage import storages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    _File = File[bytes]
else:
    _File = File

STORAGE = "exports"
CHUNK = 1 << 20


class _Finished(_File):
    """A file that is written to its end, and may be moved instead of copied."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("rb"), path.name)
        self._path = path

    def temporary_file_path(self) -> str:
        """Return where it lies; a storage on the same disk renames it."""
        return str(self._path)


def store(name: str, path: Path) -> str:
    """Store a finished file in place of one of that name; return the name that it has there."""
    storage = storages[STORAGE]
    storage.delete(name)
    with _Finished(path) as content:
        return storage.save(name, content)


def open_stored(name: str) -> _File:
    """Open a stored file for reading."""
    return storages[STORAGE].open(name, "rb")


def pieces(names: Iterable[str], separator: bytes = b"", *, last: bool = False) -> Iterator[bytes]:
    """Yield the bytes of stored files one after another, `separator` between those that are not empty.

    `last` says that nobody reads them again: what is written next may take the memory in which the system keeps them.
    """
    began = False
    for name in names:
        with open_stored(name) as stored:
            first = True
            while piece := stored.read(CHUNK):
                if first and began and separator:
                    yield separator
                first, began = False, True
                yield piece
            if last and isinstance(stored.file, BufferedReader) and hasattr(os, "posix_fadvise"):
                os.posix_fadvise(stored.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def remove(names: Iterable[str]) -> None:
    """Remove stored files; one that is gone already is no matter."""
    for name in names:
        storages[STORAGE].delete(name)
