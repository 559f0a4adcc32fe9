"""PayPal's notifications: what they look like, and how they are signed."""

from __future__ import annotations

import json
import secrets
import time

from sandbox.deliveries import Deliveries
from sandbox.paypal.orders import link, new_id
from sandbox.paypal.signing import ALGORITHM, CERT_PATH, Signer
from sandbox.store import Document, Store
from sandbox.workload import rfc3339

# The kind of what an event is about, and PayPal's sentence.
SUMMARIES = {
    "CHECKOUT.ORDER.APPROVED": ("checkout-order", "An order has been approved by buyer"),
    "PAYMENT.CAPTURE.COMPLETED": ("capture", "Payment completed"),
    "PAYMENT.CAPTURE.PENDING": ("capture", "Payment pending"),
    "PAYMENT.CAPTURE.DENIED": ("capture", "Payment denied"),
    "PAYMENT.CAPTURE.REFUNDED": ("refund", "A payment capture was refunded"),
    "PAYMENT.CAPTURE.REVERSED": ("refund", "A payment capture was reversed"),
    "PAYMENT.PAYOUTS-ITEM.SUCCEEDED": ("payouts_item", "A payout item has succeeded"),
    "PAYMENT.PAYOUTS-ITEM.UNCLAIMED": ("payouts_item", "A payout item is unclaimed"),
    "PAYMENT.PAYOUTS-ITEM.HELD": ("payouts_item", "A payout item is held"),
    "PAYMENT.PAYOUTS-ITEM.FAILED": ("payouts_item", "A payout item has failed"),
    "PAYMENT.PAYOUTS-ITEM.BLOCKED": ("payouts_item", "A payout item was blocked"),
    "PAYMENT.PAYOUTS-ITEM.RETURNED": ("payouts_item", "A payout item has been returned"),
    "PAYMENT.PAYOUTS-ITEM.CANCELED": ("payouts_item", "A payout item has been canceled"),
    "PAYMENT.SALE.COMPLETED": ("sale", "A payment of a subscription was completed"),
    "PAYMENT.SALE.PENDING": ("sale", "A payment of a subscription is pending"),
    "PAYMENT.SALE.REFUNDED": ("refund", "A payment of a subscription was refunded"),
    "BILLING.SUBSCRIPTION.ACTIVATED": ("subscription", "Subscription activated"),
    "BILLING.SUBSCRIPTION.RE-ACTIVATED": ("subscription", "Subscription reactivated"),
    "BILLING.SUBSCRIPTION.UPDATED": ("subscription", "Subscription updated"),
    "BILLING.SUBSCRIPTION.SUSPENDED": ("subscription", "Subscription suspended"),
    "BILLING.SUBSCRIPTION.CANCELLED": ("subscription", "Subscription cancelled"),
    "BILLING.SUBSCRIPTION.PAYMENT.FAILED": ("subscription", "Payment of a subscription failed"),
    "PAYMENT.PAYOUTS-ITEM.REFUNDED": ("payouts_item", "A payout item was refunded"),
}


class Webhooks:
    def __init__(self, store: Store, signer: Signer, *, url: str, target: str) -> None:
        self._store = store
        self._signer = signer
        self._url = url
        self.deliveries = Deliveries(store, target=target, sign=self._sign)

    def publish(self, event_type: str, resource: Document) -> None:
        """Keep an event and its deliveries; call it in the same `together` block as the change it tells of."""
        kind, summary = SUMMARIES[event_type]
        id = f"WH-{new_id()}-{new_id()}"
        event = {
            "id": id,
            "create_time": rfc3339(time.time()),
            "event_type": event_type,
            "event_version": "1.0",
            "resource_type": kind,
            "resource_version": "2.0",
            "summary": summary,
            "resource": resource,
            "links": [link(self._url, f"/v1/notifications/webhooks-events/{id}", "self")],
        }
        self._store.put("event", id, event)
        self.deliveries.enqueue(id)

    def _sign(self, transmission_id: str, event: Document) -> tuple[bytes, dict[str, str]]:
        raw, at = json.dumps(event, separators=(",", ":")).encode(), rfc3339(time.time())
        return raw, {
            "Content-Type": "application/json",
            "User-Agent": "PayPal/AUHD-sandbox",
            "PAYPAL-TRANSMISSION-ID": transmission_id,
            "PAYPAL-TRANSMISSION-TIME": at,
            "PAYPAL-TRANSMISSION-SIG": self._signer.sign(transmission_id, at, raw),
            "PAYPAL-AUTH-ALGO": ALGORITHM,
            "PAYPAL-CERT-URL": f"{self._url}{CERT_PATH}",
            "PAYPAL-AUTH-VERSION": "v2",
            "CORRELATION-ID": secrets.token_hex(7)[:13],
        }
