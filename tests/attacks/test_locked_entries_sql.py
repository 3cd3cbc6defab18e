"""Ways to change a locked entry by SQL as the application's role: none succeeds.

Each is refused with the SQLSTATE that is written beside it, leaves every row as it was, and is a way that works where
nothing guards: an amendment on an entry that is not locked, everything else for somebody who owns the database and has
switched the guards off.
"""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
import pytest

from tests.attacks.intruder import amendment, fingerprint, of, verify
from tests.attacks.locked_ledger import FREE, GOVERNANCE, HOLD, LOCKED, OVERRIDDEN, REFUSED
from tests.attacks.locked_sql import (
    AL002,
    AL006,
    COLUMNS,
    DENIED,
    LAST_LEAF,
    TWICE,
    Way,
    after,
    amend,
    assert_refused,
    assert_works_unguarded,
    at,
    joined,
    merge,
    overridden,
    override,
    parts,
    remove,
    upsert,
    wrapped,
)
from tests.clusters import Database

# Ways to amend or remove that succeed on an entry that is not locked; on a locked one each is refused by AL002.
AMENDING: dict[str, Way] = {
    "plain": amend,
    "repeatable read": after("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
    "serializable": after("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
    "only the parent table": lambda leaf: amend(leaf).replace("UPDATE activity_logs", "UPDATE ONLY activity_logs"),
    "joined": joined,
    "common table expression": wrapped("WITH changed AS (", " RETURNING 1) SELECT * FROM changed"),
    "returning": wrapped("", " RETURNING *"),
    "prepared statement": wrapped("PREPARE changing AS ", "; EXECUTE changing"),
    "block": wrapped("DO $x$ BEGIN ", "; END $x$"),
    "dynamic statement": wrapped("DO $x$ BEGIN EXECUTE $y$", "$y$; END $x$"),
    "savepoint": wrapped("SAVEPOINT one; ", "; RELEASE one"),
    "cursor": lambda leaf: (
        f"{parts(leaf)[0]}; DECLARE mine CURSOR FOR SELECT * FROM activity_logs WHERE {at(leaf)} FOR UPDATE; FETCH mine; "
        f"{parts(leaf)[1].partition(' WHERE ledger_id = (SELECT id FROM ledgers')[0]} WHERE CURRENT OF mine"
    ),
    "by its row's place": wrapped("", " AND ctid = (SELECT ctid FROM activity_logs a WHERE a.id = activity_logs.id)"),
    "locked first": lambda leaf: f"SELECT FROM activity_logs WHERE {at(leaf)} FOR UPDATE; {amend(leaf)}",
    "merge": merge,
    "upsert by id": upsert("id"),
    "an override that nobody asked for": overridden("77"),
    "an override that nobody approved": overridden(override("requested")),
    "an override of another entry": overridden(override("approved")),
    "a variable of ours": after("SET auditlog.override = '1'", "SET auditlog.locked = 'off'"),
    "a variable of django-pgtrigger": after("SET pgtrigger.ignore = '{activity_logs:a_locked_by_rule}'"),
    "a variable by function": after("SELECT set_config('auditlog.bypass', 'on', true)"),
    "search_path to the temporary": after("SET search_path = pg_temp, public"),
    "search_path to nowhere": lambda leaf: "SET search_path = ''; " + amend(leaf).replace("ledger_append", "public.ledger_append")
        .replace("activity_logs SET", "public.activity_logs SET").replace("FROM activity_logs", "FROM public.activity_logs")
        .replace("FROM ledgers", "FROM public.ledgers").replace("FROM ledger_heads", "FROM public.ledger_heads")
        .replace("activity_logs.ledger_id", "public.activity_logs.ledger_id"),
    "row security off": after("SET row_security = off"),
    "another time zone": after("SET TIME ZONE '-167:59'"),
    "another style of dates": after("SET DateStyle = 'SQL, DMY'", "SET IntervalStyle = 'sql_standard'"),
    "nulls that equal": after("SET transform_null_equals = on"),
    "constraints later": after("SET CONSTRAINTS ALL DEFERRED"),
    "no plan of indexes": after("SET enable_indexscan = off", "SET enable_bitmapscan = off", "SET enable_seqscan = off"),
    "plans that are kept": after("SET plan_cache_mode = force_generic_plan"),
    "conflicts of names": after("SET plpgsql.variable_conflict = 'use_column'"),
    "assertions off": after("SET plpgsql.check_asserts = off"),
    "quotes of old": after("SET standard_conforming_strings = on", "SET backslash_quote = on"),
    "bodies unchecked": after("SET check_function_bodies = off"),
    "role of its own": after("SET ROLE auditlog_app"),
    "reset": after("RESET ALL"),
    "discarded": after("DISCARD PLANS", "DISCARD SEQUENCES"),
    "notified": after("LISTEN locks", "NOTIFY locks"),
    "advisory locks held": after("SELECT pg_advisory_lock(n) FROM generate_series(1, 50) n", "SELECT pg_advisory_unlock_all()"),
    "table locked in the weakest mode": after("LOCK TABLE log_locks, activity_logs IN ACCESS SHARE MODE"),
    "removed": remove,
}  # fmt: skip
# Statement and SQLSTATE of what is refused whatever entry or lock it is for.
ATTACKS: dict[str, tuple[str, str]] = {
    # The state of an entry's locks.
    **{f"set {column}": (f"UPDATE activity_logs SET {column} = {value} WHERE {at(GOVERNANCE)}", DENIED) for column, value in {
        "locked": "false", "held_by": "NULL", "hold_count": "0", "governance_until": "NULL", "compliance_until": "NULL",
        "locks_at": "'9999-01-01'", "was_held_by": "'{1}'", "override_id": "1", "override_until": "now() + interval '1 day'",
    }.items()},
    "amend and unlock at once": (amendment(GOVERNANCE, next_leaf=LAST_LEAF, locked="false", held_by="NULL"), DENIED),
    "amend the override's entry and not name it": (amend(OVERRIDDEN), AL002),
    "amend what was recorded, in place": (f"UPDATE activity_logs SET actor = 'eve' WHERE {at(GOVERNANCE)}", AL002),
    "delete": (f"DELETE FROM activity_logs WHERE {at(GOVERNANCE)}", DENIED),
    "delete in a common table expression": (f"WITH gone AS (DELETE FROM activity_logs WHERE {at(HOLD)} RETURNING *) SELECT * FROM gone", DENIED),
    "delete by merge": (f"MERGE INTO activity_logs USING (SELECT 1) s ON {at(HOLD)} WHEN MATCHED THEN DELETE", DENIED),
    "truncate": ("TRUNCATE activity_logs", DENIED),
    "truncate with what hangs on it": ("TRUNCATE activity_logs, log_locks, lock_overrides RESTART IDENTITY CASCADE", DENIED),
    **{f"be recorded with {column}": (
        f"SELECT ledger_append(ledger_id, sha256('\\x00'::bytea || record), '{{}}') FROM activity_logs WHERE {at(FREE)}; "
        f"INSERT INTO activity_logs ({', '.join(COLUMNS)}, locked, {column}) SELECT gen_random_uuid(), ledger_id, {LAST_LEAF}, "
        f"{', '.join(COLUMNS[3:])}, false, {value} FROM activity_logs WHERE {at(FREE)}", AL006) for column, value in {
        "override_id, override_until": "1, 'infinity'", "locks_at": "'9999-01-01'", "was_held_by": "'{1}'"}.items()},
}  # fmt: skip


def test_there_are_at_least_60_ways() -> None:
    assert len(AMENDING) + len(ATTACKS) >= 60


@pytest.mark.parametrize("way", AMENDING)
def test_a_locked_entry_is_not_amended_and_a_free_one_is(locked_database: Database, way: str) -> None:
    naming_an_override = "override" in way
    for leaf in REFUSED:
        if leaf == OVERRIDDEN and naming_an_override:
            continue
        assert_refused(locked_database, AMENDING[way](leaf), AL002)
    with locked_database.app(autocommit=False) as app:
        app.execute(AMENDING[way](FREE).encode())
        app.execute("SET search_path = public")
        if not naming_an_override:
            assert app.execute(f"SELECT FROM activity_logs WHERE {at(FREE)}".encode()).fetchone() is None
        app.rollback()


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_app_role_is_refused_and_the_owner_of_the_database_is_not(locked_database: Database, attack: str) -> None:
    statement, sqlstate = ATTACKS[attack]
    assert_refused(locked_database, statement, sqlstate)
    assert_works_unguarded(locked_database, statement)


def test_no_setting_that_a_session_may_change_opens_a_locked_entry(locked_database: Database) -> None:
    tried = settings(locked_database.app())
    assert len(tried) > 150
    odd = {
        (name, sqlstate) for name, value in tried if (sqlstate := amended_under(locked_database, name, value)) != AL002
    }
    assert odd <= NOTHING_RUNS, odd


# With some value of these no such statement runs at all.
NOTHING_RUNS = {
    ("default_transaction_read_only", "25006"),
    ("search_path", "42P01"),
    ("standard_conforming_strings", "22021"),
}


def amended_under(locked_database: Database, name: str, value: str) -> str | None:
    """Return the SQLSTATE with which an amendment is refused in a session with a setting, or None."""
    with locked_database.app(autocommit=False) as app:
        with suppress(psycopg.Error):  # a value only for superusers, or at the start of a session
            app.execute("SELECT set_config(%s, %s, false)", [name, value])
            app.commit()
        app.rollback()
        try:
            app.execute(amend(GOVERNANCE).encode())
        except psycopg.Error as refused:
            return refused.sqlstate
        finally:
            app.rollback() if not app.closed else None
    return None


def settings(app: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    """Return every setting that a user may change, with each other value of it that is worth a try."""
    rows = app.execute(
        "SELECT name, vartype, setting, enumvals, min_val, max_val FROM pg_settings WHERE context = 'user'"
    ).fetchall()
    found: list[tuple[str, str]] = []
    for name, kind, setting, choices, lowest, highest in rows:
        if kind == "bool":
            found.append((name, "off" if setting == "on" else "on"))
        elif kind == "enum":
            found += [(name, choice) for choice in choices if choice != setting]
        elif kind in {"integer", "real"}:
            found += [(name, lowest), (name, highest)]
        else:
            found.append((name, ""))
    return found


def test_a_locked_entry_is_not_inserted_again(locked_database: Database) -> None:
    again = f"INSERT INTO activity_logs SELECT * FROM activity_logs WHERE {at(GOVERNANCE)}"
    assert_refused(locked_database, again, TWICE)


def test_copy_writes_over_no_locked_entry(locked_database: Database) -> None:
    before = fingerprint(locked_database)
    columns = f"{', '.join(COLUMNS)}, locked"
    row = f"COPY (SELECT {', '.join(COLUMNS)}, false FROM activity_logs WHERE {at(GOVERNANCE)}) TO STDOUT"
    with locked_database.app(autocommit=False) as app:
        with app.cursor().copy(row.encode()) as out:
            copied = b"".join(bytes(piece) for piece in out)
        with (
            pytest.raises(psycopg.errors.UniqueViolation),
            app.cursor().copy(f"COPY activity_logs ({columns}) FROM STDIN".encode()) as into,
        ):
            into.write(copied)
    assert fingerprint(locked_database) == before


def test_after_all_of_this_verify_finds_nothing(locked_database: Database) -> None:
    found = verify()
    assert (found.exit_code, found.outcome) == (0, "valid"), found.reports
    locked = (
        locked_database.superuser()
        .execute(f"SELECT count(*) FROM activity_logs WHERE {of('activity')} AND locked")
        .fetchone()
    )
    assert locked == (len(LOCKED),)
