"""The spans of a part: its records again, without a look at the lines between them."""

import io

import pytest

from exports import render_ndjson, spans
from exports.errors import BadRowError
from signing.verdicts import Verdict
from tests.exports.exported import entry

ENTRIES = [
    entry(0),
    entry(1)._replace(record=b"no record\nof one line", verdict=Verdict.TAMPERED, reason="not the leaf"),
    entry(2)._replace(record=b"", verdict=Verdict.MISSING, reason="gone"),
    entry(2)._replace(record=b'{"an":\r"object"}', verdict=Verdict.TAMPERED, reason='","leaf_index":'),
    *(entry(number, data={"text": "x" * 1_500}) for number in range(3, 900)),
    entry(900, data={"text": "ä" * 70_000}),
]
LINES = [render_ndjson.row(one) for one in ENTRIES]
PART = render_ndjson.rows(ENTRIES)


def test_lines_and_records_come_back_in_pieces() -> None:
    pieces = list(spans.read(spans.of(LINES, ENTRIES), io.BytesIO(PART)))
    assert len(pieces) > 1
    assert max(len(lines) for lines, _ in pieces) <= 1 << 20
    assert b"".join(lines for lines, _ in pieces) == PART
    assert b"".join(records for _, records in pieces) == b"".join(one.record + b"\n" for one in ENTRIES)


def test_a_part_of_no_entries_has_none() -> None:
    assert list(spans.read(spans.of([], []), io.BytesIO(b""))) == []


@pytest.mark.parametrize("part", [PART[:-1], PART + b"{}\n", PART[1:] + b"\n ", b""])
def test_other_lines_than_were_made_are_refused(part: bytes) -> None:
    with pytest.raises(BadRowError, match="not those that were made"):
        list(spans.read(spans.of(LINES, ENTRIES), io.BytesIO(part)))
