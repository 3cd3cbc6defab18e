"""`POST /api/v1/verify`: anybody brings a piece of evidence and gets its verdict. No account; counted by address.

What can be brought stands in activity/brought.py.
"""

from __future__ import annotations

from typing import ClassVar

from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from activity import brought
from activity.api import descriptions
from activity.errors import BadEvidenceError


class Verify(APIView):
    """Judge what an outsider brings."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_scope = "verify"
    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = {"POST": (BadEvidenceError,)}

    @descriptions.verify_evidence
    def post(self, request: Request) -> Response:
        """Answer with verdict, reasons, and what was found right."""
        judgement = brought.judge(request.data)
        return Response({"verdict": judgement.verdict, "reasons": judgement.reasons, "checked": judgement.checked})
