"""How Stripe signs its notifications: an HMAC of the time and the body, with the secret of the endpoint."""

from __future__ import annotations

import json

from stripe import WebhookSignature

from sandbox.deliveries import Sign
from sandbox.store import Document


def signed_with(secret: str) -> Sign:
    def sign(_delivery_id: str, event: Document) -> tuple[bytes, dict[str, str]]:
        raw = json.dumps(event, indent=2)
        return raw.encode(), {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": WebhookSignature.generate_signature_header(raw, secret),
        }

    return sign
