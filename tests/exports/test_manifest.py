"""Claim and manifest: one spelling, and nothing in them that cannot be."""

import json
from dataclasses import replace
from typing import Any

import pytest

from exports.errors import BadManifestError
from exports.manifest import Claim, File, Manifest

CLAIM = Claim(
    export_id="01932f6e-0000-7000-8000-000000000000",
    exported_at="2026-11-23T05:40:00.123456Z",
    exported_by="ada",
    purpose="quarterly review",
    case="2026-17",
    filters={"actor": "bob"},
    ledger="activity",
    origin="auditlog.local/activity",
    ledger_size=100,
    root="ab" * 32,
    entries=3,
    first_leaf=12,
    last_leaf=20,
    complete_range=(10, 30),
    withheld=17,
    dataset_digest="cd" * 32,
    verdicts={"valid": 2, "tampered": 1},
    software="auditlog 0.1.0",
    signer_certificate_sha256="ef" * 32,
    time_stamp_authority=None,
)
MANIFEST = Manifest(CLAIM, (File("entries.csv", "text/csv", "01" * 32, 17),))


def test_claim_and_manifest_come_back_equal() -> None:
    assert Claim.from_json(CLAIM.to_json()) == CLAIM
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST


def test_an_export_without_entries_or_range_can_be_claimed() -> None:
    empty = replace(CLAIM, entries=0, first_leaf=None, last_leaf=None, verdicts={}, complete_range=None, withheld=None)
    assert Claim.from_json(empty.to_json()) == empty


@pytest.mark.parametrize(
    "change",
    [
        {"entries": 4},
        {"entries": -1},
        {"withheld": 16},
        {"withheld": None},
        {"first_leaf": 9},
        {"last_leaf": 30},
        {"last_leaf": None},
        {"complete_range": (10, 101)},
        {"ledger_size": 29},
        {"verdicts": {"valid": 4, "tampered": -1}},
        {"verdicts": {"valid": True, "tampered": 2}},
        {"filters": {"actor": 1}},
        {"root": "AB" * 32},
        {"dataset_digest": ""},
        {"exported_at": "2026-11-23 05:40:00"},
        {"order": "occurred_at"},
        {"hash_algorithm": "SHA-1"},
        {"purpose": None},
    ],
)
def test_what_cannot_be_is_no_claim(change: dict[str, Any]) -> None:
    with pytest.raises(BadManifestError):
        replace(CLAIM, **change)


def test_leaves_that_are_named_are_as_many_as_there_are_entries_and_no_range() -> None:
    def named(leaves: str) -> Claim:
        return replace(CLAIM, filters={"leaf_indexes": leaves}, complete_range=None, withheld=None)

    assert named("20,12,15").named_leaves == frozenset({12, 15, 20})
    assert CLAIM.named_leaves is None
    for leaves in ("12,15", "12,15,20,21", "12,15,15", "12, 15, 20", "12,15,x", ""):
        with pytest.raises(BadManifestError):
            named(leaves)
    with pytest.raises(BadManifestError):
        replace(named("12,15,20"), complete_range=(10, 30), withheld=17)


def test_another_spelling_is_refused() -> None:
    for raw in (json.dumps(MANIFEST.to_json().decode()).encode(), MANIFEST.to_json()[:-1], b" " + MANIFEST.to_json()):
        with pytest.raises(BadManifestError):
            Manifest.from_json(raw)


def test_other_words_than_the_numbers_say_are_refused() -> None:
    said = CLAIM.to_json()
    assert b"17 as hashes only" in said
    with pytest.raises(BadManifestError, match="other words"):
        Claim.from_json(said.replace(b"17 as hashes only", b"18 as hashes only"))


def test_unknown_members_and_files_listed_twice_are_refused() -> None:
    said = CLAIM.to_dict()
    with pytest.raises(BadManifestError, match="unknown"):
        Claim.from_dict({**said, "note": "added"})
    with pytest.raises(BadManifestError, match="twice"):
        Manifest.from_json(Manifest(CLAIM, MANIFEST.files * 2).to_json())


