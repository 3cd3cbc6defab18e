"""Each guard stops an attack that nothing else stops: with it the owner is refused, without it the attack succeeds."""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest

from activity.models import ActivityLog
from activity.services import record_many, record_step
from exports.services import order as order_export
from locking import overriding, policies, services
from metaaudit.archiving import Prefix, archive
from metaaudit.record import Access, Who
from metaaudit.services import record as record_access
from metaaudit.terminal import command_access
from signing.queries import ledger_named
from tests.attacks.intruder import amendment, real_events
from tests.clusters import Clusters, Database, server_names
from tests.exports.ordering import person
from tests.locking.people import approver, officer

ACTIVITY = "(SELECT id FROM ledgers WHERE name = 'activity')"
LAST_LEAF = "(SELECT h.size - 1 FROM ledger_heads h WHERE h.ledger_id = activity_logs.ledger_id)"
_AMENDED = amendment(20, next_leaf=LAST_LEAF)
_COLUMNS = "ledger_id, record, event_digest, type, actor, action, target, outcome, severity, source, occurred_at, recorded_at, revision"
# (table, guard): SQLSTATE and what it stops.
ATTACKS = {
    ("ledgers", "append_only"): ("AL001", "UPDATE ledgers SET origin = origin || 'x'"),
    ("ledger_heads", "forward_only"): ("AL001", "UPDATE ledger_heads SET size = 0, frontier = '{}'"),
    ("ledger_nodes", "into_tile_only"): ("AL001", "UPDATE ledger_nodes SET hash = sha256(hash)"),
    ("ledger_tiles", "append_only"): ("AL001", "DELETE FROM ledger_tiles"),
    ("ledger_checkpoints", "forward_only"): ("AL001", "DELETE FROM ledger_checkpoints"),
    ("signing_keys", "life_cycle"): ("AL005", "UPDATE signing_keys SET public_key = '\\x00'"),
    ("signing_keys", "one_active_entry_key"): (
        "AL005",
        "UPDATE signing_keys SET state = 'retired' WHERE purpose = 'entry'; SET CONSTRAINTS ALL IMMEDIATE",
    ),
    ("signing_key_windows", "window_steps"): ("AL005", "UPDATE signing_key_windows SET first_leaf = first_leaf - 1"),
    ("key_events", "append_only"): ("AL001", "UPDATE key_events SET record = record || 'x'"),
    ("key_events", "in_ledger"): (
        "AL003",
        "INSERT INTO key_events (leaf_index, ledger_id, record) SELECT 1000, ledger_id, record FROM key_events LIMIT 1",
    ),
    ("activity_logs", "amended_by_rule"): ("AL001", "DELETE FROM activity_logs WHERE leaf_index = 20"),
    # The attack is to lose what was amended; the block refuses it in the archive's stead, if the archive has it.
    ("activity_logs", "archived"): (
        "AL001",
        f"{_AMENDED}; DO $$ BEGIN IF EXISTS (SELECT FROM activity_revisions WHERE leaf_index = 20) THEN "
        "RAISE EXCEPTION USING ERRCODE = 'AL001'; END IF; END $$",
    ),
    ("activity_revisions", "kept"): ("AL001", f"{_AMENDED}; DELETE FROM activity_revisions"),
    ("activity_revisions", "a_kept_while_locked"): (
        "AL002",
        f"{_AMENDED}; " + 'UPDATE lock_policies SET enabled = true, rule = \'{"kind": "age", "days": 0}\'; '
        "UPDATE activity_revisions SET record = '', detached_data = NULL, signature = NULL, key_id = NULL, actor = '', action = '', "
        "target = '', ip = NULL, purged_by = (SELECT id FROM activity_logs WHERE type = 'auditlog.archive.purged')",
    ),
    ("activity_revisions", "in_ledger"): (
        "AL003",
        f"ALTER TABLE activity_logs DISABLE TRIGGER archived; {_AMENDED}; INSERT INTO activity_revisions (entry_id, "
        "ledger_id, leaf_index, leaf_hash, record, event_digest, type, actor, action, target, outcome, severity, source, "
        "occurred_at, recorded_at, revision) SELECT id, ledger_id, 20, sha256('\\x00'::bytea || 'x'::bytea), 'x', event_digest, "
        "type, actor, action, target, outcome, severity, source, occurred_at, recorded_at, 1 FROM activity_logs "
        "WHERE revision = 2",
    ),
    ("activity_logs", "in_ledger"): (
        "AL003",
        "CREATE TEMP TABLE forged AS SELECT * FROM activity_logs LIMIT 1; "
        "UPDATE forged SET id = gen_random_uuid(), leaf_index = 1000, event_id = NULL; "
        "INSERT INTO activity_logs SELECT * FROM forged",
    ),
    ("activity_logs", "a_locked_by_rule"): ("AL002", amendment(21, next_leaf=LAST_LEAF)),
    ("activity_logs", "lock_state"): (
        "AL006",
        "UPDATE activity_logs SET locked = false, held_by = NULL, governance_until = NULL WHERE leaf_index = 21",
    ),
    ("activity_logs", "born_unlocked"): (
        "AL006",
        f"SELECT ledger_append(ledger_id, sha256('\\x00'::bytea || record), '{{}}') FROM activity_logs WHERE leaf_index = 20; "
        f"INSERT INTO activity_logs (id, leaf_index, locked, held_by, {_COLUMNS}) SELECT gen_random_uuid(), {LAST_LEAF}, true, "
        f"'{{1}}', {_COLUMNS} FROM activity_logs WHERE leaf_index = 20",
    ),
    # The attack is to use an override without a trace; the block refuses it if there is one.
    ("activity_logs", "override_used"): (
        "AL001",
        amendment(22, next_leaf=LAST_LEAF, record='replace({record}, \'"by":"eve",\', \'"by":"eve","override":1,\')')
        + "; DO $$ BEGIN IF EXISTS (SELECT FROM lock_overrides WHERE used_count > 0) THEN "
        "RAISE EXCEPTION USING ERRCODE = 'AL001'; END IF; END $$",
    ),
    ("log_locks", "stronger_only"): ("AL006", "UPDATE log_locks SET until = now() + interval '1 day'"),
    ("lock_overrides", "forward_only"): ("AL006", "UPDATE lock_overrides SET runs_until = now() + interval '1 year'"),
    ("lock_policies", "forward_only"): ("AL006", "DELETE FROM lock_policies"),
    ("verification_runs", "append_only"): ("AL001", "DELETE FROM verification_runs"),
    ("export_certificates", "certificate_steps"): ("AL005", "UPDATE export_certificates SET person = 'eve'"),
    ("exports", "facts_stay"): ("AL001", "UPDATE exports SET purpose = 'another'"),
    ("export_parts", "made_once"): ("AL001", "DELETE FROM export_parts"),
    ("meta_logs", "kept"): ("AL001", "DELETE FROM meta_logs"),
    ("meta_archives", "append_only"): ("AL001", "UPDATE meta_archives SET end_leaf = end_leaf + 1"),
    ("meta_archives", "by_tombstone"): (
        "AL001",
        "INSERT INTO meta_archives SELECT gen_random_uuid(), leaf_index, record, signature, end_leaf, end_leaf + 1, key_id, "
        "ledger_id FROM meta_archives",
    ),
    ("meta_archives", "in_ledger"): (
        "AL003",
        "INSERT INTO meta_archives SELECT '00000000-0000-7000-8000-000000000000', leaf_index, convert_to(replace(replace("
        "replace(convert_from(record, 'UTF8'), '\"end_leaf\":1', '\"end_leaf\":2'), '\"first_leaf\":0', '\"first_leaf\":1'), "
        "id::text, '00000000-0000-7000-8000-000000000000'), 'UTF8'), signature, 1, 2, key_id, ledger_id FROM meta_archives",
    ),
    ("meta_logs", "in_ledger"): (
        "AL003",
        "CREATE TEMP TABLE forged_access AS SELECT * FROM meta_logs LIMIT 1; "
        "UPDATE forged_access SET id = gen_random_uuid(), leaf_index = 1000, user_id = 'user:1'; "
        "INSERT INTO meta_logs SELECT * FROM forged_access",
    ),
}
TRUNCATED = {
    "ledgers": "append_only_truncate",
    "ledger_heads": "forward_only_truncate",
    "ledger_nodes": "into_tile_only_truncate",
    "ledger_tiles": "append_only_truncate",
    "ledger_checkpoints": "forward_only_truncate",
    "signing_keys": "life_cycle_truncate",
    "signing_key_windows": "window_steps_truncate",
    "key_events": "append_only_truncate",
    "activity_logs": "append_only_truncate",
    "activity_revisions": "kept_truncate",
    "log_locks": "stronger_only_truncate",
    "lock_overrides": "forward_only_truncate",
    "lock_policies": "forward_only_truncate",
    "verification_runs": "append_only_truncate",
    "export_certificates": "certificate_steps_truncate",
    "exports": "facts_stay_truncate",
    "export_parts": "made_once_truncate",
    "meta_logs": "append_only_truncate",
    "meta_archives": "append_only_truncate",
}
ATTACKS |= {(table, guard): ("AL001", f"TRUNCATE {table}") for table, guard in TRUNCATED.items()}
_FOREIGN_KEYS = (
    "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'f' AND confrelid = %s::regclass"
)
_GUARDS = "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"


