"""`/api/v1/meta-logs`, `/{id}` and `/{id}/replay`: who looked at what, and whether it is still so."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.http import Http404
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from activity.api.authentication import access_of
from activity.errors import BadQueryError
from activity.filters import take_none
from metaaudit import archives, filters, queries
from metaaudit.api import descriptions
from metaaudit.errors import AccessArchivedError
from metaaudit.models import MetaLog
from metaaudit.replay import replay, verdict_of
from metaaudit.rows import listed, replayed
from metaaudit.visibility import whose


class Trace(APIView):
    """A view for everybody who can have a trace: his own, or all of them."""

    permission_classes = (IsAuthenticated,)

    def seen(self, request: Request, meta_id: UUID) -> MetaLog:
        """Return a meta log that whoever asks may see.

        Raises Http404, AccessArchivedError, BadQueryError for any parameter.
        """
        take_none(request.query_params)
        log = archives.kept_log(whose(request), meta_id)
        if log is None:
            raise Http404(f"there is no meta log {meta_id} that you may see")
        return log


class MetaLogs(Trace):
    """Find accesses."""

    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {"GET": (BadQueryError,)}

    @descriptions.list_meta_logs
    def get(self, request: Request) -> Response:
        """Answer with a page, and with the cursor of the next one if there are more."""
        wanted = filters.wanted_of(request.query_params, whose(request))
        page = queries.find(wanted)
        said = {
            "meta_logs": [listed(log) for log in page.logs],
            "next": page.next and str(page.next),
            "archived": [each.as_member() for each in archives.tombstones(wanted.at_from)],
        }
        return Response(said)


class OneMetaLog(Trace):
    """One access."""

    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {"GET": (BadQueryError, Http404, AccessArchivedError)}

    @descriptions.get_meta_log
    def get(self, request: Request, meta_id: UUID) -> Response:
        """Answer with the meta log, its verdict, and the id of the record of its end."""
        log = self.seen(request, meta_id)
        verdict, reasons = verdict_of(log)
        end = queries.completions([log]).get(log.pk)
        said: dict[str, Any] = {"verdict": verdict, "reasons": reasons, "completed_by": end and str(end.pk)}
        return Response(listed(log) | said)


class ReplayMetaLog(Trace):
    """One access, run again."""

    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {"POST": (BadQueryError, Http404, AccessArchivedError)}

    @descriptions.replay_meta_log
    def post(self, request: Request, meta_id: UUID) -> Response:
        """Answer with what was shown then, whether it is still so, and what has changed."""
        log = self.seen(request, meta_id)
        verdict, _ = verdict_of(log)
        return Response(replayed(log, replay(log), verdict, access_of(request).readable))