def test_the_claim_says_what_it_does_not_claim() -> None:
    assert any("no time stamp authority" in said for said in CLAIM.claims_not())
    assert not any("time stamp" in said for said in replace(CLAIM, time_stamp_authority="tsa").claims_not())
    assert CLAIM.marked == 1
    assert any("Marked as tampered: 1." in said for said in CLAIM.claims())


def of(**verdicts: int) -> Claim:
    return replace(CLAIM, verdicts=verdicts)


_TREE = "is a leaf of the ledger activity as it stood at 100 leaves"
_BYTE_FOR_BYTE = "Every record is exported byte for byte as it was hashed when it was recorded"
_EXPORTED = (
    "The account named here exported it at 2026-11-23T05:40:00.123456Z, and signed it with the certificate named here."
)
_RANGE = "Of the leaves 10 up to, but not including, 30 every one is here: "
_LEFT = "17 as hashes only: the filter left them out, or they were amended or removed since."
# As they were written before there was a second format: in signed bytes, so for ever.
_FIRST_WORDS = [
    f"Each of the 3 exported entries {_TREE}, unless it is marked as tampered.",
    f"{_BYTE_FOR_BYTE}.",
    _EXPORTED,
    f"{_RANGE}3 as records and {_LEFT}",
]


def test_where_nothing_is_marked_the_words_are_those_of_the_first_format() -> None:
    for claim in (of(valid=3), of(valid=2, unsigned=1)):
        assert claim.to_dict()["format"] == "auditlog-export-claim/1"
        assert claim.claims() == _FIRST_WORDS
        again = claim.to_json().replace(b"claim/1", b"claim/2")
        with pytest.raises(BadManifestError, match="other words"):
            Claim.from_json(again)


def test_what_was_said_of_marked_entries_before_is_taken_as_it_was() -> None:
    said = of(valid=1, missing=2).to_dict() | {
        "format": "auditlog-export-claim/1",
        "claims": [*_FIRST_WORDS, "2 entries are marked: they did not verify when they were exported."],
    }
    claim = Claim.from_dict(said)
    assert claim.to_dict() == said
    assert claim != of(valid=1, missing=2)
    with pytest.raises(BadManifestError, match="other words"):
        Claim.from_dict(said | {"format": "auditlog-export-claim/2"})
    with pytest.raises(BadManifestError, match="other words"):
        Claim.from_dict(of(valid=1, missing=2).to_dict() | {"format": "auditlog-export-claim/1"})
    with pytest.raises(BadManifestError, match="neither of the format"):
        Claim.from_dict(said | {"format": "auditlog-export-claim/3"})


def test_of_marked_entries_it_is_said_what_is_so_of_each_verdict() -> None:
    assert of(valid=1, missing=2).claims() == [
        f"Each of the 3 exported entries {_TREE}, unless it is marked as missing.",
        f"{_BYTE_FOR_BYTE}, unless its entry is marked so.",
        _EXPORTED,
        f"{_RANGE}1 as records, 2 as hashes of what is missing and {_LEFT}",
        "Marked as missing: 2. The ledger has its leaf, and the entry was gone; only its place is exported.",
    ]
    assert of(removed=1, cannot_tell=1, untrusted_key=1).claims() == [
        f"Each of the 3 exported entries {_TREE}.",
        f"{_BYTE_FOR_BYTE}.",
        _EXPORTED,
        f"{_RANGE}3 as records and {_LEFT}",
        "Marked as untrusted_key: 1. Its record is the leaf, and the key that signed it is not trusted for it.",
        "Marked as removed: 1. What stood there was removed under a recorded decision, which its record tells.",
        "Marked as cannot_tell: 1. Nothing wrong was found, and something that is needed to be sure was not there.",
    ]
    both = of(valid=1, missing=1, tampered=1)
    assert both.claims()[0].endswith("unless it is marked as tampered or missing.")
    assert Claim.from_json(both.to_json()) == both
