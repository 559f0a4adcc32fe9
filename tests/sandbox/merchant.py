"""A merchant that speaks to the Stripe stand-in by Stripe's own SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import RunningPeer

SECRET, PUBLISHABLE, WEBHOOK_SECRET = "sk_test_merchant", "pk_test_merchant", "whsec_merchant"
RETURN = "http://127.0.0.1:9/return?plan=pro"
CARD = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2040", "cvc": "123"}


def at(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp())


class Merchant:
    """`api` is the SDK's client of the first version of the API."""

    def __init__(self, peer: RunningPeer) -> None:
        self.peer = peer
        self.client = stripe.StripeClient(
            SECRET, base_addresses={"api": peer.url}, max_network_retries=0, http_client=stripe.RequestsClient()
        )
        self.api: Any = self.client.v1
        self.clock: Any = None
        self._prices: dict[tuple[str, int, str], str] = {}

    def customer(self, card: str = "pm_card_visa", **more: Any) -> Any:
        """With this card as default, if any; on the merchant's clock, if there is one."""
        clock = {"test_clock": self.clock.id} if self.clock else {}
        made = self.api.customers.create({"email": "buyer@example.com", **clock, **more})
        if card:
            self.use_card(made.id, card)
        return made

    def use_card(self, customer: str, card: str) -> str:
        method = self.api.payment_methods.attach(card, {"customer": customer})
        self.api.customers.update(customer, {"invoice_settings": {"default_payment_method": method.id}})
        return str(method.id)

    def pay(self, card: str = "pm_card_visa", amount: int = 2500, **more: Any) -> Any:
        """A payment with a card that is there."""
        body = {"amount": amount, "currency": "usd", "payment_method": card, "confirm": True, "return_url": RETURN}
        return self.api.payment_intents.create({**body, **more})

    def price(self, cents: int = 3000, name: str = "Pro", interval: str = "month") -> str:
        key = (name, cents, interval)
        if key not in self._prices:
            body = {"currency": "usd", "unit_amount": cents, "recurring": {"interval": interval}}
            self._prices[key] = self.api.prices.create({**body, "product_data": {"name": name}}).id
        return self._prices[key]

    def start_clock(self, *moment: int) -> None:
        self.clock = self.api.test_helpers.test_clocks.create({"frozen_time": at(*moment)})

    def move_to(self, *moment: int) -> None:
        clocks = self.api.test_helpers.test_clocks
        assert clocks.advance(self.clock.id, {"frozen_time": at(*moment)}).status == "advancing"
        assert clocks.retrieve(self.clock.id).status == "ready"

    def subscribe(self, customer: str, price: str, **more: Any) -> Any:
        return self.api.subscriptions.create({"customer": customer, "items": [{"price": price}], **more})

    def browser(self, path: str, **form: str) -> Any:
        """What Stripe.js sends: the publishable key in the form, no header."""
        return self.peer.post(path, data={"key": PUBLISHABLE, **form}, headers={}).json()

    def events(self, *types: str) -> list[str]:
        """The types of what has happened, oldest first; only those that are asked for."""
        named = [event.type for event in self.api.events.list({"limit": 100}).auto_paging_iter()][::-1]
        return [name for name in named if not types or name in types]

    @contextmanager
    def refused(self, kind: type[stripe.StripeError], code: str | None = None) -> Iterator[list[Any]]:
        """The error that the block raises comes out in the list."""
        caught: list[Any] = []
        with pytest.raises(kind) as info:
            yield caught
        error: Any = info.value
        caught.append(error)
        assert error.code == code, error


def card_form(**change: str) -> dict[str, str]:
    card = {f"payment_method_data[card][{name}]": value for name, value in {**CARD, **change}.items()}
    return {"payment_method_data[type]": "card", **card}
