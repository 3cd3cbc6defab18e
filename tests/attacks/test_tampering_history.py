"""Keys, checkpoints and whole histories changed by somebody who owns the database, with or without the master key."""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

from pathlib import Path

import pytest
from django.test import override_settings

from activity.services import bootstrap as bootstrap_activity
from activity.services import record, record_many
from signing.checkpoint import Checkpoint, NoteKey, sign
from signing.ledger import sign_checkpoint
from signing.models import SigningKey
from signing.providers import PROVIDERS
from signing.queries import head, ledger_named
from signing.services import bootstrap
from tests.attacks.conftest import Attacked, another_event
from tests.attacks.intruder import GUARDED, Verification, assert_clean, of, real_events, verify

ACTIVITY = of("activity")
NEWEST = f"{ACTIVITY} AND size = (SELECT max(size) FROM ledger_checkpoints WHERE {ACTIVITY})"
ENTRY_KEY = "purpose = 'entry' AND state = 'active'"
STATEMENTS = {
    "a public key is swapped under its id": f"UPDATE signing_keys SET public_key = sha256(public_key) WHERE {ENTRY_KEY}",
    "an algorithm is changed": f"UPDATE signing_keys SET algorithm = 'HS256' WHERE {ENTRY_KEY}",
    "a purpose is changed": f"UPDATE signing_keys SET purpose = 'checkpoint' WHERE {ENTRY_KEY}",
    "a retired key is active again": "UPDATE signing_keys SET state = 'active' WHERE state = 'retired' AND algorithm <> 'x'",
    "a key is removed": f"DELETE FROM signing_keys WHERE {ENTRY_KEY}",
    "a window is widened": "UPDATE signing_key_windows SET until_leaf = NULL WHERE until_leaf IS NOT NULL",
    "a window is moved": "UPDATE signing_key_windows SET first_leaf = 0 WHERE first_leaf > 0",
    "a window is removed": "DELETE FROM signing_key_windows",
    "a log type is changed": "UPDATE log_types SET requires_signature = false WHERE pattern = 'auth.*'",
    "a log type is removed": "DELETE FROM log_types WHERE pattern = 'auth.*'",
    "a log type is added": "INSERT INTO log_types (pattern, requires_signature, algorithm, description) VALUES ('x', false, 'Ed25519', '')",
    "a ledger is renamed": "UPDATE ledgers SET name = 'meta-2' WHERE name = 'meta'",
    "a ledger has another origin": "UPDATE ledgers SET origin = 'elsewhere' WHERE name = 'activity'",
    "a ledger is of another kind": "UPDATE ledgers SET kind = 'activity' WHERE name = 'meta'",
    "a ledger is removed": "DELETE FROM ledgers WHERE name = 'meta'",
    "a key event is removed": "DELETE FROM key_events WHERE leaf_index = 5",
    "all key events are removed": "DELETE FROM key_events",
    "a key event claims another ledger": "UPDATE key_events SET ledger_id = (SELECT id FROM ledgers WHERE name = 'meta') WHERE leaf_index = 5",
    "an old checkpoint is replayed": f"UPDATE ledger_checkpoints SET note = (SELECT note FROM ledger_checkpoints WHERE {ACTIVITY} ORDER BY size LIMIT 1) WHERE {NEWEST}",
    "another ledger's checkpoint is passed": "UPDATE ledger_checkpoints SET note = (SELECT note FROM ledger_checkpoints k WHERE k.ledger_id <> ledger_checkpoints.ledger_id LIMIT 1) WHERE " + NEWEST,
    "a checkpoint's root is changed": f"UPDATE ledger_checkpoints SET root = sha256(root) WHERE {NEWEST}",
    "a checkpoint is no note": f"UPDATE ledger_checkpoints SET note = 'x' WHERE {NEWEST}",
    "all checkpoints are deleted": f"DELETE FROM ledger_checkpoints WHERE {ACTIVITY}",
}  # fmt: skip


@pytest.mark.parametrize("attack", STATEMENTS)
def test_what_a_verdict_rests_on_is_compared_when(attacked: Attacked, attack: str) -> None:
    assert_clean()
    for table in ("signing_keys", "key_events"):
        attacked.intruder.drop_constraints(table)
    attacked.intruder(STATEMENTS[attack])
    found = verify()
    assert (found.exit_code, found.outcome) == (1, "tampered"), found.reports
    if attack in {"a key event is removed", "a key event claims another ledger"}:
        assert found.first_bad_leaf("keys") == 5


