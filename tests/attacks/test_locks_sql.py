"""Ways to change what locks an entry by SQL as the application's role: locks, overrides and policies; none succeeds.

Each is refused with the SQLSTATE that is written beside it, leaves every row as it was, and works for somebody who owns
the database and has switched the guards off; a function that the app role may call does what is right.
"""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

import psycopg
import pytest

from tests.attacks.intruder import assert_clean, fingerprint
from tests.attacks.locked_ledger import ASKED, COMPLIANCE, FREE, GOVERNANCE, HOLD
from tests.attacks.locked_sql import (
    AL006,
    CHECK,
    COLUMNS,
    DENIED,
    LEDGER,
    assert_refused,
    assert_works_unguarded,
    at,
    entry,
    lock,
    override,
)
from tests.clusters import Database

# Statement and SQLSTATE.
ATTACKS: dict[str, tuple[str, str]] = {
    # Locks.
    **{f"set a lock's {column}": (f"UPDATE log_locks SET {column} = {value}", DENIED) for column, value in {
        "until": "now() + interval '1 second'", "kind": "'governance'", "scope": "'{\"leaf_from\": 99}'", "state": "'released'",
        "created_at": "'2020-01-01'", "released_by": "'mallory'", "next_leaf": "0", "lifted_to": "9223372036854775807",
    }.items()},
    "take a request away": ("UPDATE log_locks SET release_requested_by = NULL", DENIED),
    "delete a lock": ("DELETE FROM log_locks", DENIED),
    "truncate locks": ("TRUNCATE log_locks CASCADE", DENIED),
    "merge a lock": ("MERGE INTO log_locks l USING (SELECT 1) s ON true WHEN MATCHED THEN UPDATE SET state = 'expired'", DENIED),
    "insert over a lock's number": (
        "INSERT INTO log_locks (id, ledger_id, kind, scope, reason, case_reference, locked_by, state, next_leaf, count, lifted_to) OVERRIDING SYSTEM VALUE "
        "SELECT 1000, ledger_id, kind, scope, reason, case_reference, locked_by, 'applying', 0, 0, 0 FROM log_locks LIMIT 1", DENIED),
    "back-date a lock": ("UPDATE log_locks SET created_at = created_at - interval '1 year', in_force_at = now()", DENIED),
    "end it before its time": (f"SELECT lock_expire({lock(GOVERNANCE)})", AL006),
    "end compliance before its time": (f"SELECT lock_expire({lock(COMPLIANCE)})", AL006),
    "shorten governance by function": (f"SELECT lock_extend({lock(GOVERNANCE)}, now() + interval '1 minute')", AL006),
    "shorten compliance by function": (f"SELECT lock_extend({lock(COMPLIANCE)}, now() + interval '1 minute')", AL006),
    "give a hold an end": (f"SELECT lock_extend({lock(HOLD)}, now() + interval '1 minute')", AL006),
    "begin a lock in the past": (f"SELECT lock_start({LEDGER}::smallint, 'governance', '{{\"leaf_from\": 0}}', 'r', '', '2020-01-01', 'eve', NULL)", AL006),
    "begin a lock of another kind": (f"SELECT lock_start({LEDGER}::smallint, 'none', '{{\"leaf_from\": 0}}', 'r', '', NULL, 'eve', NULL)", AL006),
    "begin a lock of nobody": (f"SELECT lock_start({LEDGER}::smallint, 'hold', '{{\"leaf_from\": 0}}', 'r', '', NULL, ' ', NULL)", AL006),
    # Overrides.
    "insert an override that is approved": (
        f"INSERT INTO lock_overrides (requested_by, reason, case_reference, entries, hours, lifts_holds, state, used_count, decided_by, runs_until) "
        f"VALUES ('eve', 'r', '', ARRAY[{entry(GOVERNANCE)}], 24, true, 'approved', 0, 'anton', now() + interval '1 day')", DENIED),
    "approve by update": ("UPDATE lock_overrides SET state = 'approved', decided_by = 'anton', runs_until = now() + interval '1 day'", DENIED),
    "make it run longer": ("UPDATE lock_overrides SET runs_until = now() + interval '1 year', hours = 24", DENIED),
    "make it for another entry": (f"UPDATE lock_overrides SET entries = ARRAY[{entry(HOLD)}]", DENIED),
    "delete an override": ("DELETE FROM lock_overrides", DENIED),
    "ask for an override of a week": (f"SELECT override_request('eve', 'r', '', ARRAY[{entry(GOVERNANCE)}], 168, false)", CHECK),
    # Policies.
    "disable a policy": ("UPDATE lock_policies SET enabled = false", DENIED),
    "make a policy late": ("UPDATE lock_policies SET rule = '{\"kind\": \"age\", \"days\": 9000}'", DENIED),
    "narrow a policy": ("UPDATE lock_policies SET scope = '{\"type\": \"none\"}'", DENIED),
    "delete a policy": ("DELETE FROM lock_policies", DENIED),
}  # fmt: skip
# Functions that the app role may call: what is refused, with which SQLSTATE, and what is not.
ASKING: dict[str, tuple[str, str, str]] = {
    "ask for the release of compliance": (f"SELECT lock_request_release({lock(COMPLIANCE)}, 'eve', 'r')", AL006,
        f"SELECT lock_request_release({lock(GOVERNANCE)}, 'eve', 'r')"),
    "ask for a release without a reason": (f"SELECT lock_request_release({lock(GOVERNANCE)}, 'eve', ' ')", AL006,
        f"SELECT lock_request_release({lock(HOLD)}, 'eve', 'r')"),
    "ask in the place of whoever has asked": (f"SELECT lock_request_release({lock(ASKED)}, 'eve', 'r')", AL006,
        f"SELECT lock_request_release({lock(HOLD)}, 'eve', 'r')"),
    "withdraw what another one asked for": (f"SELECT lock_withdraw_release({lock(ASKED)}, 'eve')", AL006,
        f"SELECT lock_withdraw_release({lock(ASKED)}, 'olga')"),
    "begin a lock with a scope that it does not have": (f"SELECT lock_start({LEDGER}::smallint, 'hold', '{{\"sql\": \"x\"}}', 'r', '', NULL, 'eve', NULL)", AL006,
        f"SELECT lock_start({LEDGER}::smallint, 'hold', '{{\"leaf_from\": 0}}', 'r', '', NULL, 'eve', NULL)"),
    "ask for an override of compliance": (f"SELECT override_request('eve', 'r', '', ARRAY[{entry(COMPLIANCE)}], 1, true)", AL006,
        f"SELECT override_request('eve', 'r', '', ARRAY[{entry(GOVERNANCE)}], 1, true)"),
    "ask for an override of a hold, silently": (f"SELECT override_request('eve', 'r', '', ARRAY[{entry(HOLD)}], 1, false)", AL006,
        f"SELECT override_request('eve', 'r', '', ARRAY[{entry(HOLD)}], 1, true)"),
    "ask for an override of what is not locked": (f"SELECT override_request('eve', 'r', '', ARRAY[{entry(FREE)}], 1, true)", AL006,
        f"SELECT override_request('eve', 'r', '', ARRAY[{entry(ASKED)}], 1, true)"),
    "lead a policy of time past what it locks": ("SELECT policy_advance(id, next_leaf, 1000000, done, done) FROM lock_policies WHERE name = 'pending'", AL006,
        "SELECT policy_advance(id, next_leaf, next_leaf, done, 'x') FROM lock_policies WHERE name = 'pending'"),
    "lead a policy beyond the ledger": ("SELECT policy_advance(id, next_leaf, 1000000, done, done) FROM lock_policies WHERE name = 'past'", AL006,
        "SELECT policy_advance(id, next_leaf, next_leaf, done, 'x') FROM lock_policies WHERE name = 'past'"),
}  # fmt: skip
# Functions that it may not call.
APPROVING: dict[str, str] = {
    "decline by function": f"SELECT lock_decline_release({lock(ASKED)}, 'anton', 'r', gen_random_uuid())",
    "release by function": f"SELECT lock_release({lock(ASKED)}, 'anton', gen_random_uuid())",
    "approve by function": f"SELECT override_decide({override('requested')}, 'anton', true, gen_random_uuid())",
    "review by function": f"SELECT override_review({override('approved')}, 'anton', gen_random_uuid())",
    "prove a record": "SELECT lock_require_record(gen_random_uuid(), 'auditlog.override.approved', 'override 1', 'anton')",
    "set a policy by function":
        f"SELECT policy_set('pending', {LEDGER}::smallint, false, '{{\"kind\": \"age\", \"days\": 9000}}', '{{}}', 'hold', NULL, 'anton', gen_random_uuid())",
}  # fmt: skip
# Statements that are obeyed and change nothing.
IDLE = {
    "apply a lock that is in force again": f"SELECT lock_apply({lock(GOVERNANCE)}, 1000000)",
    "lift a lock that is in force": f"SELECT lock_lift({lock(GOVERNANCE)}, 1000000)",
    "refresh a lock that was not extended": f"SELECT lock_refresh({lock(GOVERNANCE)}, 1000000)",
    "insert it again, quietly": (
        f"INSERT INTO activity_logs ({', '.join(COLUMNS)}, locked) SELECT {', '.join(COLUMNS)}, false FROM activity_logs WHERE {at(GOVERNANCE)} ON CONFLICT DO NOTHING"
    ),
    "lead a policy back": "SELECT policy_advance(id, next_leaf + 1, next_leaf + 1, done, done) FROM lock_policies WHERE name = 'past'",
    "end an override that there is not": "SELECT override_end(77)",
    "mark without an end": "SELECT policy_mark(id, -5) FROM lock_policies WHERE name = 'past'",
}


