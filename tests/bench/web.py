"""The real server, as `./auditlog serve` starts it, with the bench's own views beside the product's; and its clients.

gunicorn with the product's configuration (two workers of four threads), a Valkey for its counts, TLS off as on a
laptop. A client keeps its connection, as every HTTP library does, and sends one request after another.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

import orjson
from django import test
from django.conf import settings
from django.utils.crypto import get_random_string

from activity.authority import create_api_key
from activity.event import Event
from auditlog_project.embedded.valkey import ValkeyServer
from tests.bench import events
from tests.clusters import state_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from django.contrib.auth.models import User

    from tests.clusters import Database

SOURCE = "bench"
_HOST = "127.0.0.1"
_PROJECT = Path(__file__).resolve().parents[2]
_START_SECONDS = 60
_SILENCE_SECONDS = 1.0  # gunicorn hangs up after two
_GOOD = (200, 201)  # an export that is under way (202) is not one that was made while somebody waited


class Client:
    """One system with an API key of its own, or a person who is signed in, and one connection."""

    def __init__(self, port: int, *, person: User | None = None) -> None:
        self._headers = {"Authorization": f"Api-Key {api_key()}"} if person is None else _signed_in(person)
        self._connection = HTTPConnection(_HOST, port, timeout=_START_SECONDS)
        self._last = time.monotonic()

    def post(self, path: str, body: bytes, media_type: str = "application/json") -> bytes:
        """Send a body and return the answer's. Raises RuntimeError unless it was taken."""
        return self._ask("POST", path, body, {"Content-Type": media_type})

    def get(self, path: str) -> bytes:
        """Return what is there. Raises RuntimeError for any refusal."""
        return self._ask("GET", path, None, {})

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        if time.monotonic() - self._last > _SILENCE_SECONDS:
            self._connection.close()  # the next request opens a new one
        self._connection.request(method, path, body, {**self._headers, **headers})
        answer = self._connection.getresponse()
        said = answer.read()
        self._last = time.monotonic()
        if answer.status not in _GOOD:
            raise RuntimeError(f"{method} {path}: {answer.status} {said[:500]!r}")
        return said


def _signed_in(person: User) -> dict[str, str]:
    """Return the headers of a browser that has just logged in."""
    browser = test.Client()
    browser.force_login(person)
    session, token = browser.cookies[settings.SESSION_COOKIE_NAME].value, get_random_string(32)
    cookies = f"{settings.SESSION_COOKIE_NAME}={session}; {settings.CSRF_COOKIE_NAME}={token}"
    return {"Cookie": cookies, "X-CSRFToken": token}


def api_key() -> str:
    """Return a new API key that reads and writes the activity ledger."""
    scopes = ["logs:read", "logs:write"]
    return create_api_key(name="bench", scopes=scopes, ledger="activity", source=SOURCE, by="bench", reason="bench")[1]


@contextmanager
def server(database: Database, **variables: str) -> Iterator[int]:
    """Run the server on this database, with further variables in its environment, and give its port."""
    valkey = ValkeyServer(state_directory() / f"valkey-{os.getpid()}")
    valkey.start()
    port = _free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:auditlog_project.server", "-b", f"{_HOST}:{port}"]
    environment = database.environment("default", "approver") | {
        "ALLOWED_HOSTS": _HOST,
        "REDIS_URL": valkey.url,
        "AUDITLOG_TRUST_FILE": str(database.anchors / "trust.vkeys"),
        **variables,
    }
    try:
        with (
            TemporaryFile() as log,  # a line for each request
            subprocess.Popen(command, cwd=_PROJECT, env=environment, stdout=log, stderr=log) as gunicorn,
        ):
            try:
                _wait_for(port, gunicorn, log)
                yield port
            finally:
                gunicorn.terminate()
    finally:
        valkey.stop()


def body(event: Event) -> bytes:
    """Return an event in our own format, as its source sends it."""
    return orjson.dumps(_said(event), option=orjson.OPT_UTC_Z)


def lines(batch: list[Event]) -> bytes:
    """Return events as NDJSON."""
    return b"\n".join(map(body, batch))


def fresh_events(number: int) -> list[Event]:
    """Return the next events of the bench, as they come from the source that the clients write as."""
    return events.fresh(number, source=SOURCE)


def _said(event: Event) -> dict[str, Any]:
    members = {name: getattr(event, name) for name in Event.__slots__}
    return {name: value for name, value in members.items() if value is not None}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_for(port: int, gunicorn: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while gunicorn.poll() is None and time.monotonic() < deadline:
        try:
            connection = HTTPConnection(_HOST, port, timeout=5)
            connection.request("GET", "/healthz")
            if connection.getresponse().status in _GOOD:
                return
        except OSError:
            pass
        time.sleep(0.1)
    log.seek(0)
    raise RuntimeError(f"the server did not start:\n{log.read().decode(errors='replace')}")
