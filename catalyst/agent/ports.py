"""Ports of pods: each gets free ones on the loopback address."""

from __future__ import annotations

import asyncio
import contextlib
import socket

PROBE_TIMEOUT_S = 1.0
POLL_S = 0.05


def choose_ports(wanted: list[int], before: dict[str, int]) -> dict[str, int]:
    """A port of this machine for each of the pod's; those of an earlier launch again when they are free."""
    chosen: dict[str, int] = {}
    held: list[socket.socket] = []
    for port in wanted:
        door = _bind(before.get(str(port), 0)) or _bind(0)
        if door is None:
            raise OSError("no free port")
        held.append(door)
        chosen[str(port)] = door.getsockname()[1]
    for door in held:
        door.close()
    return chosen


def _bind(port: int) -> socket.socket | None:
    door = socket.socket()
    # A successor may take over a port whose last connections still linger.
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind(("127.0.0.1", port))
    except OSError:
        door.close()
        return None
    return door


async def answers(port: int) -> None:
    """Returns when somebody answers on the port."""
    while True:
        if await _accepts(port):
            return
        await asyncio.sleep(POLL_S)


async def _accepts(port: int) -> bool:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:  # refused, or timed out
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
