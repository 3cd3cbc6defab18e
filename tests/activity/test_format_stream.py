"""Files of events: lines, CloudTrail's file form, gzip, and the event ids that make reading again harmless."""

import gzip
import io
import json
import tracemalloc
from hashlib import sha256
from pathlib import Path

import pytest

from activity.errors import BadEventsError, BadStreamError
from activity.formats.event_ids import LineIds
from activity.formats.options import Options
from activity.formats.reading import EventReader
from activity.formats.stream import MAX_UNIT_BYTES, EventStream, Unit

REAL_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
RECORDS = [{"n": n, "text": 'a "quoted" } ] \\', "deep": {"list": [{}, {"a": []}]}} for n in range(200)]


def stream(raw: bytes) -> EventStream:
    return EventStream(io.BufferedReader(io.BytesIO(raw)))


def units(raw: bytes) -> list[Unit]:
    return list(stream(raw))


def test_lines_are_units_and_blank_lines_only_count() -> None:
    assert units(b'{"a":1}\n\n  \r\n{"b":2}\r\n{"c":3}') == [
        (1, b'{"a":1}', "$"),
        (4, b'{"b":2}', "$"),
        (5, b'{"c":3}', "$"),
    ]
    assert units(b"") == []


def test_gzip_is_known_by_its_first_bytes() -> None:
    plain = b'{"a":1}\n{"b":2}\n'
    assert units(gzip.compress(plain[:8]) + gzip.compress(plain[8:])) == units(plain)


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("zipped", [False, True])
def test_the_records_of_a_cloudtrail_file_are_units(indent: int | None, zipped: bool) -> None:  # noqa: FBT001
    raw = json.dumps({"Records": RECORDS}, indent=indent).encode()
    cut = units(gzip.compress(raw) if zipped else raw)
    assert [json.loads(unit.raw) for unit in cut] == RECORDS
    assert (cut[3].number, cut[3].path) == (4, "$.Records[3]")


def test_cloudtrail_files_may_follow_one_another() -> None:
    raw = json.dumps({"Records": RECORDS[:2]}).encode()
    assert [unit.number for unit in units(raw + raw + b'\n{"Records": []}\n' + raw)] == [1, 2, 3, 4, 5, 6]


def test_records_are_found_wherever_the_chunks_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activity.formats.stream._CHUNK_BYTES", 7)
    assert [json.loads(unit.raw) for unit in units(json.dumps({"Records": RECORDS}).encode())] == RECORDS


@pytest.mark.parametrize(
    ("raw", "place", "reason"),
    [
        (b'{"Records": [{"a": 1}, {"b": ', "after record 1", "breaks off"),
        (b'{"Records": [{"a": 1}', "after record 1", "breaks off"),
        (b'{"Records": [{"a": 1}] ', "after record 1", "breaks off"),
        (b'{"Records": [{"a": 1} {"b": 2}]}', "after record 1", "is broken"),
        (b'{"Records": [{"a": 1}, 7, {"b": 2}]}', "after record 1", "is broken"),
        (b'{"Records": [{"a": 1}], "more": 1}', "after record 1", "is broken"),
        (b'{"Records": [{"a": 1}]} more', "after record 1", "breaks off"),
    ],
)
def test_a_broken_cloudtrail_file_is_refused_with_the_place(raw: bytes, place: str, reason: str) -> None:
    with pytest.raises(BadStreamError) as refusal:
        units(raw)
    assert refusal.value.place == place
    assert reason in refusal.value.reason


def test_a_record_that_is_too_long_is_refused_before_it_ends() -> None:
    with pytest.raises(BadStreamError, match="after record 1: the next record is longer than 2,097,152 bytes"):
        units(b'{"Records": [{}, {"a": "' + b"x" * (MAX_UNIT_BYTES + 100_000))


