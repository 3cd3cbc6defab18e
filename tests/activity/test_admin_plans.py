"""The admin's lists stay quick at size: the very queries of list, filters and next page, on 250,000 entries.

What a page asks is taken from the wire and explained: it counts nothing, walks indexes, and reads little more than the
page holds.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.activity.test_plans import _APPEND, _INSERT, _nodes, entry_id
from tests.administrators import superuser
from tests.clusters import EMBEDDED, Clusters, Database

pytestmark = pytest.mark.slow
ENTRIES, BATCH = 250_000, 25_000
ROWS = 60_000  # of the other tables: runs of half a year, findings of a bad day
_LOCKING = ("log_locks", "lock_overrides", "lock_policies")
_MANY = 2_000  # rows that a page of 50 may look at, or sort
_EVIDENCE = (
    *(
        "activity_logs",
        "activity_revisions",
        "verification_runs",
        "open_findings",
        "notices",
        "ledger_checkpoints",
        "key_events",
    ),
    *_LOCKING,
)
_FILL = """
INSERT INTO verification_runs (ledger_id, started_at, finished_at, since, size, root, outcome, findings)
SELECT l.id, now(), now(), i, i, '\\x', CASE WHEN i %% 5000 = 0 THEN 'tampered' ELSE 'valid' END, '[]'
FROM generate_series(1, %(rows)s / 4) i, ledgers l;
INSERT INTO open_findings (fingerprint, ledger, leaf_index, verdict, reason, found_at, gone_at)
SELECT i::text, 'large', i, 'tampered', 'test', now(), CASE WHEN i > 100 THEN now() END
FROM generate_series(1, %(rows)s) i;
INSERT INTO notices (created_at) SELECT now() FROM generate_series(1, %(rows)s) i;
INSERT INTO notices_findings (notice_id, openfinding_id)
SELECT n.id, f.id FROM notices n JOIN open_findings f ON f.id = n.id;
"""
# What happened long ago has ended, and a few of the newest rows wait: so it is after some years.
_LOCKS = """
INSERT INTO log_locks (ledger_id, kind, scope, reason, case_reference, until, locked_by, created_at, state, next_leaf,
    count, release_requested_by, release_reason, lifted_to, in_force_at)
SELECT l.id,
    CASE WHEN i %% 5000 = 0 THEN 'compliance' WHEN i %% 3000 = 0 THEN 'hold' ELSE 'governance' END,
    '{"type": "kind.7"}', 'test', 'C-' || i %% 1000, '2999-01-01Z', 'olga', now(),
    CASE WHEN i %% 7000 = 0 THEN 'applying' WHEN i %% 4000 = 1 THEN 'released' WHEN i %% 3 = 0 THEN 'in_force'
        ELSE 'expired' END,
    0, 5, CASE WHEN i %% 6000 = 0 THEN 'olga' END, 'test', 0, CASE WHEN i %% 7000 <> 0 THEN now() END
FROM generate_series(1, %(rows)s) i JOIN ledgers l ON l.name = CASE WHEN i %% 5000 = 1 THEN 'activity' ELSE 'large' END;
INSERT INTO lock_overrides (requested_by, requested_at, reason, case_reference, entries, hours, lifts_holds, state,
    used_count, decided_by, decided_at, runs_until, ended_at, reviewed_by)
SELECT 'olga', now(), 'test', 'C-' || i %% 1000,
    ARRAY[(lpad(to_hex(1790000000000 + i), 12, '0') || '70008000' || lpad(to_hex(i), 12, '0'))::uuid], 1, false,
    CASE WHEN i %% 5000 = 0 THEN 'requested' WHEN i %% 6000 = 1 THEN 'approved' WHEN i %% 2 = 0 THEN 'denied'
        ELSE 'closed' END,
    0, 'anton', now(), now(), now(), CASE WHEN i %% 4000 = 1 THEN NULL ELSE 'anna' END
