"""The closed vocabulary of the meta log. Pure. Names inside stored bytes are for ever: one is added, none is changed.

An access is one record. What changes something, sends a stream or runs as a job is two: the intent before it acts, and
a completion that names it, which a rollback of the act itself cannot take away.
"""

from __future__ import annotations

from enum import StrEnum


class Phase(StrEnum):
    """What a record says of an access."""

    ACCESS = "access"  # all of it
    INTENT = "intent"  # what is about to be done
    COMPLETION = "completion"  # how it ended; `completes` is the id of the intent


class Auth(StrEnum):
    """By what somebody is known to be who he is."""

    SESSION = "session"  # auth_id: 16 hex digits of the SHA-256 of the session's key
    API_KEY = "api-key"  # auth_id: the key's prefix
    OS_USER = "os-user"  # auth_id: the number of the operating-system user
    SYSTEM = "system"  # a scheduled job
    NONE = "none"


ACTIONS: dict[str, str] = {
    "list": "a list of entries, or of something else that the log consists of, without a filter",
    "search": "a list of entries with a filter",
    "retrieve": "one entry, or one row of something else",
    "proof": "the proof that an entry is in its ledger",
    "verify": "a piece of evidence that somebody brought, or a ledger, was verified",
    "export": "an export was asked for",
    "download": "a file was fetched",
    "replay": "an earlier access was run again",
    "archive": "accesses were archived: an export has them, and a tombstone stands in place of their rows",
    "meta_list": "a list of meta logs",
    "meta_retrieve": "one meta log",
    "ingest": "events were recorded by a command",
    "ingest_denied": "events were refused",
    "lock": "entries were locked",
    "release": "a lock was released",
    "amend": "an entry was amended",
    "remove": "an entry was removed",
    "override_request": "permission to change locked entries was asked for",
    "override_decide": "it was given or refused",
    "override_use": "it was used: an entry was amended (PATCH) or removed (DELETE) under it",
    "override_close": "it was ended before its time",
    "override_review": "what was done under it was signed off",
    "key_list": "keys were looked at",
    "key_change": "a key was made, rotated, retired, distrusted or destroyed",
    "config_view": "log types, policies, API keys or grants were looked at",
    "config_change": "log types, policies, API keys or grants were changed",
    "account_change": "an account, its rights or its password were changed",
    "admin_view": "a page of the admin that nothing above describes",
    "admin_change": "a change in the admin that nothing above describes",
    "view": "a page or an address that nothing above describes",
    "change": "a change that nothing above describes",
    "login": "somebody signed in",
    "login_failed": "somebody tried to",
    "logout": "somebody signed out",
    "command": "a command of manage.py that nothing above describes",
    "job": "a scheduled job that nothing above describes",
    "summary": "how often what is not recorded one by one happened; in a ledger of its own",
}

REDACTED = "[redacted]"
