"""The agents' door: `/ws/nodes/`. Frames are checked here and handed to `catalyst.reports`; beats stay in memory."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings

from catalyst import commands, nodes, reports
from catalyst.agent.protocol import HELLO_TIMEOUT_S, VERSION, Hello
from catalyst.beats import Ingest
from catalyst.frames import BadFrame, check_frame
from catalyst.models import Node
from lib.push import node_group

log = logging.getLogger(__name__)

ingest = Ingest()
_flusher: asyncio.Task[None] | None = None


async def _flush_each_second() -> None:
    while True:
        try:
            await database_sync_to_async(ingest.flush)()
        except Exception:
            log.exception("beats were not written; they are kept for the next second")
        await asyncio.sleep(settings.NODE_BEAT_SECONDS)


def _start_flusher() -> None:
    global _flusher
    if _flusher is None or _flusher.done():
        _flusher = asyncio.get_running_loop().create_task(_flush_each_second())


class NodeConsumer(AsyncJsonWebsocketConsumer):
    """One connected agent. Messages are handled in order; the database is touched outside the event loop."""

    node: Node | None = None
    deadline: asyncio.TimerHandle | None = None

    async def connect(self) -> None:
        _start_flusher()
        await self.accept()
        loop = asyncio.get_running_loop()
        self.deadline = loop.call_later(HELLO_TIMEOUT_S, lambda: loop.create_task(self._too_late()))
        self.sent: set[str] = set()

    async def _too_late(self) -> None:
        if self.node is None:
            await self._refuse("hello_timeout", "The first frame has to come within 5 s.")

    async def disconnect(self, code: int) -> None:
        if self.deadline:
            self.deadline.cancel()
        if self.node:
            await self.channel_layer.group_discard(node_group(self.node.pk), self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        try:
            message = check_frame(content)
        except BadFrame as problem:
            await self._refuse("bad_frame", str(problem))
            return
        if message["type"] == "hello":
            await self._hello(cast(Hello, message))
        elif self.node is None:
            await self._refuse("no_hello", "Say hello first.")
        else:
            await getattr(self, f"_{message['type']}")(message)

    async def _hello(self, hello: Hello) -> None:
        if hello["version"] != VERSION:
            await self._refuse("version", f"This control plane speaks version {VERSION}.")
            return
        node = await database_sync_to_async(nodes.authenticate)(hello["node"], hello["key"])
        if node is None:
            await self._refuse("bad_key", "Unknown node or key.")
            return
        if self.deadline:
            self.deadline.cancel()
        self.node = node
        # An older socket of the same node is a ghost of a broken connection.
        displaced = {"type": "page.event", "event": {"type": "node.displaced", "by": self.channel_name}}
        await self.channel_layer.group_send(node_group(node.pk), displaced)
        await self.channel_layer.group_add(node_group(node.pk), self.channel_name)
        ingest.hear(node.pk, {})
        await database_sync_to_async(ingest.flush)()
        await database_sync_to_async(reports.node_came)(node, hello)
        await self.send_json(
            {"type": "welcome", "beat_s": settings.NODE_BEAT_SECONDS, "lease_s": settings.NODE_LEASE_SECONDS}
        )
        await self._send_commands()

    async def _beat(self, message: dict[str, Any]) -> None:
        assert self.node
        ingest.hear(self.node.pk, message["gauges"])
        await self.send_json({"type": "beat_ack", "seq": message["seq"]})
        if message["pods"]:
            await database_sync_to_async(reports.steps_told)(message["pods"])

    async def _state(self, message: dict[str, Any]) -> None:
        await database_sync_to_async(reports.state_told)(self.node, message)
        await self.send_json({"type": "ack", "id": message["id"]})

    async def _log(self, message: dict[str, Any]) -> None:
        number = await database_sync_to_async(reports.logs_told)(self.node, message)
        await self.send_json({"type": "log_ack", "pod": message["pod"], "epoch": message["epoch"], "n": number})

    async def _metric(self, message: dict[str, Any]) -> None:
        await database_sync_to_async(reports.metric_told)(self.node, message)

    async def _done(self, message: dict[str, Any]) -> None:
        await database_sync_to_async(reports.command_done)(
            self.node, message["id"], ok=message["ok"], code=message["code"], message=message["message"]
        )

    async def page_event(self, message: dict[str, Any]) -> None:
        event = message["event"]
        if event["type"] == "node.commands":
            await self._send_commands()
        elif event["type"] == "node.displaced" and event["by"] != self.channel_name:
            await self._refuse("displaced", "This node connected again.")

    async def _send_commands(self) -> None:
        for command in await database_sync_to_async(commands.open_commands)(self.node):
            if command["id"] not in self.sent:
                self.sent.add(command["id"])
                await self.send_json(command)

    async def _refuse(self, code: str, text: str) -> None:
        await self.send_json({"type": "refused", "code": code, "message": text})
        await self.close(4400)
