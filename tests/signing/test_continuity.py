"""signing/continuity.py: what a process finds before it records. The story: acceptance/test_backup.py."""

import pytest
from django.test import override_settings

from signing import providers
from signing.continuity import require_continuity
from signing.errors import AnchorConflictError, MasterKeyError
from signing.export_keys import certify
from signing.models import SigningKey
from signing.services import destroy_key, rotate_key
from signing.tasks import anchor_ledgers
from tests.clusters import Database
from tests.signing.installation import BY, record

ANOTHER_KEY = "b3RoZXIga2V5IGZvciB0ZXN0cywgMzIgYnl0ZXMhISE="


@pytest.fixture
def database(fresh_database: Database) -> Database:
    record(3)
    anchor_ledgers()
    require_continuity()
    providers._signer.cache_clear()  # what is open stays open: this is a process that starts
    return fresh_database


def unguarded(database: Database, table: str, statement: str) -> None:
    superuser = database.superuser()
    superuser.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
    assert superuser.execute(statement.encode()).rowcount == 1


def roll_back(database: Database) -> None:
    unguarded(
        database,
        "ledger_heads",
        "UPDATE ledger_heads SET size = 0, frontier = '{}' WHERE ledger_id = "
        "(SELECT id FROM ledgers WHERE name = 'activity')",
    )


def test_another_master_key_is_noticed(database: Database) -> None:
    with override_settings(AUDITLOG_MASTER_KEY=ANOTHER_KEY), pytest.raises(MasterKeyError, match="another master key"):
        require_continuity()


def test_a_ledger_behind_its_anchors_is_noticed(database: Database) -> None:
    roll_back(database)
    with pytest.raises(AnchorConflictError, match="the database has 0: the database was rolled back"):
        require_continuity()


def test_without_anchors_nothing_is_known_of_it(database: Database) -> None:
    roll_back(database)
    with override_settings(AUDITLOG_ANCHOR_DIR=""):
        require_continuity()


def test_a_head_that_makes_no_sense_does_not_stop_what_comes_next(database: Database) -> None:
    unguarded(
        database,
        "ledger_heads",
        "UPDATE ledger_heads SET frontier = '{}' WHERE ledger_id = (SELECT id FROM ledgers WHERE name = 'activity')",
    )
    require_continuity()


def test_keys_that_record_nothing_need_not_open(database: Database) -> None:
    old = SigningKey.objects.get(purpose="entry", state="active")
    rotate_key(purpose="entry", algorithm=old.algorithm, **BY)
    anchor_ledgers()
    destroy_key(key_id=old.pk, **BY)
    certify(person="olivia", by="tester", reason="a test")
    unguarded(database, "signing_keys", "UPDATE signing_keys SET sealed_private_key = 'x' WHERE purpose = 'export'")
    require_continuity()
