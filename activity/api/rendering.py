"""Answers as JSON, by orjson: times in UTC with `Z`, integers of 64 bits and texts come back as they were recorded."""

from __future__ import annotations

from typing import Any

import orjson
from rest_framework.renderers import BaseRenderer


class JsonRenderer(BaseRenderer):
    """Python values to JSON bytes."""

    media_type = "application/json"
    format = "json"
    charset = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> bytes:
        """Return the bytes; none for an answer without content."""
        del accepted_media_type, renderer_context
        return b"" if data is None else orjson.dumps(data, option=orjson.OPT_UTC_Z)
