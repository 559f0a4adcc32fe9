"""A mail service on this machine that does what a test says."""

from __future__ import annotations

import email.policy
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage
from socket import SHUT_RDWR
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread

from lib.local.ports import LOOPBACK
from tests.patience import PATIENCE_S

ACCEPTS, REFUSES, HANGS, TAKES_AND_HANGS = "accepts", "refuses", "hangs", "takes the mail and says nothing"


class MailServer(ThreadingTCPServer):
    """As much SMTP as a client needs to hand over a mail."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Session)
        self.mood = ACCEPTS
        self.received: list[EmailMessage] = []
        self.calls = 0
        self.hangs, self.closing = Event(), Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Session(StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.server.calls += 1
        if self.server.mood == HANGS:
            return self._hang()
        self._say("220 ready")
        for line in iter(self.rfile.readline, b""):
            command = line[:4].upper()
            if command == b"QUIT":
                return self._say("221 bye")
            if command == b"RCPT" and self.server.mood == REFUSES:
                self._say("451 not now")
            elif command == b"DATA":
                self._take()
            else:
                self._say("250 ok")
        return None

    def _take(self) -> None:
        self._say("354 go on")
        content = b"".join(line.removeprefix(b".") for line in iter(self.rfile.readline, b".\r\n"))
        self.server.received.append(email.message_from_bytes(content, policy=email.policy.default))
        if self.server.mood == TAKES_AND_HANGS:
            return self._hang()
        return self._say("250 taken")

    def _hang(self) -> None:
        self.server.hangs.set()
        self.server.closing.wait(PATIENCE_S)
        with suppress(OSError):  # who called may be dead
            self.connection.shutdown(SHUT_RDWR)

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@contextmanager
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield server
        server.closing.set()
        server.shutdown()
