"""Rows of entries moved, removed, added and exchanged by somebody who owns the database."""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

from collections.abc import Callable

import pytest

from signing import jws
from signing.algorithms import ALGORITHMS
from signing.models import SigningKey
from signing.providers import PROVIDERS
from signing.queries import ledger_named
from tests.attacks.conftest import Attacked
from tests.attacks.intruder import Verification, assert_clean, of, verify

ACTIVITY = of("activity")
CONTENTS = (
    "record, event_digest, signature, key_id, type, actor, action, target, outcome, severity, source, ip, occurred_at"
)


def _caught(leaf: int, *, ledger: str = "activity") -> Verification:
    found = verify()
    assert (found.exit_code, found.outcome, found.first_bad_leaf(ledger)) == (1, "tampered", leaf), found.reports
    return found


def _caught_nowhere() -> Verification:
    found = verify()
    assert (found.exit_code, found.outcome) == (1, "tampered"), found.reports
    return found


def _swap(column_list: str, one: int, other: int) -> str:
    columns = column_list.split(", ")
    return (
        f"UPDATE activity_logs a SET ({', '.join(columns)}) = (SELECT {', '.join(f'b.{name}' for name in columns)} "
        f"FROM activity_logs b WHERE b.{ACTIVITY} AND b.leaf_index = CASE a.leaf_index WHEN {one} THEN {other} ELSE {one} END) "
        f"WHERE a.{ACTIVITY} AND a.leaf_index IN ({one}, {other})"
    )


STATEMENTS = {
    "signatures are taken away": (f"UPDATE activity_logs SET signature = NULL, key_id = NULL WHERE {ACTIVITY}", 0),
    "one signature is taken away": (
        f"UPDATE activity_logs SET signature = NULL, key_id = NULL WHERE {ACTIVITY} AND leaf_index = 50",
        50,
    ),
    "signatures of two entries are swapped": (_swap("signature", 51, 60), 51),
    "contents of two entries are swapped": (_swap(CONTENTS, 51, 60), 51),
    "leaf indexes of two entries are swapped": (
        f"UPDATE activity_logs SET leaf_index = 111 - leaf_index WHERE {ACTIVITY} AND leaf_index IN (51, 60)",
        51,
    ),
    "one entry is deleted": (f"DELETE FROM activity_logs WHERE {ACTIVITY} AND leaf_index = 300", 300),
    "a range is deleted": (f"DELETE FROM activity_logs WHERE {ACTIVITY} AND leaf_index BETWEEN 250 AND 600", 250),
    "the tail is deleted": (f"DELETE FROM activity_logs WHERE {ACTIVITY} AND leaf_index >= 990", 990),
    "the last entry is deleted": (f"DELETE FROM activity_logs WHERE {ACTIVITY} AND leaf_index = 1005", 1005),
    "all entries are deleted": (f"DELETE FROM activity_logs WHERE {ACTIVITY}", 0),
    "entries are renumbered to close a gap": (
        f"WITH gone AS (DELETE FROM activity_logs WHERE {ACTIVITY} AND leaf_index = 400) "
        f"UPDATE activity_logs SET leaf_index = leaf_index - 1 WHERE {ACTIVITY} AND leaf_index > 400",
        400,
    ),
    "entries are renumbered to make a gap": (
        f"UPDATE activity_logs SET leaf_index = leaf_index + 1 WHERE {ACTIVITY} AND leaf_index >= 400",
        400,
    ),
    "an entry goes to another ledger": (
        f"UPDATE activity_logs SET ledger_id = (SELECT id FROM ledgers WHERE name = 'meta') "
        f"WHERE {ACTIVITY} AND leaf_index = 300",
        300,
    ),
}


@pytest.mark.parametrize("attack", STATEMENTS)
def test_rows_are_no_longer_their_leaves_when(attacked: Attacked, attack: str) -> None:
    assert_clean()
    statement, leaf = STATEMENTS[attack]
    attacked.intruder.drop_constraints()
    attacked.intruder(statement)
    _caught(leaf)


