"""Bad input and abuse through the real server: a clear problem document each, no row, and others go on being served."""

import gzip
import http.client
import json
import select
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from activity import authority
from activity.models import ActivityLog
from tests.clusters import EMBEDDED, Clusters, Database
from tests.served import WebServer

LOGS, BULK = "/api/v1/logs", "/api/v1/logs/bulk"
JSON, NDJSON = "application/json", "application/x-ndjson"
EVENT = {"type": "shop.order", "action": "order", "actor": "ann", "occurred_at": "2026-11-23T05:40:00Z"}
LINE = json.dumps(EVENT).encode()
SLOW_SECONDS = 2


@dataclass(frozen=True)
class Site:
    """The server, a key that may write, and the database behind."""

    server: WebServer
    database: Database
    key: str

    def ask(self, address: str, body: bytes, kind: str = JSON, **headers: str) -> tuple[int, str, dict[str, Any]]:
        """Return status, content type and answer."""
        sent = {"Authorization": f"Api-Key {self.key}", "Content-Type": kind, **headers}
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)) as connection:
            with suppress(ConnectionError):  # refused by its length while we were still sending
                connection.request("POST", address, body, sent)
            response = connection.getresponse()
            return response.status, response.headers["Content-Type"], json.loads(response.read())

    def slow(self, head: bytes) -> socket.socket:
        """Return a connection on which a request has begun."""
        connection = socket.create_connection(("127.0.0.1", self.server.port), timeout=60)
        connection.sendall(head)
        return connection


@pytest.fixture(scope="module")
def site(clusters: Clusters, django_db_blocker: Any, valkey: str, tmp_path_factory: Any) -> Iterator[Site]:
    log: Path = tmp_path_factory.mktemp("served") / "log"
    with django_db_blocker.unblock(), clusters[EMBEDDED].clone() as database, database.as_django_databases():
        _, key = authority.create_api_key(
            name="shop", scopes=["logs:write"], ledger="activity", source="shop", by="ada", reason="test"
        )
        environment = database.environment("default", "approver") | {
            "REDIS_URL": valkey,
            "AUDITLOG_REQUEST_SECONDS": str(SLOW_SECONDS),
        }
        with WebServer(environment, log) as server:
            yield Site(server, database, key)


def rows() -> int:
    return ActivityLog.objects.filter(source="shop").count()


def with_member(name: str) -> bytes:
    return json.dumps([EVENT, {**EVENT, name: 1}]).encode()


