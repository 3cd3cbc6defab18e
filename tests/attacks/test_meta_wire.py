"""Suppress and forge over the wire, through gunicorn: each request leaves exactly one true record, or gets no data.

What gunicorn itself refuses reaches nobody who could record it, and nothing that could be shown. What Django's client
can send as well: test_meta_requests.py.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from activity import authority
from activity.services import record_many
from auditlog_project.roles import READER
from metaaudit.models import MetaLog
from tests.clusters import EMBEDDED, Clusters
from tests.metaaudit.conftest import EVENT, signed_in
from tests.served import WebServer

ENTRIES = 3
LOGS = "/api/v1/logs"
TARGET = f"{LOGS}?type=shop.order"
SHOWN = b"patient/4711"
HOST = "Host: localhost\r\n"


@dataclass(frozen=True)
class Site:
    """The server, the headers of a key and of another one, and the sessions of two people."""

    server: WebServer
    key: str
    other: str
    ada: str
    eve: str

    def named(self, text: str) -> str:
        """Return headers with these in place of their names."""
        return text.format(key=self.key, other=self.other, ada=self.ada, eve=self.eve)

    def send(self, request: bytes) -> bytes:
        """Return all that comes back."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as connection:
            connection.sendall(request)
            got = b""
            with suppress(ConnectionError):
                while piece := connection.recv(65_536):
                    got += piece
        return got

    def leave(self, request: bytes) -> None:
        """Send, and be gone before the answer comes."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as connection:
            connection.sendall(request)


@pytest.fixture(scope="module")
def site(clusters: Clusters, django_db_blocker: Any, valkey: str, tmp_path_factory: Any) -> Iterator[Site]:
    log: Path = tmp_path_factory.mktemp("served") / "log"
    with django_db_blocker.unblock(), clusters[EMBEDDED].clone() as database, database.as_django_databases():
        record_many([EVENT] * ENTRIES)
        keys = [
            authority.create_api_key(
                name=name, scopes=["logs:read"], ledger="activity", source="shop", by="ada", reason="test"
            )[1]
            for name in ("reader", "other")
        ]
        sessions = [signed_in(name, READER).cookies["sessionid"].value for name in ("ada", "eve")]
        with WebServer(database.environment("default", "approver") | {"REDIS_URL": valkey}, log) as server:
            yield Site(server, *(f"Authorization: Api-Key {key}\r\n" for key in keys), *sessions)


def request(headers: str = "{key}", target: str = TARGET, method: str = "GET", host: str = HOST, body: str = "") -> str:
    return f"{method} {target} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n{body}"


class Left(NamedTuple):
    """What is true of one record."""

    status: int
    user: str
    query: list[list[str]]
    shown: int | None
    ip: str
    agent: str


def left(before: int) -> list[Left]:
    made = MetaLog.objects.filter(ledger__name="meta").order_by("leaf_index")[before:]
    assert all(one.phase == "access" and one.path.startswith("/") for one in made)
    return [
        Left(one.status or 0, one.user_name, one.query, one.result_count, one.ip or "", one.agent or "") for one in made
    ]


def recorded_so_far() -> int:
    return MetaLog.objects.filter(ledger__name="meta").count()


ORDERS = Left(200, "reader", [["type", "shop.order"]], ENTRIES, "127.0.0.1", "")
# Requests of ours that are answered, and what is recorded of each.
ANSWERED: dict[str, tuple[str, Left]] = {
    "nothing special": (request(), ORDERS),
    "two forwarded addresses": (request("{key}X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 127.0.0.2\r\n"), ORDERS),
    "forwarded address with an underscore": (request("{key}X_FORWARDED_FOR: 1.1.1.1\r\n"), ORDERS),
    "two agents": (request("{key}User-Agent: a\r\nUser-Agent: b\r\n"), ORDERS._replace(agent="a,b")),
    "agent that is no UTF-8": (request("{key}User-Agent: \xff\xfe\r\n"), ORDERS._replace(agent="\xff\xfe")),
    "two sessions in one cookie": (
        request("Cookie: sessionid={ada}; sessionid={eve}\r\n"),
        ORDERS._replace(user="eve"),
    ),
    "two request ids": (request("{key}X-Request-ID: aaaaaaaa\r\nX-Request-ID: bbbbbbbb\r\n"), ORDERS),
    "another host in the address": (request(target=f"http://elsewhere.example{TARGET}"), ORDERS),
    "a fragment": (request(target=f"{TARGET}#actor=bob"), ORDERS),
    "an encoded letter": (request(target="/api/v1/%6cogs?type=shop.order"), ORDERS),
    "an encoded slash": (request(target="/api%2Fv1/logs?type=shop.order"), ORDERS),
    "HTTP/1.0": (request().replace("HTTP/1.1", "HTTP/1.0"), ORDERS),
    "headers of other servers": (
        request("{key}X-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz\r\nPath-Info: /healthz\r\n"),
        ORDERS,
    ),
    "headers of a trusted forwarder": (request("{key}PATH_INFO: /healthz\r\nSCRIPT_NAME: /api\r\n"), ORDERS),
    "an upgrade": (request("{key}Upgrade: websocket\r\n"), ORDERS),
    "waiting to go on": (request("{key}Expect: 100-continue\r\n"), ORDERS),
    "query that is no UTF-8": (
        request(target=f"{LOGS}?actor=%ff%fe"),
        ORDERS._replace(query=[["actor", "\ufffd\ufffd"]], shown=0),
    ),
    "query with broken escapes": (
        request(target=f"{LOGS}?actor=%zz%&type=%"),
        ORDERS._replace(query=[["actor", "%zz%"], ["type", "%"]], shown=0),
    ),
    "query with U+0000": (
        request(target=f"{LOGS}?actor=%00"),
        ORDERS._replace(status=400, query=[["actor", "\u2400"]], shown=None),
    ),
    "two question marks": (request(target=f"{LOGS}??"), ORDERS._replace(status=400, query=[["?", ""]], shown=None)),
    "too many parameters": (
        request("Cookie: sessionid={ada}\r\n", target=f"{LOGS}?{'a&' * 1_500}"),
        ORDERS._replace(status=400, user="ada", query=[], shown=None),
    ),
}
# Requests that show nothing, whatever key they carry; nobody is known, or nothing of ours was reached.
REFUSED: dict[str, tuple[str, int]] = {
    "two keys": (request("{key}{other}"), 401),
    "a key twice": (request("{key}{key}"), 401),
    "a key and a wrong one": (request("{key}Authorization: Api-Key no.such\r\n"), 401),
    "a key on two lines": (request("Authorization: Api-Key\r\n no.such\r\n"), 400),
    "two cookies": (request("Cookie: sessionid={ada}\r\nCookie: sessionid={eve}\r\n"), 401),
    "two hosts": (request(host=HOST + "Host: elsewhere.example\r\n"), 400),
    "two lengths": (request("{key}Content-Length: 0\r\nContent-Length: 5\r\n"), 400),
    "a length twice": (request("{key}Content-Length: 0\r\nContent-Length: 0\r\n"), 400),
    "a length and chunks": (request("{key}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", body="0\r\n\r\n"), 400),
    "a length below nothing": (request("{key}Content-Length: -1\r\n"), 400),
    "agent with U+0000": (request("{key}User-Agent: a\x00b\r\n"), 400),
    "raw bytes in the query": (request(target=f"{LOGS}?actor=\xff\xfe"), 400),
    "raw bytes in the path": (request(target=f"{LOGS}/\xff\xfe"), 400),
    "path that is no UTF-8": (request(target=f"{LOGS}/%ff%fe"), 404),
    "path with U+0000": (request(target=f"{LOGS}/%00"), 404),
    "path out of the static files": (request(target=f"/static/..{LOGS}"), 404),
    "encoded path out of them": (request(target=f"/static/%2e%2e{LOGS}"), 404),
    "path out of the health check": (request(target=f"/healthz/..{LOGS}"), 404),
    "two slashes": (request(target=f"/{LOGS}"), 404),
    "encoded twice": (request(target="/api/v1/%256cogs"), 404),
    "parameters of the path": (request(target=f"{LOGS};type=shop.order"), 404),
    "a long query": (request(target=f"{LOGS}?actor={'a' * 9_000}"), 414),
    "too many parameters by key": (request(target=f"{LOGS}?{'a&' * 1_500}"), 400),
    "a long header": (request(f"{{key}}X-Long: {'a' * 9_000}\r\n"), 431),
    "many headers": (request("{key}" + "".join(f"X-{number}: 1\r\n" for number in range(110))), 431),
    "a header without a colon": (request("{key}nothing\r\n"), 400),
    "a blank before the colon": (request("{key}X-Blank : 1\r\n"), 400),
    "lines without CR": (request().replace("\r\n", "\n"), 400),
    "no version": (f"GET {TARGET}\r\n\r\n", 400),
    "method in small letters": (request(method="get"), 400),
    "the proxy protocol": ("PROXY TCP4 1.1.1.1 127.0.0.1 1 2\r\n" + request(), 400),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_answered_is_recorded_once_and_truly(site: Site, name: str) -> None:
    sent, record = ANSWERED[name]
    before = recorded_so_far()
    answer = site.send(site.named(sent).encode("latin-1")).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert int(answer.split(b" ", 2)[1]) == record.status, answer
    assert (SHOWN in answer) == bool(record.shown)
    assert left(before) == [record]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_shows_nothing(site: Site, name: str) -> None:
    sent, status = REFUSED[name]
    before = recorded_so_far()
    answer = site.send(site.named(sent).encode("latin-1"))
    assert int(answer.split(b" ", 2)[1]) == status, answer
    assert SHOWN not in answer
    assert left(before) == []


def test_a_path_that_a_header_shortens_is_nobodys(site: Site) -> None:
    """Gunicorn would believe a peer on this machine that says where the application lies."""
    before = recorded_so_far()
    answer = site.send(site.named(request("{key}SCRIPT_NAME: /static\r\n", f"/static{LOGS}")).encode())
    assert SHOWN not in answer
    assert left(before) == []


def test_requests_in_one_stream_are_records_of_their_own(site: Site) -> None:
    before = recorded_so_far()
    first = request().replace("Connection: close\r\n", "")
    answer = site.send(site.named(first + request(target=f"{LOGS}?actor=ann")).encode())
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert left(before) == [ORDERS, ORDERS._replace(query=[["actor", "ann"]])]


def test_who_is_gone_before_the_answer_is_recorded(site: Site) -> None:
    before = recorded_so_far()
    site.leave(site.named(request()).encode())
    deadline = time.monotonic() + 60
    while recorded_so_far() == before:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert left(before) == [ORDERS]


@pytest.mark.parametrize(
    "part",
    [
        request().removesuffix("\r\n"),
        request("{key}Content-Type: application/json\r\nContent-Length: 50\r\n", "/api/v1/logs", "POST", body="["),
    ],
    ids=["head", "body"],
)
def test_who_breaks_off_in_the_middle_gets_nothing(site: Site, part: str) -> None:
    before = recorded_so_far()
    site.leave(site.named(part).encode())
    assert site.send(site.named(request()).encode()).startswith(b"HTTP/1.1 200")
    assert ORDERS in left(before)
    assert [one.shown for one in left(before) if one != ORDERS] in ([], [None])