NEW_ID = "'00000000-0000-7000-8000-000000000001'"
INSERTIONS = {
    "at the next free leaf": ({"id": NEW_ID, "leaf_index": "1006"}, 1006),
    "far beyond the end": ({"id": NEW_ID, "leaf_index": "5000000000"}, 5_000_000_000),
    "before the beginning": ({"id": NEW_ID, "leaf_index": "-1"}, -1),
    "at a taken leaf": ({"id": NEW_ID}, 300),
    "as an exact duplicate": ({}, 300),
    "at a leaf that is not said": ({"id": NEW_ID, "leaf_index": "NULL"}, None),
    "in no ledger": ({"id": NEW_ID, "ledger_id": "NULL"}, None),
    "in a ledger that does not exist": ({"id": NEW_ID, "ledger_id": "32767"}, None),
    "in the ledger of keys": ({"id": NEW_ID, "ledger_id": "(SELECT id FROM ledgers WHERE name = 'keys')"}, None),
}


@pytest.mark.parametrize("place", INSERTIONS)
def test_an_inserted_entry_is_noticed(attacked: Attacked, place: str) -> None:
    assert_clean()
    columns, leaf = INSERTIONS[place]
    attacked.intruder.drop_constraints()
    attacked.intruder.insert_copy(300, event_id="NULL", **columns)
    found = verify()
    assert (found.exit_code, found.outcome) == (1, "tampered"), found.reports
    assert found.first_bad_leaf() == leaf


def test_an_entry_put_into_the_empty_meta_ledger_is_noticed(attacked: Attacked) -> None:
    attacked.intruder.insert_copy(
        300, id=NEW_ID, event_id="NULL", leaf_index="0", ledger_id="(SELECT id FROM ledgers WHERE name = 'meta')"
    )
    # No ledger of accesses takes entries, so it is named by its id, with the leaf that it claims.
    found = _caught_nowhere()
    claimed = ledger_named("meta").pk
    named = NEW_ID.strip("'")
    assert found.alarms() == [f"the entry {named} is in no ledger of entries, but at leaf 0 of the ledger {claimed}"]


def test_a_backdated_entry_is_noticed_though_record_and_column_agree(attacked: Attacked) -> None:
    leaf = attacked.recorded.full
    forged = attacked.intruder.record(leaf).replace(b"2026-11-23T05:40:00", b"2026-10-23T05:40:00")
    attacked.intruder.edit(leaf, record=forged, occurred_at="2026-10-23T05:40:00Z")
    _caught(leaf)


def _signed_by(attacked: Attacked, record: bytes, kid: str) -> tuple[bytes, bytes]:
    """Return the record as if `kid` had signed it, and that signature: the attacker has the master key."""
    own = SigningKey.objects.get(pk=attacked.recorded.active_key)
    record = record.replace(attacked.recorded.active_key.encode(), kid.encode())
    key = SigningKey.objects.filter(pk=kid).first()
    sign = PROVIDERS[key.provider].signer(key) if key else ALGORITHMS["Ed25519"].load_private(b"\7" * 32)
    return record, sign(jws.signing_input(jws.protected(own.algorithm, kid), record))


SIGNERS: dict[str, Callable[[Attacked], str]] = {
    "the current": lambda attacked: attacked.recorded.active_key,
    "a retired": lambda attacked: attacked.recorded.retired_key,
    "an unknown": lambda _: "entry-ed25519-00000000ffff",
}


@pytest.mark.parametrize("signer", SIGNERS)
def test_an_edited_entry_signed_anew_is_not_its_leaf(attacked: Attacked, signer: str) -> None:
    assert_clean()
    leaf, kid = attacked.recorded.late, SIGNERS[signer](attacked)
    forged, signature = _signed_by(attacked, attacked.intruder.record(leaf).replace(b"account/7", b"account/8"), kid)
    attacked.intruder.edit(leaf, record=forged, target="account/8", key_id=kid, signature=signature)
    _caught(leaf)


@pytest.mark.parametrize("signer", SIGNERS)
def test_an_edited_entry_signed_anew_with_its_whole_tree_contradicts_what_was_signed(
    attacked: Attacked, signer: str
) -> None:
    leaf, kid = attacked.recorded.late, SIGNERS[signer](attacked)
    forged, signature = _signed_by(attacked, attacked.intruder.backdate(leaf), kid)
    attacked.intruder.edit(leaf, record=forged, key_id=kid, signature=signature)
    attacked.intruder.rebuild_tree()
    found = verify()
    assert (found.exit_code, found.outcome) == (1, "tampered")
    assert any(leaf in leaves for leaves in found.ranges()), found.alarms()
    named = [finding["reason"] for finding in found.findings() if finding["leaf_index"] == leaf]
    assert any("was replaced at leaf" in reason for reason in named) == (signer == "a retired")
    assert any("no record of the keys ledger knows its key" in reason for reason in named) == (signer == "an unknown")
