"""The list of grants: every table of schema public, and every function that somebody besides the owner may execute.

    table     ->  what auditlog_app may do with it; UPDATE of evidence is granted by column
    function  ->  which of "app" and "approver" may execute it

A new table needs a row here: what the list does not name, the app role cannot even read. Evidence rows are written
only where a guard checks them, and deleted never. Trigger functions need no row: nobody calls them.
"""

from dataclasses import dataclass
from typing import Literal

Holder = Literal["app", "approver"]


@dataclass(frozen=True, slots=True)
class TableGrant:
    """Privileges on whole tables, and the columns that may be updated where UPDATE is not among them."""

    privileges: tuple[str, ...]
    update_columns: tuple[str, ...] = ()


_READ = TableGrant(("SELECT",))
_FRAMEWORK = TableGrant(("SELECT", "INSERT", "UPDATE", "DELETE"))


def _evidence(*privileges: str, update: tuple[str, ...] = ()) -> TableGrant:
    return TableGrant(("SELECT", *privileges), update)


_AMENDED = (
    "leaf_index", "record", "detached_data", "event_digest", "signature", "key_id", "actor", "action", "target",
    "outcome", "severity", "ip", "occurred_at", "revision",
)  # fmt: skip
TABLE_GRANTS: dict[str, TableGrant] = {
    # signing: ledgers, heads, nodes, tiles and checkpoints are written by definer functions alone.
    "ledgers": _READ,
    "ledger_heads": _READ,
    "ledger_nodes": _READ,
    "ledger_tiles": _READ,
    "ledger_checkpoints": _READ,
    # The guard AL005 sets the times of a key's steps.
    "signing_keys": _evidence("INSERT", update=("state", "sealed_private_key")),
    "signing_key_windows": _evidence("INSERT", update=("until_leaf", "untrusted_from_leaf")),
    "export_certificates": _evidence("INSERT", update=("certificate", "chain", "revoked_at")),
    "key_events": _evidence("INSERT"),
    # activity
    "log_types": _evidence("INSERT", "DELETE", update=("requires_signature", "algorithm", "description", "updated_at")),
    # An amendment is the next version as a whole; facts that never change are not among its columns, nor is the type.
    "activity_logs": _evidence("INSERT", update=_AMENDED),
    # Written by the trigger that archives, purged by the owner alone.
    "activity_revisions": _READ,
    "verification_runs": _evidence("INSERT"),
    "open_findings": _evidence("INSERT", update=("gone_at",)),
    "notices": _evidence("INSERT"),
    "notices_findings": _evidence("INSERT"),
    "deliveries": _evidence("INSERT", update=("attempts", "next_attempt_at", "last_error", "delivered_at")),
    "api_keys": _evidence("INSERT", update=("revoked_at",)),
    "ledger_grants": _evidence("INSERT", "DELETE"),
    # metaaudit
    "meta_logs": _evidence("INSERT"),
    # Written by the owner alone, who may then remove the rows that it names.
    "meta_archives": _READ,
    # exports: the guard AL001 keeps the facts.
    "exports": _evidence(
        "INSERT",
        update=(
            "state",
            "started_at",
            "finished_at",
            "expires_at",
            "told_at",
            "failure",
            "waits_for",
            "attempts",
            "next_attempt_at",
            "entries",
            "verdicts",
            "dataset_digest",
            "signer_certificate_sha256",
            "file",
            "file_size",
            "file_sha256",
        ),
    ),
    "export_parts": _evidence(
        "INSERT", update=("done_at", "entries", "first_entry", "last_entry", "leaves", "verdicts", "files")
    ),
    # locking: written by definer functions alone.
    "log_locks": _READ,
    "lock_overrides": _READ,
    "lock_policies": _READ,
    # Django
    "auth_group": _FRAMEWORK,
    "auth_group_permissions": _FRAMEWORK,
    "auth_permission": _FRAMEWORK,
    "auth_user": _FRAMEWORK,
    "auth_user_groups": _FRAMEWORK,
    "auth_user_user_permissions": _FRAMEWORK,
    "django_admin_log": _FRAMEWORK,
    "django_content_type": _FRAMEWORK,
    "django_session": _FRAMEWORK,
    # Which migrations ran is the owner's to say; serving processes only look.
    "django_migrations": _READ,
}

FUNCTION_GRANTS: dict[str, tuple[Holder, ...]] = {
    "ledger_open(text,text,text)": ("app",),
    "ledger_append(smallint,bytea,text[])": ("app",),
    "ledger_begin(smallint)": ("app",),
    "ledger_lock_all()": ("app",),
    "remove_entry(uuid,bigint,bytea,bytea,bytea,text)": ("app",),
    # Making a lock, and asking; what weakens one takes a second person, and the approver's role.
    "lock_start(smallint,text,jsonb,text,text,timestamptz,text,bigint)": ("app",),
    "lock_apply(bigint,integer)": ("app",),
    "lock_extend(bigint,timestamptz)": ("app",),
    "lock_refresh(bigint,integer)": ("app",),
    "lock_request_release(bigint,text,text)": ("app",),
    "lock_withdraw_release(bigint,text)": ("app",),
    "lock_decline_release(bigint,text,text,uuid)": ("approver",),
    "lock_release(bigint,text,uuid)": ("approver",),
    "lock_expire(bigint)": ("app",),
    "lock_lift(bigint,integer)": ("app",),
    "override_request(text,text,text,uuid[],integer,boolean)": ("app",),
    "override_decide(bigint,text,boolean,uuid)": ("approver",),
    "override_end(bigint)": ("app",),
    "override_review(bigint,text,uuid)": ("approver",),
    "policy_set(text,smallint,boolean,jsonb,jsonb,text,integer,text,uuid)": ("approver",),
    "policy_advance(bigint,bigint,bigint,text,text)": ("app",),
    "policy_mark(bigint,integer)": ("app",),
    "policy_left_out(bigint,timestamptz)": ("app",),
    # Only compute; the guard AL002 calls them with the rights of whoever changes an entry.
    "lock_matches(jsonb,public.activity_logs)": ("app",),
    "lock_deadline(jsonb,timestamptz)": ("app",),
    "lock_owed(public.lock_policies,public.activity_logs)": ("app",),
    "checkpoint_store(smallint,bigint,bytea,text,text[])": ("app",),
    # Only reads; the guard AL003 calls it with the rights of whoever inserts.
    "ledger_leaf_hashes(smallint,bigint,integer)": ("app",),
}
