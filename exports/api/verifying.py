"""`POST /api/v1/verify` takes exports too: the container or the PDF report as the body, with its own media type.

    {"file": "", "outcome": "valid" | "tampered" | "cannot_tell", "checks": [{"check", "state", "text"}]}

Several files come as the parts `file` of a form (multipart/form-data), loose ones of one export among them:

    {"reports": [a report of each container, and one of all other files together]}

The checks are those of the verification tool, with what this installation vouches for pinned (exports/judging.py).
"""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import IO, Any, ClassVar

from django.conf import settings
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from activity.api import verifying
from activity.api.bodies import StrictJsonParser
from activity.errors import BadEvidenceError, TooMuchError
from exports import judging
from exports.api import descriptions
from exports.downloads import CONTAINER_TYPE

PDF_TYPE = "application/pdf"
_PART = "file"
_CHUNK = 1 << 20
_IN_MEMORY = 8 << 20  # bytes, beyond which a body lies in a file


class Brought:
    """An export that was sent, as a file that can be sought."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file


class ContainerParser(BaseParser):
    """A body to a file, never more than AUDITLOG_UPLOAD_MAX_BYTES."""

    media_type = CONTAINER_TYPE

    def parse(self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None) -> Any:
        """Return the file. Raises TooMuchError."""
        del media_type, parser_context
        file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 it lives as long as the request
        while piece := stream.read(_CHUNK):
            if file.tell() + len(piece) > settings.AUDITLOG_UPLOAD_MAX_BYTES:
                file.close()
                raise TooMuchError(f"more than {settings.AUDITLOG_UPLOAD_MAX_BYTES:,} bytes: verify it offline")
            file.write(piece)
        return Brought(file)


class PdfParser(ContainerParser):
    """The same for a report."""

    media_type = PDF_TYPE


class FilesParser(MultiPartParser):
    """A form to its files, of which BoundedUpload takes no more than AUDITLOG_UPLOAD_MAX_BYTES."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None
    ) -> DataAndFiles[Any, Any]:
        """Return what the form holds. Raises BadEvidenceError, RequestDataTooBig."""
        try:
            return super().parse(stream, media_type, parser_context)
        except ParseError as error:
            raise BadEvidenceError("this is no form with files (multipart/form-data)") from error


class Verify(verifying.Verify):
    """Judge what an outsider brings, an export included."""

    parser_classes = (StrictJsonParser, ContainerParser, PdfParser, FilesParser)
    raises: ClassVar[dict[str, tuple[type[Exception], ...]]] = verifying.Verify.raises

    @descriptions.verify_evidence
    def post(self, request: Request) -> Response:
        """Answer with verdict, reasons, and what was found right; of an export with the checks of the tool."""
        brought: Any = request.data
        if isinstance(brought, Brought):
            with brought.file:
                return Response(judging.judge_export(brought.file, "").to_dict())
        if isinstance(brought, QueryDict):
            reports = judging.judge_exports([(file, file.name) for file in _files(brought, request.FILES)])
            return Response({"reports": [report.to_dict() for report in reports]})
        return super().post(request)


def _files(form: QueryDict, files_of_form: MultiValueDict[str, Any]) -> list[Any]:
    """Return the files of a form, whose parts are all of them. Raises BadEvidenceError for another form."""
    files = files_of_form.getlist(_PART)
    if not files or list(form) != [_PART] or len(form.getlist(_PART)) != len(files):
        raise BadEvidenceError(f"a form holds files and nothing else, each of them in a part named {_PART!r}")
    return files
