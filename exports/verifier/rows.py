"""Rows of exported data, in any of the formats: what each says, and whether its signature and its data are right.

A batch of rows is looked at as a whole, so that large exports are shared among processes. Pure.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from exports import access_records, render_accesses_csv, render_csv, render_json, render_ndjson
from exports.claim_words import MAY_DIFFER
from exports.errors import BadRowError
from exports.render_ndjson import SOUND
from exports.verifier.pins import entry_keys
from signing import jws
from signing.merkle import leaf_hash
from signing.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from exports.rows import ExportedEntry
    from exports.verifier.pins import EntryKey

MAX_LINE = 64 * 1024 * 1024
BATCH = 1024
_ID, _KID, _DATA = b',"id":"', b',"kid":', b',"data'


@dataclass(slots=True)
class Examined:
    """What a batch of rows showed."""

    leaves: list[tuple[int, bytes, bool]] = field(default_factory=list)
    records: bytes = b""  # each with a newline
    rendered: dict[str, bytes] = field(default_factory=dict)
    verdicts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    right: Counter[str] = field(default_factory=Counter)  # signatures, by key
    unknown_keys: Counter[str] = field(default_factory=Counter)


class Examiner:
    """Looks at batches of rows of one format. Can be sent to another process: it is made of bytes and names."""

    def __init__(self, source: str, others: tuple[str, ...], jwks: bytes, ledger: str | None) -> None:
        self._source = source
        self._others = others
        self._jwks = jwks
        self._ledger = ledger
        self._keys: dict[str, EntryKey] | None = None

    def __getstate__(self) -> tuple[str, tuple[str, ...], bytes, str | None]:
        return self._source, self._others, self._jwks, self._ledger

    def __setstate__(self, state: tuple[str, tuple[str, ...], bytes, str | None]) -> None:
        self._source, self._others, self._jwks, self._ledger = state
        self._keys = None

    def __call__(self, batch: list[bytes]) -> Examined:
        """Return what the rows of a batch show. Raises BadRowError for what is none."""
        if self._keys is None:
            self._keys = entry_keys(self._jwks)
        entries = [self._parsed(row) for row in batch]
        seen = Examined(
            leaves=[(entry.leaf_index, leaf_hash(entry.record), entry.verdict in MAY_DIFFER) for entry in entries],
            records=b"".join([entry.record + b"\n" for entry in entries]),
            rendered={name: _rendered(name, entries) for name in (self._source, *self._others)},
            verdicts=Counter(str(entry.verdict) for entry in entries),
        )
        for entry in entries:
            fault = self._fault(entry, self._keys, seen) if entry.verdict in SOUND else None
            if fault is not None:
                seen.faults.append(f"leaf {entry.leaf_index}: {fault}")
        return seen

    def _parsed(self, row: bytes) -> ExportedEntry:
        table = _TABLES.get(self._source)
        if table is None:
            return render_ndjson.parse_row(row)
        (cells,) = csv.reader([row.decode()], strict=True) if b"\n" not in row else [[]]
        if len(cells) != len(table.COLUMNS):
            raise BadRowError(f"a row has not {len(table.COLUMNS)} cells")
        entry: ExportedEntry = table.parse_row(dict(zip(table.COLUMNS, cells, strict=True)))
        return entry

    def _fault(self, entry: ExportedEntry, keys: Mapping[str, EntryKey], seen: Examined) -> str | None:
        """Say what is wrong with an entry, or access, that is exported as right, or None."""
        if access_records.is_access(entry.record):
            return _access_fault(entry, self._ledger)
        at = entry.record.rfind(_ID)
        start = entry.record.find(_DATA)
        if at < 0 or start < 0:
            return "its record is not one of an entry"
        members = entry.record[at:]  # flat texts, none of which holds an unescaped quotation mark
        if self._ledger is not None and b',"ledger":%b,' % json.dumps(self._ledger).encode() not in members:
            return "its record is of another ledger"
        return _data_fault(entry, start) or self._signature_fault(entry, members, keys, seen)

    def _signature_fault(  # noqa: PLR0911 one return a reason
        self, entry: ExportedEntry, members: bytes, keys: Mapping[str, EntryKey], seen: Examined
    ) -> str | None:
        if entry.key_id is None or entry.verdict == Verdict.UNSIGNED:
            if entry.key_id is not None or entry.signature is not None or _KID in members:
                return "it stands here as unsigned, and names a key or has a signature"
            return None if entry.verdict == Verdict.UNSIGNED else "it stands here as valid, and is unsigned"
        if _KID + json.dumps(entry.key_id, ensure_ascii=False).encode() + b"," not in members:
            return "its record names another key"
        if entry.signature is None:
            return "its signature is gone"
        key = keys.get(entry.key_id)
        if key is None:
            seen.unknown_keys[entry.key_id] += 1
            return None
        message = jws.signing_input(jws.protected(key.algorithm, entry.key_id), entry.record)
        if not key.verify(entry.signature, message):
            return f"its signature is not that of {entry.key_id} over its record"
        seen.right[entry.key_id] += 1
        return None


RENDERERS = {module.NAME: module for module in (render_ndjson, render_csv, render_accesses_csv, render_json)}
_TABLES = {module.NAME: module for module in (render_csv, render_accesses_csv)}


def _access_fault(entry: ExportedEntry, ledger: str | None) -> str | None:
    if entry.verdict != Verdict.UNSIGNED or (entry.key_id, entry.signature, entry.detached_data) != (None, None, None):
        return "nobody signs the record of an access, and nothing lies beside it"
    return access_records.fault(entry.record, ledger)


def _rendered(name: str, entries: list[ExportedEntry]) -> bytes:
    try:
        rows: bytes = RENDERERS[name].rows(entries)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        # What is exported as right is taken apart without a look; only a forged row does not come apart.
        raise BadRowError("a record that is exported as right is not one of an entry") from error
    return rows


def _data_fault(entry: ExportedEntry, start: int) -> str | None:
    if entry.record.startswith(b',"data":', start):
        return None if entry.detached_data is None else "data lies beside a record that has its data inside"
    data = entry.detached_data or b""
    wanted = b',"data_sha256":"%b","data_size":%d,' % (sha256(data).hexdigest().encode(), len(data))
    return None if entry.record.startswith(wanted, start) else "the data beside it is not what its record says"


def split(source: str, pieces: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield the rows of a file in batches, without line ends, headers and footers. Raises BadRowError."""
    table = _TABLES.get(source)
    lines = _lines(pieces, b"\n" if table is None else b"\r\n")
    if table is not None:
        _require(next(lines, b"") + b"\r\n" == table.header(), "the header is not that of this format")
    elif source == render_json.NAME:
        _require(next(lines, b"") + b"\n" == render_json.header(), "the document does not begin as this format does")
        lines = _json_rows(lines)
    batch: list[bytes] = []
    for line in lines:
        batch.append(line)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _json_rows(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        if not line:  # the empty line that the footer begins with where there is no row
            continue
        if line.startswith(b'],"claim":'):
            return
        yield line.removesuffix(b",")
    raise BadRowError("the document is cut off")


def _lines(pieces: Iterable[bytes], end: bytes) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(end)
        yield from lines
        _require(len(rest) <= MAX_LINE, f"a line is longer than {MAX_LINE:,} bytes")
    _require(not rest, "the last line is cut off")


def _require(right: bool, otherwise: str) -> None:  # noqa: FBT001 -- a condition and what it means
    if not right:
        raise BadRowError(otherwise)
