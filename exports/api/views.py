"""`/api/v1/exports`: order, follow, take and cancel exports. For people; a system's key signs nothing."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import User
from django.http import Http404, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from activity.errors import BadQueryError, Problem
from exports import queries, services, tasks
from exports.api import descriptions
from exports.downloads import as_attachment
from exports.errors import BadOrderError, ExportRefusedError, QuotaError
from exports.models import Export
from exports.services import ORDER_PERMISSION
from signing.errors import ExportKeyError, LedgerNotFoundError

_LISTED = 100
_MEMBERS = {"ledger": str, "filters": dict, "formats": list, "purpose": str, "case": str}
_OPTIONAL = {"filters", "case"}
_NO_REDACTION = (
    "an entry is exported whole or not at all, for what is left of a redacted record cannot be proved: narrow the "
    "filter, and what it leaves out of a range is exported as hashes"
)


class MayExport(BasePermission):
    """Whoever has a role that exports."""

    message = "this needs a login whose role exports: an export is signed with a person's key"

    def has_permission(self, request: Request, view: Any) -> bool:
        """Tell whether it is a person who may."""
        del view
        return isinstance(request.user, User) and request.user.has_perm(ORDER_PERMISSION)


class Exporting(APIView):
    """A view for people who may export."""

    permission_classes = (MayExport,)

    def seen(self, request: Request, export_id: UUID) -> Export:
        """Return an export that whoever asks may see. Raises Http404."""
        return get_object_or_404(queries.visible(to=_person(request)), pk=export_id)


class Exports(Exporting):
    """List exports (GET), or order one (POST)."""

    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {
        "POST": (BadOrderError, BadQueryError, ExportKeyError, LedgerNotFoundError, QuotaError, ExportRefusedError)
    }

    @descriptions.list_exports
    def get(self, request: Request) -> Response:
        """Answer with the last hundred exports that you may see."""
        return Response({"exports": [_shown(one) for one in queries.visible(to=_person(request))[:_LISTED]]})

    @descriptions.order_export
    def post(self, request: Request) -> Response:
        """Order an export: small ones are ready in the answer, large ones are made in the background."""
        ordered = services.order(by=_person(request), **_order(request.data))
        tasks.begin(ordered)
        return Response(_shown(ordered.export), status=202 if ordered.export.is_open else 201)


class OneExport(Exporting):
    """One export."""

    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {"GET": (Http404,)}

    @descriptions.get_export
    def get(self, request: Request, export_id: UUID) -> Response:
        """Answer with how far it is, and with what came out once it is ready."""
        return Response(_shown(self.seen(request, export_id)))


class TakeFile(Exporting):
    """The file of an export."""

    http_method_names = ["get", "options"]  # each answer is recorded as a download, so HEAD is none

    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {"GET": (Http404, BadQueryError, ExportRefusedError)}

    @descriptions.download_export
    def get(self, request: Request, export_id: UUID) -> StreamingHttpResponse:
        """Answer with the signed container, or with one file out of it; it is recorded who took it."""
        unknown = [name for name in request.query_params if name != "file"]
        if unknown:
            raise BadQueryError([Problem(name, "there is no such parameter; there is: file") for name in unknown])
        name = request.query_params.get("file", "")
        taken = services.download(export=self.seen(request, export_id), by=_person(request), name=name)
        return as_attachment(taken)


class Cancel(Exporting):
    """Stopping an export."""

    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {"POST": (Http404, ExportRefusedError)}

    @descriptions.cancel_export
    def post(self, request: Request, export_id: UUID) -> Response:
        """Stop an export of yours that is not made yet."""
        export = self.seen(request, export_id)
        services.cancel(export=export, by=_person(request))
        return Response(_shown(export))


def _person(request: Request) -> User:
    user: Any = request.user
    return user  # type: ignore[no-any-return] # MayExport looked


def _order(said: Any) -> dict[str, Any]:
    """Return the members of an order. Raises BadOrderError."""
    if not isinstance(said, dict):
        raise BadOrderError("an order is a JSON object")
    if said.get("redaction") is not None:
        raise BadOrderError(_NO_REDACTION)
    unknown = [name for name in said if name not in _MEMBERS and name != "redaction"]
    missing = [name for name in _MEMBERS if name not in said and name not in _OPTIONAL]
    wrong = [name for name, kind in _MEMBERS.items() if name in said and not isinstance(said[name], kind)]
    if unknown or missing or wrong:
        parts = [f"{text} {', '.join(names)}" for text, names in _faults(unknown, missing, wrong) if names]
        raise BadOrderError("; ".join(parts))
    texts = [*said.get("filters", {}).values(), *said["formats"]]
    if not all(isinstance(text, str) for text in texts):
        raise BadOrderError("filters and formats are strings, as in an address")
    return {"filters": {}, **{name: said[name] for name in _MEMBERS if name in said}}


def _faults(unknown: list[str], missing: list[str], wrong: list[str]) -> list[tuple[str, list[str]]]:
    return [("there is no", unknown), ("it lacks", missing), ("of the wrong kind:", wrong)]


def _shown(export: Export) -> dict[str, Any]:
    far = queries.progress(export)
    return {
        "id": str(export.pk),
        "state": export.state,
        "ordered_by": export.ordered_by,
        "ordered_at": export.ordered_at,
        "ledger": export.ledger.name,
        "ledger_size": export.size,
        "filters": export.filters,
        "formats": export.formats,
        "purpose": export.purpose,
        "case": export.case,
        "complete_range": export.complete_range and list(export.complete_range),
        "progress": {
            "percent": far.percent,
            "entries": far.entries,
            "entries_per_second": far.rate,
            "seconds_left": None if far.left is None else int(far.left.total_seconds()),
        },
        "finished_at": export.finished_at,
        "expires_at": export.expires_at,
        "failure": export.failure or None,
        "waits_for": (export.is_open and export.waits_for) or None,
        "next_attempt_at": export.next_attempt_at if export.is_open else None,
        "entries": export.entries,
        "verdicts": export.verdicts,
        "dataset_digest": export.dataset_digest or None,
        "file_size": export.file_size or None,
        "file_sha256": export.file_sha256 or None,
    }
