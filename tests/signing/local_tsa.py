"""A time stamp authority on this machine: `openssl ts` behind an HTTP server."""

from __future__ import annotations

import shutil
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPENSSL = shutil.which("openssl") or "openssl"
_CONFIG = """
[tsa]
default_tsa = one
[one]
serial = serial
signer_cert = tsa.pem
signer_key = tsa.key
certs = ca.pem
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
[leaf]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[req]
distinguished_name = name
[name]
"""


@dataclass
class LocalTsa:
    """Where its files are, where it listens, and with what it answers instead if a test wants it to."""

    directory: Path
    url: str = ""
    instead: bytes | None = None
    status: int = 200
    asked: list[bytes] = field(default_factory=list)

    @property
    def root(self) -> Path:
        """The root certificate (PEM)."""
        return self.directory / "ca.pem"

    def stamp(self, query: bytes) -> bytes:
        """Return the answer to a request."""
        self.asked.append(query)
        (self.directory / "query").write_bytes(query)
        self._openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "answer")
        return (self.directory / "answer").read_bytes()

    def make(self, *, kind: str = "rsa:2048", days: int = 30) -> None:
        """Make its keys and certificates, which are valid for some days."""
        (self.directory / "tsa.cnf").write_text(_CONFIG)
        (self.directory / "serial").write_text("01\n")
        new: tuple[str, ...] = ("req", "-config", "tsa.cnf", "-x509", "-newkey", kind, "-nodes", "-days", f"{days}")
        if kind == "ec":
            new = (*new, "-pkeyopt", "ec_paramgen_curve:P-384")
        self._openssl(*new, "-extensions", "ca", "-subj", "/CN=TSA root", "-keyout", "ca.key", "-out", "ca.pem")
        leaf = (*new, "-extensions", "leaf", "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", "/CN=TSA")
        self._openssl(*leaf, "-keyout", "tsa.key", "-out", "tsa.pem")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run([OPENSSL, *arguments], cwd=self.directory, check=True, capture_output=True)


@contextmanager
def local_tsa(directory: Path, *, kind: str = "rsa:2048", days: int = 30) -> Iterator[LocalTsa]:
    """Serve a time stamp authority until the block ends."""
    tsa = LocalTsa(directory)
    tsa.make(kind=kind, days=days)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            answer = tsa.stamp(query) if tsa.instead is None else tsa.instead
            self.send_response(tsa.status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    tsa.url = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield tsa
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
