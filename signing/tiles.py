"""Tile addresses and entry bundles of a ledger that is published as static files. Pure.

    tile/<level>/<index>[.p/<width>]      hashes of one tile; level 0 holds leaf hashes
    tile/entries/<index>[.p/<width>]      the records under a level-0 tile

    <index>  groups of three digits, all but the last behind an x: 1234067 is x001/x234/067
    <width>  1 to 255, of a partial tile only; a full tile has 256
    bundle   for each record: its length as two big-endian bytes, then the record

Source: https://c2sp.org/tlog-tiles. What lies in the tiles is ledger.py's business.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from signing.errors import BadTileError

TILE_WIDTH = 256
MAX_LEVEL = 63
MAX_RECORD_SIZE = 65_535
ENTRIES: Literal["entries"] = "entries"

Level = int | Literal["entries"]

_LENGTH_SIZE = 2
_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class TilePath:
    """What a tile path names. `level` is "entries" for a bundle of records."""

    level: Level
    index: int
    width: int = TILE_WIDTH


def tile_path(level: Level, index: int, width: int = TILE_WIDTH) -> str:
    """Return the path below the ledger's address, without a slash in front. ValueError outside the specification."""
    if (level != ENTRIES and not 0 <= level <= MAX_LEVEL) or index < 0 or not 1 <= width <= TILE_WIDTH:
        raise ValueError(f"no tile has level {level}, index {index} and width {width}")
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03}")
    partial = f".p/{width}" if width != TILE_WIDTH else ""
    return f"tile/{level}/{'/'.join(reversed(groups))}{partial}"


def parse_tile_path(path: str) -> TilePath:
    """Return what the path names. Raises BadTileError unless it is the one spelling that `tile_path` gives."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise BadTileError("not the path of a tile")
    level: Level = ENTRIES if match["level"] == ENTRIES else int(match["level"])
    tile = TilePath(level, int(re.sub("[x/]", "", match["index"])), int(match["width"] or TILE_WIDTH))
    try:
        canonical = tile_path(tile.level, tile.index, tile.width)
    except ValueError as error:
        raise BadTileError(str(error)) from error
    if canonical != path:
        raise BadTileError(f"the tile's path is {canonical}")
    return tile


def encode_bundle(records: Iterable[bytes]) -> bytes:
    """Return the entry bundle of up to 256 records. ValueError for more, or for a record over 65,535 bytes."""
    parts: list[bytes] = []
    for record in records:
        if len(record) > MAX_RECORD_SIZE:
            raise ValueError(f"a record of {len(record)} bytes does not fit into an entry bundle")
        parts += (len(record).to_bytes(_LENGTH_SIZE, "big"), record)
    if len(parts) > 2 * TILE_WIDTH:
        raise ValueError(f"an entry bundle has at most {TILE_WIDTH} records")
    return b"".join(parts)


def decode_bundle(bundle: bytes) -> list[bytes]:
    """Return the records of an entry bundle. Raises BadTileError if it is cut off or holds more than 256."""
    records: list[bytes] = []
    position = 0
    while position < len(bundle):
        start = position + _LENGTH_SIZE
        position = start + int.from_bytes(bundle[position:start], "big")
        if position > len(bundle):
            raise BadTileError(f"the entry bundle is cut off in record {len(records)}")
        records.append(bundle[start:position])
    if len(records) > TILE_WIDTH:
        raise BadTileError(f"an entry bundle has at most {TILE_WIDTH} records")
    return records
