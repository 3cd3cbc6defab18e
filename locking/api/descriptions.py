"""What the OpenAPI document says of this API beyond the docstrings of its views."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema

from activity.api.descriptions import JSON, answer, query
from activity.api.shapes import (
    COUNT,
    ENTRY_ID,
    HASH,
    IP,
    LEAF_INDEX,
    LEDGER,
    MOMENT,
    STRING,
    Shape,
    list_of,
    nullable,
    object_of,
    said,
)
from activity.event import MAX_CHARACTERS, OUTCOMES, SEVERITIES
from activity.services import MAX_EXPLANATION
from locking.models import LogLock
from locking.queries import DEFAULT_LIMIT, MAX_LIMIT, MAX_LOCK_ID
from locking.scopes import LEAVES, MAX_ENTRIES, TEXTS, TIMES
from locking.steps import MAX_CASE

_TAGS = ["Locks"]
_LOCK_ID: Shape = {"type": "integer", "minimum": 1, "maximum": MAX_LOCK_ID}
_KIND: Shape = {"type": "string", "enum": list(LogLock.Kind.values)}
_STATE: Shape = {"type": "string", "enum": list(LogLock.State.values)}
_REASON: Shape = {"type": "string", "minLength": 1, "maxLength": MAX_EXPLANATION, "description": "Why. Kept for ever."}
_CASE: Shape = {"type": "string", "maxLength": MAX_CASE}
_UNTIL = said(nullable(MOMENT), "The end of a retention, in the future; null: for good. A hold has none.")
_MEMBERS: dict[str, Shape] = {
    **{
        name: {"type": "string", "minLength": 1, "maxLength": MAX_CHARACTERS[name]}
        for name in TEXTS
        if name in MAX_CHARACTERS
    },
    "severity": {"type": "string", "enum": list(SEVERITIES)},
    "outcome": {"type": "string", "enum": list(OUTCOMES)},
    "ip": IP,
    **dict.fromkeys(TIMES, MOMENT),
    **dict.fromkeys(LEAVES, LEAF_INDEX),
}
SCOPE: Shape = {
    "title": "LockScope",
    "description": "What is locked: entries by their ids, or all that match a filter now. "
    '`{"leaf_from": 0}` is the whole ledger. `type` may be a prefix such as `auth.*`.',
    "oneOf": [
        object_of(
            "LockedEntries",
            "Exactly these.",
            {"entries": {**list_of(ENTRY_ID), "minItems": 1, "maxItems": MAX_ENTRIES}},
        ),
        {
            **object_of("LockFilter", "All that match; at least one member.", _MEMBERS, optional=tuple(_MEMBERS)),
            "minProperties": 1,
        },
    ],
}
ORDER = object_of(
    "LockOrder",
    "What is to be locked, how and why.",
    {
        "ledger": LEDGER,
        "scope": SCOPE,
        "kind": said(_KIND, "`governance`: two people may end it; `compliance`: nobody; `hold`: until two release it."),
        "reason": _REASON,
        "case": {**_CASE, "default": ""},
        "until": _UNTIL,
    },
    optional=("case", "until"),
)
EXTENSION = object_of(
    "LockExtension", "A later end, and why.", {"until": said(nullable(MOMENT), "null: for good."), "reason": _REASON}
)
RELEASE = object_of(
    "LockRelease", "Why; whoever asks says it.", {"reason": {**_REASON, "minLength": 0}}, optional=("reason",)
)
LOCK = object_of(
    "Lock",
    "A lock: what it holds, why, and what became of it.",
    {
        "id": _LOCK_ID,
        "ledger": LEDGER,
        "scope": {"type": "object", "description": "As it was ordered.", "additionalProperties": True},
        "kind": _KIND,
        "state": said(_STATE, "Only `in_force` holds everything that it is for; `applying` is on its way there."),
        "reason": STRING,
        "case": STRING,
        "until": nullable(MOMENT),
        "progress": said(
            nullable({"type": "integer", "minimum": 0, "maximum": 99}),
            "Percent of the ledger up to which it was applied, extended, or lifted after its end; null: none goes on.",
        ),
        "being_extended": said(
            {"type": "boolean"}, "Some of its entries still have the end that it had before; a worker goes on."
        ),
        "locked_by": STRING,
        "policy": said(nullable(COUNT), "The policy that made it."),
        "created_at": MOMENT,
        "in_force_at": nullable(MOMENT),
        "entries": said(COUNT, "How many it was applied to."),
        "ledger_size": said(nullable(COUNT), "Of the ledger, when it came into force."),
        "ledger_root": said(nullable(HASH), "The root of that tree."),
        "release_requested_by": nullable(STRING),
        "release_reason": nullable(STRING),
        "declined_by": said(nullable(STRING), "Who declined the last request for its release that was declined."),
        "decline_reason": nullable(STRING),
        "declined_at": nullable(MOMENT),
        "released_by": nullable(STRING),
        "ended_at": said(nullable(MOMENT), "When it was released, or expired."),
    },
)
WITHDRAWAL = object_of("ReleaseWithdrawal", "Nothing is to be said.", {})
REFUSAL = object_of("ReleaseRefusal", "Why it is not released.", {"reason": _REASON})
_ORDERED = {
    "ledger": "activity",
    "scope": {"type": "auth.*", "recorded_to": "2026-11-01T00:00:00Z"},
    "kind": "hold",
    "reason": "litigation",
    "case": "C-7",
}
_ID = OpenApiParameter("lock_id", _LOCK_ID, OpenApiParameter.PATH, description="The id of a lock.")


_MADE: dict[Any, Any] = {
    201: answer(LOCK, "In force."),
    202: answer(LOCK, "Being applied. Ask for it again: it is in force once its state says so."),
}
_EXTENDED: dict[Any, Any] = {
    200: answer(LOCK, "Extended."),
    202: answer(LOCK, "Being extended. Until `being_extended` is false, some entries have the end that it had before."),
}
_RELEASED: dict[Any, Any] = {
    200: answer(LOCK, "Released by a second person. Its entries are free, unless another lock holds them."),
    202: answer(LOCK, "Its release is asked for, and it holds until another person releases it."),
}
list_locks = extend_schema(
    operation_id="list_locks",
    summary="List locks, the newest first",
    tags=_TAGS,
    parameters=[
        query("ledger", LEDGER, "One ledger; without it all that you may read."),
        query("kind", _KIND),
        query("state", _STATE),
        query("case", _CASE, "Exactly this case reference."),
        query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
        query("cursor", _LOCK_ID, "`next` of the page before, with the same filters."),
    ],
    responses={
        200: answer(
            object_of("Locks", "A page of them.", {"locks": list_of(LOCK), "next": nullable(_LOCK_ID)}), "A page."
        )
    },
)
make_lock = extend_schema(
    operation_id="make_lock",
    summary="Lock entries",
    tags=_TAGS,
    request={JSON: ORDER},
    responses=_MADE,
    examples=[OpenApiExample("a legal hold", value=_ORDERED, request_only=True)],
)
get_lock = extend_schema(
    operation_id="get_lock",
    summary="Get a lock",
    tags=_TAGS,
    parameters=[_ID],
    responses={200: answer(LOCK, "The lock.")},
)
extend_lock = extend_schema(
    operation_id="extend_lock",
    summary="Make a retention last longer",
    tags=_TAGS,
    parameters=[_ID],
    request={JSON: EXTENSION},
    responses=_EXTENDED,
)
release_lock = extend_schema(
    operation_id="release_lock",
    summary="Ask for the release of a lock, or give it",
    tags=_TAGS,
    parameters=[_ID],
    request={JSON: RELEASE},
    responses=_RELEASED,
)
withdraw_release = extend_schema(
    operation_id="withdraw_release",
    summary="Withdraw your request for the release of a lock",
    tags=_TAGS,
    parameters=[_ID],
    request={JSON: WITHDRAWAL},
    responses={200: answer(LOCK, "It holds as before, and nobody asks for its release.")},
)
decline_release = extend_schema(
    operation_id="decline_release",
    summary="Decline the release of a lock that another person asked for",
    tags=_TAGS,
    parameters=[_ID],
    request={JSON: REFUSAL},
    responses={200: answer(LOCK, "It holds as before, and nobody asks for its release.")},
)
