"""The stand-in for Stripe.js in a real browser, under a strict content security policy, on a shop's own origin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.sandbox.conftest import RunningPeer
from tests.sandbox.merchant import PUBLISHABLE, Merchant

SHOP_JS = """
const {key, secret, kind, back} = JSON.parse(document.querySelector("#facts").textContent);
const stripe = Stripe(key), elements = stripe.elements({clientSecret: secret}), said = document.querySelector("#said");
elements.create("payment").mount("#card");
document.querySelector("#save").addEventListener("click", async () => {
  const result = await stripe[kind]({elements, confirmParams: {return_url: back}, redirect: "if_required"});
  said.textContent = result.error ? "Refused: " + result.error.code : "Done: " + Object.values(result)[0].status;
});
"""


class Shop:
    """Its pages: `/` with the element, `/shop.js`, anything else for those who come back."""

    def __init__(self, peer: RunningPeer) -> None:
        self.facts: dict[str, str] = {}
        shop = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, text = shop.page(self.path, peer.url)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                policy = f"default-src 'none'; script-src 'self' {peer.url}; connect-src {peer.url}; style-src 'self'; img-src data:"
                self.send_header("Content-Security-Policy", policy)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def page(self, path: str, peer_url: str) -> tuple[str, str]:
        if path == "/shop.js":
            return "text/javascript", SHOP_JS
        head = '<!doctype html><html lang="en"><title>Shop</title><link rel="icon" href="data:,">'
        if path != "/":
            return "text/html", f"{head}<h1>Back in the shop</h1>"
        facts = f'<script type="application/json" id="facts">{json.dumps(self.facts)}</script>'
        scripts = f'<script src="{peer_url}/sandbox/js/v3.js"></script><script type="module" src="/shop.js"></script>'
        return (
            "text/html",
            f'{head}<main><div id="card"></div><button id="save">Save</button><p id="said"></p></main>{facts}{scripts}',
        )


@pytest.fixture
def merchant(shared_peer: Callable[[str], RunningPeer]) -> Merchant:
    return Merchant(shared_peer("stripe"))


@pytest.fixture
def shop(merchant: Merchant) -> Iterator[Shop]:
    made = Shop(merchant.peer)
    yield made
    made.server.shutdown()
    made.server.server_close()


def open_shop(page: Page, shop: Shop, secret: str, kind: str) -> list[str]:
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    shop.facts = {"key": PUBLISHABLE, "secret": secret, "kind": kind, "back": f"{shop.url}/back"}
    page.goto(shop.url)
    return problems


def test_a_card_is_stored_by_keyboard(page: Page, shop: Shop, merchant: Merchant) -> None:
    customer = merchant.customer("")
    setup = merchant.api.setup_intents.create({"customer": customer.id})
    problems = open_shop(page, shop, setup.client_secret, "confirmSetup")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_have_text("Your card number is incomplete.")
    expect(page.get_by_label("Card number")).to_be_focused()
    page.keyboard.type("4242424242424242")
    expect(page.get_by_label("Card number")).to_have_value("4242 4242 4242 4242")
    page.keyboard.press("Tab")
    page.keyboard.type("1240")
    expect(page.get_by_label("Expiry date")).to_have_value("12 / 40")
    page.keyboard.press("Tab")
    page.keyboard.type("123")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#said")).to_have_text("Done: succeeded")
    assert merchant.api.customers.payment_methods.list(customer.id).data[0].card.last4 == "4242"
    assert problems == []


def test_a_refused_card_says_so_and_another_may_be_tried(page: Page, shop: Shop, merchant: Merchant) -> None:
    intent = merchant.api.payment_intents.create({"amount": 2500, "currency": "usd"})
    open_shop(page, shop, intent.client_secret, "confirmPayment")
    page.get_by_text("Test cards").click()
    page.get_by_role("button", name="4000 0000 0000 0002").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_have_text("Your card was declined.")
    expect(page.locator("#said")).to_have_text("Refused: card_declined")
    page.get_by_role("button", name="4242 4242 4242 4242").click()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#said")).to_have_text("Done: succeeded")
    assert merchant.api.payment_intents.retrieve(intent.id).amount_received == 2500


def test_the_bank_is_asked_on_a_page_of_its_own(page: Page, shop: Shop, merchant: Merchant) -> None:
    intent = merchant.api.payment_intents.create({"amount": 2500, "currency": "usd"})
    problems = open_shop(page, shop, intent.client_secret, "confirmPayment")
    page.get_by_text("Test cards").click()
    page.get_by_role("button", name="4000 0025 0000 3155").click()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Sandbox Stripe, no real money")).to_be_visible()
    page.get_by_role("button", name="Complete authentication").click()
    expect(page.get_by_role("heading", name="Back in the shop")).to_be_visible()
    assert page.url.endswith("redirect_status=succeeded")
    assert merchant.api.payment_intents.retrieve(intent.id).status == "succeeded"
    assert problems == []
