"""One change of price to 500 open pages: from the push to the last socket that has it."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.report import Row, median_and_spread
from lib.local.ports import LOOPBACK, free_port
from lib.local.process import Program, spawn, stop_all
from lib.push import MARKET_GROUP, push_now
from tests.servers import wait_until

SOCKETS = 500
ROUNDS = 9
EVENT = {
    "type": "offers.changed",
    "version": 1,
    "many": False,
    "offers": [{"id": "off_1", "price_per_hour": "2.390000", "price_per_gpu_hour": "2.390000", "gone": False}],
}


def run() -> list[Row]:
    port = free_port()
    server = Program(
        "daphne", (sys.executable, "-m", "daphne", "-b", LOOPBACK, "-p", str(port), "config.asgi:application")
    )
    log = Path(tempfile.mkdtemp(prefix="sockets-")) / "daphne.log"
    child = spawn(server, log)
    try:
        wait_until(lambda: _answers(port), child, log)
        spent = asyncio.run(_measure(f"ws://{LOOPBACK}:{port}/ws/"))
    finally:
        stop_all([(child, server.stop_signal)], limit_s=10.0)
    value, spread = median_and_spread(spent)
    return [Row(f"one price push to {SOCKETS} sockets", value, "ms", "", None, None, "≤ 250 ms", spread)]


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError):
        return False


async def _measure(url: str) -> list[float]:
    sockets: list[ClientConnection] = []
    for _ in range(SOCKETS):
        sockets.append(await connect(url))
    await asyncio.gather(*(socket.recv() for socket in sockets))  # each is told the market's version first
    spent = []
    for _ in range(ROUNDS):
        await asyncio.sleep(0.5)  # each socket has been quiet for longer than its period
        spent.append(await _push(sockets))
    await asyncio.gather(*(socket.close() for socket in sockets))
    return spent


async def _push(sockets: list[ClientConnection]) -> float:
    async def arrival(socket: ClientConnection) -> float:
        await socket.recv()
        return time.perf_counter()

    waiting = [asyncio.create_task(arrival(socket)) for socket in sockets]
    await asyncio.sleep(0)
    started = time.perf_counter()
    event: dict[str, Any] = EVENT
    await sync_to_async(push_now)(MARKET_GROUP, event)
    return (max(await asyncio.gather(*waiting)) - started) * 1000
