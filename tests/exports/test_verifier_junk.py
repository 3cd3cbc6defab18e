"""Whatever stands in a file of an export, the verifier says it in words: it never ends in a traceback."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest

from exports import names, proofs, render_ndjson
from exports.container import MANIFEST_XML, SIGNATURE, Member, open_container
from exports.manifest import canonical_json
from exports.verifier.__main__ import main
from exports.verifier.files import check_files
from exports.verifier.pins import Pins
from exports.verifier.report import Report
from tests.exports.altered import zipped
from tests.exports.exporting import Export, ada, checkpoint_key, members, packed
from tests.exports.reports import claim_of

EXPORT = Export()
EMPTY = replace(EXPORT, chosen=())
PINS = Pins(set(), [checkpoint_key()])
JUNK = {
    "nothing": b"",
    "a list": b"[]",
    "an object": b"{}",
    "null": b"null",
    "a huge number": b"9" * 5000,
    "an endless number": b"1e999",
    "no number": b"NaN",
    "not UTF-8": b"\xff\xfe\x00",
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "half a surrogate pair": b'"\\ud800"',
    "zeros": b"\0" * 10,
    "an empty line": b"\n",
    "a quotation mark": b'"',
    "keys that are null": b'{"keys":null}',
    "keys without members": b'{"keys":[{}]}',
    "keys of other kinds": b'{"keys":[null,1,[],"x"]}',
    "a key of a huge number": b'{"keys":[{"kid":"k","kty":"RSA","alg":"PS256","n":"AA","e":"AA"}]}',
    "a key off its curve": b'{"keys":[{"kid":"k","kty":"EC","crv":"P-256","alg":"ES256","x":"AA","y":"AA"}]}',
    "no certificate in PEM": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    "a length beyond all": b"\x30\x84\xff\xff\xff\xff",
    "a report of nothing": b"%PDF-1.7\n%%EOF\n",
    "too much": b"x" * (5 << 20),
}
ODD_VALUES: tuple[Any, ...] = (None, True, -1, 2**70, 1.5, "", "x", "\0", [], {}, [1], [[[]]], {"a": 1})


def judged(raw: bytes, pins: Pins = PINS) -> Report:
    """Return the report of a file, printed once in both ways."""
    (report,) = check_files([(io.BytesIO(raw), "export.asice")], pins)
    assert report.table()
    assert report.to_dict()
    return report


def of(export: Export, name: str, raw: bytes) -> bytes:
    """Return an export in which one file is something else, signed by whoever may."""
    contents = export.contents()
    if name == names.MANIFEST:
        files = export.members()
        return packed([Member.of(name, "application/json", raw), *files[1:]], export.signer)
    media_type = contents[name][0] if name in contents else "application/pdf"
    return packed(members(contents | {name: (media_type, raw)}, export.claim()), export.signer)


@pytest.mark.parametrize("name", [names.MANIFEST, names.REPORT, *EXPORT.contents()])
def test_junk_in_place_of_a_file_is_refused_in_words(name: str) -> None:
    for export in (EXPORT, EMPTY):
        for junk, raw in JUNK.items():
            report = judged(of(export, name, raw))
            # VERIFY.md is words for people; of checkpoint keys an empty file brings none, and so it is with rows.
            is_right = name == names.VERIFY or (not raw.strip() and name in (names.VKEYS, render_ndjson.NAME))
            assert report.exit_code == 1 or is_right, (junk, report.table())


@pytest.mark.parametrize("name", ["mimetype", MANIFEST_XML, SIGNATURE])
def test_junk_in_place_of_what_signs_is_refused_in_words(name: str) -> None:
    raw = EXPORT.container()
    opened = open_container(io.BytesIO(raw))
    files = [("mimetype", b"application/vnd.etsi.asic-e+zip"), *((one, opened.read(one)) for one in opened.files)]
    files += [(MANIFEST_XML, opened.xml), (SIGNATURE, opened.signature)]
    assert judged(zipped(files)).exit_code == 2
    for junk, bad in JUNK.items():
        assert judged(zipped([(one, bad if one == name else content) for one, content in files])).exit_code == 1, junk


def test_junk_alone_and_beside_others_is_refused_in_words() -> None:
    rows = {name: raw for name, (_, raw) in EXPORT.contents().items() if name.startswith("entries")}
    for junk, raw in JUNK.items():
        assert judged(raw).exit_code in (1, 2), junk
        given = [(io.BytesIO(one), name) for name, one in rows.items()]
        (report,) = check_files([*given, (io.BytesIO(raw), junk)], PINS)
        assert report.exit_code in (1, 2), (junk, report.table())


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where something stands in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def with_value(value: Any, path: tuple[Any, ...], new: object) -> Any:
    """Return a copy of a JSON value with something else in a place."""
    if not path:
        return new
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    return copy


def test_a_manifest_with_a_member_of_another_kind_is_refused_in_words() -> None:
    said = json.loads(b"".join(EXPORT.members()[0].read()))
    for path in places(said):
        for odd in ODD_VALUES:
            if with_value(said, path, odd) == said:
                continue
            raw = canonical_json(with_value(said, path, odd))
            assert judged(raw).exit_code in (1, 2), (path, odd)
    claim = json.loads(claim_of(EXPORT.entries).to_json())
    for path in places(claim):
        for odd in ODD_VALUES:
            assert judged(canonical_json(with_value(claim, path, odd))).exit_code in (1, 2), (path, odd)


def test_a_key_with_a_member_of_another_kind_is_refused_in_words() -> None:
    said = json.loads(EXPORT.contents()[names.JWKS][1])
    for path in places(said):
        for odd in ODD_VALUES:
            raw = json.dumps(with_value(said, path, odd)).encode()
            assert judged(of(EMPTY, names.JWKS, raw)).exit_code in (1, 2), (path, odd)


@pytest.mark.parametrize("name", [proofs.NAME, names.CHECKPOINT, names.VKEYS, "entries.csv"])
def test_a_file_with_another_word_is_refused_in_words(name: str) -> None:
    lines = EXPORT.contents()[name][1].split(b"\n")
    for number, line in enumerate(lines):
        words = line.split(b" ") if name != "entries.csv" else line.split(b",")[:3]
        for place in range(len(words)):
            for odd in (b"9" * 5000, b"\xff", b"\xd9\xa1"):
                changed = b" ".join([*words[:place], odd, *words[place + 1 :]])
                if changed != line:
                    raw = b"\n".join([*lines[:number], changed, *lines[number + 1 :]])
                    assert judged(of(EXPORT, name, raw)).exit_code in (1, 2), (number, place, odd)


def test_the_command_refuses_keys_that_are_none_where_there_is_no_row(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "export.asice"
    file.write_bytes(of(EMPTY, names.JWKS, b"[]"))
    assert main([str(file)]) == 1
    said = capsys.readouterr()
    assert "WRONG        entry signatures  not a JWK Set" in said.out
    assert said.err == ""
    file.write_bytes(EMPTY.container())
    assert main(["--trust", ada().fingerprint, str(file)]) == 2
