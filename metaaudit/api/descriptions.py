"""What the OpenAPI document says of this API beyond the docstrings of its views."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from activity.api.descriptions import query
from activity.api.shapes import (
    BASE64URL,
    COUNT,
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
from metaaudit.queries import DEFAULT_LIMIT, MAX_LIMIT
from metaaudit.vocabulary import ACTIONS, Auth, Phase
from signing.verdicts import Verdict

_TAGS = ["Accesses"]
_ID: Shape = {"type": "string", "format": "uuid"}
_REASONS: Shape = list_of(STRING)
_VERDICT: Shape = {"type": "string", "enum": list(Verdict)}
_ONE_OF: dict[str, Shape] = {
    "action": {"type": "string", "enum": list(ACTIONS)},
    "auth": {"type": "string", "enum": list(Auth)},
    "phase": {"type": "string", "enum": list(Phase)},
}
_MEMBERS: dict[str, Shape] = {
    "id": _ID,
    "ledger": LEDGER,
    "leaf_index": LEAF_INDEX,
    "leaf_hash": HASH,
    "at": MOMENT,
    "user_id": said(STRING, "`user:7`, `api-key:Xy12Ab34`, `os:0`, `system:<task>` or `anonymous`."),
    "user_name": STRING,
    "auth": _ONE_OF["auth"],
    "auth_id": nullable(STRING),
    "action": _ONE_OF["action"],
    "phase": _ONE_OF["phase"],
    "completes": said(nullable(_ID), "The intent that this completes."),
    "method": STRING,
    "path": STRING,
    "route": STRING,
    "query": list_of({**list_of(STRING), "minItems": 2, "maxItems": 2}),
    "query_hash": HASH,
    "result_count": nullable(COUNT),
    "result_digest": nullable(HASH),
    "sizes": {"type": "object", "additionalProperties": COUNT},
    "status": nullable(COUNT),
    "duration_ms": nullable(COUNT),
    "bytes": nullable(COUNT),
    "ip": nullable(IP),
    "agent": nullable(STRING),
    "request_id": nullable(STRING),
    "record": said(BASE64URL, "The record: the bytes that are hashed."),
}
META_LOG = object_of("MetaLog", "One access to the logging system, or one half of it.", _MEMBERS)
ARCHIVED = object_of(
    "ArchivedAccesses",
    "Accesses of a ledger that an export has, and the database no longer: the tombstone in their place.",
    {
        "by": STRING,
        "count": COUNT,
        "end_leaf": said(COUNT, "The leaf after the last one."),
        "export": _ID,
        "export_sha256": said(HASH, "Of the file (.asice)."),
        "first_leaf": COUNT,
        "kid": said(STRING, "The key that signed it."),
        "reason": STRING,
        "root": said(HASH, "Of the ledger's first `end_leaf` leaves."),
        "until": said(MOMENT, "The youngest of them."),
    },
)
META_LOGS = object_of(
    "MetaLogs",
    "A page of them, the newest first; and what is archived of the time that was asked for.",
    {"meta_logs": list_of(META_LOG), "next": nullable(_ID), "archived": list_of(ARCHIVED)},
)
JUDGED_META_LOG = object_of(
    "JudgedMetaLog",
    "A meta log with what can be said of it now.",
    {**_MEMBERS, "verdict": _VERDICT, "reasons": _REASONS, "completed_by": nullable(_ID)},
)
_VERSION = object_of(
    "ShownVersion",
    "A version of an entry; its content is there for whoever may read the ledger.",
    {
        "leaf_index": LEAF_INDEX,
        "revision": COUNT,
        "type": STRING,
        "actor": STRING,
        "action": STRING,
        "target": STRING,
        "record": BASE64URL,
    },
    optional=("type", "actor", "action", "target", "record"),
)
_SEEN = object_of(
    "ShownEntry",
    "An entry that was shown, as it was then and as it is now.",
    {
        "entry": _ID,
        "ledger": LEDGER,
        "leaf_index": LEAF_INDEX,
        "leaf_hash": HASH,
        "change": {"type": "string", "enum": ["unchanged", "amended", "removed", "purged", "missing"]},
        "verdict": nullable(_VERDICT),
        "reasons": _REASONS,
        "then": _VERSION,
        "now": nullable(_VERSION),
    },
)
REPLAY = object_of(
    "Replay",
    "An access that was run again as of the size of the ledger at that time.",
    {
        "meta_log": _ID,
        "verdict": _VERDICT,
        "matches": said(nullable({"type": "boolean"}), "null if nothing of the log was shown."),
        "reasons": _REASONS,
        "recorded": object_of("ReplayRecorded", "As recorded.", {"count": nullable(COUNT), "digest": nullable(HASH)}),
        "found": object_of("ReplayFound", "As found now.", {"count": COUNT, "digest": HASH}),
        "entries": list_of(_SEEN),
    },
)


def _answer(shape: Shape, description: str) -> dict[Any, Any]:
    return {200: OpenApiResponse(shape, description)}


_META_ID = OpenApiParameter("meta_id", _ID, OpenApiParameter.PATH, description="The id of a meta log.")
_LONG: Shape = {"type": "string", "maxLength": 2048}

list_meta_logs = extend_schema(
    operation_id="list_meta_logs",
    summary="Find accesses, the newest first",
    description="The auditor of auditors finds everybody's, everybody else his own.",
    tags=_TAGS,
    parameters=[
        query("user", _LONG, "Id, such as `user:7`, or name."),
        *(query(name, shape) for name, shape in _ONE_OF.items()),
        *(query(name, _LONG) for name in ("route", "path", "request_id")),
        query("status", {"type": "integer", "minimum": 0, "maximum": 999}),
        query("query_hash", HASH),
        query("saw_entry", _ID, "Who was shown this entry, or an earlier version of it."),
        query("saw_target", _LONG, "Who was shown an entry with this target."),
        query("saw_actor", _LONG, "Who was shown an entry of this actor."),
        query("from", MOMENT, "Inclusive."),
        query("to", MOMENT, "Exclusive."),
        query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
        query("cursor", _ID, "`next` of the page before, with the same filters."),
    ],
    responses=_answer(META_LOGS, "A page."),
)
get_meta_log = extend_schema(
    operation_id="get_meta_log",
    summary="Get one access, with its verdict",
    description="Verified now: leaf, columns and query hash.",
    tags=_TAGS,
    parameters=[_META_ID],
    responses=_answer(JUDGED_META_LOG, "The meta log."),
)
replay_meta_log = extend_schema(
    operation_id="replay_meta_log",
    summary="Run an access again",
    description="As of the size of the ledger at that time. The replay itself is recorded.",
    tags=_TAGS,
    parameters=[_META_ID],
    request=None,
    responses=_answer(REPLAY, "What came out, compared with what was recorded."),
)
