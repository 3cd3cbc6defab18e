"""What the OpenAPI document says of this API beyond the docstrings of its views."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema

from activity.api import descriptions as activity
from activity.api.descriptions import JSON, answer
from activity.api.shapes import (
    COUNT,
    EVIDENCE,
    HASH,
    JUDGEMENT,
    LEDGER,
    MOMENT,
    STRING,
    Shape,
    list_of,
    nullable,
    object_of,
    said,
)
from exports.downloads import CONTAINER_TYPE
from exports.models import Export
from exports.services import MAX_CASE, MAX_PURPOSE

_TAGS = ["Exports"]
_FORMATS: Shape = list_of({"type": "string", "enum": list(Export.Format.values)})
_FILTERS: Shape = {"type": "object", "additionalProperties": STRING}
_OF_ENTRIES = (
    "Of a ledger of entries: the parameters of `GET /api/v1/logs`, without `ledger`, `order` and paging. "
    "`leaf_indexes` names entries one by one: each of them is exported, and a leaf that does not stand in the ledger "
    "is refused by name."
)
_OF_ACCESSES = (
    "Of a ledger of accesses, such as `meta`: those of `GET /api/v1/meta-logs`, without paging: `user`, `action`, "
    "`auth`, `phase`, `route`, `path`, `request_id`, `status`, `query_hash`, `saw_entry`, `saw_target`, `saw_actor`, "
    "`from` (inclusive) and `to` (exclusive). Every value is a string, `status` too."
)
ORDER = object_of(
    "ExportOrder",
    "What is to be exported, as what and why.",
    {
        "ledger": LEDGER,
        "filters": said(_FILTERS, f"{_OF_ENTRIES} {_OF_ACCESSES}"),
        "formats": said({**_FORMATS, "minItems": 1}, "Of accesses `csv`, `ndjson` and `json`."),
        "purpose": said({"type": "string", "minLength": 1, "maxLength": MAX_PURPOSE}, "Stands on the first page."),
        "case": {"type": "string", "maxLength": MAX_CASE, "default": ""},
    },
    optional=("filters", "case"),
)
_PROGRESS = object_of(
    "ExportProgress",
    "How far it is.",
    {
        "percent": {"type": "integer", "minimum": 0, "maximum": 100},
        "entries": COUNT,
        "entries_per_second": nullable({"type": "number"}),
        "seconds_left": nullable(COUNT),
    },
)
EXPORT = object_of(
    "Export",
    "An export: what was ordered, and what has become of it.",
    {
        "id": {"type": "string", "format": "uuid"},
        "state": {"type": "string", "enum": list(Export.State.values)},
        "ordered_by": STRING,
        "ordered_at": MOMENT,
        "ledger": LEDGER,
        "ledger_size": said(COUNT, "The export is of the ledger as it stood at so many leaves."),
        "filters": _FILTERS,
        "formats": _FORMATS,
        "purpose": STRING,
        "case": STRING,
        "complete_range": said(nullable(list_of(COUNT)), "First leaf and end of the range in which none is missing."),
        "progress": _PROGRESS,
        "finished_at": nullable(MOMENT),
        "expires_at": nullable(MOMENT),
        "failure": said(nullable(STRING), "Why it could not be made."),
        "waits_for": said(nullable(STRING), "Why it is not signed yet: the time stamp authority, with what it said."),
        "next_attempt_at": said(nullable(MOMENT), "When that authority is asked again."),
        "entries": nullable(COUNT),
        "verdicts": {"type": "object", "additionalProperties": COUNT},
        "dataset_digest": said(nullable(HASH), "SHA-256 over the records: the verification hash in report and claim."),
        "file_size": nullable(COUNT),
        "file_sha256": nullable(HASH),
    },
)
_ORDERED = {
    "ledger": "activity",
    "filters": {"type": "auth.login", "recorded_from": "2026-11-01T00:00:00Z"},
    "formats": ["pdf", "csv"],
    "purpose": "access review for the third quarter",
    "case": "2026-117",
}
_ORDERED_BY_NAME = _ORDERED | {"filters": {"leaf_indexes": "3,7,12"}, "purpose": "the three sign-ins of the complaint"}
_ACCESSES_ORDERED = {
    "ledger": "meta",
    "filters": {"saw_target": "patient/4711", "from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z"},
    "formats": ["csv", "ndjson"],
    "purpose": "who saw patient 4711 in March",
}
_ID = OpenApiParameter(
    "export_id", {"type": "string", "format": "uuid"}, OpenApiParameter.PATH, description="The id of an export."
)


_MADE: dict[Any, Any] = {
    201: answer(EXPORT, "Small, and made at once: ready, or failed with the reason."),
    202: answer(EXPORT, "Under way, or waiting for the time stamp authority. Ask for it again to see how far it is."),
}
list_exports = extend_schema(
    operation_id="list_exports",
    summary="List exports",
    tags=_TAGS,
    responses={
        200: answer(object_of("Exports", "Exports, the last one first.", {"exports": list_of(EXPORT)}), "Yours.")
    },
)
order_export = extend_schema(
    operation_id="order_export",
    summary="Order an export, signed with your export key",
    tags=_TAGS,
    request={JSON: ORDER},
    responses=_MADE,
    examples=[
        OpenApiExample("an order", value=_ORDERED, request_only=True),
        OpenApiExample("entries named one by one", value=_ORDERED_BY_NAME, request_only=True),
        OpenApiExample("an order of accesses", value=_ACCESSES_ORDERED, request_only=True),
    ],
)
get_export = extend_schema(
    operation_id="get_export",
    summary="Follow an export",
    tags=_TAGS,
    parameters=[_ID],
    responses={200: answer(EXPORT, "The export.")},
)
download_export = extend_schema(
    operation_id="download_export",
    summary="Download an export",
    tags=_TAGS,
    parameters=[
        _ID,
        OpenApiParameter("file", STRING, OpenApiParameter.QUERY, description="One file of the container, by its name."),
    ],
    responses={
        (200, CONTAINER_TYPE): answer(
            {"type": "string", "format": "binary"}, "The container (ASiC-E), or a file of it with its own type."
        )
    },
)
cancel_export = extend_schema(
    operation_id="cancel_export",
    summary="Cancel an export",
    tags=_TAGS,
    parameters=[_ID],
    request=None,
    responses={200: answer(EXPORT, "Cancelled.")},
)

_BINARY: Shape = {"type": "string", "format": "binary"}
REPORT = object_of(
    "ExportReport",
    "What the verification tool says of an export.",
    {
        "file": STRING,
        "outcome": {"type": "string", "enum": ["valid", "tampered", "cannot_tell"]},
        "checks": list_of(
            object_of(
                "ExportCheck", "One check.", {"check": STRING, "state": STRING, "text": said(STRING, "In words.")}
            )
        ),
    },
)
_REPORTS = object_of(
    "ExportReports",
    "What it says of several files.",
    {"reports": said(list_of(REPORT), "One of each container, and one of all other files together.")},
)
_FILES = object_of(
    "ExportFiles",
    "Containers, or loose files of one export, which are checked together.",
    {"file": said({**list_of(_BINARY), "minItems": 1, "maxItems": 100}, "A part of this name for each file.")},
)
verify_evidence = extend_schema(
    operation_id="verify_evidence",
    summary="Verify a piece of evidence or an export, without an account",
    tags=activity.EVIDENCE,
    request={
        JSON: said(EVIDENCE, "One piece of evidence."),
        CONTAINER_TYPE: _BINARY,
        "application/pdf": _BINARY,
        "multipart/form-data": _FILES,
    },
    responses={200: answer({"anyOf": [JUDGEMENT, REPORT, _REPORTS]}, "The verdict, or of an export the checks.")},
    examples=[activity.A_CHECKPOINT],
)
