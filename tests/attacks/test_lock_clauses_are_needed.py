"""Each condition in the functions of locks stops an attack: with it the attack is refused, without it it succeeds.

What a condition stands for is taken out of the function's source, in a transaction that is taken back. The attack is
made as the role that may call the function. Where a row's guard or a constraint stops the attack too, it is off in both.
"""

# An attack is easier to read as one line, and as one tuple.
from __future__ import annotations

from typing import Any, NamedTuple

import psycopg
import pytest
from django.contrib.auth.models import User

from locking import policies
from tests.attacks.locked_ledger import ASKED, COMPLIANCE, FREE, GOVERNANCE, HOLD, OVERRIDDEN, PAST, PENDING
from tests.attacks.locked_sql import LEDGER, amend, at, entry, lock, overridden, override
from tests.clusters import Database

APP, APPROVER, OWNER = "auditlog_app", "auditlog_approver", "auditlog_owner"
_RECORD = "(SELECT id FROM activity_logs WHERE type = 'auditlog.override.approved' LIMIT 1)"
_WITHOUT_ROW_GUARDS = (
    "ALTER TABLE log_locks DISABLE TRIGGER stronger_only; ALTER TABLE lock_overrides DISABLE TRIGGER forward_only; "
    "ALTER TABLE log_locks DROP CONSTRAINT compliance_is_never_released; "
    "ALTER TABLE lock_overrides DROP CONSTRAINT override_by_two_people; "
)


class Clause(NamedTuple):
    """A condition in a function, what stands for it when it is gone, and an attack that it alone stops."""

    function: str
    text: str
    without: str
    attack: str
    role: str = APP
    first: str = ""


def why(text: str, leaf: int) -> Clause:
    """Return a reason for which the guard of entries refuses to amend one."""
    return Clause("entry_lock_guard", text, "false", amend(leaf))


def asked(text: str, attack: str) -> Clause:
    return Clause("override_request", text, "true", attack)


def row(text: str, attack: str, role: str = APP, without: str = "false") -> Clause:
    return Clause("lock_row_guard", text, without, attack, role)


def start(
    kind: str = "hold", scope: str = '{"leaf_from": 0}', reason: str = "r", ends: str = "NULL", who: str = "eve"
) -> str:
    return f"SELECT lock_start({LEDGER}::smallint, '{kind}', '{scope}', '{reason}', '', {ends}, '{who}', NULL)"


def unrecorded(function: str, text: str, attack: str) -> Clause:
    """Return the demand of a record in a function of the approver's."""
    return Clause(function, text, "", attack, APPROVER, _WITHOUT_ROW_GUARDS)


