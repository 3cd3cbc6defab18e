"""The CSV: what strangers read, no formula in it, and the way back to the record."""

import csv
import io
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exports import render_csv
from exports.csv_cells import PLAIN, lines_of, neutral_json, neutralise, quoted, restore
from exports.errors import BadRowError
from exports.rows import ExportedEntry
from signing.merkle import leaf_hash
from signing.verdicts import Verdict
from tests.exports.exported import AMENDMENT, entry

FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\0=1",
    "＝1+1",  # noqa: RUF001
    "＋1",  # noqa: RUF001
    "－1",  # noqa: RUF001
    "＠x",  # noqa: RUF001
    "  =1",
    '"=1',
    "'=1",
    "a;=1+1",
    "a|  @x",
    'a;"=1',
    "\u202e=1",
    "\ufeff=1",
    "a\tb",
    "a\0b",
]
# What a program may take for a formula: at the start of a cell, or where in another country a cell starts.
STARTS_FORMULA = re.compile("[\\s\"']*[=+\\-@＝＋－＠]")  # noqa: RUF001
AFTER_SEPARATOR = re.compile("[;|][\\s\"']*[=+\\-@＝＋－＠]")  # noqa: RUF001
CONTROL = re.compile("[\\x00-\\x1f\\u202e]")


def read(raw: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(raw.decode(), newline="")))


def rendered(*entries: ExportedEntry) -> list[dict[str, str]]:
    return read(render_csv.header() + render_csv.rows(entries))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_is_neutralised_and_comes_back(text: str) -> None:
    cell = neutralise(text)
    assert cell.startswith("'")
    assert not AFTER_SEPARATOR.search(cell)
    assert not CONTROL.search(cell)
    assert restore(cell) == text


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back(text: str) -> None:
    assert restore(neutralise(text)) == text


@given(st.text(st.sampled_from("=+-@'\";| \t\r\n\0\\u003b＝a")))  # noqa: RUF001
def test_no_cell_starts_a_formula(text: str) -> None:
    cell = neutralise(text)
    assert restore(cell) == text
    assert cell.startswith("'") or not STARTS_FORMULA.match(cell)
    assert not AFTER_SEPARATOR.search(cell)
    assert not CONTROL.search(cell)


@pytest.mark.parametrize("text", ["plain", "Ärger", "a-b", "a=b", "x;y", "{}", "-", ""])
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    assert neutralise(text) == (text if text != "-" else "'-")


@pytest.mark.parametrize("cell", ["'plain", "'a\\x", "'\\", "'=\\u0041"])
def test_a_cell_that_we_never_write_is_refused(cell: str) -> None:
    with pytest.raises(BadRowError):
        restore(cell)


@given(st.text(st.sampled_from("=+-@'\";| ,:{}aZ9~#(*\x7f\u202e＝a\\")))  # noqa: RUF001
def test_a_plain_text_is_its_own_cell(text: str) -> None:
    if re.fullmatch(PLAIN, text.encode()):
        assert quoted(neutralise(text).encode()) == text.encode()


def test_all_printable_ascii_but_what_is_quoted_or_escaped_is_plain() -> None:
    characters = "".join(map(chr, range(0x20, 0x7F)))
    assert "".join(one for one in characters if not re.fullmatch(PLAIN, f"a{one}".encode())) == '",;|'
    assert "".join(one for one in characters if not re.fullmatch(PLAIN, one.encode())) == " \"'+,-;=@|"


@given(st.text(st.sampled_from("=+-@'\";| ,{}a\x7f\u202e\u00a0＝Ä\\")))  # noqa: RUF001
def test_a_json_text_is_neutralised_as_any_other(text: str) -> None:
    assert neutral_json(f"{{{text}".encode()) == neutralise(f"{{{text}").encode()


def test_rows_are_rfc_4180_with_iso_times() -> None:
    raw = render_csv.header() + render_csv.rows([entry(0), entry(1)])
    assert raw.count(b"\r\n") == 3
    first, second = read(raw)
    assert tuple(first) == render_csv.COLUMNS
    assert first["occurred_at"] == "2026-11-23T05:40:00.000000Z"
    assert second["recorded_at"] == "2026-11-23T05:40:01.000007Z"
    assert (first["event_id"], first["ip"], second["event_id"], second["ip"]) == ("e-0", "", "", "10.0.0.7")


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"data": {}},
        {"data": {"z": {"id": "x", "event_id": "y"}}},
        {"data": {"event_id": "y"}, "event_id": None},
        {"data": {"a": ["x", 1.5, 2**60, None, True, {"b": "\0\x7f\u202e"}]}},
        {"actor": '=HYPERLINK("http://evil")', "target": ',"id":"x",', "action": '","data":{"x":1}'},
        {"actor": "\0\t\n", "event_id": ',"id":'},
        {"data": {"big": "x" * 70_000}},
        {"amendment": AMENDMENT},
        {"amendment": AMENDMENT, "data": {"big": "x" * 70_000, "amendment": {}}},
        {"amendment": replace(AMENDMENT, by=',"amendment":\t', override=None), "actor": ',"amendment":{},"data":{}'},
    ],
)
def test_a_row_leads_back_to_its_record(changes: dict[str, Any], *, signed: bool) -> None:
    for number in range(4):
        made = entry(number, signed=signed, **changes)
        (row,) = rendered(made)
        assert not row["record_base64"]
        assert render_csv.record_of(row) == made.record
        assert row["leaf_hash"] == leaf_hash(made.record).hex()


