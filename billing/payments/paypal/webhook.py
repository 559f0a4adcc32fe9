"""PayPal's notifications: PayPal itself is asked whether it signed these very bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from billing.payments.base import BadSignature, Event
from billing.payments.paypal.client import PayPalApi, PayPalError
from billing.payments.paypal.sales import SALE

VERIFY = "v1/notifications/verify-webhook-signature"
# Our names of the fields, PayPal's names of the headers, and the greatest length that its description allows.
HEADERS = {
    "auth_algo": ("PAYPAL-AUTH-ALGO", 100),
    "cert_url": ("PAYPAL-CERT-URL", 500),
    "transmission_id": ("PAYPAL-TRANSMISSION-ID", 50),
    "transmission_sig": ("PAYPAL-TRANSMISSION-SIG", 500),
    "transmission_time": ("PAYPAL-TRANSMISSION-TIME", 100),
}
# What tells of money going back. Their resource is the refund.
REFUND_EVENTS = {
    "PAYMENT.CAPTURE.REFUNDED",
    "PAYMENT.CAPTURE.REVERSED",
    "PAYMENT.REFUND.PENDING",
    "PAYMENT.REFUND.FAILED",
}
SALE_REFUND_EVENTS = {"PAYMENT.SALE.REFUNDED", "PAYMENT.SALE.REVERSED"}


def read_event(api: PayPalApi, webhook_id: str, headers: Mapping[str, str], raw: bytes) -> Event:
    body = _parse(raw)
    signed = {field: headers.get(name, "") for field, (name, _longest) in HEADERS.items()}
    if any(not text or len(text) > HEADERS[field][1] for field, text in signed.items()):
        raise BadSignature
    # The checksum is over the bytes that came: written anew, even the same event might have others.
    question = json.dumps({**signed, "webhook_id": webhook_id})[:-1].encode() + b', "webhook_event": ' + raw + b"}"
    try:
        verdict = api.tell_raw(VERIFY, question).get("verification_status")
    except PayPalError as error:
        if error.status in {400, 422}:
            raise BadSignature from error
        raise
    if verdict != "SUCCESS":
        raise BadSignature
    return Event(str(body["id"])[:80], str(body["event_type"])[:64], order_of(body), body)


def order_of(body: dict[str, Any]) -> str:
    """The order that an event is about; empty when it is about something else."""
    resource = body.get("resource")
    if not isinstance(resource, dict):
        return ""
    if str(body.get("event_type", "")).startswith("CHECKOUT.ORDER."):
        return str(resource.get("id", ""))
    related = resource.get("supplementary_data")
    ids = related.get("related_ids") if isinstance(related, dict) else None
    return str(ids.get("order_id", "")) if isinstance(ids, dict) else ""


def refund_of(body: dict[str, Any]) -> str:
    """The refund that an event is about; empty when it is about something else."""
    resource, kind = body.get("resource"), body.get("event_type")
    if kind not in REFUND_EVENTS | SALE_REFUND_EVENTS or not isinstance(resource, dict):
        return ""
    id = str(resource.get("id", ""))
    if kind in REFUND_EVENTS:
        return id
    return SALE + id if id and resource.get("sale_id") else ""


def subscription_of(body: dict[str, Any]) -> str:
    """The subscription that an event is about; empty when it is about something else."""
    resource, kind = body.get("resource"), str(body.get("event_type", ""))
    if not isinstance(resource, dict):
        return ""
    if kind.startswith("BILLING.SUBSCRIPTION."):
        return str(resource.get("id", ""))
    return str(resource.get("billing_agreement_id") or "") if kind.startswith("PAYMENT.SALE.") else ""


def payout_of(body: dict[str, Any]) -> str:
    """The payout (a batch of one) that an event is about; empty when it is about something else."""
    resource = body.get("resource")
    if not str(body.get("event_type", "")).startswith("PAYMENT.PAYOUTS-ITEM.") or not isinstance(resource, dict):
        return ""
    return str(resource.get("payout_batch_id", ""))


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw)
    except ValueError:
        raise BadSignature from None
    if not isinstance(body, dict) or not body.get("id") or not body.get("event_type"):
        raise BadSignature
    return body