def test_there_are_at_least_45_ways() -> None:
    assert len(ATTACKS) + len(ASKING) + len(APPROVING) + len(IDLE) >= 45


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_app_role_is_refused_and_the_owner_of_the_database_is_not(locked_database: Database, attack: str) -> None:
    statement, sqlstate = ATTACKS[attack]
    assert_refused(locked_database, statement, sqlstate)
    assert_works_unguarded(locked_database, statement)


@pytest.mark.parametrize("attack", ASKING)
def test_a_function_refuses_what_is_wrong_and_does_what_is_right(locked_database: Database, attack: str) -> None:
    wrong, sqlstate, right = ASKING[attack]
    assert_refused(locked_database, wrong, sqlstate)
    with locked_database.app(autocommit=False) as app:
        assert app.execute(right.encode()).fetchone() is not None
        app.rollback()


@pytest.mark.parametrize("attack", APPROVING)
def test_only_the_approver_reaches_what_weakens_and_he_not_without_its_record(
    locked_database: Database, attack: str
) -> None:
    assert_refused(locked_database, APPROVING[attack], DENIED)
    with pytest.raises(psycopg.Error) as refused:
        locked_database.superuser().execute(APPROVING[attack].encode())
    assert refused.value.sqlstate == AL006
    assert "no system entry" in str(refused.value)


@pytest.mark.parametrize("attack", IDLE)
def test_what_is_obeyed_changes_nothing(locked_database: Database, attack: str) -> None:
    before = fingerprint(locked_database)
    with locked_database.app() as app:
        app.execute(IDLE[attack].encode())
    assert fingerprint(locked_database) == before


@pytest.mark.usefixtures("locked_database")
def test_after_all_of_this_verify_finds_nothing() -> None:
    assert_clean()
