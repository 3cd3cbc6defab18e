"""`POST /api/v1/logs` and `POST /api/v1/logs/bulk`: 201 with receipts after commit, 200 if all was there already."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from activity import services
from activity.api import descriptions
from activity.api.authentication import MayWrite, access_of
from activity.api.bodies import LinesParser, StrictJsonParser, events_of, events_of_lines
from activity.errors import (
    BadEventsError,
    BadQueryError,
    BadStreamError,
    BadUnitsError,
    EventIdConflictError,
    Problem,
    UnitFault,
    UnknownLogTypeError,
)
from activity.queries import ACTIVITY_LEDGER
from activity.recording import Receipt
from signing.errors import AnchorConflictError, MasterKeyError, NoActiveKeyError

# What may keep anything from being recorded.
NOT_NOW = (NoActiveKeyError, MasterKeyError, AnchorConflictError)


class WriteLogs(APIView):
    """Record one event or a list of them, all or nothing."""

    permission_classes = (MayWrite,)
    parser_classes = (StrictJsonParser,)
    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {
        "POST": (BadEventsError, UnknownLogTypeError, EventIdConflictError, BadQueryError, *NOT_NOW)
    }

    @descriptions.record_events
    def post(self, request: Request) -> Response:
        """Answer with one receipt for one event, with a list of them for a list."""
        ledger, source = _target(request)
        sent = request.data
        receipts = services.record_many(events_of(sent, source=source), ledger=ledger)
        said: dict[str, Any] = shown(receipts[0]) if isinstance(sent, dict) else _listed(receipts)
        return Response(said, status=_status(receipts))


class WriteLogsBulk(APIView):
    """Record the events of an NDJSON body, all or nothing."""

    permission_classes = (MayWrite,)
    parser_classes = (LinesParser,)
    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {
        "POST": (BadStreamError, BadUnitsError, EventIdConflictError, BadQueryError, *NOT_NOW)
    }

    @descriptions.record_events_in_bulk
    def post(self, request: Request) -> Response:
        """Answer with the receipts in the order of the lines."""
        ledger, source = _target(request)
        lines: Any = request.data
        events = events_of_lines(lines, source=source)
        try:
            receipts = services.record_many(events, ledger=ledger)
        except BadEventsError as error:
            faults = [UnitFault(lines[problem.index][0], problem.path, problem.reason) for problem in error.problems]
            raise BadUnitsError("line", faults, conflict=isinstance(error, EventIdConflictError)) from error
        return Response(_listed(receipts), status=_status(receipts))


def _target(request: Request) -> tuple[str, str | None]:
    """Return ledger and source that the sender writes to: `?ledger=`, or the only one there is, or `activity`."""
    problems = [
        Problem(name, "there is no such parameter; there is: ledger" if name != "ledger" else "is given more than once")
        for name, values in request.query_params.lists()
        if name != "ledger" or len(values) > 1
    ]
    if problems:
        raise BadQueryError(problems)
    may = access_of(request)
    only = next(iter(may.writable)) if len(may.writable) == 1 else ACTIVITY_LEDGER
    ledger = request.query_params.get("ledger", only)
    if ledger not in may.writable:
        raise PermissionDenied(f"you may not write to the ledger {ledger}")
    return ledger, may.source


def _status(receipts: list[Receipt]) -> int:
    return 200 if all(receipt.duplicate for receipt in receipts) else 201


def _listed(receipts: list[Receipt]) -> dict[str, Any]:
    return {"receipts": [shown(receipt) for receipt in receipts]}


def shown(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt as the API says it."""
    return {
        "id": receipt.id,
        "ledger": receipt.ledger,
        "leaf_index": receipt.leaf_index,
        "leaf_hash": receipt.leaf_hash.hex(),
        "checkpoint": receipt.checkpoint,
        "duplicate": receipt.duplicate,
    }
