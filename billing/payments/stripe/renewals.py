"""Stripe's subscriptions in the words of `payments/base.py`.

Stripe renews, we hold the schedule of failed renewals (`billing/dunning.py`): its own retries are to be off in the
account's settings. A subscription has one item, its plan; a customer's default card pays.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import stripe

from billing.payments.base import (
    Gone,
    InvoiceState,
    NewSubscription,
    Preview,
    PreviewLine,
    Refused,
    RemoteInvoice,
    RemoteSubscription,
    SubscriptionState,
)
from billing.payments.stripe.client import cents, dollars, once, plain, understand

Body = dict[str, Any]
STATE: dict[str, SubscriptionState] = {
    "incomplete": "waiting",
    "active": "active",
    "trialing": "active",
    "past_due": "past_due",
    "unpaid": "past_due",
    "paused": "past_due",
    "canceled": "ended",
    "incomplete_expired": "ended",
}
INVOICE_STATE: dict[str, InvoiceState] = {"paid": "paid", "open": "open"}
NEWEST: Any = {"expand": ["latest_invoice.payments"]}
TWO_YEARS = 60  # a renewal each month, and changes between


class StripeRenewals:
    by_card = True

    def __init__(self, client: stripe.StripeClient) -> None:
        self._api = client.v1

    def price(self, plan: str, name: str, amount: Decimal, currency: str) -> str:
        key = f"gpubroker-{plan}-{currency.lower()}-{cents(amount)}"
        wanted: Any = {"lookup_keys": [key], "active": True}
        found = understand(lambda: plain(self._api.prices.list(wanted))["data"])
        if found:
            return str(found[0]["id"])
        body: Any = {
            "lookup_key": key,
            "currency": currency.lower(),
            "unit_amount": cents(amount),
            "recurring": {"interval": "month"},
            "product_data": {"name": f"GPUBroker {name}"},
            "metadata": {"plan": plan},
        }
        return understand(lambda: str(plain(self._api.prices.create(body, once(f"price-{key}")))["id"]))

    def subscribe(self, new: NewSubscription, *, request_id: str) -> RemoteSubscription:
        body: Any = {
            "customer": new.customer_ref,
            "items": [{"price": new.price_ref}],
            "payment_behavior": "default_incomplete",
            "payment_settings": {"payment_method_types": ["card"]},
            "metadata": {"subscription": new.reference},
            **NEWEST,
        }
        begun = understand(lambda: _read(plain(self._api.subscriptions.create(body, once(request_id)))))
        self._claim(begun.intent_ref, new)
        return begun

    def _claim(self, intent_ref: str, new: NewSubscription) -> None:
        """Make the order of the first invoice one of ours: paid with this card, when we confirm it."""
        metadata = {"payment": new.payment, "return_url": new.return_url}
        body: Any = {"payment_method": new.card_ref, "metadata": metadata}
        understand(lambda: self._api.payment_intents.update(intent_ref, body))

    def fetch_subscription(self, ref: str) -> RemoteSubscription:
        return understand(lambda: _read(plain(self._api.subscriptions.retrieve(ref, NEWEST))))

    def invoices(self, ref: str) -> list[RemoteInvoice]:
        wanted: Any = {"subscription": ref, "limit": TWO_YEARS, "expand": ["data.payments"]}
        page = understand(lambda: plain(self._api.invoices.list(wanted)))
        return understand(lambda: [_read_invoice(row) for row in page["data"]])

    def preview(self, subscription: RemoteSubscription, price_ref: str, *, at: datetime) -> Preview:
        details = {
            "items": [{"id": subscription.item_ref, "price": price_ref}],
            "proration_behavior": "always_invoice",
            "proration_date": int(at.timestamp()),
        }
        body: Any = {"subscription": subscription.ref, "subscription_details": details}
        return understand(lambda: _read_preview(plain(self._api.invoices.create_preview(body)), price_ref))

    def change_now(
        self, subscription: RemoteSubscription, price_ref: str, *, at: datetime, reference: str, request_id: str
    ) -> None:
        body: Any = {
            "items": [{"id": subscription.item_ref, "price": price_ref}],
            "proration_behavior": "always_invoice",
            "proration_date": int(at.timestamp()),
            "payment_behavior": "error_if_incomplete",
            "off_session": True,
            "metadata": {"payment": reference},
        }
        understand(lambda: self._api.subscriptions.update(subscription.ref, body, once(request_id)))

    def change_next(self, subscription: RemoteSubscription, price_ref: str, *, return_url: str) -> str:
        body: Any = {"items": [{"id": subscription.item_ref, "price": price_ref}], "proration_behavior": "none"}
        understand(lambda: self._api.subscriptions.update(subscription.ref, body))
        return ""

    def end_with_period(self, ref: str, ends: bool, *, comment: str = "", feedback: str = "") -> None:
        body: Any = {"cancel_at_period_end": ends}
        if ends:
            body["cancellation_details"] = {"comment": comment, "feedback": feedback or "other"}
        understand(lambda: self._api.subscriptions.update(ref, body))

    def end(self, ref: str) -> None:
        for invoice in self.invoices(ref):
            if invoice.state == "open":
                self._forgive(invoice.ref)
        try:
            understand(lambda: self._api.subscriptions.cancel(ref))
        except (Gone, Refused):
            return  # it had ended before

    def _forgive(self, invoice_ref: str) -> None:
        try:
            understand(lambda: self._api.invoices.void_invoice(invoice_ref))
        except Refused:
            return  # paid, or void by now

    def collect(self, invoice: RemoteInvoice, *, card_ref: str, request_id: str) -> None:
        body: Any = {"payment_method": card_ref, "off_session": True}
        understand(lambda: self._api.invoices.pay(invoice.ref, body, once(request_id)))


def _read(body: Body) -> RemoteSubscription:
    rows = body["items"]["data"]
    if len(rows) != 1:
        raise ValueError("one plan")
    item, price = rows[0], rows[0]["price"]
    return RemoteSubscription(
        ref=str(body["id"]),
        item_ref=str(item["id"]),
        state=STATE[body["status"]],
        plan=str(price["metadata"].get("plan", "")),
        amount=dollars(price["unit_amount"]) * int(item["quantity"]),
        currency=str(price["currency"]).upper(),
        period_start=_moment(item["current_period_start"]),
        period_end=_moment(item["current_period_end"]),
        ends_with_period=bool(body["cancel_at_period_end"]),
        settled=(body["latest_invoice"] or {}).get("status") == "paid",
        intent_ref=_intent_of(body["latest_invoice"] or {}),
    )


def _read_invoice(body: Body) -> RemoteInvoice:
    lines = body["lines"]["data"]
    details = (body["parent"] or {}).get("subscription_details") or {}
    return RemoteInvoice(
        ref=str(body["id"]),
        state=INVOICE_STATE.get(body["status"], "other"),
        reason=str(body["billing_reason"]),
        amount=dollars(body["amount_due"]),
        currency=str(body["currency"]).upper(),
        order_ref=_intent_of(body),
        tried=bool(body["attempted"]),
        period_start=_moment(min(line["period"]["start"] for line in lines)),
        period_end=_moment(max(line["period"]["end"] for line in lines)),
        reference=str((details.get("metadata") or {}).get("payment", "")),
    )


def _read_preview(body: Body, price_ref: str) -> Preview:
    lines = [_read_line(line, price_ref) for line in body["lines"]["data"]]
    return Preview(dollars(body["amount_due"]), str(body["currency"]).upper(), tuple(lines))


def _read_line(body: Body, price_ref: str) -> PreviewLine:
    amount, parent = dollars(body["amount"]), body["parent"] or {}
    kind: Literal["unused", "rest", "other"] = "other"
    if (parent.get(parent.get("type")) or {}).get("proration"):
        price = ((body["pricing"] or {}).get("price_details") or {}).get("price")
        kind = "rest" if price == price_ref else "unused" if amount < 0 else "other"
    return PreviewLine(kind, amount, _moment(body["period"]["start"]), _moment(body["period"]["end"]))


def _intent_of(invoice: Body) -> str:
    payments = (invoice.get("payments") or {}).get("data") or []
    return next((str(row["payment"]["payment_intent"]) for row in payments if row["payment"].get("payment_intent")), "")


def _moment(seconds: Any) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)
