"""A provider that says exactly what a test tells it to, over real HTTP: for answers that no sandbox peer would give."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from marketplace.providers.base import Account

KEY = "key-that-must-stay-secret"


@dataclass(frozen=True, slots=True)
class Asked:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any


@dataclass(slots=True)
class Said:
    status: int
    body: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class Scripted:
    """Answers by (method, start of path), the longest that fits; several answers of one place come in turn."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: dict[tuple[str, str], list[Said]] = field(default_factory=dict)

    def say(self, method: str, path: str, body: Any, *, status: int = 200, **headers: str) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        kinds = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        self.answers.setdefault((method, path), []).append(Said(status, raw, kinds))

    def answer(self, method: str, path: str) -> Said:
        fitting = [place for place in self.answers if place[0] == method and path.startswith(place[1])]
        if not fitting:
            return Said(500, b"{}", {})
        said = self.answers[max(fitting, key=lambda place: len(place[1]))]
        return said.pop(0) if len(said) > 1 else said[0]

    def calls(self, method: str, path: str = "") -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method and asked.path.startswith(path)]

    def account(self, key: str = KEY) -> Account:
        return Account(key=key, base_url=self.url)


def _handler(script: Scripted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 64 * 1024  # head and body in one packet: else each answer waits 40 ms for an acknowledgement

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(raw) if raw else None
            script.asked.append(Asked(self.command, parts.path, parts.query, dict(self.headers), body))
            said = script.answer(self.command, parts.path)
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """A test's output is for its failures."""

    return Handler


@contextmanager
def scripted_provider() -> Iterator[Scripted]:
    script = Scripted()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(script))
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