FROM generate_series(1, %(rows)s) i;
INSERT INTO lock_policies (name, ledger_id, enabled, rule, scope, kind, set_by, set_at, set_record, next_leaf, done)
SELECT 'policy ' || i, l.id, i %% 5000 = 0, '{"kind": "age", "days": 9000}', '{}', 'governance', 'anton', now(),
    gen_random_uuid(), 0, '' FROM generate_series(1, %(rows)s) i, ledgers l WHERE l.name = 'large';
"""


@pytest.fixture(scope="module")
def root(clusters: Clusters, django_db_blocker: Any) -> Iterator[Client]:
    """Fill the tables once for this module, and give somebody who may see the ledger."""
    with django_db_blocker.unblock(), clusters[EMBEDDED].clone() as database, database.as_django_databases():
        app = database.app(autocommit=False)
        row = app.execute("SELECT ledger_open('large', 'auditlog.test/large', 'activity')").fetchone()
        assert row is not None
        for first in range(0, ENTRIES, BATCH):
            place = {"ledger": row[0], "first": first, "end": first + BATCH}
            app.execute(_APPEND, place)
            app.execute(_INSERT, place)
            app.commit()
        for statement in _FILL.split(";\n")[:-1]:
            app.execute(statement, {"rows": ROWS})
        app.commit()
        _checkpoints(database, row[0])
        _locks(database)
        for table in (*_EVIDENCE, "notices_findings"):
            database.owner().execute(f"ANALYZE {table}")
        yield superuser("root", "large", "activity")


def _checkpoints(database: Database, ledger: int) -> None:
    """Store as many checkpoints as minutes of a month, as whoever owns the table: the function takes one at a time."""
    intruder = database.superuser()
    intruder.execute("ALTER TABLE ledger_checkpoints DISABLE TRIGGER ALL")
    intruder.execute(
        "INSERT INTO ledger_checkpoints (ledger_id, size, root, note, key_ids, signed_at) "
        "SELECT %s, i, '\\x', 'x', '{}', now() FROM generate_series(1, 40000) i",
        (ledger,),
    )


def _locks(database: Database) -> None:
    """Store locks, overrides and policies of many years, as whoever owns the tables: functions make one at a time."""
    intruder = database.superuser()
    for table in _LOCKING:
        intruder.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
    for statement in _LOCKS.split(";\n")[:-1]:
        intruder.execute(statement.encode(), {"rows": ROWS})


def assert_quick(client: Client, address: str) -> Any:
    """Ask for a page, explain what it asked of the tables of evidence, and return the response."""
    with CaptureQueriesContext(
        connection,
    ) as asked:
        response = client.get(address)
    assert response.status_code == 200, address
    queries = [one["sql"] for one in asked.captured_queries]
    about = [sql for sql in queries if any(f'"{table}"' in sql for table in _EVIDENCE) and sql.startswith("SELECT")]
    assert about, "the page asked nothing of them"
    for sql in about:
        assert not re.match(r"SELECT COUNT\(", sql), sql
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql.replace('%', '%%')}", [])
            (run,) = cursor.fetchone()[0]
        for node in _nodes(run["Plan"]):
            read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            assert read <= _MANY, f"{node['Node Type']} went over {read} rows: {sql} {json.dumps(run)}"
            assert node["Node Type"] != "Seq Scan" or node.get("Relation Name") not in _EVIDENCE or read <= 100, sql
    return response


ENTRY_LIST = "/admin/activity/activitylog/"
FILTERS = [
    "",
    "ledger=large",
    "type=kind.7",
    "actor=actor-123",
    "action=action-3",
    "target=target-77",
    "outcome=denied",
    "outcome=success",
    "severity=critical",
    "severity=info",
    "source=source-3",
    "ip=10.0.0.9",
    "ledger=large&source=source-7&event_id=e-1007",
    "ledger=large&leaf_index=1007",
    "occurred_from=2026-01-01T05:00&occurred_to=2026-01-02T05:00&order=-occurred_at",
    "order=occurred_at",
    "order=id",
    "recorded_from=2026-01-01T00:00:00",
]


@pytest.mark.parametrize("query", FILTERS)
def test_every_filter_of_entries_and_its_next_page_walk_an_index(root: Client, query: str) -> None:
    context = assert_quick(root, f"{ENTRY_LIST}?{query}").context
    assert context["rows"], "a plan that finds nothing shows nothing"
    if "next_page" in context:
        assert assert_quick(root, ENTRY_LIST + context["next_page"]).context["rows"]


@pytest.mark.parametrize(
    "address",
    [
        "/admin/activity/verificationrun/",
        "/admin/activity/verificationrun/?outcome__exact=tampered",
        "/admin/activity/verificationrun/?outcome__exact=valid",
        "/admin/activity/verificationrun/?ledger__id__exact=2",
        "/admin/activity/openfinding/",
        "/admin/activity/openfinding/?state=open",
        "/admin/activity/notice/",
        "/admin/signing/keyevent/",
        "/admin/locking/loglock/",
        "/admin/locking/loglock/?state__exact=applying",
        "/admin/locking/loglock/?state__exact=released",
        "/admin/locking/loglock/?state__exact=in_force",
        "/admin/locking/loglock/?kind__exact=compliance",
        "/admin/locking/loglock/?kind__exact=governance",
        "/admin/locking/loglock/?ledger=activity",
        "/admin/locking/lockoverride/",
        "/admin/locking/lockoverride/?state__exact=requested",
        "/admin/locking/lockoverride/?state__exact=closed",
        "/admin/locking/lockpolicy/",
        "/admin/locking/lockpolicy/?enabled__exact=1",
    ],
)
def test_the_other_lists_walk_an_index(root: Client, address: str) -> None:
    changes = assert_quick(root, address).context["cl"]
    assert len(changes.result_list) > 5
    if changes.next_page:
        assert assert_quick(root, address.partition("?")[0] + changes.next_page).context["cl"].result_list


def test_checkpoints_and_the_start_page_walk_an_index(root: Client) -> None:
    from signing.models import Ledger  # noqa: PLC0415 -- ids are the database's of this module

    address = f"/admin/signing/ledger/{Ledger.objects.get(name='large').pk}/checkpoints/"
    context = assert_quick(root, address).context
    assert len(context["checkpoints"]) == 50
    assert assert_quick(root, address + context["next_page"]).context["checkpoints"]
    assert_quick(root, "/admin/")
    assert_quick(root, "/admin/signing/ledger/")


@pytest.mark.parametrize("number", [1_007, 1_008], ids=["one that many locks were over", "one that no lock was over"])
def test_an_entry_reads_little_of_what_happened_to_it(root: Client, number: int) -> None:
    (panel,) = assert_quick(root, f"{ENTRY_LIST}{entry_id(number)}/change/").context["panels"]
    assert len(panel.content["moments"]) == (10 if number == 1_007 else 3)


@pytest.mark.parametrize(
    "address",
    [
        "/locks/",
        "/locks/?state=applying",
        "/locks/?kind=compliance",
        "/locks/?case=C-7",
        "/locks/?ledger=activity",
        "/locks/open/",
        "/overrides/",
        "/overrides/?state=review",
        "/overrides/?state=requested",
        "/overrides/?case=C-7",
        "/admin/locking/lockpolicy/5000/change/",
    ],
)
def test_what_waits_and_the_lists_for_people_walk_an_index(root: Client, address: str) -> None:
    assert_quick(root, address)


def test_a_list_that_counts_would_be_noticed(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from activity.admin.findings import FindingAdmin  # noqa: PLC0415 -- Django registers it first
    from signing.admin.pages import PlainChangeList  # noqa: PLC0415 -- as above

    monkeypatch.setattr(FindingAdmin, "change_list_class", PlainChangeList)
    with pytest.raises(AssertionError, match="COUNT"):
        assert_quick(root, "/admin/activity/openfinding/")