def test_truncated_gzip_gives_every_complete_line_and_then_says_so() -> None:
    plain = b"".join(b'{"n":%d}\n' % n for n in range(100_000))
    zipped = gzip.compress(plain)
    seen: list[Unit] = []
    with pytest.raises(BadStreamError, match="gzip data breaks off") as refusal:
        seen.extend(stream(zipped[: len(zipped) // 2]))
    assert len(seen) > 10_000
    assert refusal.value.place == f"after line {len(seen):,}"


def test_damaged_gzip_is_refused() -> None:
    zipped = bytearray(gzip.compress(b'{"n":1}\n' * 1000))
    zipped[-8] ^= 1  # the checksum
    with pytest.raises(BadStreamError, match="damaged"):
        units(bytes(zipped))
    with pytest.raises(BadStreamError, match="damaged"):
        units(gzip.compress(b'{"n":1}\n') + b"rubbish")


def test_a_line_of_two_mebibytes_is_taken_and_a_longer_one_refused_without_reading_it_whole() -> None:
    assert len(units(b"x" * MAX_UNIT_BYTES + b"\r\n")[0].raw) == MAX_UNIT_BYTES
    bomb = gzip.compress(b"1\n" + b"x" * 50_000_000)
    tracemalloc.start()
    with pytest.raises(BadStreamError, match=r"line 2: longer than 2,097,152 bytes"):
        units(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_event_ids_are_the_chain_that_the_documentation_says() -> None:
    ids = LineIds("windows", "host")
    first = sha256(sha256(b"windows\nhost").digest() + b"line").digest()
    assert ids.next_id(b"line") == first.hex()[:32]
    assert ids.next_id(b"line") == sha256(first + b"line").hexdigest()[:32]


def test_equal_lines_get_different_ids_and_the_same_file_the_same_ids() -> None:
    with gzip.open(REAL_DATA / "windows_security_auditpol.jsonl.gz") as lines:
        raw = lines.readlines()
    first, again = LineIds("windows", None), LineIds("windows", None)
    ids = [first.next_id(line) for line in raw]
    assert len(raw) - len(set(raw)) == 258
    assert len(set(ids)) == len(raw)
    assert [again.next_id(line) for line in raw] == ids


def test_format_and_source_make_different_ids() -> None:
    chains = [LineIds("windows", None), LineIds("windows", "a"), LineIds("generic", "a")]
    assert len({chain.next_id(b"{}") for chain in chains}) == 3


def read(raw: bytes, *, format_name: str | None = None) -> list[object]:
    reader = EventReader(format_name=format_name, options=Options(source="s"))
    return [reader.event(unit) for unit in stream(raw)]


OWN = b'{"type":"a","action":"b","actor":"c","occurred_at":"2026-11-23T05:40:00Z","data":%b}'


def test_an_event_without_an_id_gets_one_and_an_own_id_stays() -> None:
    with_id = OWN.replace(b'{"type"', b'{"event_id":"mine","type"')
    reader = EventReader(format_name=None, options=Options())
    ids = [reader.event(unit).event_id for unit in stream(OWN.replace(b'{"type"', b'{"source":"s","type"') % b"{}")]
    assert [len(event_id or "") for event_id in ids] == [32]
    assert [event.event_id for event in read(with_id % b"{}")] == ["mine"]  # type: ignore[attr-defined]


def test_data_of_our_own_format_may_nest_32_levels_like_any_other() -> None:
    deep = b'{"a":' * 31 + b"[]" + b"}" * 31
    assert read(OWN % deep)
    with pytest.raises(BadEventsError, match="nesting deeper"):
        read(OWN % (b'{"a":%b}' % deep))


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (OWN % b'{"a":[NaN]}', "$.data.a[0]"),
        (b"[1]", "$"),
        (b'{"hello":"world"}', "$"),
        (b'{"Records":[{"eventName":1,"eventSource":"s","userIdentity":{}, "x": {"y": NaN}}]}', "$.Records[0].x.y"),
        (b'{"Records":[{"eventName":[],"eventSource":"s","userIdentity":{}}]}', "$.Records[0].eventName"),
    ],
)
def test_a_refusal_names_the_path_inside_the_file(raw: bytes, path: str) -> None:
    with pytest.raises(BadEventsError) as refusal:
        read(raw)
    assert [problem.path for problem in refusal.value.problems] == [path]


def test_a_path_inside_the_data_of_a_foreign_event_is_a_path_inside_the_file() -> None:
    reader = EventReader(format_name="cloudtrail", options=Options())
    unit = Unit(4, b"{}", "$.Records[3]")
    assert reader.path_in_file(unit, "$.data.user") == "$.Records[3].user"
    assert reader.path_in_file(unit, "$.data") == "$.Records[3]"
    assert reader.path_in_file(unit, "$.type") == "$.Records[3] (our field type)"
    assert EventReader(format_name="own", options=Options()).path_in_file(unit, "$.data.x") == "$.Records[3].data.x"
