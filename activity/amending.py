"""Amending and removing entries: the only writer of a revision. One function, one use case, one transaction.

Both make a new record at a new leaf, which says what it supersedes, by whom and why; the database archives the version
before it (`activity_revisions`), whoever updates the row. What a removal leaves is a record too, the tombstone: type
`auditlog.entry.removed`, with the id, ledger, source, event id and time of recording that the entry had.

What cannot be amended: id, ledger, source, event id, type, time of recording; and anything of types `auditlog.*`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, connection, transaction

from activity import access, entries, queries
from activity.amendment import Amendment
from activity.drafts import Draft, EntryKey, seal
from activity.errors import AmendmentError, EntryLockedError, EntryNotFoundError, TamperedEntryError
from activity.event import SYSTEM_PREFIX, Event
from activity.models import ActivityLog
from activity.policies import DEFAULT
from activity.record import check
from activity.recording import Receipt
from activity.retrieval import judge_entries
from activity.search import data_of
from activity.services import MAX_EXPLANATION
from activity.timestamps import parse_timestamp, timestamp
from signing import jws
from signing import ledger as ledgers
from signing.errors import NoActiveKeyError
from signing.merkle import leaf_hash
from signing.providers import PROVIDERS
from signing.queries import active_keys
from signing.verdicts import ALARMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from uuid import UUID

    from django.contrib.auth.models import User

    _Version = Callable[[ActivityLog], tuple[Event, str | None]]

AMENDABLE = ("action", "actor", "target", "outcome", "severity", "ip", "occurred_at", "data")
AMEND_PERMISSION = "activity.change_activitylog"
REMOVE_PERMISSION = "activity.delete_activitylog"
MAX_RULE = 200  # characters that name a retention rule
_ATTEMPTS = 5  # keys may rotate between signing and locking
_RESERVED = 500  # bytes of an amendment beside its texts


def amend(*, entry_id: UUID, changes: Mapping[str, Any], by: User, reason: str) -> Receipt:
    """Give an entry a new version, changed in members of AMENDABLE, and return the receipt of its new leaf.

    Raises EntryNotFoundError, PermissionDenied, AmendmentError, BadEventsError, EntryLockedError, TamperedEntryError.
    """
    _require_text("a reason", reason, MAX_EXPLANATION)
    if not changes or not set(changes) <= set(AMENDABLE):
        raise AmendmentError(f"what can be amended are {', '.join(AMENDABLE)}; at least one of them")

    def version(entry: ActivityLog) -> tuple[Event, str | None]:
        event = _event(entry)
        amended = replace(event, **changes)
        if amended == event:
            raise AmendmentError("the entry says exactly this already")
        return amended, _algorithm(amended.type, entry)

    return _supersede(entry_id, version, by=by, permission=AMEND_PERMISSION, reason=reason)


def remove(*, entry_id: UUID, rule: str, by: User, reason: str) -> Receipt:
    """Put a tombstone in an entry's place under a retention rule, and return the receipt of the tombstone.

    `rule` names what demands the removal, such as "web logs: 90 days". Raises as `amend`.
    """
    _require_text("a reason", reason, MAX_EXPLANATION)
    _require_text("a retention rule", rule, MAX_RULE)

    def version(entry: ActivityLog) -> tuple[Event, str | None]:
        said = _members(entry)
        tombstone = Event(
            type=queries.TOMBSTONE,
            action="remove entry",
            actor=by.get_username(),
            occurred_at=datetime.now(UTC),
            source=said["source"],
            target=str(entry.pk),
            outcome="success",
            severity="notice",
            event_id=said.get("event_id"),
            data={"reason": reason, "removed_type": entry.type, "rule": rule},
        )
        return tombstone, _algorithm(tombstone.type, entry)

    return _supersede(entry_id, version, by=by, permission=REMOVE_PERMISSION, reason=reason)


def _supersede(entry_id: UUID, version: _Version, *, by: User, permission: str, reason: str) -> Receipt:
    with _named_refusals(), transaction.atomic():
        entry = ActivityLog.objects.select_for_update(of=("self",)).select_related("ledger", "key").filter(pk=entry_id)
        present = entry.first()
        _require_right(present, by, permission, entry_id)
        assert present is not None  # noqa: S101 for mypy: _require_right raises
        _require_changeable(present)
        event, algorithm = version(present)
        draft = _draft(present, event, algorithm, by=by.get_username(), reason=reason)
        leaf_index = _append(present, draft)
        if event.type == queries.TOMBSTONE:
            _bury(draft, leaf_index)
        else:
            entries.supersede(present.ledger, draft, leaf_index)
    if connection.in_atomic_block:
        transaction.on_commit(partial(ledgers.sign_checkpoint, present.ledger))
        checkpoint = None
    else:
        checkpoint = ledgers.sign_checkpoint(present.ledger)
    return Receipt(str(entry_id), present.ledger.name, leaf_index, draft.leaf_hash, checkpoint)


def _require_text(what: str, text: str, limit: int) -> None:
    if not text.strip() or "\0" in text:
        raise AmendmentError(f"it needs {what}, in plain text")
    if len(text) > limit:
        raise AmendmentError(f"{what} has {len(text):,} characters; at most {limit:,} are kept")


def _require_right(entry: ActivityLog | None, by: User, permission: str, entry_id: UUID) -> None:
    if entry is None or entry.ledger.name not in access.of_user(by).readable:
        # The same answer whether there is such an entry or not.
        raise EntryNotFoundError(f"there is no entry {entry_id} that {by.get_username()} may read")
    if not by.has_perm(permission):
        raise PermissionDenied(f"{by.get_username()} lacks the permission {permission}")


def _require_changeable(entry: ActivityLog) -> None:
    """Refuse what the guard would refuse, and to put a good version over one that was tampered with."""
    if entry.type == queries.TOMBSTONE:
        raise AmendmentError("the entry was removed already")
    if entry.type.startswith(SYSTEM_PREFIX):
        raise AmendmentError("what the application itself recorded is never amended or removed")
    (checked,) = judge_entries([entry])
    if checked.verdict in ALARMS:
        raise TamperedEntryError(f"the entry {entry.pk} is {checked.verdict}: {'; '.join(checked.reasons)}")


def _members(entry: ActivityLog) -> dict[str, Any]:
    said: dict[str, Any] = orjson.loads(bytes(entry.record))
    return said


def _event(entry: ActivityLog) -> Event:
    """Return the event of an entry in the words of its record, for columns cannot hold U+0000."""
    said = _members(entry) | {"data": data_of(entry)}
    names = {field.name for field in fields(Event)}
    event = {name: value for name, value in said.items() if name in names}
    return Event(**event | {"occurred_at": parse_timestamp(said["occurred_at"]).astimezone(UTC)})


def _algorithm(type_name: str, entry: ActivityLog) -> str | None:
    """Return what the new version is signed with: as its log type requires now, and never less than it was signed."""
    policy = queries.policies().match(type_name) or DEFAULT
    if policy.requires_signature:
        return policy.algorithm
    return None if entry.key is None else entry.key.algorithm


def _draft(entry: ActivityLog, event: Event, algorithm: str | None, *, by: str, reason: str) -> Draft:
    amendment = Amendment(
        at=timestamp(datetime.now(UTC)),
        by=by,
        reason=reason,
        leaf_index=entry.leaf_index,
        leaf_hash=leaf_hash(bytes(entry.record)).hex(),
        override=_running_override(entry),
    )
    claims = check(
        event,
        max_detached_bytes=settings.AUDITLOG_MAX_DETACHED_BYTES,
        reserved=_RESERVED + len(amendment.as_member()),
    )
    draft = Draft(event, claims, entry.id.bytes, str(entry.id), entry.recorded_at, algorithm)
    draft.revision, draft.amendment = entry.revision + 1, amendment
    return draft


def _running_override(entry: ActivityLog) -> int | None:
    """Return the override that a locked entry is changed under; whether it really runs, the guard decides."""
    runs = entry.override_until is not None and entry.override_until > datetime.now(UTC)
    return entry.override_id if entry.locked and runs else None


def _append(entry: ActivityLog, draft: Draft) -> int:
    """Sign the draft and append its leaf; a rotation that comes between has it signed anew."""
    for _ in range(_ATTEMPTS):
        key_ids = seal([draft], ledger=entry.ledger.name, key_for=key_for)
        appended = ledgers.append(entry.ledger, [draft.leaf_hash], key_ids=key_ids)
        if appended is not None:
            return appended.first_leaf
    raise NoActiveKeyError("the entry keys changed again and again while an amendment was signed; try again")


def key_for(algorithm: str) -> EntryKey:
    """Return the active entry key of an algorithm. Raises NoActiveKeyError."""
    key = next((one for one in active_keys("entry", refresh=True) if one.algorithm == algorithm), None)
    if key is None:
        raise NoActiveKeyError(f"no active {algorithm} entry key; run ./auditlog keys rotate --algorithm {algorithm}")
    return EntryKey(key.id, jws.protected(algorithm, key.id), PROVIDERS[key.provider].signer(key))


def _bury(draft: Draft, leaf_index: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT public.remove_entry(%s::uuid, %s, %s, %s, %s, %s)",
            [draft.id_text, leaf_index, draft.record, draft.claims.digest, draft.signature, draft.key_id],
        )


@contextmanager
def _named_refusals() -> Iterator[None]:
    """Raise EntryLockedError where the database refused by rule AL002; its DETAIL says which locks, and why."""
    try:
        yield
    except DatabaseError as error:
        cause: Any = error.__cause__
        if getattr(cause, "sqlstate", None) != "AL002":
            raise
        said = orjson.loads(cause.diag.message_detail)
        raise EntryLockedError(said["entry"], said["locks"], said["reason"]) from error
