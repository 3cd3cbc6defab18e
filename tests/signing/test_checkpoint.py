"""signing/checkpoint.py: notes of Go's implementation open, forged and malformed ones do not."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signing.algorithms import ALGORITHMS, Signer
from signing.checkpoint import Checkpoint, NoteKey, parse, sign, verify
from signing.errors import BadCheckpointError, BadKeyError

VECTORS = Path(__file__).parents[1] / "vectors"
GO = json.loads((VECTORS / "note_go.json").read_text())
TLOG = json.loads((VECTORS / "tlog.json").read_text())
ED25519 = ALGORITHMS["Ed25519"]
ORIGIN = "auditlog.example/activity"
ROOT = bytes(range(32))
HEAD = Checkpoint(ORIGIN, 20852163, ROOT)


def new_key(name: str = "auditlog.example") -> tuple[NoteKey, Signer]:
    private, public = ED25519.generate()
    return NoteKey(name, public), ED25519.load_private(private)


KEY, SIGNER = new_key()
OTHER_KEY, OTHER_SIGNER = new_key()
NOTE = sign(HEAD, [(KEY, SIGNER)])
SIGNATURE_LINE = NOTE.split("\n\n")[1]


def note_of(body: str) -> str:
    """Return a note over any text, correctly signed: what is wrong with it is the text alone."""
    signature = base64.b64encode(KEY.key_id + SIGNER(body.encode())).decode()
    return f"{body}\n— {KEY.name} {signature}\n"


# What other tools signed


@pytest.mark.parametrize("note", GO["sumdb_notes"])
def test_a_checkpoint_of_the_go_checksum_database_verifies(note: str) -> None:
    key = NoteKey.parse(GO["sumdb_vkey"])
    verified = verify(note, [key])
    assert verified.checkpoint.origin == "go.sum database tree"
    assert str(verified.checkpoint.size) == note.split("\n")[1]
    assert verified.keys == (key,)


def test_key_id_and_signature_are_those_of_go() -> None:
    key = NoteKey.parse(GO["vkey"])
    private = base64.b64decode(GO["private_key"])[1:]
    text = GO["text"].encode()
    assert base64.b64encode(key.key_id + ED25519.load_private(private)(text)).decode() == GO["signature"]
    assert key.vkey == GO["vkey"]


def test_our_note_is_byte_for_byte_that_of_another_implementation() -> None:
    key = NoteKey.parse(TLOG["vkey"])
    head = Checkpoint(ORIGIN, TLOG["size"], bytes.fromhex(TLOG["roots"]["300"]))
    assert sign(head, [(key, ED25519.load_private(bytes.fromhex(TLOG["seed"])))]) == TLOG["note"]


# Signing and verifying


def test_a_checkpoint_comes_back_with_the_key_that_signed() -> None:
    verified = verify(NOTE, [KEY])
    assert verified.checkpoint == HEAD
    assert verified.keys == (KEY,)


@given(
    st.text(st.characters(exclude_categories=["Cs"], min_codepoint=0x20), min_size=1),
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
)
def test_every_checkpoint_comes_back(origin: str, size: int, root: bytes) -> None:
    head = Checkpoint(origin, size, root)
    note = sign(head, [(KEY, SIGNER)])
    assert parse(note).body == head.body()
    assert verify(note, [KEY]).checkpoint == head


def test_during_a_rotation_either_key_verifies() -> None:
    note = sign(HEAD, [(KEY, SIGNER), (OTHER_KEY, OTHER_SIGNER)])
    assert verify(note, [KEY]).keys == (KEY,)
    assert verify(note, [OTHER_KEY]).keys == (OTHER_KEY,)
    assert verify(note, [OTHER_KEY, KEY]).keys == (KEY, OTHER_KEY)


def test_signatures_of_unknown_keys_and_of_other_types_are_ignored() -> None:
    witness = base64.b64encode(b"\x01\x02\x03\x04" + bytes(2420)).decode()
    assert verify(f"{NOTE}— witness.example {witness}\n", [KEY]).checkpoint == HEAD


def test_a_repeated_signature_counts_once() -> None:
    assert verify(NOTE + SIGNATURE_LINE, [KEY]).keys == (KEY,)


def test_another_key_does_not_verify() -> None:
    assert verify(NOTE, [KEY]).checkpoint == HEAD
    with pytest.raises(BadCheckpointError, match="not signed by any"):
        verify(NOTE, [OTHER_KEY])
    with pytest.raises(BadCheckpointError, match="not signed by any"):
        verify(NOTE, [])


def test_the_same_key_under_another_name_does_not_verify() -> None:
    assert verify(NOTE, [KEY]).checkpoint == HEAD
    with pytest.raises(BadCheckpointError, match="not signed by any"):
        verify(NOTE, [NoteKey("elsewhere.example", KEY.public_key)])


def test_a_foreign_signature_under_our_name_and_key_id_is_refused() -> None:
    assert verify(NOTE, [KEY]).checkpoint == HEAD
    forged = base64.b64encode(KEY.key_id + OTHER_SIGNER(HEAD.body())).decode()
    with pytest.raises(BadCheckpointError, match="is wrong"):
        verify(f"{HEAD.body().decode()}\n— {KEY.name} {forged}\n", [KEY])


def test_one_wrong_signature_of_a_known_key_spoils_the_note() -> None:
    assert verify(NOTE, [KEY]).checkpoint == HEAD
    wrong = base64.b64encode(OTHER_KEY.key_id + SIGNER(HEAD.body())).decode()
    with pytest.raises(BadCheckpointError, match="is wrong"):
        verify(f"{NOTE}— {OTHER_KEY.name} {wrong}\n", [KEY, OTHER_KEY])


def test_every_change_of_a_character_is_noticed() -> None:
    assert verify(NOTE, [KEY]).checkpoint == HEAD
    for position, character in enumerate(NOTE):
        for other in {"0", "A", " ", "\n", "=", chr(ord(character) ^ 1)} - {character}:
            with pytest.raises(BadCheckpointError):
                verify(NOTE[:position] + other + NOTE[position + 1 :], [KEY])


def test_a_note_that_is_cut_off_is_noticed_wherever_it_is_cut() -> None:
    assert verify(NOTE, [KEY]).checkpoint == HEAD
    for length in range(len(NOTE)):
        with pytest.raises(BadCheckpointError):
            verify(NOTE[:length], [KEY])


def test_a_checkpoint_needs_a_signer() -> None:
    with pytest.raises(ValueError, match="1 to 100 keys"):
        sign(HEAD, [])


# Strict reading


def test_extension_lines_are_signed_and_otherwise_ignored() -> None:
    note = note_of(HEAD.body().decode() + "an extension\nanother\n")
    assert verify(note, [KEY]).checkpoint == HEAD
    with pytest.raises(BadCheckpointError):
        verify(note.replace("another", "different"), [KEY])


def test_an_origin_may_have_spaces() -> None:
    note = note_of(f"go.sum database tree\n0\n{base64.b64encode(ROOT).decode()}\n")
    assert verify(note, [KEY]).checkpoint == Checkpoint("go.sum database tree", 0, ROOT)


ROOT_LINE = base64.b64encode(ROOT).decode()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "\n",
        f"{ORIGIN}\n",
        f"{ORIGIN}\n1\n",
        f"\n1\n{ROOT_LINE}\n",
        f"{ORIGIN}\n\n{ROOT_LINE}\n",
        f"{ORIGIN}\n01\n{ROOT_LINE}\n",
        f"{ORIGIN}\n+1\n{ROOT_LINE}\n",
        f"{ORIGIN}\n-1\n{ROOT_LINE}\n",
        f"{ORIGIN}\n 1\n{ROOT_LINE}\n",
        f"{ORIGIN}\n1 \n{ROOT_LINE}\n",
        f"{ORIGIN}\n1_0\n{ROOT_LINE}\n",
        f"{ORIGIN}\n0x1\n{ROOT_LINE}\n",
        f"{ORIGIN}\n1e3\n{ROOT_LINE}\n",
        f"{ORIGIN}\n\u0661\n{ROOT_LINE}\n",
        f"{ORIGIN}\n9223372036854775808\n{ROOT_LINE}\n",
        f"{ORIGIN}\n{'9' * 5000}\n{ROOT_LINE}\n",
        f"{ORIGIN}\n1\n{ROOT_LINE} \n",
        f"{ORIGIN}\n1\n{ROOT_LINE[:-1]}\n",
        f"{ORIGIN}\n1\n{ROOT_LINE[:-2]}9=\n",  # stray bits: another spelling of the same bytes
        f"{ORIGIN}\n1\n{ROOT.hex()}\n",
        f"{ORIGIN}\n1\n{base64.b64encode(bytes(31)).decode()}\n",
        f"{ORIGIN}\n1\n{base64.b64encode(bytes(33)).decode()}\n",
        f"{ORIGIN}\n1\n{ROOT_LINE}\n\nafter an empty line\n",
        f"{ORIGIN}\r\n1\r\n{ROOT_LINE}\r\n",
        f"{ORIGIN}\t\n1\n{ROOT_LINE}\n",
        f"{ORIGIN}\x00\n1\n{ROOT_LINE}\n",
        f"{ORIGIN}\n1\n{ROOT_LINE}\nextension\x1b\n",
    ],
)
def test_a_correctly_signed_text_that_is_no_checkpoint_is_refused(body: str) -> None:
    assert verify(note_of(HEAD.body().decode()), [KEY]).checkpoint == HEAD
    with pytest.raises(BadCheckpointError):
        verify(note_of(body), [KEY])


@pytest.mark.parametrize(
    "line",
    [
        "\n",
        "no dash AAAAAAAA\n",
        f"- {KEY.name} AAAAAAAA\n",
        f"—{KEY.name} AAAAAAAA\n",
        f"—  {KEY.name} AAAAAAAA\n",
        "—  AAAAAAAA\n",
        f"— {KEY.name}\n",
        f"— {KEY.name} \n",
        f"— {KEY.name} AAAA\n",
        f"— {KEY.name} AAAAAA==\n",  # a key id and no signature
        f"— {KEY.name} AAAAAAA\n",
        f"— {KEY.name} AAAAAAB=\n",
        f"— {KEY.name} AAAA_AAA\n",
        f"— {KEY.name} AAAAAAAA more\n",
        "— with+plus AAAAAAAA\n",
        "— with\u2003space AAAAAAAA\n",
        f"— {KEY.name} AAAAAAAA",
    ],
)
def test_a_malformed_signature_line_is_refused_even_beside_a_good_one(line: str) -> None:
    assert verify(NOTE, [KEY]).checkpoint == HEAD
    body = HEAD.body().decode()
    for note in (f"{body}\n{line}", f"{body}\n{line}{SIGNATURE_LINE}", f"{NOTE}{line}"):
        with pytest.raises(BadCheckpointError):
            verify(note, [KEY])


def test_a_checkpoint_without_signatures_is_refused() -> None:
    body = HEAD.body().decode()
    for note in (body, f"{body}\n"):
        with pytest.raises(BadCheckpointError):
            verify(note, [KEY])


def test_a_hundred_signatures_are_read_and_no_more() -> None:
    assert len(parse(NOTE + SIGNATURE_LINE * 99).signatures) == 100
    with pytest.raises(BadCheckpointError, match="100 signatures"):
        parse(NOTE + SIGNATURE_LINE * 100)


def test_a_megabyte_is_read_and_no_more() -> None:
    room = 1_000_000 - len(note_of(HEAD.body().decode() + "\n").encode())
    assert parse(note_of(HEAD.body().decode() + "x" * room + "\n")).checkpoint == HEAD
    with pytest.raises(BadCheckpointError, match="1000000 bytes"):
        parse(note_of(HEAD.body().decode() + "x" * (room + 1) + "\n"))


def test_what_is_not_unicode_is_refused() -> None:
    with pytest.raises(BadCheckpointError, match="Unicode"):
        parse(NOTE.replace("auditlog", "\ud800"))


@given(st.text())
def test_no_text_makes_reading_fail_otherwise(text: str) -> None:
    for note in (text, f"{text}\n{NOTE}", f"{NOTE}{text}", f"{HEAD.body().decode()}\n{text}"):
        try:
            parse(note)
        except BadCheckpointError:
            continue


@pytest.mark.parametrize(
    ("origin", "size", "root"),
    [("", 0, ROOT), ("a\nb", 0, ROOT), ("a\x7f\x00", 0, ROOT), ("a", -1, ROOT), ("a", 2**63, ROOT), ("a", 0, b"")],
)
def test_an_impossible_checkpoint_is_never_signed(origin: str, size: int, root: bytes) -> None:
    with pytest.raises(BadCheckpointError):
        Checkpoint(origin, size, root)


# Keys


def test_a_key_comes_back_from_its_vkey() -> None:
    assert NoteKey.parse(KEY.vkey) == KEY


def test_every_change_of_a_vkey_is_noticed() -> None:
    vkey = GO["vkey"]
    assert NoteKey.parse(vkey).vkey == vkey
    for position, character in enumerate(vkey):
        for other in {"0", "A", "+", " ", chr(ord(character) ^ 1)} - {character}:
            with pytest.raises(BadKeyError):
                NoteKey.parse(vkey[:position] + other + vkey[position + 1 :])
    for start in range(len(vkey)):
        for end in range(start, len(vkey) + 1):
            if (start, end) != (0, len(vkey)):
                with pytest.raises(BadKeyError):
                    NoteKey.parse(vkey[start:end])


def test_a_key_of_another_type_is_refused() -> None:
    rekor = (
        "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l"
        "+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc="
    )
    with pytest.raises(BadKeyError, match="Ed25519"):
        NoteKey.parse(rekor)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\x00b", "a\u00a0b"])
def test_an_impossible_key_name_is_refused(name: str) -> None:
    with pytest.raises(BadKeyError, match="key name"):
        NoteKey(name, KEY.public_key)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(BadKeyError, match="32 bytes"):
        NoteKey("auditlog.example", bytes(size))
