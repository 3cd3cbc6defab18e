"""Amended and removed entries, their archive and their tombstones, changed by somebody who owns the database."""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

from dataclasses import dataclass

import pytest
from django.contrib.auth.models import Permission, User

from activity import authority
from activity.amending import amend, remove
from activity.management.commands.purge_archive import purge
from activity.models import ActivityLog
from signing.ledger import sign_checkpoint
from signing.queries import ledger_named
from tests.attacks.conftest import Attacked
from tests.attacks.intruder import Intruder, Verification, amendment, assert_clean, of, verify

ACTIVITY = of("activity")


@dataclass(frozen=True, slots=True)
class Changed:
    """An attacked ledger in which one entry was amended twice and another one removed: where their versions stand."""

    intruder: Intruder
    amended: tuple[int, int, int]
    removed: tuple[int, int]
    others: int = 60  # leaf of an entry that nobody changed


def _archiving(intruder: Intruder, *, on: bool) -> None:
    """Let the database archive what is superseded, or not, as an intruder has it."""
    for table, guard in (("activity_logs", "archived"), ("activity_revisions", "kept")):
        intruder(f"ALTER TABLE {table} {'ENABLE ALWAYS' if on else 'DISABLE'} TRIGGER {guard}")


@pytest.fixture
def changed(attacked: Attacked) -> Changed:
    editor = User.objects.create_user("grace")
    editor.user_permissions.set(Permission.objects.filter(content_type__model="activitylog"))
    authority.grant_ledger(ledger="activity", to=editor, by="ada", reason="test")
    _archiving(attacked.intruder, on=True)
    one, other = ActivityLog.objects.filter(leaf_index__in=[50, 300]).order_by("leaf_index")
    leaves = [
        amend(entry_id=one.pk, changes={"target": target}, by=editor, reason="a test").leaf_index
        for target in ("x", "y")
    ]
    tombstone = remove(entry_id=other.pk, rule="r", by=editor, reason="a test").leaf_index
    sign_checkpoint(ledger_named("activity"), force_anchor=True)
    assert_clean()
    _archiving(attacked.intruder, on=False)
    return Changed(attacked.intruder, (50, leaves[0], leaves[1]), (300, tombstone))


def _caught(leaf: int, reason: str) -> Verification:
    found = verify()
    assert (found.exit_code, found.outcome, found.first_bad_leaf()) == (1, "tampered", leaf), found.alarms()
    assert any(reason in alarm for alarm in found.alarms()), found.alarms()
    return found


