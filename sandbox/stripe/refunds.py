"""Refunds: in parts, never more than the charge."""

from __future__ import annotations

from sandbox.store import Document
from sandbox.stripe import balance, cards
from sandbox.stripe.documents import changed, dollars, listed, new_id, shown
from sandbox.stripe.errors import Problem, missing
from sandbox.stripe.expand import PARTS
from sandbox.stripe.forms import fields, metadata, one_of, positive, text
from sandbox.stripe.lists import lister
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call, World


def create(call: Call) -> Document:
    given, world = call.given, call.world
    charge = _charge_of(call)
    amount = given.get("amount", charge["amount"] - charge["amount_refunded"])
    _check(charge, amount)
    method = world.find("payment_method", charge["payment_method"])
    fate = cards.of(method).refund
    refund: Document = {
        "id": new_id("re"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": world.time_of(charge["customer"]),
        "currency": charge["currency"],
        "customer": charge["customer"],
        "customer_account": None,
        "destination_details": {"card": {"type": "pending" if fate else "refund"}, "type": "card"},
        "metadata": given.get("metadata", {}),
        "payment_intent": charge["payment_intent"],
        "payment_method": charge["payment_method"],
        "reason": given.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending" if fate == "pending" else "succeeded",
        "transfer_reversal": None,
    }
    entry = balance.book(world, refund, "refund", -amount, description=f"REFUND FOR CHARGE ({charge['description']})")
    refund = world.put({**refund, "balance_transaction": entry["id"]})
    refunded = charge["amount_refunded"] + amount
    whole = refunded == charge["amount"]
    world.publish("refund.created", refund)
    world.change(charge, "charge.refunded", amount_refunded=refunded, refunded=whole)
    if fate == "pending":
        world.change(refund, "refund.updated", status="succeeded")
    if fate == "failed":
        fail(world, refund)
    return refund


def _charge_of(call: Call) -> Document:
    given, world = call.given, call.world
    if given.get("charge"):
        return world.find("charge", given["charge"], param="charge")
    if not given.get("payment_intent"):
        raise Problem("One of the following params should be provided for this request: payment_intent or charge.")
    intent = world.find("payment_intent", given["payment_intent"], param="payment_intent")
    charge = world.get("charge", intent["latest_charge"])
    if charge is None or not charge["paid"]:
        message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
        raise Problem(message, code="missing")
    return charge


def _check(charge: Document, amount: int) -> None:
    if not charge["paid"]:
        raise Problem(f"Charge {charge['id']} has failed and can't be refunded.", code="charge_not_refundable")
    if charge["disputed"] and charge.get("_chargeback"):
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise Problem(message, code="charge_disputed", param="charge")
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        message = f"Charge {charge['id']} has already been refunded."
        raise Problem(message, code="charge_already_refunded")
    if amount < 1:
        raise Problem("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    if amount > left:
        message = f"Refund amount ({dollars(amount)}) is greater than unrefunded amount on charge ({dollars(left)})"
        raise Problem(message, param="amount")


def fail(world: World, refund: Document) -> Document:
    """The bank sends the money back: it returns to the balance, and the charge counts as unrefunded."""
    entry = balance.book(world, refund, "refund_failure", refund["amount"], description="REFUND FAILURE")
    charge = world.find("charge", refund["charge"])
    left = charge["amount_refunded"] - refund["amount"]
    world.change(charge, "charge.updated", amount_refunded=left, refunded=False)
    return world.change(
        refund,
        "refund.failed",
        status="failed",
        failure_reason="expired_or_canceled_card",
        failure_balance_transaction=entry["id"],
    )


def retrieve(call: Call) -> Document:
    return call.world.find("refund", call.id)


def update(call: Call) -> Document:
    old = retrieve(call)
    return call.world.change(old, "refund.updated", **changed(old, call.given, "metadata"))


def retrieve_of_charge(call: Call) -> Document:
    refund = call.world.find("refund", call.id)
    if refund["charge"] != call.path["charge"]:
        raise missing("refund", call.id)
    return refund


def _of_charge(world: World, charge: Document) -> Document:
    rows = [shown(each) for each in world.of("refund", charge=charge["id"])]
    return listed(rows[::-1], f"/v1/charges/{charge['id']}/refunds")


PARTS["charge", "refunds"] = _of_charge
REASON = one_of("duplicate", "fraudulent", "requested_by_customer")
ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/refunds",
        create,
        fields(amount=positive, charge=text, payment_intent=text, reason=REASON, metadata=metadata),
    ),
    Endpoint("GET", "/v1/refunds/{id}", retrieve),
    Endpoint("POST", "/v1/refunds/{id}", update, fields(metadata=metadata)),
    lister("/v1/refunds", "refund", charge=text, payment_intent=text),
    lister("/v1/charges/{charge}/refunds", "refund", by_time=False),
    Endpoint("GET", "/v1/charges/{charge}/refunds/{id}", retrieve_of_charge),
)
