"""The trust file: pins in, faults by line, and for which ledgers a pin counts."""

import pytest

from signing import trust
from signing.algorithms import ALGORITHMS
from signing.checkpoint import NoteKey
from signing.errors import BadKeyError

PUBLIC = ALGORITHMS["Ed25519"].generate()[1]
KEYS = [NoteKey(f"here.example/{name}", PUBLIC) for name in ("keys", "activity")]


def test_what_is_written_is_read() -> None:
    assert trust.parse(trust.format_lines(KEYS)) == KEYS


def test_comments_and_empty_lines_are_passed_over() -> None:
    assert trust.parse(f"# mine\n\n  {KEYS[0].vkey}  \n") == KEYS[:1]


def test_a_faulty_line_is_named() -> None:
    with pytest.raises(BadKeyError, match="line 2: a vkey is"):
        trust.parse(f"{KEYS[0].vkey}\nnonsense\n")


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_a_file_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(BadKeyError, match="no key is pinned"):
        trust.parse(text)


def test_a_key_is_pinned_for_every_ledger_of_its_installation_once() -> None:
    assert trust.for_origin(KEYS, "here.example/shop") == [NoteKey("here.example/shop", PUBLIC)]


@pytest.mark.parametrize("origin", ["there.example/activity", "here.example/deeper/activity", "activity"])
def test_a_key_is_not_pinned_for_another_installation(origin: str) -> None:
    assert trust.for_origin(KEYS, origin) == []
