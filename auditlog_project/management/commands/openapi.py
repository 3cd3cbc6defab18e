"""`manage.py openapi`: the OpenAPI document of the REST API, as the server gives it at /api/v1/openapi.json."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from django.conf import settings

from auditlog_project import api_errors
from auditlog_project.openapi import document
from signing.management.teaching import TeachingCommand

_HELP = """
Print the OpenAPI document, or write it down as what version 1 of the API promises.

docs/openapi-v1.json is that promise. A test fails if something in it is removed or narrowed; docs/api.md says what may
change. Write it again when something was added; when a promise is really to be broken, that is version 2.

examples:
  ./auditlog openapi
  ./auditlog openapi --yaml
  ./auditlog openapi --write
"""
PROMISE = Path(settings.BASE_DIR) / "docs" / "openapi-v1.json"


def error_table() -> str:
    """Return the rows of the table of errors in docs/api.md."""
    rows = sorted((status, code) for code, status in api_errors.codes().items())
    return "\n".join(f"| {status} | `{code}` | {api_errors.MEANINGS[code]} |" for status, code in rows)


class Command(TeachingCommand):
    help = _HELP
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--yaml", action="store_true", help="print YAML")
        how.add_argument("--errors", action="store_true", help="print the table of errors of docs/api.md")
        how.add_argument("--write", action="store_true", help="write docs/openapi-v1.json")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["write"]:
            PROMISE.write_bytes(document.as_json() + b"\n")
            self.stdout.write(f"written: {PROMISE.relative_to(settings.BASE_DIR)}")
        elif options["errors"]:
            self.stdout.write(error_table())
        else:
            self.stdout.write((document.as_yaml() if options["yaml"] else document.as_json()).decode())
