"""Stripe's notifications: signed over the raw bytes with a secret of ours, and not long ago.

Stripe sends what happens to owners' accounts from an endpoint of its own, which has another secret: both are ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from billing.payments.base import BadSignature, Event

# What they are about says where to look; what they say of it is not believed.
CARD_EVENTS = ("setup_intent.succeeded", "payment_method.", "customer.updated")
SUBSCRIPTION_EVENTS = ("customer.subscription.", "invoice.")
# Of an owner's own account, named beside the object that they are about.
PAYEE_EVENTS = ("capability.updated", "payout.failed", "payout.canceled")


def read_event(secret: str, headers: Mapping[str, str], raw: bytes) -> Event:
    """`secret`: one for each endpoint, separated by commas. Raises BadSignature."""
    signature = headers.get("Stripe-Signature", "")
    secrets = [each.strip() for each in secret.split(",") if each.strip()]
    if not signature or not any(_is_signed(each, signature, raw) for each in secrets):
        raise BadSignature
    try:
        body = json.loads(raw)
        return Event(str(body["id"])[:80], str(body["type"])[:64], order_of(body), body)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise BadSignature from None


def _is_signed(secret: str, signature: str, raw: bytes) -> bool:
    import stripe  # takes half a second: not in processes that never hear from it

    try:
        # This also refuses what was signed more than five minutes ago: an old notification that somebody sends again.
        stripe.WebhookSignature.verify_header(raw.decode(), signature, secret, stripe.Webhook.DEFAULT_TOLERANCE)
    except (stripe.SignatureVerificationError, ValueError):
        return False
    return True


def order_of(body: dict[str, Any]) -> str:
    """The payment intent that an event is about, if we made it; those of invoices Stripe makes."""
    about = _object(body)
    if not str(body.get("type", "")).startswith("payment_intent.") or not _map(about.get("metadata")).get("payment"):
        return ""
    return str(about.get("id", ""))


def refund_of(body: dict[str, Any]) -> str:
    """The refund that an event is about; empty when it is about something else."""
    return str(_object(body).get("id", "")) if str(body.get("type", "")).startswith("refund.") else ""


def chargeback_of(body: dict[str, Any]) -> str:
    """The dispute that an event is about; empty when it is about something else."""
    return str(_object(body).get("id", "")) if str(body.get("type", "")).startswith("charge.dispute.") else ""


def customer_of(body: dict[str, Any]) -> str:
    """Whose cards may have changed; empty when it is about something else."""
    if not str(body.get("type", "")).startswith(CARD_EVENTS):
        return ""
    about = _object(body)
    if about.get("object") == "customer":
        return str(about.get("id", ""))
    # A card that was let go names its customer only among what has changed.
    before = _map(_map(body.get("data")).get("previous_attributes"))
    return str(about.get("customer") or before.get("customer") or "")


def subscription_of(body: dict[str, Any]) -> str:
    """The subscription that an event is about; empty when it is about something else."""
    if not str(body.get("type", "")).startswith(SUBSCRIPTION_EVENTS):
        return ""
    about = _object(body)
    if about.get("object") == "subscription":
        return str(about.get("id", ""))
    return str(_map(_map(about.get("parent")).get("subscription_details")).get("subscription") or "")


def payout_of(body: dict[str, Any]) -> str:
    """The transfer to an owner that an event is about; empty when it is about something else."""
    return str(_object(body).get("id", "")) if str(body.get("type", "")).startswith("transfer.") else ""


def payee_of(body: dict[str, Any]) -> str:
    """The owner's account that may have changed, or whose bank sent money back; empty when it is about something else."""
    kind, about = str(body.get("type", "")), _object(body)
    if kind.startswith("account."):
        return str(about.get("id", "")) if about.get("object") == "account" else str(body.get("account") or "")
    return str(body.get("account") or "") if kind.startswith(PAYEE_EVENTS) else ""


def _object(body: dict[str, Any]) -> dict[str, Any]:
    return _map(_map(body.get("data")).get("object"))


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
