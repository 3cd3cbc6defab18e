"""NDJSON and JSON: records byte for byte, one spelling, standard tools alone."""

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from exports import render_json, render_ndjson
from exports.errors import BadRowError
from exports.render_ndjson import parse_row, row
from signing.verdicts import Verdict
from tests.exports.exported import entry
from tests.exports.test_manifest import CLAIM

ENTRIES = [
    entry(0),
    entry(1, signed=False),
    entry(2, data={"record": {}, "leaf_index": 7, "text": ',"leaf_index":1'}),
    entry(3, data={"big": "x" * 70_000}),
    entry(4)._replace(record=b'{"a":1}\n{"record":', verdict=Verdict.TAMPERED, reason='"why",\n"leaf_index":9'),
    entry(5)._replace(record=b"\xff", verdict=Verdict.TAMPERED, signature=None),
    entry(6)._replace(record=b'{"other":"object"}', verdict=Verdict.CANNOT_TELL, reason="no pin"),
]


def test_every_entry_comes_back_equal() -> None:
    lines = render_ndjson.rows(ENTRIES).split(b"\n")
    assert lines.pop() == b""
    assert [parse_row(line) for line in lines] == ENTRIES
    assert all(isinstance(json.loads(line), dict) for line in lines)


def test_the_record_stands_in_its_line_byte_for_byte() -> None:
    for one in (*ENTRIES[:4], ENTRIES[6]):
        assert row(one).startswith(b'{"record":' + one.record + b',"leaf_index":%d,' % one.leaf_index)


def test_a_record_is_cut_out_of_its_line() -> None:
    assert [render_ndjson.record_of(row(one)) for one in ENTRIES] == [one.record for one in ENTRIES]
    for line in (b"", b"{}"):
        with pytest.raises(BadRowError):
            render_ndjson.record_of(line)


def test_standard_tools_cut_out_the_records(tmp_path: Path) -> None:
    entries = ENTRIES[:4]
    (tmp_path / "entries.ndjson").write_bytes(render_ndjson.rows(entries))
    command = r"""sed -E 's/^\{"record":(.*),"leaf_index":.*$/\1/' entries.ndjson | sha256sum"""
    done = subprocess.run(["/bin/sh", "-c", command], cwd=tmp_path, capture_output=True, check=True, text=True)
    digest = hashlib.sha256(b"".join(one.record + b"\n" for one in entries)).hexdigest()
    assert done.stdout.split() == [digest, "-"]


@pytest.mark.parametrize(
    "change",
    [
        (b'"leaf_index":0', b'"leaf_index":00'),
        (b'"leaf_index":0', b'"leaf_index":-1'),
        (b'"leaf_index":0', b'"leaf_index":true'),
        (b'"verdict":"valid"', b'"verdict":"fine"'),
        (b'"verdict":"valid"', b'"verdict": "valid"'),
        (b'"reason":""', b'"reason":null'),
        (b'"detached_data":null}', b'"detached_data":null,"more":1}'),
        (b'"detached_data":null}', b'"detached_data":"AA"}'),
        (b'"signature":"', b'"signature":"*'),
        (b'{"record":', b'{"Record":'),
        (b'{"record":', b'{"record_base64":"'),
    ],
)
def test_another_spelling_is_refused(change: tuple[bytes, bytes]) -> None:
    line = row(ENTRIES[0])
    assert change[0] in line
    with pytest.raises(BadRowError):
        parse_row(line.replace(*change))


def test_parts_are_concatenated() -> None:
    assert render_ndjson.rows(ENTRIES[:3]) + render_ndjson.rows(ENTRIES[3:]) == render_ndjson.rows(ENTRIES)
    joined = render_json.SEPARATOR.join([render_json.rows(ENTRIES[:3]), render_json.rows(ENTRIES[3:])])
    assert joined == render_json.rows(ENTRIES)


def test_the_json_document_has_the_same_content() -> None:
    raw = render_json.header() + render_json.rows(ENTRIES) + render_json.footer(CLAIM)
    said = json.loads(raw)
    assert said["claim"] == json.loads(CLAIM.to_json())
    assert said["entries"] == [json.loads(line) for line in render_ndjson.rows(ENTRIES).splitlines()]
    empty = render_json.header() + render_json.rows([]) + render_json.footer(CLAIM)
    assert json.loads(empty)["entries"] == []
