"""PayPal Orders v2 and Payments v2 in the words of `payments/base.py`; what subscriptions collect is in modules beside."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from billing.payments.base import (
    Capture,
    CaptureStatus,
    Event,
    NewOrder,
    Order,
    OrderStatus,
    Refund,
    RefundStatus,
    Refused,
)
from billing.payments.paypal import renewals, sales
from billing.payments.paypal.client import BRAND, PayPalApi, address_of, money, read_money, understand
from billing.payments.paypal.webhook import read_event

ORDERS = "v2/checkout/orders"
ORDER_STATUS: dict[str, OrderStatus] = {
    "CREATED": "open",
    "SAVED": "open",
    "PAYER_ACTION_REQUIRED": "open",
    "APPROVED": "approved",
    "COMPLETED": "completed",
    "VOIDED": "voided",
}
CAPTURE_STATUS: dict[str, CaptureStatus] = {
    "COMPLETED": "completed",
    "PENDING": "pending",
    "DECLINED": "declined",
    "FAILED": "declined",
    "PARTIALLY_REFUNDED": "refunded",
    "REFUNDED": "refunded",
}
REFUND_STATUS: dict[str, RefundStatus] = {
    "COMPLETED": "completed",
    "PENDING": "pending",
    "FAILED": "failed",
    "CANCELLED": "failed",
}


class PayPal:
    slug = "paypal"

    def __init__(self, api: PayPalApi, *, webhook_id: str) -> None:
        self.api = api
        self._webhook_id = webhook_id

    def create(self, order: NewOrder, *, request_id: str) -> Order:
        return understand(lambda: _read_order(self.api.tell(ORDERS, _order_body(order), request_id=request_id)))

    def fetch(self, order_ref: str) -> Order:
        if sales.is_sale(order_ref):
            return understand(lambda: sales.fetch(self.api, order_ref))
        if renewals.is_subscription(order_ref):
            return understand(lambda: renewals.fetch_order(self.api, order_ref))
        return understand(lambda: _read_order(self.api.ask(f"{ORDERS}/{quote(order_ref, safe='')}")))

    def capture(self, order_ref: str, *, request_id: str) -> Order:
        if renewals.is_subscription(order_ref):
            return understand(lambda: renewals.capture_order(self.api, order_ref))
        path = f"{ORDERS}/{quote(order_ref, safe='')}/capture"
        try:
            return understand(lambda: _read_order(self.api.tell(path, {}, request_id=request_id)))
        except Refused as refusal:
            if refusal.issue not in {"ORDER_ALREADY_CAPTURED", "ORDER_NOT_APPROVED"}:
                raise
            return self.fetch(order_ref)

    def cancel(self, order_ref: str) -> Order:
        """PayPal cancels no order, and takes nothing that we do not capture."""
        return self.fetch(order_ref)

    def refund(self, capture_ref: str, amount: Decimal, currency: str, *, reference: str, request_id: str) -> Refund:
        if sales.is_sale(capture_ref):
            about = {"reference": reference, "request_id": request_id}
            return understand(lambda: sales.refund(self.api, capture_ref, amount, currency, **about))
        path = f"v2/payments/captures/{quote(capture_ref, safe='')}/refund"
        body = {"amount": money(amount, currency), "custom_id": reference}
        return understand(lambda: _read_refund(self.api.tell(path, body, request_id=request_id)))

    def fetch_refund(self, refund_ref: str) -> Refund:
        if sales.is_sale(refund_ref):
            return understand(lambda: sales.fetch_refund(self.api, refund_ref))
        path = f"v2/payments/refunds/{quote(refund_ref, safe='')}"
        return understand(lambda: _read_refund(self.api.ask(path)))

    def find_order(self, capture_ref: str) -> str:
        if sales.is_sale(capture_ref):
            return understand(lambda: renewals.order_of_sale(self.api, capture_ref))
        path = f"v2/payments/captures/{quote(capture_ref, safe='')}"
        return understand(lambda: _read_order_ref(self.api.ask(path)))

    def parse_event(self, headers: Mapping[str, str], raw: bytes) -> Event:
        return understand(lambda: read_event(self.api, self._webhook_id, headers, raw))


def _order_body(order: NewOrder) -> dict[str, Any]:
    experience = {
        "brand_name": BRAND,
        "shipping_preference": "NO_SHIPPING",
        "user_action": "PAY_NOW",
        "return_url": order.return_url,
        "cancel_url": order.cancel_url,
    }
    unit = {
        "reference_id": "default",
        "custom_id": order.reference,
        "invoice_id": order.reference,
        "description": order.description[:127],
        "amount": money(order.amount, order.currency),
    }
    return {
        "intent": "CAPTURE",
        "purchase_units": [unit],
        "payment_source": {"paypal": {"experience_context": experience}},
    }


def _read_order(body: dict[str, Any]) -> Order:
    """An order has one purchase unit, since we make no others; another one of them is nobody's we know."""
    units = body["purchase_units"]
    unit = units[0]
    source = (body.get("payment_source") or {}).get("paypal") or {}
    amount, currency = read_money(unit["amount"])
    captures = (unit.get("payments") or {}).get("captures") or []
    return Order(
        ref=str(body["id"]),
        status=ORDER_STATUS[body["status"]],
        reference=str(unit.get("custom_id", "")) if len(units) == 1 else "",
        amount=amount,
        currency=currency,
        approve_url=address_of(body.get("links") or []),
        payer_email=str(source.get("email_address") or (body.get("payer") or {}).get("email_address") or "")[:254],
        captures=tuple(_read_capture(capture) for capture in captures),
    )


def _read_capture(body: dict[str, Any]) -> Capture:
    amount, currency = read_money(body["amount"])
    return Capture(str(body["id"]), CAPTURE_STATUS[body["status"]], amount, currency)


def _read_refund(body: dict[str, Any]) -> Refund:
    amount, currency = read_money(body["amount"])
    return Refund(
        ref=str(body["id"]),
        capture_ref=next(str(link["href"]) for link in body["links"] if link["rel"] == "up").rpartition("/")[2],
        status=REFUND_STATUS[body["status"]],
        amount=amount,
        currency=currency,
        reference=str(body.get("custom_id", "")),
    )


def _read_order_ref(body: dict[str, Any]) -> str:
    related = (body.get("supplementary_data") or {}).get("related_ids") or {}
    return str(related.get("order_id", ""))