_REQUEST = "SELECT override_request('eve', 'r', '', ARRAY[{}], 1, {})"
_DECLINED = (
    "UPDATE log_locks SET declined_by = {}, declined_at = now(), decline_reason = 'r', release_requested_by = {}, "
    f"declined_record = {{}} WHERE id = {lock(ASKED)}"
)
_DECIDE = f"SELECT override_decide({override('requested')}, 'anton', true, gen_random_uuid())"
CLAUSES: dict[str, Clause] = {
    # The guard of entries.
    "compliance": why("OLD.compliance_until > this_moment", COMPLIANCE),
    "hold": why("OLD.hold_count > 0", HOLD),
    "governance": why("OLD.governance_until > this_moment", GOVERNANCE),
    "deadline": why("OLD.locks_at <= this_moment", PAST),
    "policy that has not come to it": why("p.next_leaf <= OLD.leaf_index", PENDING),
    "override that is not named": why("TG_OP = 'DELETE' OR replace(convert_from(NEW.record, 'UTF8'), '\\u0000', '\\u2400')::json\n"
        "                #>> '{amendment,override}' IS DISTINCT FROM OLD.override_id::text", OVERRIDDEN),
    "override of what a policy puts under compliance": Clause("entry_lock_guard", "p.kind = 'compliance'", "false", "UNDER COMPLIANCE"),
    # Locks.
    "scope": Clause("lock_start", "lock_scope - ARRAY['entries'", "'{}'::jsonb - ARRAY['entries'", start(scope='{"sql": "x"}')),
    "ledger of entries": Clause("lock_start", "AND l.kind = 'activity'", "",
        start().replace(LEDGER, "(SELECT id FROM ledgers WHERE name = 'keys')")),
    "policy that is there": Clause("lock_start", "p.id = by_policy", "true", start().replace("'eve', NULL", "'eve', 77")),
    "end in the future": row("(NEW.until <= NEW.created_at) IS TRUE", start("governance", ends="'2020-01-01'")),
    "hold without an end": row("(NEW.kind = 'hold' AND NEW.until IS NOT NULL)", start(ends="'2999-01-01'")),
    "kind": row("NEW.kind NOT IN ('governance', 'compliance', 'hold')", start("none")),
    "reason": row("btrim(NEW.reason) = ''", start(reason=" ")),
    "name": row("btrim(NEW.locked_by) = ''", start(who=" ")),
    "never shortened": row("(NEW.until < OLD.until) IS TRUE", f"SELECT lock_extend({lock(COMPLIANCE)}, now() + interval '1 minute')"),
    "time that is not over": row("NEW.state = 'expired' AND (OLD.until <= clock_timestamp()) IS NOT TRUE", f"SELECT lock_expire({lock(GOVERNANCE)})"),
    "release of compliance asked for": Clause("lock_request_release", "k.kind <> 'compliance'", "true",
        f"SELECT lock_request_release({lock(COMPLIANCE)}, 'eve', 'r')"),
    "release asked for by nobody": Clause("lock_request_release", "btrim(who) <> ''", "true",
        f"SELECT lock_request_release({lock(GOVERNANCE)}, ' ', 'r')"),
    "release without a reason": Clause("lock_request_release", "btrim(why) <> ''", "true",
        f"SELECT lock_request_release({lock(GOVERNANCE)}, 'eve', ' ')"),
    "release without a record": unrecorded("lock_release",
        "PERFORM public.lock_require_record(recorded, 'auditlog.lock.released', 'lock ' || lock, who);",
        f"SELECT lock_release({lock(ASKED)}, 'anton', gen_random_uuid())"),
    "refusal without a record": unrecorded("lock_decline_release",
        "PERFORM public.lock_require_record(recorded, 'auditlog.lock.release-declined', 'lock ' || lock, who);",
        f"SELECT lock_decline_release({lock(ASKED)}, 'anton', 'r', gen_random_uuid())"),
    "withdrawal by another": Clause("lock_withdraw_release", "k.release_requested_by = who", "true",
        f"SELECT lock_withdraw_release({lock(ASKED)}, 'eve')"),
    "another request in its place": row("NEW.release_requested_by IS DISTINCT FROM OLD.release_requested_by",
        f"UPDATE log_locks SET release_requested_by = 'eve' WHERE id = {lock(ASKED)}", OWNER),
    "refusal by who asked": row("(NEW.declined_by <> OLD.release_requested_by) IS NOT TRUE", _DECLINED.format("'olga'", "NULL", "gen_random_uuid()"), OWNER),
    "refusal that names no record": row("NEW.declined_record IS NULL", _DECLINED.format("'anton'", "NULL", "NULL"), OWNER),
    "refusal of what stands": row("NEW.release_requested_by IS NOT NULL OR", _DECLINED.format("'anton'", "'olga'", "gen_random_uuid()"), OWNER, "false OR"),
    "release that nobody asked for": row("OLD.release_requested_by IS NULL", "RELEASE", APPROVER),
    # Overrides.
    "override of what is not locked": asked("a.locked\n", _REQUEST.format(entry(FREE), "true")),
    "override of compliance": asked("(a.compliance_until > clock_timestamp()) IS NOT TRUE", _REQUEST.format(entry(COMPLIANCE), "true")),
    "override of a hold": asked("(also_holds OR a.hold_count = 0)", _REQUEST.format(entry(HOLD), "false")),
    "approval without a record": unrecorded("override_decide",
        "PERFORM public.lock_require_record(recorded, CASE WHEN approved THEN 'auditlog.override.approved' ELSE 'auditlog.override.denied' END,\n"
        "        'override ' || override, who);", _DECIDE),
    "review without a record": unrecorded("override_review",
        "PERFORM public.lock_require_record(recorded, 'auditlog.override.reviewed', 'override ' || override, who);", "REVIEW"),
    "record of another type": Clause("lock_require_record", "a.type = of_type AND a.target = subject", "true",
        _DECIDE.replace("gen_random_uuid()", "(SELECT id FROM activity_logs WHERE type = 'auditlog.lock.started' LIMIT 1)")
            .replace("'anton'", "'olga'"), APPROVER, _WITHOUT_ROW_GUARDS),
    "record of somebody else": Clause("lock_require_record", "AND a.actor = who", "", "SOMEBODY", APPROVER),
    "record that was used": Clause("lock_require_record",
        "OR EXISTS (SELECT FROM public.lock_overrides o WHERE recorded IN (o.decided_record, o.reviewed_record))", "", "USED", APPROVER),
    # Policies.
    "policy without a record": unrecorded("policy_set",
        "PERFORM public.lock_require_record(recorded, 'auditlog.lock-policy.set', policy_name, who);",
        f"SELECT policy_set('pending', {LEDGER}::smallint, false, '{{\"kind\": \"age\", \"days\": 9}}', '{{}}', 'hold', NULL, 'anton', gen_random_uuid())"),
    "policy with something due": Clause("policy_set",
        "AND public.policy_left_out(was.id, clock_timestamp() - interval '1 minute') IS NOT NULL", "AND false", "DUE", APPROVER),
    "cursor of time": Clause("policy_advance", "(p.rule ->> 'kind' IN ('age', 'period') AND to_leaf <> from_leaf)", "false",
        "SELECT policy_advance(id, next_leaf, next_leaf + 1, done, done) FROM lock_policies WHERE name = 'pending'"),
    "cursor beyond the ledger": Clause("policy_advance", "to_leaf > h.size", "false",
        "SELECT policy_advance(id, next_leaf, 1000000, done, done) FROM lock_policies WHERE name = 'grown'"),
}  # fmt: skip
# Records that an attack misuses, made beforehand as the application makes them: statement, then the attack.
_ENTRY_OF = (
    "SELECT ledger_append(ledger_id, sha256('\\x00'::bytea || record), '{{}}') FROM activity_logs WHERE id = {0}; "
)
_COPY = (
    "INSERT INTO activity_logs (id, ledger_id, leaf_index, record, event_digest, signature, key_id, type, actor, action, target, outcome, "
    "severity, source, occurred_at, recorded_at, revision, locked) SELECT gen_random_uuid(), ledger_id, (SELECT h.size - 1 FROM ledger_heads h "
    "WHERE h.ledger_id = activity_logs.ledger_id), record, event_digest, signature, key_id, '{1}', 'anton', action, {2}, outcome, severity, "
    "source, occurred_at, recorded_at, 1, false FROM activity_logs WHERE id = {0}; "
)


