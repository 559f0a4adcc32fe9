"""A server that behaves badly in every way that matters to a caller, over real HTTP."""

from __future__ import annotations

import gzip
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

DRIP_S = 0.05


@dataclass(slots=True)
class Stranger:
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    bodies: list[bytes] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stranger: ClassVar[Stranger]

    def _serve(self) -> None:
        self.stranger.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        place = urlsplit(self.path).path
        self.stranger.calls[place] += 1
        getattr(self, "do_" + place.strip("/"))()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _serve

    def do_json(self) -> None:
        self._say(200, json.dumps({"path": self.path, "key": self.headers.get("Authorization")}).encode())

    def do_html(self) -> None:
        self._say(502, b"<html>Bad gateway</html>")

    def do_redirect(self) -> None:
        self._say(302, b"", Location=f"{self.stranger.url}/json")

    def do_big(self) -> None:
        """More than it says, and for as long as anybody reads."""
        self._begin()
        try:
            while not self.stranger.over.is_set():
                self._chunk(b"x" * 64 * 1024)
        except OSError:
            self.close_connection = True

    def do_silent(self) -> None:
        self.stranger.over.wait(10)
        self.close_connection = True

    def do_drip(self) -> None:
        """A byte at a time: each read is quick, and the answer never ends."""
        self._begin()
        try:
            while not self.stranger.over.wait(DRIP_S):
                self._chunk(b"x")
        except OSError:
            self.close_connection = True

    def do_trickle(self) -> None:
        """The same with a length told beforehand, which readers wait for."""
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        try:
            while not self.stranger.over.wait(DRIP_S):
                self.wfile.write(b"x")
        except OSError:
            pass
        self.close_connection = True

    def do_short(self) -> None:
        """Less than it said."""
        self._say(200, b"{}", cut_off=1)

    def do_packed(self) -> None:
        """A megabyte in a thousand bytes."""
        self._say(200, gzip.compress(bytes(1_000_000)), Content_Encoding="gzip")

    def do_mispacked(self) -> None:
        self._say(200, b"this is not gzip", Content_Encoding="gzip")

    def do_hangup(self) -> None:
        self.close_connection = True

    def do_flaky(self) -> None:
        """Hangs up at the first call."""
        if self.stranger.calls["/flaky"] == 1:
            self.close_connection = True
        else:
            self._say(200, b"{}")

    def do_events(self) -> None:
        """Two events, then silence with the connection open."""
        self._begin()
        self._chunk(b"data: one\n\ndata: two\n\n")
        self.stranger.over.wait(10)
        self.close_connection = True

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _chunk(self, part: bytes) -> None:
        self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

    def _say(self, status: int, body: bytes, cut_off: int = 0, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) + cut_off))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = bool(cut_off)

    def log_message(self, format: str, *args: object) -> None:
        """A test's output is for its failures."""


@contextmanager
def stranger_at_work() -> Iterator[Stranger]:
    stranger = Stranger()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OwnHandler", (Handler,), {"stranger": stranger}))
    server.daemon_threads = True
    stranger.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stranger
    finally:
        stranger.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
