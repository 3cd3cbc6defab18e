"""The pieces joined into one PDF/A-3 file, with its data embedded. Pure: paths in, a file out.

PDF/A is ISO 19005-3, level U: every character can be read back as text. Joining drops what belongs to a document as a
whole, so it is set here, after it: XMP metadata, output intent (sRGB), language, identifier, associated files (/AF).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    BooleanObject,
    ByteStringObject,
    DecodedStreamObject,
    DictionaryObject,
    IndirectObject,
    NameObject,
    NumberObject,
    PdfObject,
    StreamObject,
    TextStringObject,
)

from exports.errors import ReportError
from exports.report.markup import fill

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from exports.report.front import Attachment

_IDENTIFIER_BYTES = 16


def join(
    pieces: Sequence[Path], *, title: str, software: str, made_at: datetime, attachments: Sequence[Attachment], to: Path
) -> int:
    """Write one file with the pages of all pieces in order, and return their number."""
    writer = PdfWriter()
    writer.metadata = None  # XMP says it, and a second place could say something else
    for piece in pieces:
        reader = PdfReader(piece)
        if not writer.pages:
            _set(writer.root_object, OutputIntents=reader.root_object.raw_get("/OutputIntents").clone(writer))
        for page in reader.pages:
            writer.add_page(page)
    if not writer.pages:
        raise ReportError("a report without pages")
    preferences = DictionaryObject()
    _set(preferences, DisplayDocTitle=BooleanObject(value=True))
    _set(writer.root_object, Lang=TextStringObject("en"), ViewerPreferences=preferences)
    _set(writer.root_object, Metadata=_metadata(writer, title, software, made_at))
    _attach(writer, attachments, made_at)
    identifier = _identifier(pieces, attachments)
    writer._ID = ArrayObject([identifier, identifier])  # noqa: SLF001 pypdf can only make a random one
    with to.open("wb") as file:
        writer.write(file)
    return len(writer.pages)


def _set(dictionary: DictionaryObject, **values: PdfObject | str) -> None:
    """Set entries; a str is a name."""
    for key, value in values.items():
        dictionary[NameObject(f"/{key}")] = NameObject(f"/{value}") if type(value) is str else value


def _metadata(writer: PdfWriter, title: str, software: str, made_at: datetime) -> IndirectObject:
    stream = DecodedStreamObject()
    xmp = fill("metadata.xml", title=title, software=software, made_at=made_at.isoformat(timespec="seconds"))
    stream.set_data(xmp.encode())
    _set(stream, Type="Metadata", Subtype="XML")
    return writer._add_object(stream)  # noqa: SLF001 pypdf has no public way to add an object of one's own


def _attach(writer: PdfWriter, attachments: Sequence[Attachment], made_at: datetime) -> None:
    names, associated = ArrayObject(), ArrayObject()
    for attachment in sorted(attachments, key=lambda attachment: attachment.name):
        specification = _specification(writer, attachment, made_at)
        names += [TextStringObject(attachment.name), specification]
        associated.append(specification)
    tree, files = DictionaryObject(), DictionaryObject()
    _set(tree, Names=names)
    _set(files, EmbeddedFiles=tree)
    _set(writer.root_object, Names=files, AF=associated)


def _specification(writer: PdfWriter, attachment: Attachment, made_at: datetime) -> IndirectObject:
    plain = DecodedStreamObject()
    plain.set_data(attachment.content)
    parameters = DictionaryObject()
    _set(
        parameters,
        Size=NumberObject(len(attachment.content)),
        ModDate=TextStringObject(made_at.strftime("D:%Y%m%d%H%M%S+00'00'")),
    )
    stream: StreamObject = plain.flate_encode(9)
    _set(stream, Type="EmbeddedFile", Subtype=attachment.media_type, Params=parameters)
    reference = writer._add_object(stream)  # noqa: SLF001 as above
    embedded, specification = DictionaryObject(), DictionaryObject()
    _set(embedded, F=reference, UF=reference)
    name = TextStringObject(attachment.name)
    _set(specification, Type="Filespec", F=name, UF=name, EF=embedded, AFRelationship=attachment.relationship)
    _set(specification, Desc=TextStringObject(attachment.description))
    return writer._add_object(specification)  # noqa: SLF001 as above


def _identifier(pieces: Sequence[Path], attachments: Sequence[Attachment]) -> ByteStringObject:
    digest = sha256()
    for piece in pieces:
        digest.update(sha256(piece.read_bytes()).digest())
    for attachment in attachments:
        digest.update(sha256(attachment.content).digest())
    return ByteStringObject(digest.digest()[:_IDENTIFIER_BYTES])
