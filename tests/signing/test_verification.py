"""Verification of the keys ledger: the clean state passes, and each numbered step notices what breaks just it."""

import base64

import pytest
from django.conf import settings

from signing import services
from signing.algorithms import ALGORITHMS
from signing.checkpoint import Checkpoint, NoteKey, sign
from signing.models import KeyEvent, LedgerCheckpoint, SigningKey
from signing.providers import PROVIDERS
from signing.queries import head, ledger_named
from signing.verdicts import Verdict
from signing.verification import expected_roots
from tests.clusters import Database
from tests.signing.installation import BY, active_key, anchor_all, pinned, trusted, unguarded


@pytest.fixture
def database(fresh_database: Database) -> Database:
    """Give an installation with a rotation, anchored, in which every step passes."""
    services.rotate_key(purpose="entry", algorithm="Ed25519", **BY)
    anchor_all()
    assert reasons() == []
    return fresh_database


def reasons() -> list[str]:
    return [str(finding) for finding in trusted().findings]


def tamper(database: Database, table: str, sql: str, *arguments: object) -> list[str]:
    with unguarded(database, table) as connection:
        assert connection.execute(sql, arguments).rowcount
    return reasons()


def test_the_ring_holds_every_key_and_ledger(database: Database) -> None:
    ring = trusted().ring
    assert set(ring.keys) == set(SigningKey.objects.values_list("id", flat=True))
    assert set(ring.ledgers) == {"keys", "activity", "meta", "meta-summaries"}


# 1. The records are the leaves


def test_1_a_record_that_was_edited_is_named_by_its_leaf(database: Database) -> None:
    changed = "replace(encode(record, 'escape'), 'a test', 'a tess')::bytea"
    edit = f"UPDATE key_events SET record = {changed} WHERE leaf_index = %s"
    leaf = KeyEvent.objects.latest("leaf_index").leaf_index
    assert any(
        reason.startswith(f"keys, leaf {leaf}: tampered: its record is not the leaf")
        for reason in tamper(database, "key_events", edit, leaf)
    )


def test_1_a_record_that_is_gone_is_named_by_its_leaf(database: Database) -> None:
    found = tamper(database, "key_events", "DELETE FROM key_events WHERE leaf_index = 2")
    assert "keys, leaf 2: missing: the record of this leaf is gone" in found


def test_1_the_last_record_is_missed_too(database: Database) -> None:
    cut = "DELETE FROM key_events WHERE leaf_index = (SELECT max(leaf_index) FROM key_events)"
    assert any("its end was cut off" in reason for reason in tamper(database, "key_events", cut))


def test_1_a_stored_tree_of_other_leaves_is_noticed(database: Database) -> None:
    keys = ledger_named("keys").pk
    edit = "UPDATE ledger_nodes SET hash = sha256('x') WHERE ledger_id = %s AND node_index = 3"
    assert any("keys, leaf 3: tampered" in reason for reason in tamper(database, "ledger_nodes", edit, keys))


def test_1_a_head_of_another_tree_is_noticed(database: Database) -> None:
    keys = ledger_named("keys").pk
    edit = "UPDATE ledger_heads SET frontier[1] = sha256('x') WHERE ledger_id = %s"
    assert any(
        "the head of the ledger is not that of" in reason for reason in tamper(database, "ledger_heads", edit, keys)
    )


# 2. They replay to a key ring


def test_2_a_record_that_makes_no_sense_is_named_by_its_leaf(database: Database) -> None:
    found = tamper(database, "key_events", "UPDATE key_events SET record = 'nonsense' WHERE leaf_index = 3")
    assert any("keys, leaf 3: tampered: record 3 of the keys ledger makes no sense" in reason for reason in found)


# 3. Checkpoints and anchors are of this tree and believed


def test_3_a_checkpoint_with_a_broken_signature_is_noticed(database: Database) -> None:
    edit = (
        "UPDATE ledger_checkpoints SET note = overlay(note placing 'AAAA' from length(note) - 20) WHERE ledger_id = %s"
    )
    found = tamper(database, "ledger_checkpoints", edit, ledger_named("keys").pk)
    assert any("the signature of" in reason and "is wrong" in reason for reason in found)


def signed_note(key: SigningKey, root: bytes) -> str:
    ledger = ledger_named("keys")
    note_key = NoteKey(ledger.origin, bytes(key.public_key))
    return sign(Checkpoint(ledger.origin, head(ledger).size, root), [(note_key, PROVIDERS["local"].signer(key))])


def replace_newest(database: Database, note: str) -> list[str]:
    ledger = ledger_named("keys")
    newest = LedgerCheckpoint.objects.filter(ledger=ledger).order_by("-size")[0].size
    edit = "UPDATE ledger_checkpoints SET note = %s WHERE ledger_id = %s AND size = %s"
    return tamper(database, "ledger_checkpoints", edit, note, ledger.pk, newest)


def test_3_a_checkpoint_of_another_tree_is_noticed(database: Database) -> None:
    found = replace_newest(database, signed_note(active_key("checkpoint"), bytes(32)))
    assert any("is stored with another size or root" in reason for reason in found)
    assert any("is not that of the checkpoint of" in reason for reason in found), found


