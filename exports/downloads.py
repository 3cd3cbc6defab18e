"""What is downloaded of an export: its container, or one file out of it, which lies there as it is. Reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.http import StreamingHttpResponse

from exports import files
from exports.container import open_container
from exports.errors import ExportRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exports.models import Export

CONTAINER_TYPE = "application/vnd.etsi.asic-e+zip"


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
    """Return the files inside the container of an export that is ready."""
    with files.open_stored(export.file) as stored:
        container = open_container(stored)
        return [Inside(name, container.size(name)) for name in container.files]


def open_download(export: Export, name: str = "") -> Download:
    """Return the container, or the file of that name inside. Raises ExportRefusedError for a name that is not there."""
    whole = export.file.rpartition("/")[2]
    if not name:
        return Download(whole, CONTAINER_TYPE, export.file_size, files.pieces([export.file]))
    with files.open_stored(export.file) as stored:
        container = open_container(stored)
        if name not in container.files:
            raise ExportRefusedError(f"there is no file {name!r} in it; there are: {', '.join(container.files)}")
        size, media_type = container.size(name), container.files[name][0]
    return Download(f"{export.pk}-{name.rpartition('/')[2]}", media_type, size, _inside(export.file, name))


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