def test_an_edited_key_event_is_named(attacked: Attacked) -> None:
    attacked.intruder(
        "UPDATE key_events SET record = set_byte(record, 9, get_byte(record, 9) # 1) WHERE leaf_index = 3"
    )
    found = verify()
    assert (found.exit_code, found.first_bad_leaf("keys")) == (1, 3)


def test_a_signature_of_an_entry_key_is_none_of_a_checkpoint(attacked: Attacked) -> None:
    ledger = ledger_named("activity")
    tree = head(ledger)
    key = SigningKey.objects.get(pk=attacked.recorded.active_key)
    note_key = NoteKey(ledger.origin, bytes(key.public_key))
    note = sign(Checkpoint(ledger.origin, tree.size, tree.root()), [(note_key, PROVIDERS["local"].signer(key))])
    attacked.intruder(f"UPDATE ledger_checkpoints SET note = %s WHERE {NEWEST}", note)
    assert verify().exit_code == 1


@override_settings(AUDITLOG_ANCHOR_DIR="")
def _without_anchors(attacked: Attacked) -> Verification:
    return verify("--trust", attacked.trust)


def _only_an_anchor_shows_it(attacked: Attacked) -> None:
    alone = _without_anchors(attacked)
    assert (alone.exit_code, alone.outcome) == (2, "cannot_tell"), alone.reports
    assert any("cannot be ruled out" in reason for reason in alone.doubts())
    for place in (attacked.database.anchors, attacked.database.anchors / "activity"):
        assert verify("--anchor", place).exit_code == 1


def test_tables_restored_from_an_older_copy_contradict_the_anchors(attacked: Attacked) -> None:
    tables = [table for (table,) in attacked.intruder.rows(GUARDED)]
    for table in tables:
        attacked.intruder._connection.execute(f"CREATE TABLE saved_{table} AS TABLE {table}".encode())
    record_many([another_event(number) for number in range(1, 20)])
    sign_checkpoint(ledger_named("activity"), force_anchor=True)
    assert_clean()
    attacked.intruder(f"TRUNCATE {', '.join(tables)}")
    for table in tables:
        attacked.intruder._connection.execute(f"INSERT INTO {table} SELECT * FROM saved_{table}".encode())
    _only_an_anchor_shows_it(attacked)


def test_a_tail_cut_off_with_head_tree_and_checkpoints_contradicts_the_anchors(attacked: Attacked) -> None:
    older = next(attacked.database.anchors.glob("activity/*606.checkpoint")).read_text()
    attacked.intruder(f"DELETE FROM activity_logs WHERE {ACTIVITY} AND leaf_index >= 606")
    attacked.intruder.rebuild_tree()
    root = head(ledger_named("activity")).root()
    attacked.intruder(f"UPDATE ledger_checkpoints SET size = 606, root = %s, note = %s WHERE {NEWEST}", root, older)
    _only_an_anchor_shows_it(attacked)


@override_settings(AUDITLOG_ANCHOR_DIR="")
def _sign_without_anchoring() -> None:
    sign_checkpoint(ledger_named("activity"))


def test_a_tree_rewritten_and_signed_with_the_master_key_contradicts_the_anchors(attacked: Attacked) -> None:
    leaf = attacked.recorded.unsigned
    attacked.intruder.backdate(leaf)
    attacked.intruder.rebuild_tree()
    attacked.intruder(f"DELETE FROM ledger_checkpoints WHERE {ACTIVITY}")
    _sign_without_anchoring()
    _only_an_anchor_shows_it(attacked)
    assert any(leaf in leaves for leaves in verify().ranges())


def test_everything_rebuilt_with_fresh_keys_is_caught_by_the_pinned_key(attacked: Attacked, tmp_path: Path) -> None:
    assert_clean()
    tables = [table for (table,) in attacked.intruder.rows(GUARDED)]
    attacked.intruder(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY")
    with override_settings(
        AUDITLOG_MASTER_KEY="YSBtYXN0ZXIga2V5IHRoYXQgYW4gaW50cnVkZXIgbWE=",
        AUDITLOG_ANCHOR_DIR="",
        AUDITLOG_TRUST_FILE="",
    ):
        bootstrap()
        bootstrap_activity()
        record_many(real_events(200))
        record(another_event(1))
        unpinned = verify()
        assert unpinned.exit_code == 2
        assert any("rebuilt with fresh keys cannot be ruled out" in reason for reason in unpinned.doubts("keys"))
    assert _without_anchors(attacked).exit_code == 1
    assert verify().exit_code == 1
