"""The container: strangers open it, and nothing in it is outside the signature."""

import io
import random
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from exports import container
from exports.container import MANIFEST_XML, MIMETYPE, SIGNATURE, Member, open_container, write_container
from exports.errors import BadContainerError
from tests.exports.altered import zipped

FILES = {"entries.csv": b"a,b\r\n", "manifest.json": b"{}\n", "proofs/entries.multiproof": b"end\n", "empty.txt": b""}
MEMBERS = [Member.of(name, "text/plain", content) for name, content in FILES.items()]


def packed(members: list[Member] = MEMBERS) -> bytes:
    target = io.BytesIO()
    write_container(target, members, lambda digest: b"signature over " + digest)
    return target.getvalue()


def opened(raw: bytes) -> container.Container:
    return open_container(io.BytesIO(raw))


def contents(raw: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def test_what_was_put_in_comes_out() -> None:
    found = opened(packed())
    assert {name: found.read(name) for name in found.files} == FILES
    assert found.signature == b"signature over " + sha256(found.xml).digest()
    assert all(map(found.check_sums, found.files))


def test_strangers_open_it(tmp_path: Path) -> None:
    raw = packed()
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["mimetype", *FILES, MANIFEST_XML, SIGNATURE]
        assert archive.infolist()[0].compress_type == zipfile.ZIP_STORED
    assert raw[38 : 38 + len(MIMETYPE)] == MIMETYPE  # where `file` and ASiC readers look for it
    (tmp_path / "one.asice").write_bytes(raw)
    if unzip := shutil.which("unzip"):
        subprocess.run([unzip, "-tq", tmp_path / "one.asice"], check=True, capture_output=True)


def test_a_file_of_our_own_zip_spelling_is_taken() -> None:
    assert opened(zipped(contents(packed()))).files.keys() == FILES.keys()


def test_every_flipped_byte_is_noticed() -> None:
    raw = packed()
    generator = random.Random(7)
    right = opened(raw)
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1 << generator.randrange(8)
        try:
            found = opened(bytes(changed))
        except BadContainerError:
            continue
        intact = found.xml == right.xml and found.signature == right.signature
        assert not (intact and all(map(found.check_sums, found.files))), place


@pytest.mark.parametrize("cut", [0, 1, 30, 100, -1, -22])
def test_a_cut_or_grown_archive_is_refused(cut: int) -> None:
    raw = packed()
    with pytest.raises(BadContainerError):
        opened(raw[:cut])
    with pytest.raises(BadContainerError, match=r"follows|begins"):
        opened(raw + b"x")


def replaced(change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]) -> bytes:
    return zipped(change(contents(packed())))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (lambda: replaced(lambda files: files[1:]), "mimetype"),
        (lambda: replaced(lambda files: [("mimetype", b"application/zip"), *files[1:]]), "mimetype"),
        (lambda: replaced(lambda files: [files[0], ("../evil", b""), *files[1:]]), "not the name"),
        (lambda: replaced(lambda files: [files[0], ("/etc/passwd", b""), *files[1:]]), "not the name"),
        (lambda: replaced(lambda files: [files[0], ("a\\b", b""), *files[1:]]), "not the name|header"),
        (lambda: replaced(lambda files: [files[0], ("META-INF/other.xml", b""), *files[1:]]), "not the name"),
        (lambda: replaced(lambda files: [files[0], ("extra.txt", b""), *files[1:]]), "not those"),
        (lambda: replaced(lambda files: [files[0], *files[2:]]), "not those"),
        (lambda: replaced(lambda files: [files[0], files[2], files[1], *files[3:]]), "not those"),
        (lambda: replaced(lambda files: files[:-1]), "begin with mimetype and end"),
        (lambda: replaced(lambda files: [*files[:-2], files[-1], files[-2]]), "begin with mimetype and end"),
        (lambda: replaced(lambda files: [files[0], (files[1][0], packed()), *files[2:]]), "archive itself"),
        (lambda: replaced(lambda files: [files[0], ("ä.txt", b""), *files[1:]]), "ASCII|header"),
        (lambda: replaced(lambda files: [*files, *[(f"f{n}", b"") for n in range(70)]]), "more than"),
        (lambda: zipped(contents(packed()), zipfile.ZIP_DEFLATED), "compressed"),
        (lambda: zipped(contents(packed()), comment=b"hello"), "directory"),
        (lambda: b"", "not a ZIP"),
        (lambda: b"x" + packed(), "not a ZIP"),
    ],
)
def test_structures_that_are_not_ours_are_refused(raw: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(BadContainerError, match=reason):
        opened(raw())


def test_a_name_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        raw = replaced(lambda files: [*files[:2], *files[1:]])
    with pytest.raises(BadContainerError, match="twice"):
        opened(raw)


@pytest.mark.parametrize(
    "xml",
    [
        b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        b"<!-- x -->",
    ],
)
def test_document_types_and_entities_are_refused(xml: bytes) -> None:
    def change(files: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        return [(name, xml + content if name == MANIFEST_XML else content) for name, content in files]

    with pytest.raises(BadContainerError, match="document type, entity"):
        opened(replaced(change))


def test_a_zip_bomb_is_not_unpacked() -> None:
    bomb = zipped([*contents(packed())[:1], ("entries.csv", b"\0" * 50_000_000)], zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(BadContainerError, match="compressed"):
        opened(bomb)


def test_a_size_beyond_the_file_is_refused() -> None:
    raw = bytearray(packed())
    raw[18:26] = struct.pack("<LL", 2**31, 2**31)
    with pytest.raises(BadContainerError, match="cut off"):
        opened(bytes(raw))


def test_numbers_beyond_32_bits_are_zip64_and_read_by_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    big = [container.Stored("big.bin", 2**32 + 5, 0, 7), container.Stored("small", 3, 2**32 + 100, 9)]
    directory = container._directory(big, 2**32 + 200)

    # A stranger reads it behind a file of that size with holes.
    class Holes(io.BytesIO):
        def __init__(self) -> None:
            super().__init__()
            self.at = 0

        def seekable(self) -> bool:
            return True

        def tell(self) -> int:
            return self.at

        def seek(self, offset: int, whence: int = 0) -> int:
            self.at = offset + (2**32 + 200 + len(directory) if whence == 2 else self.at if whence == 1 else 0)
            return self.at

        def read(self, size: int | None = -1) -> bytes:
            start = self.at - (2**32 + 200)
            end = len(directory) if size is None or size < 0 else start + size
            self.at = end + 2**32 + 200
            return directory[max(start, 0) : end]

    with zipfile.ZipFile(Holes()) as archive:
        assert [(one.filename, one.file_size, one.header_offset) for one in archive.infolist()] == [
            ("big.bin", 2**32 + 5, 0),
            ("small", 3, 2**32 + 100),
        ]
    assert container._local("big.bin", 2**32 + 5, 0)[18:26] == b"\xff" * 8


def test_a_member_that_changes_while_it_is_written_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "entries.csv"
    path.write_bytes(b"before")
    member = Member.of_file("entries.csv", "text/csv", path)
    assert opened(packed([member])).read("entries.csv") == b"before"
    path.write_bytes(b"after!")
    with pytest.raises(ValueError, match="changed"):
        packed([member])


@pytest.mark.parametrize("name", ["mimetype", "META-INF/x", "../x", "a/b/c", "", "x" * 200, "a b"])
def test_names_that_cannot_be_are_the_callers_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="plain names"):
        packed([Member.of(name, "text/plain", b"")])
