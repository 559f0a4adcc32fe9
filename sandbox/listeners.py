"""What a probe meets at a running instance: an SSH server's first line on port 22, a small HTTP answer elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

SSH_PORT = 22
SSH_BANNER = b"SSH-2.0-sandbox\r\n"
PATIENCE_S = 10.0


class Listeners:
    """The open ports of all instances of a peer."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._servers: dict[str, list[asyncio.Server]] = {}
        self._guests: dict[str, set[asyncio.StreamWriter]] = {}

    async def open(self, id: str, wanted: list[int], before: dict[int, int]) -> dict[int, int]:
        """Listen for each container port; returns container port → port of this machine, as `before` where free."""
        self._servers[id], self._guests[id] = [], set()
        given = {}
        for port in wanted:
            server = await self._listen(id, port, before.get(port, 0))
            self._servers[id].append(server)
            given[port] = int(server.sockets[0].getsockname()[1])
        return given

    async def _listen(self, id: str, port: int, preferred: int) -> asyncio.Server:
        greet = partial(self._greet, id, port)
        if preferred:
            with contextlib.suppress(OSError):
                return await asyncio.start_server(greet, self._host, preferred)
        return await asyncio.start_server(greet, self._host, 0)

    async def _greet(self, id: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        guests = self._guests.get(id, set())
        guests.add(writer)
        try:
            async with asyncio.timeout(PATIENCE_S):
                if port == SSH_PORT:
                    writer.write(SSH_BANNER)
                    await writer.drain()
                    await reader.read()
                else:
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(_http_answer(id, port))
                    await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            guests.discard(writer)
            writer.close()

    def close(self, id: str) -> None:
        """Nobody listens any more, and open connections break: the machine is gone or off."""
        for server in self._servers.pop(id, []):
            server.close()
        for guest in self._guests.pop(id, set()):
            guest.transport.abort()

    def close_all(self) -> None:
        for id in list(self._servers):
            self.close(id)


def _http_answer(id: str, port: int) -> bytes:
    body = f"sandbox instance {id}, container port {port}\n".encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