def recorded(kind: str, target: str) -> str:
    """Return the statements that record a step by anton."""
    return (_ENTRY_OF + _COPY).format(_RECORD, kind, target)


def of_kind(kind: str) -> str:
    return f"(SELECT id FROM activity_logs WHERE type = '{kind}' ORDER BY leaf_index DESC LIMIT 1)"


_APPROVED, _RELEASED, _REVIEWED = "auditlog.override.approved", "auditlog.lock.released", "auditlog.override.reviewed"
_REQUESTED = f"'override ' || {override('requested')}"
PREPARED: dict[str, tuple[str, str]] = {
    "RELEASE": (
        "ALTER TABLE log_locks DROP CONSTRAINT release_by_two_people; " + recorded(_RELEASED, f"'lock ' || {lock(HOLD)}"),
        f"SELECT lock_release({lock(HOLD)}, 'anton', {of_kind(_RELEASED)})",
    ),
    "REVIEW": (
        f"SELECT override_end({override('approved')})",
        f"SELECT override_review({override('closed')}, 'anton', gen_random_uuid())",
    ),
    "SOMEBODY": (
        recorded(_APPROVED, _REQUESTED),
        f"SELECT override_decide({override('requested')}, 'mallory', true, {of_kind(_APPROVED)})",
    ),
    "USED": (
        recorded(_APPROVED, _REQUESTED) + f"UPDATE lock_overrides SET reviewed_record = {of_kind(_APPROVED)} WHERE state = 'approved'",
        f"SELECT override_decide({override('requested')}, 'anton', true, {of_kind(_APPROVED)})",
    ),
    "UNDER COMPLIANCE": (
        f"UPDATE lock_policies SET kind = 'compliance', scope = '{{\"leaf_from\": {OVERRIDDEN}, \"leaf_to\": {OVERRIDDEN + 1}}}' "
        "WHERE name = 'pending'",
        overridden(override("approved"))(OVERRIDDEN),
    ),
    "DUE": (
        recorded("auditlog.lock-policy.set", "'pending'") + "ALTER TABLE activity_logs DISABLE TRIGGER USER; "
        "UPDATE activity_logs SET recorded_at = recorded_at - interval '2 minutes', id = (lpad(to_hex(floor(extract(epoch FROM "
        f"recorded_at - interval '2 minutes') * 1000)::bigint), 12, '0') || right(replace(id::text, '-', ''), 20))::uuid WHERE {at(PENDING)}",
        "SELECT policy_set(name, ledger_id, false, rule, scope, kind, lock_days, 'anton', "
        f"{of_kind('auditlog.lock-policy.set')}) FROM lock_policies WHERE name = 'pending'",
    ),
}  # fmt: skip
# Functions that only strengthen, or end what nothing holds any more, or only ask: why none of their conditions is here.
ELSEWHERE = {
    "lock_matches": "answers",
    "lock_deadline": "answers",
    "lock_due_at": "answers",
    "lock_owed": "answers; its conditions are in test_lock_ended_sql.py",
    "lock_apply": "strengthens; races are in test_lock_races.py",
    "lock_extend": "is bounded by lock_row_guard",
    "lock_refresh": "strengthens",
    "lock_expire": "is bounded by lock_row_guard",
    "lock_lift": "is bounded by entry_lock_state, for which see test_guards_are_needed.py",
    "override_end": "strengthens",
    "policy_mark": "writes what lock_due_at answers",
    "policy_left_out": "answers; its conditions are in test_policies_sql.py",
    "entry_lock_state": "test_guards_are_needed.py",
    "entry_override_used": "test_guards_are_needed.py",
    "override_row_guard": "test_guards_are_needed.py",
    "policy_row_guard": "test_guards_are_needed.py",
}
_SOURCE = "SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'public' AND p.proname = %s"  # fmt: skip


