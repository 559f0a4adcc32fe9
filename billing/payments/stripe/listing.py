"""All that Stripe has of our account, page by page: money that only Stripe knows of is found in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any

import stripe

from billing.payments.base import Order
from billing.payments.stripe.adapter import read_intent
from billing.payments.stripe.client import plain, understand

Body = dict[str, Any]
PAGE = 100


class StripeListing:
    def __init__(self, client: stripe.StripeClient) -> None:
        self._api = client.v1

    def orders_since(self, moment: datetime, *, until: datetime | None = None) -> Iterator[Order]:
        created = {"gte": int(moment.timestamp())}
        if until is not None:
            created["lt"] = int(until.timestamp())
        wanted = {"created": created, "expand": ["data.latest_charge"]}
        for body in pages(lambda asked: plain(self._api.payment_intents.list(asked)), wanted):
            yield read_intent(body)


def pages(ask: Callable[[Any], Body], wanted: Body) -> Iterator[Body]:
    """The rows of a list, newest first, however many pages it has. Raises ServiceDown."""
    asked, more = {**wanted, "limit": PAGE}, True
    while more:
        rows, more = understand(partial(_page, ask, asked))
        yield from rows
        if more:
            asked["starting_after"] = rows[-1]["id"]


def _page(ask: Callable[[Any], Body], asked: Body) -> tuple[list[Body], bool]:
    body = ask(asked)
    return list(body["data"]), bool(body["has_more"])
