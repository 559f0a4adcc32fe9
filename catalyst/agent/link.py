"""The one connection of the agent, opened from here: nobody needs to reach this machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from typing import Any, Literal
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from catalyst.agent import machine as machines
from catalyst.agent.config import Config, Node
from catalyst.agent.gpus import Gpus
from catalyst.agent.memory import Outbox
from catalyst.agent.pod import Pod
from catalyst.agent.pods import Pods
from catalyst.agent.protocol import (
    BEAT_S,
    LEASE_S,
    VERSION,
    WEBSOCKET_PATH,
    Beat,
    FromAgent,
    Hello,
    LogMessage,
    Machine,
    MetricMessage,
)
from catalyst.agent.store import is_loopback

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 5.0
WELCOME_TIMEOUT_S = 10.0
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 5.0
METRIC_S = 5.0
LINES_POLL_S = 0.25
MAX_FRAME_BYTES = 4 * 1024 * 1024


class Broken(Exception):
    """The connection is of no use any more."""


class Link:
    def __init__(self, config: Config, node: Node, machine: Machine, pods: Pods, outbox: Outbox, gpus: Gpus) -> None:
        self.node, self.machine, self.pods, self.outbox, self.gpus = node, machine, pods, outbox, gpus
        parts = urlsplit(config.server)
        scheme = "wss" if parts.scheme == "https" else "ws"
        self.address = f"{scheme}://{parts.netloc}{parts.path}{WEBSOCKET_PATH}"
        self.proxy: Literal[True] | None = None if is_loopback(config.server) else True
        self.connected = False
        self._seq = 0
        self._acked_at = 0.0
        self._beat_s, self._lease_s = BEAT_S, LEASE_S

    async def run(self) -> None:
        """For ever: connect, speak, and connect again, waiting longer after each failure."""
        failures = 0
        while True:
            try:
                await self._connect()
            except Exception as error:
                self._complain(error)
            failures = 0 if self.connected else failures + 1
            self.connected = False
            longest = min(FIRST_RETRY_S * 2**failures, LAST_RETRY_S)
            await asyncio.sleep(random.uniform(longest / 2, longest))  # noqa: S311 (spreads agents, no secret)

    def _complain(self, error: Exception) -> None:
        """A connection that ends is daily life; anything else is a defect, and still no reason to leave the pods."""
        errors: tuple[BaseException, ...] = error.exceptions if isinstance(error, ExceptionGroup) else (error,)
        for each in errors:
            expected = isinstance(each, Broken | OSError | WebSocketException)
            log.warning("connection: %s", str(each) or type(each).__name__, exc_info=None if expected else each)

    async def _connect(self) -> None:
        async with connect(
            self.address, open_timeout=OPEN_TIMEOUT_S, max_size=MAX_FRAME_BYTES, proxy=self.proxy, close_timeout=1.0
        ) as socket:
            await self._greet(socket)
            self.connected = True
            self._acked_at = time.monotonic()
            for pod in self.pods.all():
                pod.log.rewind()
            commands: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(socket, commands))
                tasks.create_task(self._obey(socket, commands))
                tasks.create_task(self._beat(socket))
                tasks.create_task(self._tell_states(socket))
                tasks.create_task(self._tell_lines(socket))
                tasks.create_task(self._tell_metrics(socket))

    async def _send(self, socket: ClientConnection, message: FromAgent) -> None:
        await socket.send(json.dumps(message))

    async def _greet(self, socket: ClientConnection) -> None:
        hello: Hello = {
            "type": "hello",
            "node": self.node.node_id,
            "key": self.node.node_key,
            "boot": self.outbox.boot,
            "version": VERSION,
            "machine": self.machine,
            "pods": self.pods.hello(),
        }
        await self._send(socket, hello)
        async with asyncio.timeout(WELCOME_TIMEOUT_S):
            answer = _parse(await socket.recv())
        if answer.get("type") != "welcome":
            raise Broken(f"refused: {answer.get('code')} {answer.get('message')}")
        self._beat_s, self._lease_s = float(answer.get("beat_s", BEAT_S)), float(answer.get("lease_s", LEASE_S))
        log.info("connected to %s as %s", self.address, self.node.node_id)

    async def _read(self, socket: ClientConnection, commands: asyncio.Queue[dict[str, Any]]) -> None:
        pods = self.pods
        async for frame in socket:
            message = _parse(frame)
            match message.get("type"):
                case "beat_ack":
                    self._acked_at = time.monotonic()
                case "ack":
                    self.outbox.ack(str(message.get("id")))
                case "log_ack":
                    for pod in pods.all():
                        if (pod.record.pod, pod.record.epoch) == (message.get("pod"), message.get("epoch")):
                            pod.acked(int(message.get("n", 0)))
                    pods.lines.set()
                case "start" | "stop" | "signal":
                    commands.put_nowait(message)
                case "refused":
                    raise Broken(f"refused: {message.get('code')} {message.get('message')}")
                case other:
                    log.warning("unknown message %r", other)
        raise Broken("closed by the control plane")

    async def _obey(self, socket: ClientConnection, commands: asyncio.Queue[dict[str, Any]]) -> None:
        while True:
            await self._send(socket, await self.pods.obey(await commands.get()))

    async def _beat(self, socket: ClientConnection) -> None:
        while True:
            silent_s = time.monotonic() - self._acked_at
            if silent_s > self._lease_s:
                raise Broken(f"no answer for {silent_s:.1f} s")
            self._seq += 1
            gauges = await asyncio.to_thread(machines.gauges, self.gpus)
            beat: Beat = {
                "type": "beat",
                "seq": self._seq,
                "boot": self.outbox.boot,
                "at": time.time(),
                "pods": self.pods.beats(),
                "gauges": gauges,
            }
            await self._send(socket, beat)
            await asyncio.sleep(self._beat_s)

    async def _tell_states(self, socket: ClientConnection) -> None:
        told: set[str] = set()
        while True:
            self.outbox.changed.clear()
            for message in self.outbox.waiting:
                if message["id"] not in told:
                    told.add(message["id"])
                    await self._send(socket, message)
            await self.outbox.changed.wait()

    async def _tell_lines(self, socket: ClientConnection) -> None:
        while True:
            self.pods.lines.clear()
            idle = True
            for pod in self.pods.all():
                lines = pod.log.read()
                if lines:
                    idle = False
                    record = pod.record
                    message: LogMessage = {"type": "log", "pod": record.pod, "epoch": record.epoch, "lines": lines}
                    await self._send(socket, message)
            if idle:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LINES_POLL_S):  # some may wait for their pod's pace
                        await self.pods.lines.wait()

    async def _tell_metrics(self, socket: ClientConnection) -> None:
        while True:
            await asyncio.sleep(METRIC_S)
            for pod in self.pods.all():
                if pod.record.state == "running":
                    await self._send(socket, await asyncio.to_thread(self._metric, pod))

    def _metric(self, pod: Pod) -> MetricMessage:
        return {
            "type": "metric",
            "pod": pod.record.pod,
            "epoch": pod.record.epoch,
            "at": time.time(),
            "cpu_percent": pod.usage.cpu_percent,
            "ram_bytes": pod.usage.ram_bytes,
            "disk_bytes": pod.usage.disk_bytes,
            "step": pod.record.step,
            "gpus": self.gpus.gauges(pod.record.spec["limits"].get("gpus")),
        }


def _parse(frame: str | bytes) -> dict[str, Any]:
    try:
        message = json.loads(frame)
    except ValueError as error:
        raise Broken("the control plane sent no JSON") from error
    if not isinstance(message, dict):
        raise Broken("the control plane sent no object")
    return message
