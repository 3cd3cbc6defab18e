"""A gunicorn worker in which slow clients wait for themselves alone. server.py names it.

A request is received whole, head and body, before a thread that answers is given to it, and what is answered is sent
by the thread that received. So whoever sends or reads a byte a second holds one of the many threads that only wait,
and none of the few that work and have a connection to the database.

    _RECEIVERS                  threads that receive and send; more clients than that wait for one to be free
    AUDITLOG_REQUEST_SECONDS    in which a request must have arrived, and one more for each _BYTES_A_SECOND that came
    _STALL_SECONDS              for which a client may take nothing of its answer
    MAX_BODY_BYTES              more than any view takes; a longer body is refused by its length, unread

A body that comes too slowly is answered 408, a head is not: the connection is closed.
"""

from __future__ import annotations

import errno
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any

from gunicorn.workers.gthread import ThreadWorker

from auditlog_project.settings import AUDITLOG_REQUEST_SECONDS, AUDITLOG_UPLOAD_MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_RECEIVERS = 128
_BYTES_A_SECOND = 16 * 1024
_STALL_SECONDS = 30.0
_MAX_FRAME_BYTES = 64 * 1024  # what a form adds to a file
MAX_BODY_BYTES = max(40 * 1024 * 1024, AUDITLOG_UPLOAD_MAX_BYTES) + _MAX_FRAME_BYTES
_IN_MEMORY = 1024 * 1024  # bytes of a body; the rest goes to a file without a name
_PIECE = 64 * 1024


class PatientSocket(socket.socket):
    """A connection whose peer has to go on."""

    _deadline = 0.0
    _asked: float | None = None  # what gunicorn set, where it is in a hurry

    @classmethod
    def of(cls, other: socket.socket) -> PatientSocket:
        """Return the connection of another socket, which is a socket no more."""
        return cls(other.family, other.type, other.proto, fileno=other.detach())

    def expect(self) -> None:
        """Begin to wait for a request."""
        self._deadline = time.monotonic() + AUDITLOG_REQUEST_SECONDS

    def settimeout(self, seconds: float | None) -> None:
        """Wait no longer than this for one step."""
        self._asked = seconds
        super().settimeout(seconds)

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 -- as socket has it
        """Wait as long as the request may take, or not at all."""
        self.settimeout(None if flag else 0.0)

    def recv(self, *args: Any) -> bytes:
        """Return what comes; raise TimeoutError if the request took too long."""
        remaining = self._deadline - time.monotonic()
        # With the number of a broken connection gunicorn closes it without a line in the log: it is the client's fault.
        if remaining <= 0:
            raise TimeoutError(errno.ECONNRESET, "the request did not come in time")
        super().settimeout(remaining if self._asked is None else min(remaining, self._asked))
        try:
            data = super().recv(*args)
        except TimeoutError:
            raise TimeoutError(errno.ECONNRESET, "the request did not come in time") from None
        self._deadline += len(data) / _BYTES_A_SECOND
        return data

    def sendall(self, data: Any, *_: Any) -> None:
        """Send everything, as long as the peer goes on taking it."""
        super().settimeout(_STALL_SECONDS)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self.send(rest[:_PIECE]) :]
        except TimeoutError:
            raise TimeoutError(errno.EPIPE, "the answer was not taken") from None


class BufferingWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, with `threads` that answer and many more that wait."""

    wsgi: Any

    def get_thread_pool(self) -> ThreadPoolExecutor:
        """Return the threads that receive and send."""
        self._answering = ThreadPoolExecutor(self.cfg.threads, "answering")
        return ThreadPoolExecutor(_RECEIVERS, "receiving")

    def enqueue_req(self, conn: Any) -> None:
        """Wait for the next request of a connection, for so long."""
        if not isinstance(conn.sock, PatientSocket):
            conn.sock = PatientSocket.of(conn.sock)
            conn.close = partial(self._close, conn.close)
        conn.sock.expect()
        super().enqueue_req(conn)

    def _close(self, close: Callable[..., None], *, graceful: bool = False) -> None:
        # A graceful end waits for the peer to end, too; gunicorn would do that in the one thread that accepts.
        if graceful and self.alive:
            self.tpool.submit(close, graceful=True)
        else:
            close(graceful=graceful)

    def load_wsgi(self) -> None:
        """Load the application behind what receives for it."""
        super().load_wsgi()
        application = self.wsgi

        def answered(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            try:
                body = _received(environ["wsgi.input"], int(environ.get("CONTENT_LENGTH") or 0))
            except TimeoutError:
                return _refused(start_response, 408, "request-timeout")
            except _TooLongError:
                return _refused(start_response, 413, "too-much")
            with body:
                environ["wsgi.input"] = body
                answer: Iterable[bytes] = self._answering.submit(application, environ, start_response).result()
            return answer

        self.wsgi = answered


class _TooLongError(Exception):
    """The body says of itself that it is longer than anything that is taken."""


def _received(body: IO[bytes], length: int) -> IO[bytes]:
    if length > MAX_BODY_BYTES:
        raise _TooLongError
    # A body without a length is refused unread, by refusals.py.
    whole: IO[bytes] = SpooledTemporaryFile(_IN_MEMORY) if length > _IN_MEMORY else BytesIO()  # noqa: SIM115 the caller does
    while piece := body.read(min(length, _PIECE)):
        whole.write(piece)
        length -= len(piece)
    whole.seek(0)
    return whole


def _refused(start_response: Callable[..., Any], status: int, code: str) -> Iterable[bytes]:
    from auditlog_project import api_errors  # noqa: PLC0415 -- gunicorn imports this module before Django is set up

    answer = api_errors.problem(status, code, api_errors.MEANINGS[code])
    headers = [*answer.items(), ("Content-Length", str(len(answer.content)))]
    start_response(f"{status} {answer.reason_phrase}", headers)
    return [answer.content]
