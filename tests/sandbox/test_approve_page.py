"""The approve page in a real browser: it pays, it cancels, it never says that the money is real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.sandbox.conftest import RunningPeer
from tests.sandbox.shop import Shop, order_body


@pytest.fixture
def shop(shared_peer: Callable[[str], RunningPeer]) -> Shop:
    return Shop(shared_peer("paypal"))


@pytest.fixture
def storefront() -> Iterator[str]:
    """The shop's own pages, on another origin than PayPal's."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>Shop</title><h1>Back in the shop</h1>")

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def approve_url(shop: Shop, storefront: str) -> str:
    body = order_body(description="Pro <b>plan</b>, a month")
    body["application_context"] |= {"return_url": f"{storefront}/return", "cancel_url": f"{storefront}/cancel"}
    order = shop.post("/v2/checkout/orders", body).json()
    return str(next(link["href"] for link in order["links"] if link["rel"] == "approve"))


def test_approving_returns_to_the_shop(page: Page, approve_url: str, storefront: str, shop: Shop) -> None:
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.goto(approve_url)
    expect(page.get_by_text("Sandbox PayPal, no real money")).to_be_visible()
    expect(page.get_by_text("Pro <b>plan</b>, a month")).to_be_visible()
    page.get_by_role("button", name="Approve $25.00 USD").click()
    expect(page.get_by_role("heading", name="Back in the shop")).to_be_visible()
    query = parse_qs(urlsplit(page.url).query)
    assert page.url.startswith(f"{storefront}/return?")
    assert query["PayerID"] == ["SANDB2XBUYER2"]
    assert shop.capture(query["token"][0]).json()["status"] == "COMPLETED"
    assert problems == []


def test_cancelling_returns_to_the_shop(page: Page, approve_url: str, storefront: str, shop: Shop) -> None:
    page.goto(approve_url)
    page.get_by_role("button", name="Cancel and return to GPUBroker").click()
    expect(page.get_by_role("heading", name="Back in the shop")).to_be_visible()
    assert page.url.startswith(f"{storefront}/cancel?token=")


def test_an_approved_order_is_not_asked_for_again(page: Page, approve_url: str, shop: Shop) -> None:
    shop.approve(parse_qs(urlsplit(approve_url).query)["token"][0])
    page.goto(approve_url)
    expect(page.get_by_role("heading", name="Already approved")).to_be_visible()
    page.get_by_role("link", name="Return to the shop").click()
    expect(page.get_by_role("heading", name="Back in the shop")).to_be_visible()


def test_an_unknown_order(page: Page, shop: Shop) -> None:
    answer = page.goto(f"{shop.peer.url}/checkoutnow?token=NONE")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", name="No such order")).to_be_visible()


@pytest.mark.parametrize("width", [320, 820, 1440])
def test_fits_the_screen(page: Page, approve_url: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(approve_url)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
