"""What is downloaded of an export: its container, or one file out of it, which lies there as it is. Reads.

Whoever takes a file sees the entries in it, which is noted for the record of his access (activity/disclosures.py).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from django.http import StreamingHttpResponse

from activity import disclosures
from exports import files, names, render_csv, render_json, render_ndjson
from exports.container import open_container
from exports.errors import BadContainerError, ExportRefusedError
from signing.merkle import HASH_SIZE, TILE_WIDTH
from signing.models import Ledger
from signing.queries import tile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exports.container import Container
    from exports.models import Export

CONTAINER_TYPE = "application/vnd.etsi.asic-e+zip"
_LOST = (
    "its file is not in the storage any more as it was made: tell whoever runs the server that it was lost or changed "
    "there, and order the same again; a copy of it that somebody has is right if its SHA-256 is {}"
)
_WITH_ENTRIES = frozenset({render_csv.NAME, render_json.NAME, render_ndjson.NAME, names.REPORT})


@dataclass(frozen=True, slots=True)
class Download:
    """A file on its way: name, media type, size and bytes."""

    name: str
    media_type: str
    size: int
    pieces: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Inside:
    """A file inside a container."""

    name: str
    size: int


def contents(export: Export) -> list[Inside]:
    """Return the files inside the container of an export that is ready. Raises ExportRefusedError if it is gone."""
    with _opened(export) as container:
        return [Inside(name, container.size(name)) for name in container.files]


def open_download(export: Export, name: str = "") -> Download:
    """Return the container, or the file of that name inside. Raises ExportRefusedError for what is not there."""
    whole = export.file.rpartition("/")[2]
    with _opened(export) as container:
        if not name:
            return Download(whole, CONTAINER_TYPE, export.file_size, files.pieces([export.file]))
        if name not in container.files:
            raise ExportRefusedError(f"there is no file {name!r} in it; there are: {', '.join(container.files)}")
        size, media_type = container.size(name), container.files[name][0]
    return Download(f"{export.pk}-{name.rpartition('/')[2]}", media_type, size, _inside(export.file, name))


def note_taken(export: Export, name: str = "") -> None:
    """Note which entries go out with the container, or with the file of that name inside."""
    ledger = export.ledger
    if ledger.kind != Ledger.Kind.ACTIVITY or (name and name not in _WITH_ENTRIES):
        return
    disclosures.note_size(ledger.name, export.size)
    read = lru_cache(maxsize=1)(partial(tile, ledger, 0))
    for runs in export.parts.order_by("number").values_list("leaves", flat=True).iterator():
        for first, last in runs:
            for begin in range(first - first % TILE_WIDTH, last + 1, TILE_WIDTH):
                leaf, end = max(first, begin), min(last + 1, begin + TILE_WIDTH)
                hashes = read(begin // TILE_WIDTH)[(leaf - begin) * HASH_SIZE : (end - begin) * HASH_SIZE]
                disclosures.note_entries(ledger.name, leaf, hashes)


@contextmanager
def _opened(export: Export) -> Iterator[Container]:
    """Give the container of an export. Raises ExportRefusedError if the storage has it not, or not as it was made."""
    try:
        stored = files.open_stored(export.file)
    except OSError as error:
        raise ExportRefusedError(_LOST.format(export.file_sha256)) from error
    with stored:
        try:
            container = open_container(stored)
        except BadContainerError as error:
            raise ExportRefusedError(_LOST.format(export.file_sha256)) from error
        yield container


def _inside(file: str, name: str) -> Iterator[bytes]:
    with files.open_stored(file) as stored:
        yield from open_container(stored).pieces(name)


def as_attachment(taken: Download) -> StreamingHttpResponse:
    """Return the answer that is saved as a file, whatever is in it."""
    response = StreamingHttpResponse(taken.pieces, content_type=taken.media_type)
    response["Content-Length"] = str(taken.size)
    response["Content-Disposition"] = f'attachment; filename="{taken.name}"'
    response["Cache-Control"] = "private, no-store"
    return response