_SOUND_ENTRIES = [
    entry(),
    entry(1),
    entry(2, signed=False),
    entry(3, actor="WORKGROUP\\PC$", target="C:\\a\\"),
    entry(4, actor='a\\","actor":"b', target="\\u0041"),
    entry(5, actor="\n", action="\\n"),
    entry(6, actor="=1", target="x,y", source="a;=1"),
    entry(7, data={}, event_id=None),
    entry(8, data={"a": 'x;"=1', "b": "\x7f\u202e", "c": "a|@x"}),
    entry(9, data={"big": "x" * 70_000}),
    entry(10, amendment=AMENDMENT),
    entry(11, actor="Ärger"),
    entry(12)._replace(key_id="another"),
]


@pytest.mark.parametrize("made", _SOUND_ENTRIES)
def test_the_quick_way_to_a_line_writes_what_the_long_one_does(made: ExportedEntry) -> None:
    assert render_csv.rows([made]) == lines_of([render_csv._cells(made)])


@given(st.text(st.sampled_from("=-@'\";| ,:{}a\\\n\x7f\u202eÄ"), min_size=1), st.integers(0, 3))
def test_the_quick_way_writes_the_same_of_any_text(text: str, number: int) -> None:
    made = entry(number, actor=text, target=text, event_id=text, source=text, data={text: text})
    assert render_csv.rows([made]) == lines_of([render_csv._cells(made)])


@pytest.mark.parametrize("made", _SOUND_ENTRIES[:4])
def test_an_ordinary_entry_goes_the_quick_way(made: ExportedEntry) -> None:
    assert render_csv._plain_line(made) == render_csv.rows([made])


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "event_id", "=x"]), inner),
        max_leaves=8,
    ),
)
def test_any_event_leads_back_to_its_record(text: str, value: object) -> None:
    made = entry(3, actor=text, target=text, event_id=text, data={"value": value})
    (row,) = rendered(made)
    assert render_csv.record_of(row) == made.record


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b'{"a":1}',
        entry(1).record.replace(b'"success"', b'"=1+1"'),
        entry(1).record.replace(b'"actor":"user-1"', b'"actor":5'),
        entry(1).record.replace(b'"data":{', b'"data":{\t'),
        entry(1).record.replace(b"user-1", b"\\ud800"),
        entry(1).record + b"\n",
        entry(1).record.replace(b',"data"', b',"amendment":,"data"'),
        entry(1, amendment=AMENDMENT).record.replace(b'"by":', b'"by" :'),
        entry(1, amendment=AMENDMENT).record.replace(b'"reason":', b'\n"data":{},"reason":'),
    ],
)
def test_a_tampered_record_is_marked_and_comes_back_too(record: bytes) -> None:
    made = entry(1)._replace(record=record, verdict=Verdict.TAMPERED, reason="=its record is not the leaf")
    (row,) = rendered(made)
    assert (row["verdict"], row["reason"]) == ("tampered", "'=its record is not the leaf")
    assert not any(STARTS_FORMULA.match(cell) for cell in row.values() if not cell.startswith("'"))
    assert render_csv.record_of(row) == record


def test_what_an_entry_supersedes_stands_in_a_column_of_its_own() -> None:
    first, amended = rendered(entry(1), entry(2, amendment=AMENDMENT))
    assert (first["revision"], first["amendment"]) == ("1", "")
    said = json.loads(restore(amended["amendment"]))
    assert (amended["revision"], said["by"], said["supersedes"]["leaf_index"]) == ("2", "grace", 1)


def test_a_changed_row_does_not_lead_back() -> None:
    (row,) = rendered(entry(1))
    for column in ("actor", "amendment", "data", "occurred_at", "ip", "key_id", "revision", "data_place", "leaf_hash"):
        with pytest.raises(BadRowError):
            render_csv.record_of({**row, column: row[column] + "1"})


def test_parts_are_concatenated() -> None:
    entries = [entry(number) for number in range(5)]
    assert render_csv.rows(entries) == render_csv.rows(entries[:2]) + render_csv.rows(entries[2:])
