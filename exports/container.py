"""The .asice file: data, manifest and proof under one signature. ASiC-E with CAdES (ETSI EN 319 162-1). Pure.

    mimetype                        application/vnd.etsi.asic-e+zip; first, stored
    manifest.json, entries.ndjson, …
    META-INF/ASiCManifest001.xml    name and SHA-256 of every file before it, but not of mimetype
    META-INF/signature001.p7s       detached CMS over that XML

A ZIP archive, but of one spelling: files stored one after another, names in ASCII, the time 1980-01-01, no comment, no
extra field but ZIP64 where a number needs it. `open_container` makes headers, directory and XML again from the names,
sizes and hashes and compares, so nothing in the archive is outside what the signature covers. Whatever else ZIP and XML
can do (compression, encryption, a second directory, paths that climb, document types, entities) is refused unread.
"""

from __future__ import annotations

import re
import struct
import zlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Protocol

from exports.errors import BadContainerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

SUFFIX = ".asice"
MIMETYPE = b"application/vnd.etsi.asic-e+zip"
MIMETYPE_FILE = "mimetype"
MANIFEST_XML = "META-INF/ASiCManifest001.xml"
SIGNATURE = "META-INF/signature001.p7s"
MAX_FILES = 64
MAX_SMALL_FILE = 16 * 1024 * 1024  # of what is read as a whole
_CHUNK = 1 << 20
_LIMIT_32 = 0xFFFFFFFF
_DATE = 0x21  # 1980-01-01
_NAME = re.compile(r"(?:[a-z]{1,20}/)?[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)
_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_END_64 = struct.Struct("<4sQHHLLQQQQ")
_LOCATOR_64 = struct.Struct("<4sLQL")
_NESTED = (b"PK\x03\x04", b"PK\x05\x06")
_XML_FILE = re.compile(
    r'  <asic:DataObjectReference URI="([^"<>&]{1,200})" MimeType="([^"<>&]{1,100})">\n'
    r'    <ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>\n'
    r"    <ds:DigestValue>([A-Za-z0-9+/]{43}=)</ds:DigestValue>\n"
    r"  </asic:DataObjectReference>\n"
)


@dataclass(frozen=True, slots=True)
class Member:
    """A file to be put into a container. `read` gives its bytes in pieces; hash (32 bytes) and CRC are theirs."""

    name: str
    media_type: str
    size: int
    sha256: bytes
    crc: int
    read: Callable[[], Iterable[bytes]]

    @classmethod
    def of(cls, name: str, media_type: str, content: bytes) -> Member:
        """Return a small file that is in memory."""
        sums = Sums()
        sums.add(content)
        return sums.member(name, media_type, lambda: [content])

    @classmethod
    def of_file(cls, name: str, media_type: str, path: Path) -> Member:
        """Return a file on disk; it is read again when the container is written."""
        sums = Sums()
        for piece in _pieces_of(path):
            sums.add(piece)
        return sums.member(name, media_type, lambda: _pieces_of(path))


class Sums:
    """Size, hash and CRC of a file whose bytes come piece by piece."""

    def __init__(self) -> None:
        self._size, self._crc, self._hash = 0, 0, sha256()

    def add(self, piece: bytes) -> None:
        """Go on with these bytes."""
        self._size += len(piece)
        self._crc = zlib.crc32(piece, self._crc)
        self._hash.update(piece)

    def member(self, name: str, media_type: str, read: Callable[[], Iterable[bytes]]) -> Member:
        """Return the file, which `read` gives once more when the container is written."""
        return Member(name, media_type, self._size, self._hash.digest(), self._crc, read)


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in a container: where its bytes lie."""

    name: str
    size: int
    offset: int
    crc: int


class Target(Protocol):
    """Where a container goes."""

    def write(self, piece: bytes, /) -> object:
        """Go on with these bytes."""


def write_container(target: Target, members: Sequence[Member], sign: Callable[[bytes], bytes]) -> None:
    """Write a container; `sign` gets the SHA-256 of the XML manifest and returns the CMS signature.

    Bytes go from `read` to `target` piece by piece, from the first to the last. Raises ValueError for names that a
    container cannot have, and for a file that is not of the size and CRC that its Member names any more.
    """
    names = [member.name for member in members]
    if len(set(names)) != len(names) or not all(map(_is_name, names)):
        raise ValueError(f"files of a container have plain names, each once: {names}")
    xml = _xml((member.name, member.media_type, member.sha256) for member in members)
    last = [Member.of(MANIFEST_XML, "text/xml", xml)]
    last.append(Member.of(SIGNATURE, "application/x-pkcs7-signature", sign(last[0].sha256)))
    stored = []
    offset = 0
    for member in [Member.of("mimetype", "text/plain", MIMETYPE), *members, *last]:
        header = _local(member.name, member.size, member.crc)
        target.write(header)
        _copy(member, target)
        stored.append(Stored(member.name, member.size, offset, member.crc))
        offset += len(header) + member.size
    target.write(_directory(stored, offset))


def _pieces_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while piece := source.read(_CHUNK):
            yield piece


def _copy(member: Member, target: Target) -> None:
    size, crc = 0, 0
    for piece in member.read():
        target.write(piece)
        crc = zlib.crc32(piece, crc)
        size += len(piece)
    if (size, crc) != (member.size, member.crc):
        raise ValueError(f"{member.name} changed while it was put into the container")


class Container:
    """A container that was read: its layout is right, its signature is not looked at yet.

    `files` are those that the XML manifest names, with media type and SHA-256 as it names them.
    """

    def __init__(self, source: IO[bytes], stored: Sequence[Stored]) -> None:
        self._source = source
        self._stored = {one.name: one for one in stored}
        self.xml = self.read(MANIFEST_XML)
        self.signature = self.read(SIGNATURE)
        self.files = parse_list(self.xml)
        if [*self.files] != [one.name for one in stored[1:-2]]:
            raise BadContainerError("the files are not those that its XML manifest names, in that order")

    def size(self, name: str) -> int:
        """Return the size of a file."""
        return self._stored[name].size

    def read(self, name: str) -> bytes:
        """Return a small file. Raises BadContainerError if it is larger than such a file can be."""
        if self.size(name) > MAX_SMALL_FILE:
            raise BadContainerError(f"{name} is larger than {MAX_SMALL_FILE:,} bytes")
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a file in pieces of at most a megabyte."""
        stored = self._stored[name]
        at, end = stored.offset, stored.offset + stored.size
        while at < end:
            self._source.seek(at)
            piece = self._source.read(min(_CHUNK, end - at))
            if not piece:
                raise BadContainerError("it is cut off")
            at += len(piece)
            yield piece

    def check_sums(self, name: str) -> bool:
        """Tell whether the bytes of a file have the SHA-256 that the XML manifest names."""
        digest, crc = sha256(), 0
        for piece in self.pieces(name):
            digest.update(piece)
            crc = zlib.crc32(piece, crc)
        expected = self.files[name][1] if name in self.files else digest.digest()
        return digest.digest() == expected and crc == self._stored[name].crc


def is_container(start: bytes) -> bool:
    """Tell whether a file that begins with these bytes is a ZIP archive."""
    return start.startswith(_NESTED)


def open_container(source: IO[bytes]) -> Container:
    """Return the container in a file that can be sought. Raises BadContainerError naming what is not as it must be.

    1. files lie one after another, stored, with headers of our spelling 2. their directory and the end of the archive
    are those of these files, and nothing follows 3. `mimetype` is first and says ASiC-E 4. names are plain, each once,
    manifest and signature last 5. no file is an archive itself 6. small files are small, CRCs right
    """
    stored, offset = _locals(source)  # 1
    expected = _directory(stored, offset)  # 2
    source.seek(offset)
    if source.read(len(expected) + 1) != expected:
        raise BadContainerError("the directory of the archive is not that of its files, or something follows it")
    names = [one.name for one in stored]
    if len(set(names)) != len(names):  # 4
        raise BadContainerError("a file is in it twice")
    if names[:1] != [MIMETYPE_FILE] or names[-2:] != [MANIFEST_XML, SIGNATURE]:
        raise BadContainerError("it does not begin with mimetype and end with manifest and signature, as ASiC-E does")
    for name in names[1:-2]:
        if not _is_name(name):
            raise BadContainerError(f"{name!r} is not the name of a file that can be in it")
    contents = [Stored(one.name, one.size, one.offset + len(_local(one.name, one.size, 0)), one.crc) for one in stored]
    _require_mimetype(source, contents[0])  # 3
    for one in contents:
        source.seek(one.offset)
        if is_container(source.read(min(4, one.size))):  # 5
            raise BadContainerError(f"{one.name} is an archive itself")
    container = Container(source, contents)
    for name in (MIMETYPE_FILE, MANIFEST_XML, SIGNATURE):  # 6
        if not container.check_sums(name):
            raise BadContainerError(f"the checksum of {name} is wrong")
    return container


def _require_mimetype(source: IO[bytes], stored: Stored) -> None:
    source.seek(stored.offset)
    if stored.size != len(MIMETYPE) or source.read(stored.size) != MIMETYPE:
        raise BadContainerError(f"its mimetype is not {MIMETYPE.decode()}")


def _locals(source: IO[bytes]) -> tuple[list[Stored], int]:
    """Return the files in the order in which they lie, `offset` being that of the header, and where the last ends."""
    end = source.seek(0, 2)
    stored: list[Stored] = []
    offset = 0
    while True:
        source.seek(offset)
        fixed = source.read(_LOCAL.size)
        if fixed[:4] != b"PK\x03\x04":
            break
        if len(stored) == MAX_FILES:
            raise BadContainerError(f"more than {MAX_FILES} files")
        one = _one_local(source, fixed, offset)
        offset += len(_local(one.name, one.size, one.crc)) + one.size
        if offset > end:
            raise BadContainerError("it is cut off")
        stored.append(one)
    if not stored:
        raise BadContainerError("not a ZIP archive that begins with its first file")
    return stored, offset


def _one_local(source: IO[bytes], fixed: bytes, offset: int) -> Stored:
    if len(fixed) < _LOCAL.size:
        raise BadContainerError("it is cut off")
    _, _, flags, method, _, _, crc, _, size, name_length, extra_length = _LOCAL.unpack(fixed)
    if flags & 1:
        raise BadContainerError("a file in it is encrypted")
    if method:
        raise BadContainerError("a file in it is compressed; files of an export are stored")
    name = source.read(min(name_length, 200))
    extra = source.read(min(extra_length, 20))
    if size == _LIMIT_32 and len(extra) == 20:  # noqa: PLR2004 the ZIP64 field: id, length, two sizes
        size = struct.unpack("<HHQQ", extra)[2]
    try:
        stored = Stored(name.decode("ascii"), size, offset, crc)
    except UnicodeDecodeError as error:
        raise BadContainerError("a name in it is not plain ASCII") from error
    if _local(stored.name, size, crc) != fixed + name + extra:
        raise BadContainerError("the header of a file in it is not as our writer makes it")
    return stored


def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and name != MIMETYPE_FILE and not name.lower().startswith("meta-inf")


def _local(name: str, size: int, crc: int) -> bytes:
    extra = b"" if size < _LIMIT_32 else struct.pack("<HHQQ", 1, 16, size, size)
    shown = min(size, _LIMIT_32)
    version = 45 if extra else 20
    raw = name.encode("ascii")
    return _LOCAL.pack(b"PK\x03\x04", version, 0, 0, 0, _DATE, crc, shown, shown, len(raw), len(extra)) + raw + extra


def _central(stored: Stored) -> bytes:
    wide = [stored.size, stored.size] if stored.size >= _LIMIT_32 else []
    wide += [stored.offset] if stored.offset >= _LIMIT_32 else []
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    version = 45 if extra else 20
    size, offset = min(stored.size, _LIMIT_32), min(stored.offset, _LIMIT_32)
    raw = stored.name.encode("ascii")
    fixed = _CENTRAL.pack(
        b"PK\x01\x02",
        version,
        version,
        0,
        0,
        0,
        _DATE,
        stored.crc,
        size,
        size,
        len(raw),
        len(extra),
        0,
        0,
        0,
        0,
        offset,
    )
    return fixed + raw + extra


def _directory(stored: Sequence[Stored], offset: int) -> bytes:
    """Return everything after the last file, which ends at `offset`."""
    entries = b"".join(map(_central, stored))
    count, size, wide = len(stored), len(entries), b""
    if offset >= _LIMIT_32:
        end = _END_64.pack(b"PK\x06\x06", _END_64.size - 12, 45, 45, 0, 0, count, count, size, offset)
        wide = end + _LOCATOR_64.pack(b"PK\x06\x07", 0, offset + size, 1)
    last = _END.pack(b"PK\x05\x06", 0, 0, count, count, size, min(offset, _LIMIT_32), 0)
    return entries + wide + last


def _xml(files: Iterable[tuple[str, str, bytes]]) -> bytes:
    references = "".join(
        f'  <asic:DataObjectReference URI="{name}" MimeType="{media_type}">\n'
        '    <ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>\n'
        f"    <ds:DigestValue>{b64encode(digest).decode()}</ds:DigestValue>\n"
        "  </asic:DataObjectReference>\n"
        for name, media_type, digest in files
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<asic:ASiCManifest xmlns:asic="http://uri.etsi.org/02918/v1.2.1#" '
        'xmlns:ds="http://www.w3.org/2000/09/xmldsig#">\n'
        f'  <asic:SigReference URI="{SIGNATURE}" MimeType="application/x-pkcs7-signature"/>\n'
        f"{references}"
        "</asic:ASiCManifest>\n"
    ).encode()


def parse_list(raw: bytes) -> dict[str, tuple[str, bytes]]:
    """Return media type and SHA-256 by name of the files that the XML manifest names. Raises BadContainerError.

    No XML parser reads it: it has one spelling, or it is refused.
    """
    if b"<!" in raw:
        raise BadContainerError("its XML manifest has a document type, entity or comment")
    found = [(match[1], match[2], b64decode(match[3])) for match in _XML_FILE.finditer(raw.decode("utf-8", "replace"))]
    if _xml(found) != raw:
        raise BadContainerError("its XML manifest is not in the one spelling of this format")
    files = {name: (media_type, digest) for name, media_type, digest in found}
    if len(files) != len(found):
        raise BadContainerError("its XML manifest names a file twice")
    return files
