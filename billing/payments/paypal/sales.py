"""What PayPal collected for a subscription, by the Payments v1 API, which knows it as a sale.

References of ours tell sales and subscriptions from orders and captures, which have ids of the same form.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import quote

from billing.payments.base import Capture, CaptureStatus, Order, Refund, RefundStatus
from billing.payments.paypal.client import PayPalApi, read_sum
from lib.money import round_for_payment

SALE = "sale:"
PAYMENTS = "v1/payments"
SALE_STATUS: dict[str, CaptureStatus] = {
    "completed": "completed",
    "pending": "pending",
    "denied": "declined",
    "partially_refunded": "refunded",
    "refunded": "refunded",
}
REFUND_STATUS: dict[str, RefundStatus] = {
    "completed": "completed",
    "pending": "pending",
    "failed": "failed",
    "cancelled": "failed",
}


def is_sale(ref: str) -> bool:
    return ref.startswith(SALE)


def id_of(ref: str) -> str:
    """What PayPal knows a sale, or a refund of one, by; safe in an address."""
    return quote(ref.removeprefix(SALE), safe="")


def fetch(api: PayPalApi, ref: str) -> Order:
    """The sale of a renewal, as an order that has its capture."""
    body = api.ask(f"{PAYMENTS}/sale/{id_of(ref)}")
    amount, currency = _read_total(body["amount"])
    status = SALE_STATUS[body["state"]]
    capture = Capture(SALE + str(body["id"]), status, amount, currency)
    return Order(capture.ref, "completed", "", amount, currency, captures=(capture,))


def subscription_of(api: PayPalApi, ref: str) -> str:
    """PayPal's id of the subscription that a sale was collected for; empty when it is of something else."""
    return str(api.ask(f"{PAYMENTS}/sale/{id_of(ref)}").get("billing_agreement_id", ""))


def refund(api: PayPalApi, ref: str, amount: Decimal, currency: str, *, reference: str, request_id: str) -> Refund:
    total = {"total": f"{round_for_payment(amount, currency):f}", "currency": currency}
    body = {"amount": total, "invoice_number": reference}
    return _read_refund(api.tell(f"{PAYMENTS}/sale/{id_of(ref)}/refund", body, request_id=request_id))


def fetch_refund(api: PayPalApi, ref: str) -> Refund:
    return _read_refund(api.ask(f"{PAYMENTS}/refund/{id_of(ref)}"))


def _read_refund(body: dict[str, Any]) -> Refund:
    amount, currency = _read_total(body["amount"])
    return Refund(
        ref=SALE + str(body["id"]),
        capture_ref=SALE + str(body["sale_id"]),
        status=REFUND_STATUS[body["state"]],
        amount=amount,
        currency=currency,
        reference=str(body.get("invoice_number", "")),
    )


def _read_total(body: dict[str, Any]) -> tuple[Decimal, str]:
    return read_sum(body["total"]), str(body["currency"])
