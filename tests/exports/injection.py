"""Texts that would fetch, run or read something where they were taken for markup, and a listener that hears of it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# {url} is the listener or the file, in turn.
CORPUS = (
    '<img src="{url}">',
    '"><script src="{url}"></script>',
    "<script>new XMLHttpRequest().open('GET','{url}')</script>",
    '<link rel="attachment" href="{url}">',
    '<link rel="stylesheet" href="{url}">',
    '<a rel="attachment" href="{url}">x</a>',
    '<base href="{url}">',
    '<iframe src="{url}"></iframe>',
    '<object data="{url}"></object>',
    '<embed src="{url}">',
    '<meta http-equiv="refresh" content="0;url={url}">',
    '</style><style>@import "{url}";body{{background:url({url})}}</style>',
    "</title></head><body style='background:url({url})'>",
    '<svg><image href="{url}"/><use href="{url}#x"/></svg>',
    "]]></text><svg onload=\"fetch('{url}')\">",
    '<!DOCTYPE x [<!ENTITY e SYSTEM "{url}">]>&e;',
    "&lt;img src={url}&gt;",
    "$content ${{stylesheet}}",
    "} @page {{ background: url({url}) }} p {{",
)


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """Give the address of a server and the list of what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/x", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
