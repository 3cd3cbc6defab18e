"""Replaying the records of the keys ledger, pure: what they tell, and what makes no sense."""

import json

import pytest

from signing.errors import BadKeyError
from signing.keyring import KeyRing, Window

CREATED = {
    "event": "key.created", "key": "k", "purpose": "entry", "algorithm": "Ed25519", "provider": "local",
    "public_key": "AAAA",
}  # fmt: skip
OPENED = {"event": "ledger.opened", "name": "activity", "origin": "o/activity", "kind": "activity", "keys": []}
ACTIVATED = {"event": "key.activated", "key": "k", "windows": {"activity": 5}}
RETIRED = {"event": "key.retired", "key": "k", "windows": {"activity": 9}}
COMPROMISED = {
    "event": "key.compromised", "key": "k", "windows": {"activity": 12}, "trusted_until": {"activity": 7, "later": 0},
}  # fmt: skip


def replayed(*steps: object) -> KeyRing:
    ring = KeyRing()
    for leaf_index, step in enumerate(steps):
        ring.replay(leaf_index, json.dumps(step).encode())
    return ring


def test_a_life_is_told_step_by_step() -> None:
    states = [replayed(*[CREATED, ACTIVATED, RETIRED, COMPROMISED][:steps]).keys["k"].state for steps in range(1, 5)]
    assert states == ["pre-active", "active", "retired", "compromised"]
    assert replayed(CREATED, {"event": "key.destroyed", "key": "k"}).keys["k"].state == "destroyed"


def test_a_window_opens_closes_once_and_is_distrusted() -> None:
    assert replayed(CREATED, ACTIVATED).keys["k"].windows == {"activity": Window(5)}
    assert replayed(CREATED, ACTIVATED, RETIRED, COMPROMISED).keys["k"].windows == {"activity": Window(5, 9, 7)}


def test_a_ledger_gives_its_keys_a_window_from_leaf_0() -> None:
    ring = replayed(CREATED, OPENED | {"keys": ["k"]})
    assert ring.ledgers["activity"].origin == "o/activity"
    assert ring.keys["k"].windows == {"activity": Window(0)}


@pytest.mark.parametrize(
    ("leaf_index", "reason"), [(4, "only from leaf 5"), (5, None), (8, None), (9, "replaced at leaf 9")]
)
def test_a_window_refuses_what_lies_outside(leaf_index: int, reason: str | None) -> None:
    refusal = Window(5, 9).refusal(leaf_index)
    assert (refusal is None) if reason is None else (reason in str(refusal))


@pytest.mark.parametrize(
    "steps",
    [
        (CREATED, CREATED),
        (OPENED, OPENED),
        (ACTIVATED,),
        (OPENED | {"keys": ["k"]},),
        (CREATED | {"public_key": "!"},),
        ({"event": "key.sold", "key": "k"},),
        ({},),
        ([],),
        ("text",),
    ],
)  # fmt: skip
def test_a_record_that_makes_no_sense_is_named(steps: tuple[object, ...]) -> None:
    with pytest.raises(BadKeyError, match=rf"record {len(steps) - 1} of the keys ledger makes no sense"):
        replayed(*steps)


def test_what_is_no_json_is_named() -> None:
    with pytest.raises(BadKeyError, match="record 7 of the keys ledger"):
        KeyRing().replay(7, b"\xff")
