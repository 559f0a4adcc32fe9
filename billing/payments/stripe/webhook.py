"""Stripe's notifications: signed over the raw bytes with the secret of our endpoint, and not long ago."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from billing.payments.base import BadSignature, Event

# What they are about says where to look; what they say of it is not believed.
CARD_EVENTS = ("setup_intent.succeeded", "payment_method.", "customer.updated")
SUBSCRIPTION_EVENTS = ("customer.subscription.", "invoice.")


def read_event(secret: str, headers: Mapping[str, str], raw: bytes) -> Event:
    import stripe  # takes half a second: not in processes that never hear from it

    signature = headers.get("Stripe-Signature", "")
    if not (secret and signature):
        raise BadSignature
    try:
        # This also refuses what was signed more than five minutes ago: an old notification that somebody sends again.
        stripe.Webhook.construct_event(raw, signature, secret)
        body = json.loads(raw)
        return Event(str(body["id"])[:80], str(body["type"])[:64], order_of(body), body)
    except (stripe.SignatureVerificationError, ValueError, LookupError, TypeError, AttributeError):
        raise BadSignature from None


def order_of(body: dict[str, Any]) -> str:
    """The payment intent that an event is about, if we made it; those of invoices Stripe makes."""
    about = _object(body)
    if not str(body.get("type", "")).startswith("payment_intent.") or not _map(about.get("metadata")).get("payment"):
        return ""
    return str(about.get("id", ""))


def refund_of(body: dict[str, Any]) -> str:
    """The refund that an event is about; empty when it is about something else."""
    return str(_object(body).get("id", "")) if str(body.get("type", "")).startswith("refund.") else ""


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


def _object(body: dict[str, Any]) -> dict[str, Any]:
    return _map(_map(body.get("data")).get("object"))


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
