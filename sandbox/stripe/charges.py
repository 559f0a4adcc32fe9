"""Charges: one for each attempt to take money from a card, whether it succeeded or not."""

from __future__ import annotations

from typing import Any

from sandbox.store import Document
from sandbox.stripe import balance, cards
from sandbox.stripe.documents import changed, new_id
from sandbox.stripe.forms import fields, metadata, text
from sandbox.stripe.lists import lister
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call, World

APPROVED: Document = {
    "advice_code": None,
    "network_advice_code": None,
    "network_decline_code": None,
    "network_status": "approved_by_network",
    "reason": None,
    "risk_level": "normal",
    "risk_score": 20,
    "seller_message": "Payment complete.",
    "type": "authorized",
}


# What is the same in each charge of the sandbox.
USUAL: Document = {
    "amount_refunded": 0,
    "application": None,
    "application_fee": None,
    "application_fee_amount": None,
    "balance_transaction": None,
    "calculated_statement_descriptor": "GPUBROKER SANDBOX",
    "disputed": False,
    "failure_balance_transaction": None,
    "fraud_details": {},
    "livemode": False,
    "on_behalf_of": None,
    "receipt_number": None,
    "receipt_url": None,
    "refunded": False,
    "review": None,
    "shipping": None,
    "source": None,
    "source_transfer": None,
    "transfer_data": None,
}


def charge(
    world: World, intent: Document, method: Document, refusal: cards.Refusal | None, *, authenticated: bool
) -> Document:
    """Charge the method for the intent, or keep the failed try when the card refuses."""
    paid = refusal is None
    document: Document = {
        "id": new_id("ch"),
        "object": "charge",
        **USUAL,
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid else 0,
        "billing_details": {**method["billing_details"], "tax_id": None},
        "captured": paid,
        "created": world.time_of(intent["customer"]),
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "failure_code": refusal.code if refusal else None,
        "failure_message": refusal.message if refusal else None,
        "metadata": intent["metadata"],
        "outcome": _outcome(refusal),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"card": _card_details(method, authenticated), "type": "card"},
        "receipt_email": intent["receipt_email"],
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "succeeded" if paid else "failed",
        "transfer_group": intent["transfer_group"],
    }
    if paid:
        fee = balance.fee_of(intent["amount"])
        entry = balance.book(world, document, "charge", intent["amount"], fee=fee, description=intent["description"])
        document["balance_transaction"] = entry["id"]
    world.put(document)
    world.publish("charge.succeeded" if paid else "charge.failed", document)
    return document


def _outcome(refusal: cards.Refusal | None) -> Document:
    if refusal is None:
        return dict(APPROVED)
    declined = {
        "network_decline_code": "05",
        "network_status": "declined_by_network",
        "reason": refusal.decline_code or refusal.code,
        "seller_message": "The bank did not return any further details with this decline.",
        "type": "issuer_declined",
    }
    return APPROVED | declined


def _card_details(method: Document, authenticated: bool) -> dict[str, Any]:
    card = method["card"]
    names = (
        "brand",
        "checks",
        "country",
        "exp_month",
        "exp_year",
        "fingerprint",
        "funding",
        "last4",
        "regulated_status",
    )
    secure = {
        "authentication_flow": "challenge",
        "electronic_commerce_indicator": "05",
        "exemption_indicator": None,
        "result": "authenticated",
        "result_reason": None,
        "transaction_id": None,
        "version": "2.2.0",
    }
    return {
        **{name: card[name] for name in names},
        "authorization_code": None,
        "installments": None,
        "mandate": None,
        "network": card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": None,
        "three_d_secure": secure if authenticated else None,
        "wallet": None,
    }


def retrieve(call: Call) -> Document:
    return call.world.find("charge", call.id)


def update(call: Call) -> Document:
    old = call.world.find("charge", call.id)
    return call.world.change(old, "charge.updated", **changed(old, call.given, "description metadata receipt_email"))


ENDPOINTS = (
    Endpoint("GET", "/v1/charges/{id}", retrieve),
    Endpoint("POST", "/v1/charges/{id}", update, fields(description=text, metadata=metadata, receipt_email=text)),
    lister("/v1/charges", "charge", customer=text, payment_intent=text, transfer_group=text),
)
