"""The verification tool: what is right is said to be right, and every change is refused, each with its reason."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from exports import names, proofs, render_json, render_ndjson
from exports.container import Member
from exports.manifest import Manifest
from exports.verifier.__main__ import main
from exports.verifier.contents import check_contents
from exports.verifier.files import check_files
from exports.verifier.loose import Loose
from exports.verifier.pins import BadPinError, Pins, add_pins
from exports.verifier.report import Report
from signing import certificates
from signing.jws import public_jwk
from signing.merkle import leaf_hash
from signing.verdicts import Verdict
from tests.exports import altered
from tests.exports.altered import ACCESSES, marked, rotated
from tests.exports.exported import KEY_ID, Tree, access, entry
from tests.exports.exporting import Export, ada, checkpoint_key, members, note, packed
from tests.signing.issued import authority, person

if TYPE_CHECKING:
    from collections.abc import Callable

    from exports.rows import ExportedEntry

EXPORT = Export()
Contents = dict[str, tuple[str, bytes]]


def pins() -> Pins:
    pinned = Pins({certificates.fingerprint(ada().chain[0])}, [checkpoint_key()])
    add_pins(pinned, EXPORT.contents()[names.JWKS][1], "jwks.json")
    return pinned


def checked(raw: bytes, pinned: Pins | None = None) -> Report:
    (report,) = check_files([(io.BytesIO(raw), "export.asice")], pins() if pinned is None else pinned)
    return report


def loose(*files: bytes) -> Report:
    (report,) = check_files([(io.BytesIO(one), "file") for one in files], pins())
    return report


def resigned(contents: Contents, export: Export = EXPORT, **claim: Any) -> bytes:
    """Return a container of other contents, which the insider signs with the right key."""
    return packed(members(contents, export.claim(**claim)), export.signer)


def changed(name: str, change: Callable[[bytes], bytes]) -> Contents:
    contents = EXPORT.contents()
    return contents | {name: (contents[name][0], change(contents[name][1]))}


def without(name: str) -> Contents:
    return {one: content for one, content in EXPORT.contents().items() if one != name}


def test_an_export_is_right_and_known_with_its_pins() -> None:
    report = checked(EXPORT.container())
    assert report.exit_code == 0, report.table()


def test_without_pins_it_is_intact_and_the_signer_unknown() -> None:
    report = checked(EXPORT.container(), Pins())
    assert report.exit_code == 2
    assert "intact, signer unknown" in report.table()


def test_an_entry_that_was_tampered_with_goes_out_marked_and_is_seen() -> None:
    tree = Tree.of(EXPORT.ledger)
    ledger = list(EXPORT.ledger)
    ledger[4] = ledger[4]._replace(record=b'{"changed":1}', verdict=Verdict.TAMPERED, reason="not the leaf")
    report = checked(replace(EXPORT, ledger=tuple(ledger), tree=tree).container())
    assert report.exit_code == 2
    assert "1 entries did not verify: 1 tampered" in report.table()
    assert "3 entries are leaves of the tree of 12; the records of 1 more, which are marked, are not" in report.table()
    assert report.table().endswith("=> " + report.sentence + "\n")
    assert report.sentence.startswith("Entries in it are marked")
    silent = list(EXPORT.ledger)
    silent[4] = silent[5]._replace(leaf_index=4)
    report = checked(replace(EXPORT, ledger=tuple(silent), tree=tree).container())
    assert report.exit_code == 1
    assert "it is not marked" in report.table()
    assert "do not rely on it" in report.sentence


# A sample first; then every byte, in slices that the processes of a run share.
SLICES = [pytest.param(start, 8, marks=pytest.mark.slow) for start in range(8)]


@pytest.mark.parametrize(("start", "step"), [(0, 41), *SLICES])
def test_every_flipped_byte_of_a_container_is_refused(start: int, step: int) -> None:
    raw, pinned, generator = EXPORT.container(), pins(), random.Random(11)
    for place in range(start, len(raw), step):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << generator.randrange(8)
        assert checked(bytes(flipped), pinned).exit_code == 1, place


@pytest.mark.parametrize("name", ["entries.csv", "entries.ndjson", "entries.json", names.MANIFEST])
@pytest.mark.parametrize(("start", "step"), [(0, 97), *SLICES])
def test_every_flipped_byte_of_a_file_in_its_container_is_refused(name: str, start: int, step: int) -> None:
    whole, pinned, generator = EXPORT.container(), pins(), random.Random(12)
    raw = next(b"".join(member.read()) for member in EXPORT.members() if member.name == name)
    for place in range(start, len(raw), step):
        flipped = bytearray(raw)
        flipped[place] ^= 1 << generator.randrange(8)
        assert checked(whole.replace(raw, bytes(flipped), 1), pinned).exit_code == 1, place


@pytest.mark.parametrize("name", ["entries.csv", "entries.ndjson", "entries.json", proofs.NAME, names.CHECKPOINT])
@pytest.mark.parametrize(("start", "step"), [(0, 29), *SLICES])
def test_every_byte_that_an_insider_flips_and_signs_again_is_refused(name: str, start: int, step: int) -> None:
    """Hashes and signature say nothing here: a container with the flipped file would be signed rightly."""
    files, generator = Loose(), random.Random(13)
    for one, (_, raw) in EXPORT.contents().items():
        files.embed(one, raw)
    right = files.read(name)
    assert _contents_of(files).exit_code == 0
    for place in range(start, len(right), step):
        flipped = bytearray(right)
        flipped[place] ^= 1 << generator.randrange(8)
        files.embed(name, bytes(flipped))
        assert _contents_of(files).exit_code == 1, place


def _contents_of(files: Loose) -> Report:
    report = Report("contents")
    check_contents(files, report, pins(), EXPORT.claim())
    return report


@pytest.mark.parametrize(
    ("contents", "claim", "reason"),
    [
        (
            lambda: changed("entries.ndjson", lambda raw: raw.split(b"\n", 1)[1]),
            {},
            "not one that the proof has|data has",
        ),
        (
            lambda: changed("entries.ndjson", lambda raw: raw + raw.splitlines(keepends=True)[-1]),
            {},
            "not in the order",
        ),
        (
            lambda: changed("entries.ndjson", lambda raw: b"".join(raw.splitlines(keepends=True)[::-1])),
            {},
            "not in the order",
        ),
        (
            lambda: changed("entries.ndjson", lambda raw: raw.replace(b"user-4", b"user-5")),
            {},
            "signature is not that|root",
        ),
        (lambda: changed("entries.csv", lambda raw: raw.replace(b"user-4", b"user-5")), {}, "entries.csv does not say"),
        (
            lambda: changed("entries.json", lambda raw: raw.replace(b"user-4", b"user-5")),
            {},
            "entries.json does not say",
        ),
        (lambda: without(proofs.NAME), {}, "are missing: proofs/entries.multiproof"),
        (lambda: without(names.CHECKPOINT), {}, "are missing: checkpoint"),
        (lambda: changed(proofs.NAME, lambda raw: raw[:-4]), {}, "cut off"),
        (
            lambda: changed(names.CHECKPOINT, lambda _: note(EXPORT.real_tree, 9).encode()),
            {},
            "not the one that the manifest",
        ),
        (EXPORT.contents, {"filters": {"actor": "eve"}, "export_id": "x"}, "entries.json does not say"),
        (EXPORT.contents, {"dataset_digest": "00" * 32}, "another dataset digest"),
        (EXPORT.contents, {"verdicts": {"valid": 4}}, "another verdicts"),
        (EXPORT.contents, {"complete_range": (3, 9), "withheld": 2}, "another ledger, size or range"),
        (EXPORT.contents, {"time_stamp_authority": "https://tsa.example"}, "there is no time stamp"),
        (lambda: changed(names.SIGNER, lambda _: certificates.to_pem(ada().chain)), {}, "not what signed the export"),
    ],
)
def test_what_an_insider_changes_and_signs_again_is_refused(
    contents: Callable[[], Contents], claim: dict[str, Any], reason: str
) -> None:
    report = checked(resigned(contents(), **claim))
    assert report.exit_code == 1
    assert any(part in report.table() for part in reason.split("|")), report.table()


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (
            entry(4)._replace(key_id=None, signature=None, verdict=Verdict.UNSIGNED),
            "leaf 4: it stands here as unsigned, and names a key or has a signature",
        ),
        (
            entry(4, signed=False)._replace(signature=b"0" * 64, verdict=Verdict.UNSIGNED),
            "leaf 4: it stands here as unsigned, and names a key or has a signature",
        ),
        (
            entry(4, signed=False)._replace(verdict=Verdict.VALID),
            "leaf 4: it stands here as valid, and is unsigned",
        ),
        (
            entry(4, data={"note": "x" * 70_000})._replace(detached_data=b'{"note":"y"}'),
            "leaf 4: the data beside it is not what its record says",
        ),
        (
            entry(4, data={"note": "x" * 70_000})._replace(detached_data=None),
            "leaf 4: the data beside it is not what its record says",
        ),
        (
            entry(4)._replace(detached_data=b'{"note":"y"}'),
            "leaf 4: data lies beside a record that has its data inside",
        ),
    ],
)
def test_what_stands_beside_a_true_record_is_checked_too(other: ExportedEntry, reason: str) -> None:
    """Whoever may sign exports shows real records with what they do not say; the proof is right of each."""
    ledger = (*EXPORT.ledger[:4], other, *EXPORT.ledger[5:])
    report = checked(replace(EXPORT, ledger=ledger, formats=(render_ndjson.NAME,)).container())
    assert report.exit_code == 1
    assert reason in report.table()


def test_an_entry_whose_key_nobody_has_leaves_doubt() -> None:
    keys = changed(names.JWKS, lambda _: b'{\n  "keys": []\n}\n')
    report = checked(resigned(keys), Pins(pins().fingerprints, pins().checkpoint_keys))
    assert report.exit_code == 2
    assert f"3 entries are signed by keys that are not here: {KEY_ID}" in report.table()


@pytest.mark.parametrize("member", ["sha256", "size", "media_type"])
def test_a_manifest_that_says_something_else_of_a_file_is_refused(member: str) -> None:
    manifest, *others = EXPORT.members()
    said = Manifest.from_json(b"".join(manifest.read()))
    changes: dict[str, Any] = {"sha256": "00" * 32, "size": 1, "media_type": "text/plain"}
    one = replace(said.files[0], **{member: changes[member]})
    for files in ((one, *said.files[1:]), said.files[1:]):
        raw = Manifest(said.claim, files).to_json()
        report = checked(packed([Member.of(names.MANIFEST, "application/json", raw), *others], EXPORT.signer))
        assert report.exit_code == 1
        assert "it lists other files than there are, or other hashes, sizes or kinds" in report.table()


def test_an_export_with_nothing_to_read_is_refused() -> None:
    report = checked(Export(formats=()).container())
    assert report.exit_code == 1
    assert "there are neither rows nor a report in it" in report.table()


@pytest.mark.parametrize(
    ("name", "cut", "reason"),
    [
        (render_json.NAME, lambda raw: raw[: raw.rindex(b'],"claim":')], "the document is cut off"),
        (render_ndjson.NAME, lambda raw: raw[:-1], "the last line is cut off"),
    ],
)
def test_rows_that_end_too_early_are_refused(name: str, cut: Callable[[bytes], bytes], reason: str) -> None:
    export = Export(formats=(name,))
    contents = export.contents()
    media_type, raw = contents[name]
    report = checked(resigned(contents | {name: (media_type, cut(raw))}, export))
    assert report.exit_code == 1
    assert reason in report.table()


def test_other_leaves_than_the_filter_names_are_refused() -> None:
    export = replace(EXPORT, chosen=(3, 5), filters={"leaf_indexes": "3,5"}, complete_range=None)
    assert checked(export.container()).exit_code == 0
    report = checked(replace(export, filters={"leaf_indexes": "3,6"}).container())
    assert report.exit_code == 1
    assert "another set of leaves" in report.table()


def test_a_record_of_another_ledger_is_refused() -> None:
    ledger = list(EXPORT.ledger)
    ledger[4] = ledger[4]._replace(record=ledger[4].record.replace(b'"ledger":"activity"', b'"ledger":"another"'))
    assert ledger[4].verdict == Verdict.UNSIGNED
    report = checked(replace(EXPORT, ledger=tuple(ledger)).container())
    assert report.exit_code == 1
    assert "leaf 4: its record is of another ledger" in report.table()


def test_a_key_that_is_not_the_pinned_one_of_its_name_is_refused() -> None:
    pinned = Pins({certificates.fingerprint(ada().chain[0])}, [checkpoint_key()])
    another = {"keys": [public_jwk(KEY_ID, "Ed25519", checkpoint_key().public_key)]}
    add_pins(pinned, json.dumps(another).encode(), "jwks.json")
    report = checked(EXPORT.container(), pinned)
    assert report.exit_code == 1
    assert f"keys in the export are not the pinned ones: {KEY_ID}" in report.table()


@pytest.mark.parametrize(("name", "expected"), [*marked().items()])
def test_what_is_marked_is_counted_by_verdict(name: str, expected: tuple[int, str, bytes]) -> None:
    code, words, raw = expected
    report = checked(raw)
    assert report.exit_code == code, report.table()
    assert words in report.table(), name
    assert code == 1 or report.sentence.startswith("Entries in it are marked")


@pytest.mark.parametrize(("name", "expected"), [*rotated().items()])
def test_the_keys_that_signed_must_be_pinned_and_no_other_may_bear_their_names(
    name: str, expected: tuple[int, str, bytes]
) -> None:
    code, words, raw = expected
    report = checked(raw)
    assert report.exit_code == code, report.table()
    assert words in report.table(), name


def test_a_key_that_two_pins_differ_about_is_refused() -> None:
    pinned = pins()
    add_pins(pinned, EXPORT.contents()[names.JWKS][1], "again.json")
    another = {"keys": [public_jwk(KEY_ID, "Ed25519", checkpoint_key().public_key)]}
    with pytest.raises(BadPinError, match=f"other.json: the key '{KEY_ID}' is pinned already, and is another one"):
        add_pins(pinned, json.dumps(another).encode(), "other.json")


def test_another_signer_is_refused() -> None:
    eve = person(authority(), "Ada Lovelace")
    report = checked(packed(EXPORT.members(), eve))
    assert report.exit_code == 1
    assert "is not what signed the export" in report.table()
    contents = EXPORT.contents() | {
        names.SIGNER: ("application/x-pem-file", certificates.to_pem([eve.certificate])),
        names.ISSUERS: ("application/x-pem-file", certificates.to_pem(eve.chain)),
    }
    report = checked(packed(members(contents, EXPORT.claim()), eve))
    assert "another certificate than its manifest names" in report.table()
    forged = checked(Export(signer=eve).container())
    assert forged.exit_code == 2
    assert "signer unknown" in forged.table()


def test_a_ledger_that_was_made_up_is_refused() -> None:
    made_up = Export(ledger=tuple(one._replace(signature=None) for one in EXPORT.ledger))
    report = checked(made_up.container())
    assert report.exit_code == 1
    assert "its signature is gone" in report.table()
    assert leaf_hash(EXPORT.ledger[0].record)


def test_loose_files_are_checked_as_far_as_they_go() -> None:
    files = {member.name: b"".join(member.read()) for member in EXPORT.members()}
    alone = loose(files["entries.csv"])
    assert alone.exit_code == 2
    assert "not checked" in alone.table()
    together = loose(
        *(files[name] for name in ("entries.csv", "entries.ndjson", names.MANIFEST, proofs.NAME, "checkpoint"))
    )
    assert together.exit_code == 2, together.table()
    wrong = loose(files["entries.csv"].replace(b"user-4", b"user-5"), files[names.MANIFEST])
    assert wrong.exit_code == 1
    assert loose(b"junk").exit_code == 1


def test_loose_files_that_do_not_go_together_are_refused() -> None:
    files = {member.name: b"".join(member.read()) for member in EXPORT.members()}
    rows, manifest = files["entries.ndjson"], files[names.MANIFEST]
    assert loose(rows, files[proofs.NAME], manifest).exit_code == 2
    elsewhere = Manifest(EXPORT.claim(root="00" * 32), Manifest.from_json(manifest).files).to_json()
    for given, reason in (
        ((rows, files[proofs.NAME], elsewhere), "does not lead to the root that the manifest names"),
        ((manifest, EXPORT.claim(purpose="another").to_json()), "claim.json is not the claim of the manifest"),
        ((rows, rows), "file is a second entries.ndjson: check the exports one by one"),
    ):
        report = loose(*given)
        assert report.exit_code == 1
        assert reason in report.table()


@pytest.mark.parametrize("name", [names.VERIFY, names.VKEYS, names.SIGNER, names.ISSUERS])
def test_a_file_that_says_nothing_alone_is_not_called_changed(name: str) -> None:
    files = {member.name: b"".join(member.read()) for member in EXPORT.members()}
    alone = loose(files[name])
    assert alone.exit_code == 2
    assert f"only the manifest, which is not here, says what is right: {name}" in alone.table()
    assert f"as the manifest lists them: {name}" in loose(files[name], files[names.MANIFEST]).table()
    assert f"{name} is not the file" in loose(files[name] + b"\n", files[names.MANIFEST]).table()


@pytest.mark.parametrize(("name", "expected"), [*altered.loose().items()])
def test_what_is_of_the_container_itself_is_checked_alone_too(
    name: str, expected: tuple[int, str, altered.Files]
) -> None:
    code, words, files = expected
    (report,) = check_files([(io.BytesIO(raw), one) for one, raw in files], pins())
    assert report.exit_code == code, report.table()
    assert words in report.table(), name


def test_the_command_says_it_in_words_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "export.asice"
    file.write_bytes(EXPORT.container())
    assert main([str(file)]) == 2
    assert "signer unknown" in capsys.readouterr().out
    (tmp_path / "ca.pem").write_bytes(certificates.to_pem(ada().chain))
    (tmp_path / "trust.vkeys").write_text(checkpoint_key().vkey)
    (tmp_path / "jwks.json").write_bytes(EXPORT.contents()[names.JWKS][1])
    trust = [word for name in ("ca.pem", "trust.vkeys", "jwks.json") for word in ("--trust", str(tmp_path / name))]
    assert main(["--json", *trust, str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["reports"][0]["outcome"] == "valid"
    assert main(["--trust", "nothing", str(file)]) == 2
    assert "nothing: no fingerprint" in capsys.readouterr().err


GUARD = """
import socket, sys
def refuse(*a, **k): raise SystemExit("the network was used")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from exports.verifier.__main__ import main
code = main(sys.argv[1:])
strangers = {"django", "celery", "redis", "psycopg", "orjson"}
assert not [name for name in sys.modules if name.partition(".")[0] in strangers]
sys.exit(code)
"""


def test_it_needs_neither_django_nor_network(tmp_path: Path) -> None:
    (tmp_path / "export.asice").write_bytes(EXPORT.container())
    command = [sys.executable, "-c", GUARD, str(tmp_path / "export.asice")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 2, done.stderr
    assert "signer unknown" in done.stdout


def forged(place: int, **changes: Any) -> Report:
    """Return what is said of an export of accesses of which somebody changed one, and signed it all anew."""
    ledger = list(ACCESSES.ledger)
    ledger[place] = ledger[place]._replace(**changes)
    return checked(replace(ACCESSES, ledger=tuple(ledger)).container())


def test_accesses_are_right_as_they_were_recorded() -> None:
    report = checked(ACCESSES.container())
    assert report.exit_code == 0, report.table()
    assert "accesses.csv says exactly what the records say" in report.table()
    alone = loose(ACCESSES.contents()["accesses.csv"][1], note(ACCESSES.real_tree).encode(), ACCESSES.proof())
    assert "4 entries are leaves of the tree of 10" in alone.table()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"record": access(4, query=[]).record.replace(b'"query":[]', b'"query":[["a","b"]]')}, "its query hash"),
        ({"record": access(4).record.replace(b'"ledger":"activity"', b'"ledger":"meta"')}, "of another ledger"),
        ({"record": access(4).record.replace(b'"v":1', b'"v": 1')}, "not one of an access"),
        ({"verdict": Verdict.VALID}, "nobody signs the record of an access"),
        ({"key_id": KEY_ID, "signature": bytes(64)}, "nobody signs the record of an access"),
        ({"detached_data": b"{}"}, "nobody signs the record of an access"),
    ],
)
def test_an_access_that_is_none_of_ours_is_refused(changes: dict[str, Any], reason: str) -> None:
    report = forged(4, **changes)
    assert report.exit_code == 1
    assert reason in report.table()


@pytest.mark.parametrize("column", ["user_name", "path", "status"])
def test_a_cell_that_says_something_else_than_its_record_is_refused(column: str) -> None:
    contents = ACCESSES.contents()
    media_type, raw = contents["accesses.csv"]
    header, *rows = list(csv.reader(io.StringIO(raw.decode())))
    rows[0][header.index(column)] = "7"
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    for rest in (contents, {name: content for name, content in contents.items() if not name.startswith("entries.")}):
        report = checked(
            packed(members(rest | {"accesses.csv": (media_type, text.getvalue().encode())}, ACCESSES.claim()), ada())
        )
        assert report.exit_code == 1
        assert "accesses.csv does not say what" in report.table()