def test_3_an_entry_key_signs_no_checkpoint(database: Database) -> None:
    root = head(ledger_named("keys")).root()
    assert replace_newest(database, signed_note(active_key("checkpoint"), root)) == []
    found = replace_newest(database, signed_note(active_key("entry"), root))
    assert any("cannot be believed: not signed by any of the keys asked for" in reason for reason in found)


def test_3_a_retired_checkpoint_key_signs_nothing_new(database: Database) -> None:
    old = active_key("checkpoint")
    services.rotate_key(purpose="checkpoint", algorithm="Ed25519", **BY)
    services.retire_key(key_id=old.id, **BY)
    anchor_all()
    assert reasons() == []
    found = replace_newest(database, signed_note(old, head(ledger_named("keys")).root()))
    assert any("was replaced at size" in reason for reason in found)


def test_3_without_a_pin_a_rebuilt_log_cannot_be_ruled_out(database: Database) -> None:
    base = trusted(pins=[])
    assert [finding.verdict for finding in base.findings] == [Verdict.CANNOT_TELL]
    assert "no checkpoint key is pinned" in base.findings[0].reason


def test_3_a_pin_of_somebody_else_believes_nothing(database: Database) -> None:
    _, public_key = ALGORITHMS["Ed25519"].generate()
    base = trusted(pins=[NoteKey(f"{settings.AUDITLOG_ORIGIN}/keys", public_key)])
    assert {finding.verdict for finding in base.findings} >= {Verdict.TAMPERED}


def test_3_a_key_that_is_pinned_for_another_installation_does_not_count(database: Database) -> None:
    pins = [NoteKey("another.example/keys", key.public_key) for key in pinned()]
    assert any("its key is not pinned" in finding.reason for finding in trusted(pins=pins).findings)


def test_3_leaves_under_no_checkpoint_are_in_doubt(database: Database) -> None:
    newest = LedgerCheckpoint.objects.filter(ledger__name="keys").order_by("-size")[0]
    cut = "DELETE FROM ledger_checkpoints WHERE ledger_id = %s AND size = %s"
    found = tamper(database, "ledger_checkpoints", cut, newest.ledger_id, newest.size)
    assert any("under no signed checkpoint yet" in reason for reason in found)


def test_3_without_an_anchor_a_rollback_cannot_be_ruled_out(database: Database) -> None:
    for anchor in (database.anchors / "keys").glob("*.checkpoint"):
        anchor.unlink()
    assert any("rolled back to an older state cannot be ruled out" in reason for reason in reasons())


# 4. The tables say what the ring says


_EDITS = [
    ("ledgers", "UPDATE ledgers SET origin = 'x' WHERE name = 'meta'", "the ledger meta is not what"),
    ("signing_keys", "UPDATE signing_keys SET state = 'compromised' WHERE state = 'retired'", "is not what the"),
    ("signing_keys", "UPDATE signing_keys SET public_key = sha256('x') WHERE purpose = 'entry'", "is not what the"),
    (
        "signing_keys",
        (
            "INSERT INTO signing_keys (id, purpose, algorithm, state, provider, public_key) "
            "VALUES ('mine', 'checkpoint', 'Ed25519', 'active', 'local', sha256('x'))"
        ),
        "the key mine is in no record of the keys ledger",
    ),
    (
        "signing_key_windows",
        "UPDATE signing_key_windows SET until_leaf = 99 WHERE until_leaf IS NOT NULL",
        "the window of key",
    ),
    (
        "signing_key_windows",
        "DELETE FROM signing_key_windows WHERE until_leaf IS NOT NULL",
        "is gone from its table",
    ),
]


@pytest.mark.parametrize(("table", "edit", "reason"), _EDITS)
def test_4_a_table_that_says_something_else_is_noticed(table: str, edit: str, reason: str, database: Database) -> None:
    assert any(reason in found for found in tamper(database, table, edit))


def test_4_a_private_half_that_is_sealed_anew_is_no_tampering(database: Database) -> None:
    edit = "UPDATE signing_keys SET sealed_private_key = %s WHERE state = 'retired'"
    assert tamper(database, "signing_keys", edit, base64.b64encode(bytes(60))) == []


# The checkpoints of the database


def test_of_the_checkpoints_only_the_newest_are_read_where_asked(database: Database) -> None:
    for _ in range(2):  # a checkpoint that other keys signed is kept, however young
        services.rotate_key(purpose="checkpoint", algorithm="Ed25519", **BY)
        anchor_all()
    keys, base = ledger_named("keys"), trusted()
    stored = list(LedgerCheckpoint.objects.filter(ledger=keys).order_by("size").values_list("size", flat=True))
    assert len(stored) > 2
    for asked, sizes in [(None, stored), (2, stored[-2:]), (len(stored), stored), (10**6, stored)]:
        expected, _ = expected_roots(keys, base, [], checkpoints=asked)
        assert [root.size for root in expected] == sizes
