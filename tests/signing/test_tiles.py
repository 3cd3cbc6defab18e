"""signing/tiles.py against another implementation of C2SP tlog-tiles, and against malformed input."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import merkle
from signing.errors import BadTileError
from signing.tiles import ENTRIES, Level, TilePath, decode_bundle, encode_bundle, parse_tile_path, tile_path

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "tlog.json").read_text())
RECORDS = [b'{"record":%d}' % index for index in range(VECTORS["size"])]

LEVELS = st.one_of(st.integers(0, 63), st.just(ENTRIES))


@pytest.mark.parametrize(("level", "index", "width", "path"), VECTORS["tile_paths"])
def test_paths_are_those_of_another_implementation(level: Level, index: int, width: int, path: str) -> None:
    assert tile_path(level, index, width) == path
    assert parse_tile_path(path) == TilePath(level, index, width)


@given(LEVELS, st.integers(0, 10**15), st.integers(1, 256))
def test_a_path_leads_back_to_its_tile(level: Level, index: int, width: int) -> None:
    assert parse_tile_path(tile_path(level, index, width)) == TilePath(level, index, width)


@pytest.mark.parametrize(
    ("level", "index", "width"), [(-1, 0, 256), (64, 0, 256), (0, -1, 256), (0, 0, 0), (0, 0, 257), (ENTRIES, -1, 1)]
)
def test_a_tile_outside_the_specification_has_no_path(level: Level, index: int, width: int) -> None:
    with pytest.raises(ValueError, match="no tile"):
        tile_path(level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/99/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/x001/x002",
        "tile/0/X001/002",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/data/000",
        "tile/entries/x000/000",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/000\n",
        "tile/0/../000",
        "tile/0/\u0660\u0660\u0660",
        "tile/\u0663/000",
        "tile/0/" + "x999/" * 100 + "999",
    ],
)
def test_no_other_spelling_is_a_path(path: str) -> None:
    with pytest.raises(BadTileError):
        parse_tile_path(path)


def test_leaf_tiles_and_bundles_are_byte_for_byte_those_of_another_implementation() -> None:
    made = {
        tile_path(0, 0): b"".join(map(merkle.leaf_hash, RECORDS[:256])),
        tile_path(0, 1, 44): b"".join(map(merkle.leaf_hash, RECORDS[256:])),
        tile_path(1, 0, 1): merkle.tile_root(b"".join(map(merkle.leaf_hash, RECORDS[:256]))),
        tile_path(ENTRIES, 0): encode_bundle(RECORDS[:256]),
        tile_path(ENTRIES, 1, 44): encode_bundle(RECORDS[256:]),
    }
    assert {path: hashlib.sha256(data).hexdigest() for path, data in made.items()} == VECTORS["tiles"]


def test_a_bundle_is_that_of_another_implementation() -> None:
    records = [*RECORDS[:3], b""]
    assert encode_bundle(records) == base64.b64decode(VECTORS["bundle"])
    assert decode_bundle(base64.b64decode(VECTORS["bundle"])) == records


@given(st.lists(st.binary(max_size=300), max_size=256))
def test_the_records_of_a_bundle_come_back(records: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(records)) == records


def test_the_largest_record_fits() -> None:
    record = bytes(65_535)
    assert decode_bundle(encode_bundle([record, b"next"])) == [record, b"next"]


def test_a_larger_record_does_not_fit() -> None:
    with pytest.raises(ValueError, match="65536 bytes"):
        encode_bundle([bytes(65_536)])


def test_a_bundle_holds_no_more_than_256_records() -> None:
    assert len(decode_bundle(encode_bundle([b"r"] * 256))) == 256
    with pytest.raises(ValueError, match="at most 256"):
        encode_bundle([b"r"] * 257)
    with pytest.raises(BadTileError, match="at most 256"):
        decode_bundle(b"\x00\x01r" * 257)


def test_a_bundle_that_is_cut_off_is_refused_wherever_it_is_cut() -> None:
    bundle = encode_bundle([b"first", b"second"])
    assert decode_bundle(bundle) == [b"first", b"second"]
    whole_records = {0, len(b"\x00\x05first"), len(bundle)}
    for length in set(range(len(bundle))) - whole_records:
        with pytest.raises(BadTileError, match="cut off"):
            decode_bundle(bundle[:length])
