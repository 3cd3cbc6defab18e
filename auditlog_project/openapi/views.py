"""`/api/v1/openapi.json`, `/api/v1/openapi.yaml`, `/api/v1/docs`: the document, and a page that shows it. For anybody.

The page is Swagger UI from drf-spectacular-sidecar, so from this server alone. It keeps to the strict
Content-Security-Policy: what starts it is static/openapi/docs.js, and docs.css takes out what would need `data:`.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from auditlog_project.openapi import document
from signing.api import Public


@extend_schema(exclude=True)
class OpenApiJson(Public):
    """The document as JSON."""

    def get(self, request: Request) -> HttpResponse:
        """Answer with the document."""
        del request
        return HttpResponse(document.as_json(), content_type="application/vnd.oai.openapi+json")


@extend_schema(exclude=True)
class OpenApiYaml(Public):
    """The document as YAML."""

    def get(self, request: Request) -> HttpResponse:
        """Answer with the document."""
        del request
        return HttpResponse(document.as_yaml(), content_type="application/vnd.oai.openapi")


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Answer with the page."""
    return render(request, "openapi/docs.html")
