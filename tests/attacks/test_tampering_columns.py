"""Every column of an entry, changed by somebody who owns the database: caught, with the right leaf named."""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

import pytest

from tests.attacks.conftest import Attacked
from tests.attacks.intruder import assert_clean, of, verify


def _bit_of_bytes(column: str, place: int = 0) -> str:
    return f"set_byte({column}, {place}, get_byte({column}, {place}) # 1)"


def _bit_of_text(column: str) -> str:
    return f"left({column}, -1) || chr(ascii(right({column}, 1)) # 1)"


FLIPS = {
    "record": _bit_of_bytes("record", 20),
    "detached_data": _bit_of_bytes("detached_data", 3),
    "event_digest": _bit_of_bytes("event_digest"),
    "signature": _bit_of_bytes("signature"),
    "key_id": _bit_of_text("key_id"),
    "event_id": _bit_of_text("event_id"),
    "type": _bit_of_text("type"),
    "actor": _bit_of_text("actor"),
    "action": _bit_of_text("action"),
    "target": _bit_of_text("target"),
    "outcome": _bit_of_text("outcome"),
    "severity": _bit_of_text("severity"),
    "source": _bit_of_text("source"),
    "ip": "ip + 1",
    "occurred_at": "occurred_at + interval '1 microsecond'",
    "recorded_at": "recorded_at - interval '1 microsecond'",
    "revision": "revision # 1",
    "id": f"encode({_bit_of_bytes('uuid_send(id)', 15)}, 'hex')::uuid",
    "ledger_id": "(SELECT id FROM ledgers WHERE name = 'meta')",
    "leaf_index": "leaf_index + 100000",
}
EMPTY_WITHOUT_SIGNATURE = {"detached_data", "signature", "key_id", "ip"}
# What a column may also become without being another value of its kind.
ODD_VALUES = {
    "ip": "set_masklen(ip, 31)",
    "occurred_at": "'infinity'",
    "recorded_at": "'-infinity'",
    "detached_data": "''::bytea",
    "event_id": "''",
    "record": "''::bytea",
    "signature": "''::bytea",
    "leaf_index": "-1",
    "ledger_id": "32767",
    "actor": "translate(actor, U&'\\2400', 'x')",
}


@pytest.mark.parametrize("column", FLIPS)
def test_a_flipped_bit_in_a_column_names_its_leaf(attacked: Attacked, column: str) -> None:
    assert_clean()
    leaf = attacked.recorded.full
    attacked.intruder(
        f"UPDATE activity_logs SET {column} = {FLIPS[column]} WHERE {of('activity')} AND leaf_index = {leaf}"
    )
    found = verify()
    assert (found.exit_code, found.outcome, found.first_bad_leaf()) == (1, "tampered", leaf), found.reports


@pytest.mark.parametrize("column", [column for column in FLIPS if column not in EMPTY_WITHOUT_SIGNATURE])
def test_entries_without_signature_are_no_softer(attacked: Attacked, column: str) -> None:
    leaf = attacked.recorded.unsigned
    attacked.intruder(
        f"UPDATE activity_logs SET {column} = {FLIPS[column]} WHERE {of('activity')} AND leaf_index = {leaf}"
    )
    found = verify()
    assert (found.exit_code, found.outcome, found.first_bad_leaf()) == (1, "tampered", leaf), found.reports


@pytest.mark.parametrize("column", ODD_VALUES)
def test_a_value_that_no_writer_makes_names_its_leaf(attacked: Attacked, column: str) -> None:
    leaf = attacked.recorded.full
    attacked.intruder(
        f"UPDATE activity_logs SET {column} = {ODD_VALUES[column]} WHERE {of('activity')} AND leaf_index = {leaf}"
    )
    found = verify()
    assert (found.exit_code, found.outcome) == (1, "tampered"), found.reports
    assert found.first_bad_leaf() in {leaf, -1}


@pytest.mark.parametrize("column", FLIPS)
def test_an_emptied_column_names_its_leaf(attacked: Attacked, column: str) -> None:
    leaf = attacked.recorded.full
    attacked.intruder.drop_constraints()
    attacked.intruder(f"UPDATE activity_logs SET {column} = NULL WHERE {of('activity')} AND leaf_index = {leaf}")
    found = verify()
    assert (found.exit_code, found.outcome, found.first_bad_leaf()) == (1, "tampered", leaf), found.reports


@pytest.mark.parametrize(
    "addition",
    [
        {"signature": b"\0" * 64},
        {"detached_data": b"{}"},
        {"event_id": "made up", "ip": "192.0.2.1"},
    ],
)
def test_something_put_beside_an_entry_names_its_leaf(attacked: Attacked, addition: dict[str, object]) -> None:
    attacked.intruder.drop_constraints()
    leaf = attacked.recorded.unsigned
    attacked.intruder.edit(leaf, **addition)
    found = verify()
    assert (found.exit_code, found.outcome, found.first_bad_leaf()) == (1, "tampered", leaf), found.reports


def test_a_signature_that_another_key_made_beside_an_unsigned_entry_names_its_leaf(attacked: Attacked) -> None:
    leaf = attacked.recorded.unsigned
    attacked.intruder.edit(leaf, signature=b"\0" * 64, key_id=attacked.recorded.active_key)
    assert verify().first_bad_leaf() == leaf