ZIPPED = {"Content-Encoding": "gzip"}
REFUSED: dict[str, tuple[str, bytes, str, dict[str, str], int, str]] = {
    "malformed JSON": (LOGS, LINE[:-1], JSON, {}, 400, "bad-json"),
    "no JSON": (LOGS, b"\x00\xff", JSON, {}, 400, "bad-json"),
    "key twice": (LOGS, b'{"type":"a","type":"b"}', JSON, {}, 400, "bad-json"),
    "wrong content type": (LOGS, LINE, "text/xml", {}, 415, "unsupported-media-type"),
    "form": (LOGS, b"type=shop.order", "application/x-www-form-urlencoded", {}, 415, "unsupported-media-type"),
    "JSON for lines": (BULK, LINE, JSON, {}, 415, "unsupported-media-type"),
    "truncated gzip": (BULK, gzip.compress(LINE * 50)[:-9], NDJSON, ZIPPED, 400, "bad-body"),
    "no gzip": (BULK, LINE, NDJSON, ZIPPED, 400, "bad-body"),
    "zip bomb": (BULK, gzip.compress(bytes(200_000_000), 1), NDJSON, ZIPPED, 413, "too-much"),
    "zip bomb in JSON": (LOGS, gzip.compress(bytes(1_000_000)), JSON, ZIPPED, 415, "unsupported-media-type"),
    "100 MB": (LOGS, bytes(100_000_000), JSON, {}, 413, "too-much"),
    "17 MiB": (LOGS, b"[" + bytes(17 * 1024 * 1024), JSON, {}, 413, "too-much"),
    "1,001 events": (LOGS, b"[" + b",".join([LINE] * 1001) + b"]", JSON, {}, 413, "too-much"),
    "10,001 lines": (BULK, b"\n".join([LINE] * 10_001), NDJSON, {}, 413, "too-much"),
    "nested": (LOGS, b'{"data":' + b"[" * 100_000, JSON, {}, 400, "bad-json"),
    "unknown field": (LOGS, with_member("surprise"), JSON, {}, 400, "bad-events"),
    **{
        f"mass assignment of {name}": (LOGS, with_member(name), JSON, {}, 400, "bad-events")
        for name in ("leaf_index", "recorded_at", "signature", "kid", "locked", "id", "ledger", "revision")
    },
    "another ledger": (f"{LOGS}?ledger=meta", LINE, JSON, {}, 403, "permission-denied"),
    "unknown parameter": (f"{LOGS}?locked=true", LINE, JSON, {}, 400, "bad-query"),
    "our own type": (LOGS, LINE.replace(b"shop.order", b"auditlog.export"), JSON, {}, 400, "bad-events"),
    "another source": (LOGS, LINE[:-1] + b',"source":"bank"}', JSON, {}, 400, "bad-events"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_by_name_and_leaves_no_row(site: Site, name: str) -> None:
    address, body, kind, headers, status, code = REFUSED[name]
    answered, content_type, problem = site.ask(address, body, kind, **headers)
    assert (answered, content_type, problem["code"]) == (status, "application/problem+json", code)
    assert problem["status"] == status
    assert problem["detail"]
    assert rows() == 0
    if name.startswith(("mass", "unknown field")):
        member = name.rpartition(" ")[2] if "mass" in name else "surprise"
        assert problem["errors"] == [{"index": 1, "path": f"$.{member}", "reason": "unknown member"}]


def test_a_body_in_pieces_without_its_length_is_refused(site: Site) -> None:
    head = f"POST {LOGS} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Api-Key {site.key}\r\nContent-Type: {JSON}\r\n"
    with site.slow(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()) as connection:
        connection.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(LINE), LINE))
        connection.shutdown(socket.SHUT_WR)
        answer = received(connection)
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert b'"code": "length-required"' in answer
    assert rows() == 0


def test_slow_clients_wait_for_themselves_alone(site: Site) -> None:
    head = b"POST /api/v1/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
    # Far more than there are threads that answer; some never end their head, some send a body without end.
    slow = [site.slow(head if number % 2 else head + b"\r\n{") for number in range(40)]
    began = time.monotonic()
    assert {site.ask("/api/v1/verify", b"{}")[0] for _ in range(10)} == {400}, "others are served meanwhile"
    answers = []
    for connection in slow:
        with connection:
            while time.monotonic() - began < 60:
                if select.select([connection], [], [], 0.05)[0]:
                    break
                with suppress(ConnectionError):
                    connection.sendall(b"x")  # a byte now and then does not count as going on
            answers.append(received(connection))
    assert {answer[:13] for answer in answers} == {b"", b"HTTP/1.1 408 "}
    assert sum(b'"code": "request-timeout"' in answer for answer in answers) == 20
    assert rows() == 0


def test_clients_that_do_not_hang_up_hold_nobody_up(site: Site) -> None:
    # gunicorn waits two seconds for each of them, one after the other, in the thread that accepts.
    asking = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    silent = [site.slow(asking) for _ in range(200)]
    try:
        for connection in silent:
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert {site.ask("/api/v1/verify", b"{}")[0] for _ in range(10)} == {400}
    finally:
        for connection in silent:
            connection.close()


def received(connection: socket.socket) -> bytes:
    answer = b""
    with suppress(ConnectionError):
        while piece := connection.recv(65_536):
            answer += piece
    return answer


def test_the_server_still_records(site: Site) -> None:
    before = rows()
    status, _, receipt = site.ask(LOGS, LINE)
    assert (status, rows()) == (201, before + 1)
    assert ActivityLog.objects.get(pk=receipt["id"]).actor == "ann"
