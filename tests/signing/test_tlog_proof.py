"""signing/tlog_proof.py: files of another implementation verify, ours are the same, and nothing in them may change."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing import merkle, tlog_proof
from signing.algorithms import ALGORITHMS
from signing.checkpoint import Checkpoint, NoteKey, sign
from signing.errors import BadCheckpointError, BadProofError, SigningError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "tlog.json").read_text())
FILE: str = VECTORS["proof_file"]
KEY = NoteKey.parse(VECTORS["vkey"])
RECORD = b'{"record":73}'
HEAD_LINES = FILE.split("\n\n", maxsplit=1)[0].split("\n")
NOTE: str = VECTORS["note"]


def file_of(*lines: str, note: str = NOTE) -> str:
    return "\n".join(lines) + "\n\n" + note


def test_a_proof_file_of_another_implementation_verifies() -> None:
    head = tlog_proof.verify(FILE, RECORD, [KEY])
    assert head == Checkpoint("auditlog.example/activity", 300, bytes.fromhex(VECTORS["roots"]["300"]))


def test_our_proof_file_is_byte_for_byte_that_of_another_implementation() -> None:
    proof = tlog_proof.parse(FILE)
    assert (proof.index, proof.extra, proof.checkpoint_note) == (73, b"opaque", NOTE)
    assert tlog_proof.format(proof.index, proof.proof, proof.checkpoint_note, proof.extra) == FILE


def test_without_extra_data_there_is_no_extra_line() -> None:
    proof = tlog_proof.parse(FILE)
    text = tlog_proof.format(73, proof.proof, NOTE)
    assert text == FILE.replace("extra b3BhcXVl\n", "")
    assert tlog_proof.parse(text).extra is None
    assert tlog_proof.verify(text, RECORD, [KEY]).size == 300


def test_the_only_leaf_of_a_tree_needs_no_hashes() -> None:
    private, public = ALGORITHMS["Ed25519"].generate()
    key = NoteKey("auditlog.example", public)
    head = Checkpoint("auditlog.example/meta", 1, merkle.root([b"alone"]))
    text = tlog_proof.format(0, [], sign(head, [(key, ALGORITHMS["Ed25519"].load_private(private))]))
    assert tlog_proof.verify(text, b"alone", [key]) == head


@given(st.integers(0, 2**62), st.lists(st.binary(min_size=32, max_size=32), max_size=63), st.none() | st.binary())
def test_what_was_written_is_read(index: int, proof: list[bytes], extra: bytes | None) -> None:
    parsed = tlog_proof.parse(tlog_proof.format(index, proof, NOTE, extra))
    assert parsed == tlog_proof.TlogProof(index, tuple(proof), NOTE, extra)


def test_another_record_is_refused() -> None:
    tlog_proof.verify(FILE, RECORD, [KEY])
    for other in (b"", RECORD + b" ", b'{"record":74}'):
        with pytest.raises(BadProofError, match="does not lead"):
            tlog_proof.verify(FILE, other, [KEY])


def test_another_index_is_refused() -> None:
    tlog_proof.verify(FILE, RECORD, [KEY])
    for other in (0, 72, 74, 299, 300):
        with pytest.raises(BadProofError):
            tlog_proof.verify(FILE.replace("index 73", f"index {other}"), RECORD, [KEY])


def test_a_checkpoint_of_another_key_is_refused() -> None:
    tlog_proof.verify(FILE, RECORD, [KEY])
    stranger = NoteKey(KEY.name, ALGORITHMS["Ed25519"].generate()[1])
    with pytest.raises(BadCheckpointError, match="not signed by any"):
        tlog_proof.verify(FILE, RECORD, [stranger])


def test_only_the_extra_line_may_change_and_it_proves_nothing() -> None:
    changed = FILE.replace("extra b3BhcXVl", "extra AAAA")
    assert tlog_proof.verify(FILE, RECORD, [KEY]) == tlog_proof.verify(changed, RECORD, [KEY])


def test_every_other_change_of_a_character_is_noticed() -> None:
    extra = range(FILE.index("extra"), FILE.index("index"))
    tlog_proof.verify(FILE, RECORD, [KEY])
    for position, character in enumerate(FILE):
        for other in {"0", "A", " ", "\n", chr(ord(character) ^ 1)} - {character}:
            if position not in extra:
                with pytest.raises(SigningError):
                    tlog_proof.verify(FILE[:position] + other + FILE[position + 1 :], RECORD, [KEY])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        FILE[1:],
        "\n" + FILE,
        FILE.replace("@v1", "@v2"),
        FILE.replace("\n", "\r\n"),
        FILE.replace("\n\n", "\n", 1),
        file_of(HEAD_LINES[0]),
        file_of(HEAD_LINES[0], HEAD_LINES[1]),
        file_of(HEAD_LINES[0], HEAD_LINES[2], HEAD_LINES[1]),
        file_of(HEAD_LINES[0], HEAD_LINES[1], *HEAD_LINES[1:]),
        file_of(*HEAD_LINES[:3], HEAD_LINES[2], *HEAD_LINES[3:]),
        file_of(HEAD_LINES[0], "index 073", *HEAD_LINES[3:]),
        file_of(HEAD_LINES[0], "index -1", *HEAD_LINES[3:]),
        file_of(HEAD_LINES[0], "index  73", *HEAD_LINES[3:]),
        file_of(HEAD_LINES[0], "index 73 ", *HEAD_LINES[3:]),
        file_of(HEAD_LINES[0], "Index 73", *HEAD_LINES[3:]),
        file_of(HEAD_LINES[0], "index \u0667\u0663", *HEAD_LINES[3:]),
        file_of(HEAD_LINES[0], "index " + "9" * 5000, *HEAD_LINES[3:]),
        file_of(HEAD_LINES[0], "extra b3BhcXV", *HEAD_LINES[2:]),
        file_of(HEAD_LINES[0], "extra b3BhcXVl ", *HEAD_LINES[2:]),
        file_of(*HEAD_LINES, ""),
        file_of(*HEAD_LINES, "AAAA"),
        file_of(*HEAD_LINES[:-1], HEAD_LINES[-1][:-1]),
        file_of(*HEAD_LINES[:3], *[HEAD_LINES[3]] * 64),
        FILE + "x" * 2_000_000,
    ],
)
def test_a_malformed_file_is_refused(text: str) -> None:
    tlog_proof.verify(FILE, RECORD, [KEY])
    with pytest.raises(SigningError):
        tlog_proof.verify(text, RECORD, [KEY])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (file_of(*HEAD_LINES, "AAAA"), "32 bytes"),
        (file_of(*HEAD_LINES[:3], *[HEAD_LINES[3]] * 64), "more than 63 hashes"),
        (FILE + "x" * 2_000_000, "longer than 2000000"),
    ],
)
def test_reading_alone_refuses_what_no_tree_could_have(text: str, reason: str) -> None:
    with pytest.raises(BadProofError, match=reason):
        tlog_proof.parse(text)


@given(st.text())
def test_no_text_makes_reading_fail_otherwise(text: str) -> None:
    for candidate in (text, f"{HEAD_LINES[0]}\n{text}", f"{HEAD_LINES[0]}\nindex 1\n{text}\n\n{text}"):
        try:
            tlog_proof.verify(candidate, RECORD, [KEY])
        except SigningError:
            continue
        pytest.fail("verified")