NOT_ITS_LEAF = "its record is not the leaf"
COLUMNS = {
    "its record": ("record = record || ' '", NOT_ITS_LEAF),
    "its actor": ("actor = 'eve'", "columns differ from the record: actor"),
    "its revision": ("revision = 7", "revision"),
    "its entry": ("entry_id = gen_random_uuid()", "no later version supersedes it"),
    "its hash": ("leaf_hash = sha256('x')", "does not say that it superseded this one"),
    "its signature": ("signature = NULL, key_id = NULL", "columns differ from the record: kid"),
    "its digest": ("event_digest = 'x'", "columns differ from the record: event_digest"),
    "its type": ("type = 'auditlog.x'", "what the application itself recorded was superseded"),
    "its purge": ("purged_by = gen_random_uuid(), record = ''", "no system entry says so"),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_the_archive_is_compared_with_its_leaf(changed: Changed, column: str) -> None:
    assignment, reason = COLUMNS[column]
    changed.intruder(f"UPDATE activity_revisions SET {assignment} WHERE {ACTIVITY} AND leaf_index = 50")
    _caught(50, reason)


def test_a_version_that_is_gone_from_the_archive_is_missing(changed: Changed) -> None:
    changed.intruder("DELETE FROM activity_revisions WHERE leaf_index = 50")
    _caught(50, "the leaf has no entry")


def test_an_archive_emptied_is_missing_and_the_later_versions_say_so_too(changed: Changed) -> None:
    changed.intruder("DELETE FROM activity_revisions")
    _caught(50, "the one before it is not in the archive")


def test_an_entry_put_back_over_its_amendment_is_noticed(changed: Changed) -> None:
    """The old version is the entry again, and the amendment never was."""
    changed.intruder(
        "UPDATE activity_logs a SET (leaf_index, record, event_digest, signature, key_id, target, revision) = (SELECT r.leaf_index, "
        "r.record, r.event_digest, r.signature, r.key_id, r.target, 1 FROM activity_revisions r WHERE r.leaf_index = 50) "
        f"WHERE leaf_index = {changed.amended[2]}"
    )
    changed.intruder("DELETE FROM activity_revisions WHERE leaf_index = 50")
    _caught(changed.amended[1], "no later version supersedes it")


def test_a_tombstone_that_is_gone_is_missing(changed: Changed) -> None:
    changed.intruder(f"DELETE FROM activity_logs WHERE {ACTIVITY} AND leaf_index = {changed.removed[1]}")
    _caught(changed.removed[0], "no later version supersedes it")


@pytest.mark.parametrize("assignment", ["actor = 'eve'", "type = 'shop.order'", "target = ''", "event_id = 'x'"])
def test_a_tombstone_that_says_something_else_is_noticed(changed: Changed, assignment: str) -> None:
    leaf = changed.removed[1]
    changed.intruder(f"UPDATE activity_logs SET {assignment} WHERE {ACTIVITY} AND leaf_index = {leaf}")
    found = verify()
    assert found.exit_code == 1
    assert any(each["leaf_index"] == leaf for each in found.findings()), found.alarms()


def test_a_deletion_dressed_up_as_an_archived_version_is_noticed(changed: Changed) -> None:
    leaf = changed.others
    changed.intruder(
        "INSERT INTO activity_revisions (entry_id, ledger_id, leaf_index, leaf_hash, record, event_digest, signature, key_id, type, "
        "actor, action, target, outcome, severity, source, ip, event_id, occurred_at, recorded_at, revision) SELECT id, ledger_id, "
        "leaf_index, sha256('\\x00'::bytea || record), record, event_digest, signature, key_id, type, actor, action, target, "
        f"outcome, severity, source, ip, event_id, occurred_at, recorded_at, 1 FROM activity_logs WHERE {ACTIVITY} AND leaf_index = {leaf}"
    )
    changed.intruder(f"DELETE FROM activity_logs WHERE {ACTIVITY} AND leaf_index = {leaf}")
    _caught(leaf, "no later version supersedes it")


def test_a_version_from_nowhere_is_noticed(changed: Changed) -> None:
    """A leaf more than the archive accounts for: an amendment whose predecessor was hidden in another row."""
    size = verify().reports["activity"]["size"]
    changed.intruder(
        amendment(
            changed.others, next_leaf=size, revision="5", record="replace({record}, '\"revision\":2', '\"revision\":5')"
        )
    )
    sign_checkpoint(ledger_named("activity"))
    _caught(changed.others, "the leaf has no entry")


def test_an_amendment_of_what_the_application_recorded_is_noticed(changed: Changed) -> None:
    size = verify().reports["activity"]["size"]
    _archiving(changed.intruder, on=True)
    changed.intruder(amendment(0, next_leaf=size))
    sign_checkpoint(ledger_named("activity"))
    _caught(0, "what the application itself recorded was superseded")


def test_purged_bytes_are_accounted_for_by_the_record_of_the_purge(changed: Changed) -> None:
    assert purge(ledger="activity", older_than_days=0, by="owner", reason="the time is over") == 3
    sign_checkpoint(ledger_named("activity"), force_anchor=True)
    assert changed.intruder.rows("SELECT DISTINCT record, actor, signature FROM activity_revisions") == [
        (b"", "", None)
    ]
    assert_clean()
    changed.intruder("UPDATE activity_revisions SET leaf_hash = sha256('x') WHERE leaf_index = 50")
    _caught(50, NOT_ITS_LEAF)
