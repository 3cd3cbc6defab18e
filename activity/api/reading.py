"""`GET /api/v1/logs`, `/logs/{id}`, `/logs/{id}/proof`, `/log-types`: entries with what can be said of them now.

AUDITLOG_ON_TAMPERED=flag    a tampered entry is served as it is, with its verdict
AUDITLOG_ON_TAMPERED=block   only its id, ledger, leaf index and verdict are; alone it is a 409
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.http import Http404, HttpResponse
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from activity import filters, queries, retrieval, search
from activity.api import descriptions
from activity.api.authentication import MayChange, MayRead, MayReadOrWrite, MayWrite, access_of
from activity.api.changing import ChangeLog
from activity.api.writing import WriteLogs
from activity.errors import BadQueryError, Problem, TamperedEntryError, UncoveredEntryError, UnsignedEntryError
from activity.models import ActivityLog, ActivityRevision, LogType
from activity.retrieval import Checked
from signing import tlog_proof
from signing.algorithms import ALGORITHMS
from signing.checkpoint import parse
from signing.errors import LedgerNotFoundError
from signing.jws import base64url
from signing.merkle import leaf_hash

TLOG_PROOF = f"{descriptions.TEXT}; charset=utf-8"


class Logs(WriteLogs):
    """Find entries (GET), or record them (POST)."""

    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {
        **WriteLogs.raises,
        "GET": (BadQueryError, LedgerNotFoundError),
    }

    def get_permissions(self) -> list[BasePermission]:
        """Return who may do what the request asks for."""
        return [MayRead() if self.request.method in SAFE_METHODS else MayWrite()]

    @descriptions.find_entries
    def get(self, request: Request) -> Response:
        """Answer with a page of entries, and with a cursor if there may be more."""
        asked = filters.search_of(request.query_params, access_of(request).readable)
        page = search.find(asked)
        said: dict[str, Any] = {
            "entries": [_listed(checked) for checked in retrieval.check_entries(page.entries)],
            "next": None if page.next is None else filters.cursor_of(asked, page.next),
        }
        if page.scanned is not None:
            said["scanned"] = page.scanned
        return Response(said)


class LogEntry(ChangeLog):
    """One entry: read it (GET), amend it (PATCH), or put a tombstone in its place (DELETE)."""

    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {
        **ChangeLog.raises,
        "GET": (BadQueryError, Http404, TamperedEntryError, UnsignedEntryError),
    }

    def get_permissions(self) -> list[BasePermission]:
        """Return who may do what the request asks for."""
        return [MayRead() if self.request.method in SAFE_METHODS else MayChange()]

    @descriptions.get_entry
    def get(self, request: Request, entry_id: UUID) -> HttpResponse:
        """Answer with the entry, its record and signature; with `?format=jws` as a compact JWS."""
        form = _format(request, "json", "jws")
        checked = _found(request, entry_id)
        return Response(_whole(checked)) if form == "json" else _jws(checked.entry)


class LogEntryProof(APIView):
    """The proof that an entry is in its ledger."""

    permission_classes = (MayRead,)
    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {
        "GET": (BadQueryError, Http404, TamperedEntryError, UncoveredEntryError)
    }

    @descriptions.prove_entry
    def get(self, request: Request, entry_id: UUID) -> HttpResponse:
        """Answer with the inclusion proof under the newest checkpoint; with `?format=tlog-proof` as C2SP's file."""
        form = _format(request, "json", "tlog-proof")
        entry = _found(request, entry_id).entry
        proof = retrieval.prove(entry)
        if form == "tlog-proof":
            text = tlog_proof.format(entry.leaf_index, proof.hashes, proof.checkpoint)
            return HttpResponse(text, content_type=TLOG_PROOF)
        head = parse(proof.checkpoint).checkpoint
        return Response(
            {
                "id": str(entry.id),
                "ledger": entry.ledger.name,
                "leaf_index": entry.leaf_index,
                "leaf_hash": leaf_hash(bytes(entry.record)).hex(),
                "tree_size": head.size,
                "root": head.root.hex(),
                "hashes": [one.hex() for one in proof.hashes],
                "checkpoint": proof.checkpoint,
            }
        )


class LogTypes(APIView):
    """The log types."""

    permission_classes = (MayReadOrWrite,)

    @descriptions.list_log_types
    def get(self, request: Request) -> Response:
        """Answer with all of them; the longest pattern that matches a type counts."""
        del request
        return Response({"log_types": [queries.log_type_facts(one) for one in LogType.objects.order_by("pattern")]})


def _format(request: Request, *known: str) -> str:
    problems = [
        Problem(name, "there is no such parameter; there is: format")
        for name in request.query_params
        if name != "format"
    ]
    form = request.query_params.get("format", known[0])
    if form not in known:
        problems.append(Problem("format", f"must be one of {', '.join(known)}"))
    if problems:
        raise BadQueryError(problems)
    return form


def _found(request: Request, entry_id: UUID) -> Checked:
    checked = retrieval.entry_for(access_of(request).readable, entry_id)
    if checked is None:
        raise Http404(f"there is no entry {entry_id} that you may read")
    return checked


def _listed(checked: Checked) -> dict[str, Any]:
    entry = checked.entry
    said: dict[str, Any] = {
        "id": str(entry.id),
        "ledger": entry.ledger.name,
        "leaf_index": entry.leaf_index,
        "verdict": checked.verdict,
        "reasons": checked.reasons,
    }
    if retrieval.is_blocked(checked):
        return said
    return said | {
        "type": entry.type,
        "action": entry.action,
        "actor": entry.actor,
        "target": entry.target,
        "outcome": entry.outcome,
        "severity": entry.severity,
        "source": entry.source,
        "ip": entry.ip,
        "event_id": entry.event_id,
        "occurred_at": entry.occurred_at,
        "recorded_at": entry.recorded_at,
        "revision": entry.revision,
        "locked": entry.locked,
        "locks": entry.held_by or [],
        "locks_at": entry.locks_at,
        "kid": entry.key_id,
        "data": search.data_of(entry),
    }


def _whole(checked: Checked) -> dict[str, Any]:
    entry = checked.entry
    detached, signature = entry.detached_data, entry.signature
    return _listed(checked) | {
        "record": base64url(bytes(entry.record)).decode(),
        "detached_data": None if detached is None else base64url(bytes(detached)).decode(),
        "signature": None if signature is None else base64url(bytes(signature)).decode(),
        "leaf_hash": leaf_hash(bytes(entry.record)).hex(),
        "revisions": [_archived(one) for one in retrieval.archived_versions(entry)],
    }


def _archived(version: ActivityRevision) -> dict[str, Any]:
    purged = version.purged_by is not None
    return {
        "revision": version.revision,
        "leaf_index": version.leaf_index,
        "leaf_hash": bytes(version.leaf_hash).hex(),
        "superseded_at": version.superseded_at,
        "override": version.override_id,
        "purged": purged,
        "record": None if purged else base64url(bytes(version.record)).decode(),
    }


def _jws(entry: ActivityLog) -> HttpResponse:
    compact = queries.entry_as_jws(entry)
    if compact is None:
        raise UnsignedEntryError(
            f"the entry {entry.id} is proved by its ledger alone: its log type requires no signature"
        )
    if entry.key is not None and not ALGORITHMS[entry.key.algorithm].outsiders_can_verify:
        raise UnsignedEntryError(f"the entry {entry.id} carries an HMAC, which no outsider can verify")
    return HttpResponse(compact, content_type=descriptions.JOSE)
