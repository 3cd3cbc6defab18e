"""Triggers and functions of schema public against the SQL of this release: missing, off, changed, or a stranger's."""

from collections.abc import Iterable

from auditlog_project.posture.problem import Connection, Problem
from auditlog_project.posture.release import Function, Release, normal_setting, read_trigger

_FUNCTIONS = """
SELECT p.proname, p.prosrc, l.lanname, p.prosecdef, coalesce(p.proconfig, '{}'),
       p.proowner = (SELECT datdba FROM pg_database WHERE datname = current_database())
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY p.oid"""
_TRIGGERS = """
SELECT pg_get_triggerdef(t.oid), t.tgenabled = 'A', t.tgenabled = 'D', n.nspname, p.proname
FROM pg_trigger t
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_proc p ON p.oid = t.tgfoid
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE NOT t.tgisinternal AND c.relnamespace = 'public'::regnamespace
ORDER BY c.relname, t.tgname"""
# A rule or a row policy turns a statement into another, or into nothing, before any guard sees it.
_REWRITTEN = """
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
  AND (c.relrowsecurity OR EXISTS (SELECT FROM pg_rewrite w WHERE w.ev_class = c.oid))
ORDER BY 1"""

_DROP_HINT = "Drop it as the owner; find out who made it."
_RESTORE_HINT = "Restore it from this release's migrations/sql as the owner; find out who changed it."


def guard_problems(connection: Connection, release: Release) -> list[Problem]:
    """Return the problems with the guards and definer functions of this database."""
    rewritten = (
        Problem(
            "auditlog.E045", f"Table {table} has a rule or row security, which no release of ours makes.", _DROP_HINT
        )
        for (table,) in connection.execute(_REWRITTEN)
    )
    return [*_trigger_problems(connection, release), *_function_problems(connection, release), *rewritten]


def _trigger_problems(connection: Connection, release: Release) -> Iterable[Problem]:
    expected = dict(release.triggers)
    for definition, is_always, is_disabled, schema, function in connection.execute(_TRIGGERS).fetchall():
        found = read_trigger(definition)
        named = f"Guard {found.name} on {found.table}"
        wanted = expected.pop((found.table, found.name), None)
        if wanted is None:
            yield Problem("auditlog.E043", f"Trigger {found.name} on {found.table} is not of this release.", _DROP_HINT)
            continue
        calls = function if schema == "public" else f"{schema}.{function}"
        if (found.fires, calls) != (wanted.fires, wanted.function):
            yield Problem("auditlog.E042", f"{named} is not the one of this release.", _RESTORE_HINT)
        if is_disabled:
            yield Problem("auditlog.E041", f"{named} is disabled.", _RESTORE_HINT)
        elif not is_always and (found.table, found.name) in release.always:
            # A session in replication mode "replica" passes every trigger that is not ALWAYS.
            yield Problem("auditlog.E041", f"{named} is not ENABLE ALWAYS.", _RESTORE_HINT)
    for trigger in expected.values():
        yield Problem("auditlog.E040", f"Guard {trigger.name} on {trigger.table} is missing.", _RESTORE_HINT)


def _function_problems(connection: Connection, release: Release) -> Iterable[Problem]:
    missing = set(release.functions)
    for name, source, language, is_definer, config, is_owners in connection.execute(_FUNCTIONS).fetchall():
        settings = tuple(
            sorted(f"{key}={normal_setting(value)}" for key, _, value in (c.partition("=") for c in config))
        )
        found = Function(name, source, language, is_definer, settings)
        if name not in release.functions:
            yield Problem("auditlog.E047", f"Function {name} is not of this release.", _DROP_HINT)
            continue
        missing.discard(name)
        if found != release.functions[name]:
            yield Problem("auditlog.E044", f"Function {name} is not the one of this release.", _RESTORE_HINT)
        if not is_owners:
            yield Problem("auditlog.E048", f"Function {name} does not belong to the owner role.", _RESTORE_HINT)
    for name in sorted(missing):
        yield Problem("auditlog.E046", f"Function {name} of this release is missing.", _RESTORE_HINT)
