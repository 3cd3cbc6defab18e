"""The roles of people, as groups with permissions. `setup_database` makes them so; nobody else changes them.

    ingest               writes events through the API with a login of its own
    reader               reads entries
    auditor              reads and exports entries, and everything by which they are judged; changes nothing
    compliance officer   reads, exports, amends, removes and locks; decides which ledgers somebody may see
    approver             releases locks, decides and reviews overrides, sets lock policies; asks for nothing himself
    security admin       keys, log types, API keys, users; reads no entry
    auditor of auditors  reads and exports every meta log: who looked at what; everybody else sees his own trace alone

A role is one half of a right: the other is the ledger that is granted to somebody (activity/access.py).
Nobody gets both halves from one role: the security admin gives roles, the compliance officer grants ledgers.
"""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission
from django.db import transaction

INGEST = "ingest"
READER = "reader"
AUDITOR = "auditor"
COMPLIANCE_OFFICER = "compliance officer"
SECURITY_ADMIN = "security admin"
AUDITOR_OF_AUDITORS = "auditor of auditors"
APPROVER = "approver"

_READS = frozenset({"activity.view_activitylog", "activity.view_logtype", "signing.view_ledger"})
_JUDGES = frozenset(
    {
        "activity.view_activityrevision",
        "activity.view_verificationrun",
        "activity.view_openfinding",
        "activity.view_notice",
        "activity.view_apikey",
        "activity.view_ledgergrant",
        "signing.view_ledgercheckpoint",
        "signing.view_ledgerhead",
        "signing.view_signingkey",
        "signing.view_keywindow",
        "signing.view_keyevent",
        "auth.view_user",
        "auth.view_group",
    }
)
# To amend an entry and to put a tombstone in its place; what is locked needs an override besides.
_CORRECTS = frozenset({"activity.change_activitylog", "activity.delete_activitylog"})
_EXPORTS = frozenset({"exports.add_export", "exports.view_export"})
_ADMINISTERS = frozenset(
    {
        "activity.add_logtype",
        "activity.change_logtype",
        "activity.delete_logtype",
        "activity.view_logtype",
        "activity.add_apikey",
        "activity.change_apikey",
        "signing.add_signingkey",
        "signing.change_signingkey",
        "signing.view_ledger",
        # Accounts are closed, never deleted: entries name them for ever.
        "auth.add_user",
        "auth.change_user",
    }
)
_SEES_LOCKS = frozenset({"locking.view_loglock", "locking.view_lockoverride", "locking.view_lockpolicy"})
# Makes locks and asks; what weakens one is given by somebody of the role below.
_LOCKS = frozenset(
    {"locking.add_loglock", "locking.change_loglock", "locking.add_lockoverride", "locking.override_hold"}
)
_APPROVES = frozenset(
    {
        "locking.release_loglock",
        "locking.decide_lockoverride",
        "locking.review_lockoverride",
        "locking.add_lockpolicy",
        "locking.change_lockpolicy",
    }
)
ROLES: dict[str, frozenset[str]] = {
    INGEST: frozenset({"activity.add_activitylog"}),
    READER: _READS,
    AUDITOR: _READS | _JUDGES | _EXPORTS | _SEES_LOCKS | {"admin.view_logentry"},
    COMPLIANCE_OFFICER: _READS
    | _JUDGES
    | _CORRECTS
    | _EXPORTS
    | _SEES_LOCKS
    | _LOCKS
    | {"activity.add_ledgergrant", "activity.delete_ledgergrant"},
    APPROVER: _READS | _SEES_LOCKS | _APPROVES,
    SECURITY_ADMIN: _ADMINISTERS | _JUDGES,
    AUDITOR_OF_AUDITORS: _EXPORTS | {"metaaudit.view_metalog", "metaaudit.view_metaarchive"},
}


@transaction.atomic
def make_roles() -> list[str]:
    """Make every role a group with exactly its permissions and return a line for each that was not right.

    Other groups stay as they are. Raises LookupError if a permission does not exist yet: migrate first.
    """
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    if unknown := sorted(frozenset().union(*ROLES.values()) - known.keys()):
        raise LookupError(f"there is no permission {', '.join(unknown)}")
    names = {permission.pk: name for name, permission in known.items()}
    lines = []
    for role, wanted in ROLES.items():
        group, created = Group.objects.get_or_create(name=role)
        held = {names[pk] for pk in group.permissions.values_list("pk", flat=True)}
        if held == wanted:
            continue
        group.permissions.set(known[name] for name in wanted)
        changes = "created" if created else f"changed ({_difference(held, wanted)})"
        lines.append(f"role of people {role}: {changes}")
    return lines


def _difference(held: set[str], wanted: frozenset[str]) -> str:
    given, taken = sorted(wanted - held), sorted(held - wanted)
    parts = [f"given {', '.join(given)}"] if given else []
    return "; ".join(parts + ([f"taken away {', '.join(taken)}"] if taken else []))
