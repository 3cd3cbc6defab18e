"""What the OpenAPI document says of this API beyond the docstrings of its views."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from activity.api import shapes
from activity.api.shapes import Shape, said
from activity.event import MAX_CHARACTERS, OUTCOMES, SEVERITIES
from activity.filters import MAX_NAMED
from activity.search import DEFAULT_LIMIT, MAX_LIMIT, ORDERS

JSON, NDJSON, JOSE, TEXT = "application/json", "application/x-ndjson", "application/jose", "text/plain"
ENTRIES, EVIDENCE = ["Entries"], ["Evidence"]

_NAMED_LEAVES: Shape = {"type": "string", "pattern": "^[0-9]{1,19}(,[0-9]{1,19})*$", "example": "3,7,12"}
_EVENT = {
    "type": "auth.login",
    "action": "sign in",
    "actor": "alice@example.org",
    "occurred_at": "2026-11-23T05:40:00Z",
    "outcome": "success",
    "ip": "192.0.2.7",
    "event_id": "7f1c2d",
    "data": {"method": "passkey"},
}
_NOTE = (
    "auditlog.local/activity\n9\nzmKc7EhbODtvKaCSDfRn/+4wVM5lHJKNTc3GW26nx+4=\n\n— auditlog.local/activity "
    "MtPU1W57cq7zyAmoXBTc3S4gyCb/EyOooI+sW/C/dkNf5nps+mIhuRYxHzLX0vu/OdoR2i8LG4qxPJAi1vQpTe9sywc=\n"
)
_RECEIPT = {
    "id": "01a20d35-78ab-7582-b2ff-e10c1e8b3987",
    "ledger": "activity",
    "leaf_index": 8,
    "leaf_hash": "dc7a6b7bb4dfa0315553f5aa54b21649986b05d8d12a7d813bbd25b225b82e92",
    "checkpoint": _NOTE,
    "duplicate": False,
}
_ENTRY = {
    "id": _RECEIPT["id"],
    "ledger": "activity",
    "leaf_index": 8,
    "verdict": "valid",
    "reasons": [],
    "type": "auth.login",
    "action": "sign in",
    "actor": "alice@example.org",
    "target": "",
    "outcome": "success",
    "severity": "info",
    "source": "shop-eu",
    "ip": "192.0.2.7",
    "event_id": "7f1c2d",
    "occurred_at": "2026-11-23T05:40:00Z",
    "recorded_at": "2026-11-23T05:40:01.835972Z",
    "revision": 1,
    "locked": False,
    "locks": [],
    "locks_at": None,
    "kid": "entry-ed25519-290f680475ea",
    "data": {"method": "passkey"},
}


def _example(name: str, value: Any) -> list[OpenApiExample]:
    return [OpenApiExample(name, value=value)]


def answer(shape: Shape, description: str, example: Any = None) -> OpenApiResponse:
    """Return what a status is answered with, and an example of it."""
    return OpenApiResponse(shape, description, _example("an answer", example) if example is not None else None)


def query(name: str, shape: Shape, description: str = "", **how: Any) -> OpenApiParameter:
    """Return a parameter of the query."""
    return OpenApiParameter(name, shape, OpenApiParameter.QUERY, description=description, **how)


def _exactly(name: str) -> OpenApiParameter:
    return query(name, {"type": "string", "maxLength": MAX_CHARACTERS[name]}, "Exactly this.")


_INTO = query(
    "ledger", shapes.LEDGER, "The ledger to write to. Without it: the only one there is for you, or `activity`."
)
_RECORDED: dict[Any, Any] = {
    201: answer(
        {"anyOf": [shapes.RECEIPT, shapes.RECEIPTS]}, "Recorded: a receipt for one event, a list for a list.", _RECEIPT
    ),
    200: answer(
        {"anyOf": [shapes.RECEIPT, shapes.RECEIPTS]},
        "Every event was there already, with the same content.",
        _RECEIPT | {"duplicate": True},
    ),
}
_RECORDED_IN_BULK: dict[Any, Any] = {
    201: answer(shapes.RECEIPTS, "Recorded.", {"receipts": [_RECEIPT]}),
    200: answer(shapes.RECEIPTS, "Every event was there already, with the same content."),
}
_ENTRY_ID = OpenApiParameter("entry_id", shapes.ENTRY_ID, OpenApiParameter.PATH, description="The id of an entry.")

record_events = extend_schema(
    operation_id="record_events",
    summary="Record one event or a list",
    tags=ENTRIES,
    parameters=[_INTO],
    request={JSON: shapes.EVENTS},
    responses=_RECORDED,
    examples=[OpenApiExample("an event", value=_EVENT, request_only=True)],
)
record_events_in_bulk = extend_schema(
    operation_id="record_events_in_bulk",
    summary="Record many events",
    tags=ENTRIES,
    parameters=[
        _INTO,
        OpenApiParameter(
            "Content-Encoding",
            {"type": "string", "enum": ["gzip", "identity"]},
            OpenApiParameter.HEADER,
            description="`gzip` for a body that is compressed.",
        ),
    ],
    request={NDJSON: shapes.LINES},
    responses=_RECORDED_IN_BULK,
)
find_entries = extend_schema(
    operation_id="find_entries",
    summary="Find entries, each with its verdict",
    tags=ENTRIES,
    parameters=[
        query("ledger", shapes.LEDGER, "One ledger; without it all that you may read."),
        *(_exactly(name) for name in ("type", "actor", "action", "target", "source")),
        query("event_id", {"type": "string", "maxLength": MAX_CHARACTERS["event_id"]}, "Exactly this; needs `source`."),
        query("outcome", {"type": "string", "enum": list(OUTCOMES)}),
        query("severity", {"type": "string", "enum": list(SEVERITIES)}),
        query("ip", shapes.IP, "This address, in whatever form."),
        query("leaf_index", shapes.LEAF_INDEX),
        query("leaf_indexes", _NAMED_LEAVES, f"These leaves, at most {MAX_NAMED:,}; with no filter but `ledger`."),
        query("kid", {"type": "string"}, "Signed by this key. Needs both ends of a time range."),
        query("revision", {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}, "Needs both ends of a time range."),
        query("locked", {"type": "boolean"}, "Needs both ends of a time range."),
        query("leaf_from", shapes.LEAF_INDEX, "Not before this leaf."),
        query("leaf_to", shapes.LEAF_INDEX, "Before this leaf."),
        query("occurred_from", shapes.MOMENT, "Not before this."),
        query("occurred_to", shapes.MOMENT, "Before this."),
        query("recorded_from", shapes.MOMENT, "Not before this."),
        query("recorded_to", shapes.MOMENT, "Before this."),
        query(
            "data",
            {
                "type": "object",
                "patternProperties": {"^data\\.": {"type": "string"}},
                "additionalProperties": False,
            },
            "`data.PATH=TEXT`, such as `data.user.roles.0=admin`: what stands at a path in data, in JSON's spelling "
            "if it is no string. Needs both ends of a time range.",
            style="form",
            explode=True,
        ),
        query("order", {"type": "string", "enum": list(ORDERS), "default": ORDERS[0]}, "`-id`: last recorded first."),
        query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
        query("cursor", {"type": "string"}, "`next` of the page before, with the same other parameters."),
    ],
    responses={200: answer(shapes.PAGE, "A page.", {"entries": [_ENTRY], "next": None})},
)
get_entry = extend_schema(
    operation_id="get_entry",
    summary="Get an entry, its record and its signature",
    tags=ENTRIES,
    parameters=[_ENTRY_ID, query("format", {"type": "string", "enum": ["json", "jws"], "default": "json"})],
    responses={
        (200, JSON): answer(
            shapes.WHOLE_ENTRY,
            "The entry; with `?format=jws` as compact JWS, which any JOSE library verifies with the published keys.",
        ),
        (200, JOSE): answer({"type": "string"}, "A compact JWS."),
    },
)
amend_entry = extend_schema(
    operation_id="amend_entry",
    summary="Amend an entry",
    description="For people with a session and the permission. The earlier version is archived.",
    tags=ENTRIES,
    parameters=[_ENTRY_ID],
    request={JSON: shapes.AMENDMENT},
    responses={200: answer(shapes.RECEIPT, "The receipt of the new leaf.", _RECEIPT)},
)
remove_entry = extend_schema(
    operation_id="remove_entry",
    summary="Put a tombstone in an entry's place",
    description="For people with a session and the permission. The event id stays taken.",
    tags=ENTRIES,
    parameters=[_ENTRY_ID],
    request={JSON: shapes.REMOVAL},
    responses={200: answer(shapes.RECEIPT, "The receipt of the tombstone.", _RECEIPT)},
)
prove_entry = extend_schema(
    operation_id="prove_entry",
    summary="Prove that an entry is in its ledger",
    tags=ENTRIES,
    parameters=[_ENTRY_ID, query("format", {"type": "string", "enum": ["json", "tlog-proof"], "default": "json"})],
    responses={
        (200, JSON): answer(shapes.PROOF, "The proof; with `?format=tlog-proof` as the file of C2SP tlog-proof."),
        (200, TEXT): answer({"type": "string"}, "A C2SP tlog-proof."),
    },
)
list_log_types = extend_schema(
    operation_id="list_log_types",
    summary="List the log types",
    tags=["Log types"],
    responses={200: answer(shapes.LOG_TYPES, "All of them.")},
)
A_CHECKPOINT = OpenApiExample("a checkpoint", value={"checkpoint": _NOTE}, request_only=True, media_type=JSON)
verify_evidence = extend_schema(
    operation_id="verify_evidence",
    summary="Verify a piece of evidence, without an account",
    tags=EVIDENCE,
    request={JSON: said(shapes.EVIDENCE, "One piece of evidence.")},
    responses={
        200: answer(
            shapes.JUDGEMENT,
            "The verdict.",
            {
                "verdict": "valid",
                "reasons": [],
                "checked": [
                    "a checkpoint key of this installation signed the checkpoint of 9 leaves",
                    "the ledger, now of 12 leaves, continues that tree",
                ],
            },
        )
    },
    examples=[A_CHECKPOINT],
)
