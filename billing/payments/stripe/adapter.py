"""Stripe's payment intents, refunds and saved cards in the words of `payments/base.py`.

An order is a payment intent with a card that the customer chose on our page: `approved` until our server confirms it.
The bank may ask the payer first; then the order is `open`, with the address of the bank's page.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import stripe

from billing.payments.base import (
    Capture,
    Card,
    Event,
    Gone,
    NewOrder,
    Order,
    OrderStatus,
    Refund,
    RefundStatus,
    Refused,
)
from billing.payments.stripe.client import cents, dollars, once, plain, understand
from billing.payments.stripe.webhook import read_event

Body = dict[str, Any]
INTENT_STATUS: dict[str, OrderStatus] = {
    "requires_payment_method": "open",
    "requires_confirmation": "approved",
    "requires_action": "open",
    "processing": "open",
    "succeeded": "completed",
    "canceled": "voided",
}
REFUND_STATUS: dict[str, RefundStatus] = {
    "succeeded": "completed",
    "pending": "pending",
    "requires_action": "pending",
    "failed": "failed",
    "canceled": "failed",
}
EXPAND: Any = {"expand": ["latest_charge"]}
MOST_REFUNDS = 100  # of one charge
MOST_CARDS = 100


class Stripe:
    slug = "stripe"

    def __init__(self, client: stripe.StripeClient, *, webhook_secret: str) -> None:
        self._api = client.v1
        self._webhook_secret = webhook_secret

    def create(self, order: NewOrder, *, request_id: str) -> Order:
        """Nothing is charged yet: our row must know the intent before."""
        return self._intent(lambda: self._api.payment_intents.create(_intent_body(order), once(request_id)))

    def fetch(self, order_ref: str) -> Order:
        return self._intent(lambda: self._api.payment_intents.retrieve(order_ref, EXPAND))

    def capture(self, order_ref: str, *, request_id: str) -> Order:
        intent = understand(lambda: plain(self._api.payment_intents.retrieve(order_ref, EXPAND)))
        if intent["status"] != "requires_confirmation":
            return understand(lambda: read_intent(intent))
        how = _confirmation(intent)
        try:
            return self._intent(lambda: self._api.payment_intents.confirm(order_ref, how, once(request_id)))
        except Refused:
            after = self.fetch(order_ref)
            if not after.captures:
                raise
            return after  # declined, or taken by another worker

    def cancel(self, order_ref: str) -> Order:
        try:
            return self._intent(lambda: self._api.payment_intents.cancel(order_ref, EXPAND))
        except Refused:
            return self.fetch(order_ref)  # paid by now, or of an invoice: those end with their subscription

    def refund(self, capture_ref: str, amount: Decimal, currency: str, *, reference: str, request_id: str) -> Refund:
        """Stripe knows a repetition by its key for a day only: what is there already by our name is looked up first."""
        wanted: Any = {"charge": capture_ref, "limit": MOST_REFUNDS}
        there = understand(lambda: [_read_refund(row) for row in plain(self._api.refunds.list(wanted))["data"]])
        if found := next((row for row in there if (row.reference, row.amount) == (reference, amount)), None):
            return found
        body: Any = {"charge": capture_ref, "amount": cents(amount), "metadata": {"refund": reference}}
        return understand(lambda: _read_refund(plain(self._api.refunds.create(body, once(request_id)))))

    def fetch_refund(self, refund_ref: str) -> Refund:
        return understand(lambda: _read_refund(plain(self._api.refunds.retrieve(refund_ref))))

    def find_order(self, capture_ref: str) -> str:
        return understand(lambda: str(plain(self._api.charges.retrieve(capture_ref))["payment_intent"] or ""))

    def parse_event(self, headers: Mapping[str, str], raw: bytes) -> Event:
        return read_event(self._webhook_secret, headers, raw)

    # Cards

    def create_customer(self, reference: str, *, request_id: str) -> str:
        body: Any = {"description": reference, "metadata": {"organisation": reference}}
        return understand(lambda: str(plain(self._api.customers.create(body, once(request_id)))["id"]))

    def begin_setup(self, customer_ref: str, *, request_id: str) -> str:
        body: Any = {"customer": customer_ref, "usage": "off_session", "payment_method_types": ["card"]}
        made = understand(lambda: plain(self._api.setup_intents.create(body, once(request_id))))
        return understand(lambda: str(made["client_secret"]))

    def cards(self, customer_ref: str) -> list[Card]:
        wanted: Any = {"type": "card", "limit": MOST_CARDS}
        page = understand(lambda: plain(self._api.customers.payment_methods.list(customer_ref, wanted)))
        return understand(lambda: [_read_card(row) for row in page["data"]])

    def make_default(self, customer_ref: str, card_ref: str) -> None:
        body: Any = {"invoice_settings": {"default_payment_method": card_ref}}
        understand(lambda: self._api.customers.update(customer_ref, body))

    def forget(self, card_ref: str) -> None:
        try:
            understand(lambda: self._api.payment_methods.detach(card_ref))
        except (Gone, Refused):
            return  # it was let go before

    def _intent(self, call: Any) -> Order:
        return understand(lambda: read_intent(plain(call())))


def _intent_body(order: NewOrder) -> Any:
    metadata = {"payment": order.reference, "return_url": order.return_url}
    if order.off_session:
        metadata["off_session"] = "1"
    return {
        "amount": cents(order.amount),
        "currency": order.currency.lower(),
        "customer": order.customer_ref,
        "payment_method": order.card_ref,
        "payment_method_types": ["card"],
        "description": order.description[:127],
        "metadata": metadata,
        **EXPAND,
    }


def _confirmation(intent: Body) -> Any:
    metadata = intent["metadata"]
    if metadata.get("off_session"):
        return {"off_session": True, **EXPAND}
    return {"return_url": metadata["return_url"], **EXPAND}


def read_intent(body: Body) -> Order:
    charge = body["latest_charge"] or {}
    return Order(
        ref=str(body["id"]),
        status=INTENT_STATUS[body["status"]],
        reference=str(body["metadata"].get("payment", "")),
        amount=dollars(body["amount"]),
        currency=str(body["currency"]).upper(),
        approve_url=_approve_url(body["next_action"]),
        payer_email=str((charge.get("billing_details") or {}).get("email") or "")[:254],
        captures=_captures(body, charge),
    )


def _captures(body: Body, charge: Body) -> tuple[Capture, ...]:
    """The charge that succeeded, or the last try when it failed."""
    currency = str(body["currency"]).upper()
    if body["status"] == "succeeded":
        status = "refunded" if charge["amount_refunded"] else "completed"
        return (Capture(str(charge["id"]), status, dollars(body["amount_received"]), currency),)  # type: ignore[arg-type]
    error = body["last_payment_error"]
    if not error:
        return ()
    reason = str(error.get("decline_code") or error.get("code") or "declined")[:48]
    return (Capture(str(charge.get("id", "")), "declined", dollars(body["amount"]), currency, reason),)


def _approve_url(action: Body | None) -> str:
    url = str(((action or {}).get("redirect_to_url") or {}).get("url") or "")
    return url if url.startswith(("https://", "http://")) else ""


def _read_refund(body: Body) -> Refund:
    return Refund(
        ref=str(body["id"]),
        capture_ref=str(body["charge"]),
        status=REFUND_STATUS[body["status"]],
        amount=dollars(body["amount"]),
        currency=str(body["currency"]).upper(),
        reference=str(body["metadata"].get("refund", "")),
    )


def _read_card(body: Body) -> Card:
    card = body["card"]
    return Card(
        ref=str(body["id"]),
        brand=str(card["brand"])[:24],
        last4=str(card["last4"])[:4],
        exp_month=int(card["exp_month"]),
        exp_year=int(card["exp_year"]),
        fingerprint=str(card.get("fingerprint") or "")[:64],
    )
