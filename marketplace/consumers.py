"""`/ws/` and `/ws/gpu-availability/`: public, one group, at most four messages a second to each socket."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from lib.push import MARKET_GROUP
from marketplace.snapshot import current

PERIOD_S = 0.25
# More offers than this in one message is no help to a page; it fetches what it shows.
MOST_OFFERS = 1000


class MarketConsumer(AsyncJsonWebsocketConsumer):
    """Changes of offers (the newest of each offer within a period) and of providers' health."""

    async def connect(self) -> None:
        self.offers: dict[str, dict[str, Any]] = {}
        self.others: dict[str, dict[str, Any]] = {}
        self.version = 0
        self.many = False
        self.sent_at = 0.0
        self.flusher: asyncio.Task[None] | None = None
        await self.channel_layer.group_add(MARKET_GROUP, self.channel_name)
        await self.accept()
        snapshot = await database_sync_to_async(current)()
        await self.send_json({"type": "market.version", "version": snapshot.version})

    async def disconnect(self, code: int) -> None:
        if self.flusher:
            self.flusher.cancel()
        await self.channel_layer.group_discard(MARKET_GROUP, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """Nothing is asked over this socket."""

    async def page_event(self, message: dict[str, Any]) -> None:
        event = message["event"]
        if event["type"] == "offers.changed":
            self.version = max(self.version, event["version"])
            self.many = self.many or event["many"]
            self.offers.update((offer["id"], offer) for offer in event["offers"])
        else:
            self.others[event["type"] + event.get("provider", "")] = event
        if self.flusher is None or self.flusher.done():
            self.flusher = asyncio.create_task(self._flush_in_time())

    async def _flush_in_time(self) -> None:
        """At once when it was quiet, else at the end of the period. What comes during sending makes another round."""
        while self.offers or self.others or self.many:
            await asyncio.sleep(max(0.0, self.sent_at + PERIOD_S - time.monotonic()))
            self.sent_at = time.monotonic()
            for event in self._take():
                await self.send_json(event)

    def _take(self) -> list[dict[str, Any]]:
        offers, others, many = list(self.offers.values()), list(self.others.values()), self.many
        self.offers, self.others, self.many = {}, {}, False
        if offers or many:
            many = many or len(offers) > MOST_OFFERS
            shown = [] if many else [self.show(offer) for offer in offers]
            others.append({"type": "offers.changed", "version": self.version, "offers": shown, "many": many})
        return others

    def show(self, offer: dict[str, Any]) -> dict[str, Any]:
        return offer


class AvailabilityConsumer(MarketConsumer):
    """The same without prices: what can be had and what is gone."""

    def show(self, offer: dict[str, Any]) -> dict[str, Any]:
        return {name: offer[name] for name in ("id", "provider", "gpu", "count", "kind", "available", "gone")}
