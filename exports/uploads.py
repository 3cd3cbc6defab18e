"""No upload is larger than AUDITLOG_UPLOAD_MAX_BYTES: it is refused before a byte of it is kept."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler


class BoundedUpload(FileUploadHandler):
    """Looks at the length of the request, and leaves everything else to the handlers after it."""

    def handle_raw_input(
        self,
        input_data: Any,
        META: Any,  # noqa: N803 Django's
        content_length: int,
        boundary: Any,
        encoding: Any = None,
    ) -> None:
        """Raise RequestDataTooBig, which is answered with 413."""
        del input_data, META, boundary, encoding
        if content_length > settings.AUDITLOG_UPLOAD_MAX_BYTES:
            raise RequestDataTooBig(f"more than {settings.AUDITLOG_UPLOAD_MAX_BYTES:,} bytes")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        """Hand on."""
        del start
        return raw_data

    def file_complete(self, file_size: int) -> None:
        """Leave the file to the next handler."""
        del file_size
