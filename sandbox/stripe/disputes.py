"""Disputes: the payer's bank takes a charge back; evidence is handed in, and the case is won or lost."""

from __future__ import annotations

from typing import Any

from sandbox.store import Document
from sandbox.stripe import balance
from sandbox.stripe.documents import merge_metadata, new_id, shown
from sandbox.stripe.errors import Problem
from sandbox.stripe.forms import fields, flag, group, metadata, text
from sandbox.stripe.lists import lister
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call, World

FEE = 1500
DUE_S = 9 * 86_400
OPEN = ("needs_response", "under_review")
INQUIRIES = ("warning_needs_response", "warning_under_review")
EVIDENCE_NAMES = (
    "access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal "
    "customer_communication customer_email_address customer_name customer_purchase_ip customer_signature "
    "duplicate_charge_documentation duplicate_charge_explanation duplicate_charge_id product_description receipt "
    "refund_policy refund_policy_disclosure refund_refusal_explanation service_date service_documentation "
    "shipping_address shipping_carrier shipping_date shipping_documentation shipping_tracking_number "
    "uncategorized_file uncategorized_text"
)
EVIDENCE = EVIDENCE_NAMES.split()
# What Stripe's sandbox decides by: https://docs.stripe.com/testing#evidence
DECISIONS = {"winning_evidence": "won", "losing_evidence": "lost"}
LONGEST_EVIDENCE = 150_000


# What is the same in each new dispute of the sandbox.
USUAL: Document = {
    "balance_transactions": [],
    "enhanced_eligibility_types": [],
    "is_charge_refundable": False,
    "livemode": False,
    "metadata": {},
    "status": "needs_response",
}


def open_dispute(
    world: World, charge: Document, *, reason: str, amount: int | None = None, inquiry: bool = False
) -> Document:
    """The bank takes the sum back at once, and Stripe its fee; of an inquiry nothing yet. Raises Problem."""
    if not charge["paid"] or charge["disputed"]:
        raise Problem(f"Charge {charge['id']} cannot be disputed.", code="charge_disputed", param="charge")
    at = world.time_of(charge["customer"])
    sum_ = amount or charge["amount"] - charge["amount_refunded"]
    if not 0 < sum_ <= charge["amount"]:
        raise Problem("A dispute is for a part of the charge.", param="amount")
    dispute = world.put(_dispute(charge, sum_, reason, at, inquiry=inquiry))
    world.publish("charge.dispute.created", dispute)
    world.put({**charge, "disputed": True})
    return dispute if inquiry else _withdraw(world, dispute)


def _dispute(charge: Document, amount: int, reason: str, at: int, *, inquiry: bool) -> Document:
    card = charge["payment_method_details"]["card"]["brand"]
    return {
        "id": new_id("du"),
        "object": "dispute",
        **USUAL,
        "status": "warning_needs_response" if inquiry else "needs_response",
        "is_charge_refundable": inquiry,
        "amount": amount,
        "charge": charge["id"],
        "created": at,
        "currency": charge["currency"],
        "evidence": {**dict.fromkeys(EVIDENCE), "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": at + DUE_S,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {
            "card": {
                "brand": card,
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": card,
                "network_reason_code": "83" if reason == "fraudulent" else "30",
            },
            "type": "card",
        },
        "reason": reason,
        "_customer": charge["customer"],
    }


def _withdraw(world: World, dispute: Document) -> Document:
    description = f"Chargeback withdrawal for {dispute['charge']}"
    taken = _move(world, dispute, -dispute["amount"], fee=FEE, description=description)
    world.put({**world.find("charge", dispute["charge"]), "_chargeback": True})
    return world.change(dispute, "charge.dispute.funds_withdrawn", balance_transactions=[taken])


def escalate(world: World, dispute: Document) -> Document:
    """The bank was not content with what it heard: an inquiry becomes a dispute. Raises Problem."""
    if dispute["status"] not in INQUIRIES:
        raise Problem("This is not an inquiry.")
    details = {**dispute["payment_method_details"]["card"], "case_type": "chargeback"}
    new: dict[str, Any] = {
        "status": "needs_response",
        "is_charge_refundable": False,
        "payment_method_details": {**dispute["payment_method_details"], "card": details},
    }
    return _withdraw(world, world.change(dispute, "charge.dispute.updated", **new))


def end_inquiry(world: World, dispute: Document) -> Document:
    """The bank asks no more. Raises Problem."""
    if dispute["status"] not in INQUIRIES:
        raise Problem("This is not an inquiry.")
    dispute = world.put({**dispute, "status": "warning_closed"})
    world.publish("charge.dispute.closed", dispute)
    return dispute


def _move(world: World, dispute: Document, amount: int, *, fee: int, description: str) -> Document:
    category = "dispute" if amount < 0 else "dispute_reversal"
    entry = balance.book(world, dispute, "adjustment", amount, fee=fee, description=description, category=category)
    return shown(entry)


def update(call: Call) -> Document:
    """Evidence is added and, unless `submit` is false, sent to the bank."""
    dispute = call.world.find("dispute", call.id)
    if dispute["status"] not in ("needs_response", "warning_needs_response"):
        raise Problem("This dispute is already closed.", code="dispute_already_closed")
    given = call.given.get("evidence", {})
    evidence = {**dispute["evidence"], **given}
    if sum(len(value) for value in evidence.values() if isinstance(value, str)) > LONGEST_EVIDENCE:
        raise Problem("The combined length of all evidence is at most 150,000 characters.", param="evidence")
    details = {**dispute["evidence_details"], "has_evidence": any(evidence[name] for name in EVIDENCE)}
    submit = call.given.get("submit", True) and bool(given)
    new: dict[str, Any] = {
        "evidence": evidence,
        "evidence_details": details,
        "metadata": merge_metadata(dispute["metadata"], call.given.get("metadata")),
    }
    if submit:
        details["submission_count"] += 1
        new["status"] = dispute["status"].replace("needs_response", "under_review")
    dispute = call.world.change(dispute, "charge.dispute.updated", **new)
    decision = DECISIONS.get(evidence["uncategorized_text"] or "")
    if submit and decision:
        decide(call.world, dispute, decision)
    return dispute


def decide(world: World, dispute: Document, decision: str) -> Document:
    """`won`: the sum comes back, the fee does not. Raises Problem when it is decided already."""
    if dispute["status"] not in OPEN:
        raise Problem("This dispute is already closed.", code="dispute_already_closed")
    if decision == "won":
        back = _move(
            world, dispute, dispute["amount"], fee=0, description=f"Chargeback reversal for {dispute['charge']}"
        )
        entries = [*dispute["balance_transactions"], back]
        dispute = world.change(dispute, "charge.dispute.funds_reinstated", status="won", balance_transactions=entries)
        world.put({**world.find("charge", dispute["charge"]), "_chargeback": False})
    else:
        dispute = world.put({**dispute, "status": "lost"})
    world.publish("charge.dispute.closed", dispute)
    return dispute


def close(call: Call) -> Document:
    """Give in."""
    return decide(call.world, call.world.find("dispute", call.id), "lost")


def retrieve(call: Call) -> Document:
    return call.world.find("dispute", call.id)


ENDPOINTS = (
    Endpoint("GET", "/v1/disputes/{id}", retrieve),
    Endpoint(
        "POST",
        "/v1/disputes/{id}",
        update,
        fields(evidence=group(dict.fromkeys(EVIDENCE, text)), submit=flag, metadata=metadata),
    ),
    Endpoint("POST", "/v1/disputes/{id}/close", close),
    lister("/v1/disputes", "dispute", charge=text, payment_intent=text),
)
