"""Open pages hear of changes: the newest of each offer, at most four messages a second."""

from __future__ import annotations

import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator

from config.asgi import application
from marketplace.consumers import PERIOD_S
from marketplace.live import announce_provider
from marketplace.models import Offer
from marketplace.seeds import seed_gpu_models, seed_providers
from tests.marketplace.offering import offer, raw
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.anyio]
HEADERS = [(b"origin", b"http://127.0.0.1"), (b"host", b"127.0.0.1")]


@sync_to_async
def _stock(*raws: Any) -> None:
    seed_gpu_models()
    seed_providers()
    offer(*raws)


async def _open(path: str) -> WebsocketCommunicator:
    socket = WebsocketCommunicator(application, path, headers=HEADERS)
    connected, _ = await socket.connect(timeout=PATIENCE_S)
    assert connected
    assert (await socket.receive_json_from(timeout=PATIENCE_S))["type"] == "market.version"
    return socket


async def test_a_change_reaches_an_open_page() -> None:
    await _stock(raw("a", "2.00"), raw("b", "1.00"))
    socket = await _open("/ws/")
    await sync_to_async(offer)(raw("a", "2.50"), raw("b", "1.00"))
    event = await socket.receive_json_from(timeout=PATIENCE_S)
    assert event["type"] == "offers.changed"
    assert [(one["price_per_gpu_hour"], one["gone"]) for one in event["offers"]] == [("2.500000", False)]
    await sync_to_async(offer)(raw("a", "2.50"))
    gone = await socket.receive_json_from(timeout=PATIENCE_S)
    assert [one["gone"] for one in gone["offers"]] == [True]
    await socket.disconnect()


async def test_many_changes_come_together_and_the_newest_counts() -> None:
    await _stock(raw("a", "1.00"))
    socket = await _open("/ws/")
    started = time.monotonic()
    messages: list[Any] = []
    for cents in range(10, 22):
        await sync_to_async(offer)(raw("a", f"2.{cents}"))
    while not messages or messages[-1]["offers"][0]["price_per_hour"] != "2.210000":
        messages.append(await socket.receive_json_from(timeout=PATIENCE_S))
    spent = time.monotonic() - started
    assert len(messages) <= spent / PERIOD_S + 2
    await socket.disconnect()


async def test_availability_says_nothing_of_prices() -> None:
    await _stock(raw("a", "1.00"))
    socket = await _open("/ws/gpu-availability/")
    await sync_to_async(offer)(raw("a", "1.00", available_count=0))
    event = await socket.receive_json_from(timeout=PATIENCE_S)
    assert event["offers"][0]["available"] == 0
    assert "price_per_hour" not in event["offers"][0]
    await socket.disconnect()


async def test_a_providers_health_is_told_and_what_clients_say_is_ignored() -> None:
    await _stock(raw("a"))
    socket = await _open("/ws/")
    await socket.send_to(text_data="not json at all")
    await sync_to_async(announce_provider)("vast")
    event = await socket.receive_json_from(timeout=PATIENCE_S)
    assert (event["type"], event["provider"]) == ("provider.changed", "vast")
    await socket.disconnect()


async def test_a_large_first_listing_is_news_without_rows() -> None:
    await _stock(raw("a"))
    socket = await _open("/ws/")
    await sync_to_async(offer)(*(raw(f"o{n}") for n in range(500)))
    event = await socket.receive_json_from(timeout=PATIENCE_S)
    assert (event["many"], event["offers"]) == (True, [])
    assert await sync_to_async(Offer.objects.filter(withdrawn_at=None).count)() == 500
    await socket.disconnect()
