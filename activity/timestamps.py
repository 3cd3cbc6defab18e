"""Moments as the product writes them: RFC 3339 in UTC, six digits, `Z`. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import orjson

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def timestamp(moment: datetime) -> str:
    """Return RFC 3339 in UTC with six digits and `Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    text = orjson.dumps(moment, option=orjson.OPT_UTC_Z).decode()
    return text[1:-1] if moment.microsecond else f"{text[1:-2]}.000000Z"


def parse_timestamp(text: str) -> datetime:
    """Return the aware moment that an RFC 3339 text names.

    Raises ValueError for anything else, a missing offset included.
    """
    if not _RFC3339.fullmatch(text):
        message = f"not an RFC 3339 time such as 2026-11-23T05:40:00.123456Z: {text[:60]!r}"
        raise ValueError(message)
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as error:
        message = f"no such moment: {text!r} ({error})"
        raise ValueError(message) from error