def run(database: Database, clause: Clause, *, weakened: bool) -> None:
    """Make the attack of a clause, with it or without it, and take everything back."""
    first, attack = PREPARED.get(clause.attack, ("", clause.attack))
    session = database.superuser(autocommit=False)
    try:
        (source,) = _one(session, _SOURCE, clause.function)
        assert clause.text in source
        for statement in (clause.first, first, source.replace(clause.text, clause.without) if weakened else ""):
            if statement:
                session.execute(statement.encode())
        session.execute(f"SET LOCAL ROLE {clause.role}".encode())
        _prepare_reading(session, clause)
        session.execute(attack.encode())
    finally:
        session.rollback()
        session.close()


def _prepare_reading(session: psycopg.Connection[Any], clause: Clause) -> None:
    """Let the approver's role read what an attack names; it may not, and is told ids by the application."""
    if clause.role == APPROVER:
        session.execute("RESET ROLE")
        session.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {APPROVER}".encode())
        session.execute(f"SET LOCAL ROLE {APPROVER}".encode())


def _one(session: psycopg.Connection[Any], query: str, *parameters: Any) -> tuple[Any, ...]:
    row = session.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return tuple(row)


@pytest.fixture(scope="module")
def with_a_cursor(locked_database: Database) -> Database:
    """Give the database a policy that grows, for its cursor."""
    policies.set_policy(
        name="grown",
        ledger="activity",
        rule={"kind": "count", "entries": 1_000},
        scope={},
        kind="governance",
        by=User.objects.get(username="anton"),
        reason="the rules",
        enabled=True,
    )
    return locked_database


@pytest.mark.parametrize("name", CLAUSES)
def test_the_clause_stops_an_attack_and_without_it_nothing_does(with_a_cursor: Database, name: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        run(with_a_cursor, CLAUSES[name], weakened=False)
    assert refused.value.sqlstate in {"AL002", "AL006"}, refused.value
    run(with_a_cursor, CLAUSES[name], weakened=True)


def test_every_function_of_locks_is_looked_at(locked_database: Database) -> None:
    rows = locked_database.superuser().execute(
        "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
        "AND proname ~ '^(lock|override|policy|entry_lock|entry_override)_'"
    )
    assert {name for (name,) in rows} == {clause.function for clause in CLAUSES.values()} | set(ELSEWHERE)
