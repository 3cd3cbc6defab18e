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
    assert any("1 entries are marked" in said for said in CLAIM.claims())