def lock_some() -> None:
    """Lock leaves 21 and 22, let an override run for 22, and set a policy."""
    keeper, other = officer(), approver()
    services.lock(ledger="activity", scope={"leaf_from": 21, "leaf_to": 23}, kind="governance", reason="r", by=keeper)
    entry = ActivityLog.objects.get(leaf_index=22, ledger__name="activity")
    asked = overriding.request_override(entries=[entry.pk], hours=1, by=keeper, reason="r")
    overriding.decide_override(override_id=asked.pk, approve=True, by=other, reason="r")
    policies.set_policy(
        name="p",
        ledger="activity",
        rule={"kind": "age", "days": 9000},
        scope={},
        kind="governance",
        by=other,
        reason="r",
    )


def archive_one() -> None:
    """Put a tombstone in the place of the first access; its row stays."""
    prefix = Prefix(ledger_named("meta"), 0, 1, b"", datetime.now(UTC), "none", "")
    archive(prefix, access=partial(command_access, "archive_accesses"), by="olga", reason="r")


@pytest.fixture(scope="module", params=server_names())
def database(request: pytest.FixtureRequest, clusters: Clusters, django_db_blocker: Any) -> Iterator[Database]:
    """Give a ledger with a tile; every attack is rolled back, so one does for all."""
    with django_db_blocker.unblock(), clusters[request.param].clone() as clone, clone.as_django_databases():
        record_many(real_events(300))
        lock_some()
        record_step(kind="archive.purged", target="activity", by="ada", data={})
        order_export(by=person("olivia"), ledger="activity", filters={}, formats=["csv"], purpose="r")
        for _ in range(2):
            record_access(access=Access(Who("user:1", "ada"), "list", "GET", "/api/v1/logs", "api/v1/logs"))
        archive_one()
        clone.app().execute(
            f"INSERT INTO verification_runs (ledger_id, started_at, since, size, root, outcome, findings) "
            f"VALUES ({ACTIVITY}, now(), 0, 0, '', 'valid', '[]')"
        )
        yield clone


@pytest.mark.parametrize(("table", "guard"), ATTACKS)
def test_the_guard_stops_the_owner_and_without_it_nothing_does(database: Database, table: str, guard: str) -> None:
    sqlstate, attack = ATTACKS[table, guard]
    with database.owner(autocommit=False) as owner:
        if attack.startswith("TRUNCATE"):
            # A foreign key also stops TRUNCATE, but an owner drops it as easily; the guard is what is looked at here.
            for referring, name in owner.execute(_FOREIGN_KEYS.encode(), [table]).fetchall():
                owner.execute(f"ALTER TABLE {referring} DROP CONSTRAINT {name}".encode())
        owner.execute("SAVEPOINT before")
        with pytest.raises(psycopg.Error) as refused:
            owner.execute(attack.encode())
        assert refused.value.sqlstate == sqlstate
        owner.execute("ROLLBACK TO before")
        owner.execute(f"DROP TRIGGER {guard} ON {table}".encode())
        owner.execute(attack.encode())
        owner.rollback()


def test_every_guard_has_an_attack_here(database: Database) -> None:
    assert sorted(ATTACKS) == database.superuser().execute(_GUARDS.encode()).fetchall()
