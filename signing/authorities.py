"""Asking a time stamp authority over HTTP (RFC 3161, section 3.4). What the answer proves, time_stamps.py says."""

from __future__ import annotations

from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from signing import time_stamps
from signing.errors import BadTimeStampError

TIMEOUT_SECONDS = 20


class _NoRedirect(HTTPRedirectHandler):
    """The address of an authority is a setting: it sends nobody elsewhere."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


def time_stamp(url: str, digest: bytes) -> bytes:
    """Return the token (DER) of the authority at `url` over a SHA-256. Raises BadTimeStampError, saying what failed."""
    if not url.startswith(("https://", "http://")):
        raise BadTimeStampError("AUDITLOG_TSA_URL is no address of the web")
    asked, nonce = time_stamps.request(digest)
    headers = {"Content-Type": time_stamps.QUERY_TYPE, "Accept": time_stamps.REPLY_TYPE}
    request = Request(url, data=asked, headers=headers, method="POST")  # noqa: S310 -- looked at above
    try:
        with build_opener(_NoRedirect).open(request, timeout=TIMEOUT_SECONDS) as response:
            answer: bytes = response.read(time_stamps.MAX_SIZE + 1)
    except (OSError, HTTPException) as error:
        raise BadTimeStampError(f"the time stamp authority does not answer: {_why(error)}") from error
    return time_stamps.token_of(answer, digest, nonce)


def _why(error: Exception) -> object:
    """Return what happened, without the brackets that urllib puts around it."""
    return error.reason if isinstance(error, URLError) and not isinstance(error, HTTPError) else error
