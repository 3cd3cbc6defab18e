"""Leaves, tiles, nodes and heads changed by somebody who owns the database."""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

import pytest

from activity.services import record
from signing.merkle import leaf_hash, tile_root
from signing.tree_check import TreeCheck
from tests.attacks.conftest import Attacked, another_event
from tests.attacks.intruder import assert_clean, of, verify

ACTIVITY = of("activity")


@pytest.mark.parametrize("leaf", [0, 255, 256, 700, 768, 1005])
def test_a_changed_leaf_is_named_in_a_tile_and_before_it_fills_one(attacked: Attacked, leaf: int) -> None:
    assert_clean()
    attacked.intruder.edit_leaf(leaf, b"\1" * 32)
    found = verify()
    assert (found.exit_code, found.outcome) == (1, "tampered")
    assert leaf in [finding["leaf_index"] for finding in found.findings()]
    assert found.first_bad_leaf() == leaf or any(leaf in leaves for leaves in found.ranges())


@pytest.mark.parametrize("leaf", [10, 300, 950])
def test_a_leaf_changed_together_with_its_record_is_found_in_a_range(attacked: Attacked, leaf: int) -> None:
    forged = attacked.intruder.backdate(leaf)
    attacked.intruder.edit_leaf(leaf, leaf_hash(forged))
    found = verify()
    assert (found.exit_code, found.outcome) == (1, "tampered")
    assert any(leaf in leaves for leaves in found.ranges()), found.alarms()


STATEMENTS = {
    "a tile is gone": ("DELETE FROM ledger_tiles WHERE {of} AND tile_index = 1", 256),
    "a tile is cut short": (
        "UPDATE ledger_tiles SET hashes = substring(hashes FOR 3200) WHERE {of} AND tile_index = 1",
        256,
    ),
    "a tile is longer": ("UPDATE ledger_tiles SET hashes = hashes || '\\x00' WHERE {of} AND tile_index = 1", 256),
    "two tiles are swapped": (
        "UPDATE ledger_tiles t SET hashes = (SELECT hashes FROM ledger_tiles o WHERE o.ledger_id = t.ledger_id "
        "AND o.level = 0 AND o.tile_index = 3 - t.tile_index) WHERE {of} AND level = 0 AND tile_index IN (1, 2)",
        256,
    ),
    "an upper node is changed": (
        "UPDATE ledger_nodes SET hash = sha256(hash) WHERE {of} AND level = 1 AND node_index = 1",
        256,
    ),
    "an upper node is gone": ("DELETE FROM ledger_nodes WHERE {of} AND level = 1 AND node_index = 2", 512),
    "the waiting leaves are gone": ("DELETE FROM ledger_nodes WHERE {of} AND level = 0", 768),
    "an upper node is added": (
        "INSERT INTO ledger_nodes (ledger_id, level, node_index, hash) SELECT ledger_id, 1, 3, hash FROM ledger_nodes WHERE {of} LIMIT 1",
        None,
    ),
    "a leaf is added": (
        "INSERT INTO ledger_nodes (ledger_id, level, node_index, hash) SELECT ledger_id, 0, 1006, hash FROM ledger_nodes WHERE {of} LIMIT 1",
        None,
    ),
    "a tile is added": (
        "INSERT INTO ledger_tiles (ledger_id, level, tile_index, hashes) SELECT ledger_id, 0, 3, hashes FROM ledger_tiles WHERE {of} LIMIT 1",
        768,
    ),
    "the head's frontier is changed": ("UPDATE ledger_heads SET frontier[2] = frontier[1] WHERE {of}", None),
    "the head's frontier is emptied": ("UPDATE ledger_heads SET frontier = '{{}}' WHERE {of}", 0),
    "the head's frontier holds nothing": ("UPDATE ledger_heads SET frontier[1] = NULL WHERE {of}", 0),
    "the head is set back": ("UPDATE ledger_heads SET size = 1003, frontier = frontier[1:8] WHERE {of}", None),
    "the head is set forward": ("UPDATE ledger_heads SET size = 1011 WHERE {of}", 1006),
    "the head is set beyond all reading": (
        "UPDATE ledger_heads SET size = 1::bigint << 55, frontier = frontier[1:1] WHERE {of}",
        None,
    ),
    "the head is negative": ("UPDATE ledger_heads SET size = -1 WHERE {of}", 0),
    "the head is gone": ("DELETE FROM ledger_heads WHERE {of}", 0),
}


@pytest.mark.parametrize("attack", STATEMENTS)
def test_the_stored_tree_is_compared_when(attacked: Attacked, attack: str) -> None:
    assert_clean()
    statement, leaf = STATEMENTS[attack]
    attacked.intruder.drop_constraints("ledger_heads")
    attacked.intruder(statement.format(of=ACTIVITY))
    found = verify()
    assert (found.exit_code, found.outcome) == (1, "tampered"), found.reports
    if leaf is not None:
        assert found.first_bad_leaf() == leaf or any(leaf in leaves for leaves in found.ranges()), found.alarms()


def test_a_whole_tile_of_tile_roots_is_compared_with_its_leaves() -> None:
    leaves = [leaf_hash(bytes([number])) for number in range(256)]
    tile = b"".join([tile_root(b"".join(leaves))] * 256)
    for stored, alarms in ((tile, 0), (tile[:32] + b"\1" * 32 + tile[64:], 1)):
        tiles = {(1, 0): stored, (2, 0): tile_root(tile)}
        check = TreeCheck("activity", [], lambda level, index, tiles=tiles: tiles.get((level, index), b""))  # type: ignore[misc]
        for _ in range(256):
            check.add_tile(leaves)
        check.finish()
        assert len(check.findings) == alarms
    assert check.findings[0].leaf_index == 256
    assert "over leaves 256 to 511" in check.findings[0].reason


def test_a_forged_verification_does_not_hide_a_rewritten_tree_from_the_anchors(attacked: Attacked) -> None:
    attacked.intruder.backdate(300)
    attacked.intruder.rebuild_tree()
    attacked.intruder(f"DELETE FROM ledger_checkpoints WHERE {ACTIVITY}")
    # The application itself signs the forged tree, and later ones that are large enough to lie behind all old anchors.
    for number in range(1, 25):
        record(another_event(number))
    newest = f"SELECT root FROM ledger_checkpoints WHERE {ACTIVITY} ORDER BY size DESC LIMIT 1"
    attacked.intruder(
        "INSERT INTO verification_runs (ledger_id, started_at, since, size, root, outcome, findings) "
        f"SELECT id, now(), 0, 1030, ({newest}), 'valid', '[]' FROM ledgers WHERE name = 'activity'"
    )
    assert verify("--since-last").exit_code == 1


def test_a_verification_that_cannot_have_been_is_passed_over(attacked: Attacked) -> None:
    attacked.intruder(
        "INSERT INTO verification_runs (ledger_id, started_at, since, size, root, outcome, findings) "
        "SELECT id, now(), 0, -300, '', 'valid', '[]' FROM ledgers"
    )
    assert_clean("--since-last")


def test_deleted_verifications_only_make_the_next_one_read_everything(attacked: Attacked) -> None:
    assert_clean()
    attacked.intruder.edit(300, target="elsewhere")
    attacked.intruder("DELETE FROM verification_runs")
    assert verify("--since-last").first_bad_leaf() == 300
