"""Payouts from a balance to the bank: pending, then paid; or canceled; or sent back by the bank."""

from __future__ import annotations

from sandbox.store import Document
from sandbox.stripe import balance, periods
from sandbox.stripe.documents import changed, new_id
from sandbox.stripe.errors import Problem
from sandbox.stripe.forms import currency, fields, metadata, one_of, positive, text
from sandbox.stripe.lists import lister
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call, World

KIND = "payout"


# What is the same in each new payout of the sandbox.
USUAL: Document = {
    "application_fee": None,
    "application_fee_amount": None,
    "automatic": False,
    "balance_transaction": None,
    "failure_balance_transaction": None,
    "failure_code": None,
    "failure_message": None,
    "livemode": False,
    "method": "standard",
    "original_payout": None,
    "payout_method": None,
    "reconciliation_status": "not_applicable",
    "reversed_by": None,
    "source_type": "card",
    "status": "pending",
    "trace_id": {"status": "pending", "value": None},
    "type": "bank_account",
}


def create(call: Call) -> Document:
    """Of the platform's balance, or of the account in `Stripe-Account`."""
    given, world = call.given, call.world
    if given["amount"] < 1:
        raise Problem("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    bank = None
    if call.account:
        owner = world.find("account", call.account)
        if not owner["payouts_enabled"]:
            raise Problem("Payouts are not enabled for this account.", code="payouts_not_allowed")
        bank = owner["external_accounts"]["data"][0]["id"]
    balance.check_available(world, given["amount"], call.account)
    payout: Document = {
        "id": new_id("po"),
        "object": KIND,
        **USUAL,
        "amount": given["amount"],
        "arrival_date": world.now() + 2 * periods.DAY_S,
        "created": world.now(),
        "currency": given["currency"],
        "description": given.get("description"),
        "destination": bank,
        "metadata": given.get("metadata", {}),
        "statement_descriptor": given.get("statement_descriptor"),
        "_account": call.account,
    }
    entry = balance.book(world, payout, "payout", -given["amount"], account=call.account, description="STRIPE PAYOUT")
    payout = world.put({**payout, "balance_transaction": entry["id"]})
    world.publish("payout.created", payout, account=call.account)
    return payout


def cancel(call: Call) -> Document:
    payout = _find(call)
    if payout["status"] != "pending":
        raise Problem(f"Payouts can only be canceled while pending; this one is {payout['status']}.")
    return _give_back(call.world, payout, "payout_cancel", status="canceled")


def settle(world: World, payout: Document) -> Document:
    """The bank has it. Raises Problem."""
    if payout["status"] not in ("pending", "in_transit"):
        raise Problem(f"This payout is {payout['status']}.")
    paid = world.put({**payout, "status": "paid"})
    world.publish("payout.paid", paid, old=payout, account=payout["_account"])
    return paid


def fail(world: World, payout: Document, code: str = "account_closed") -> Document:
    """The bank sends it back, at once or days after it was paid. Raises Problem."""
    if payout["status"] in ("failed", "canceled"):
        raise Problem(f"This payout is {payout['status']}.")
    message = "The bank account has been closed"
    return _give_back(world, payout, "payout_failure", status="failed", failure_code=code, failure_message=message)


def _give_back(world: World, payout: Document, type: str, **fields: str) -> Document:
    entry = balance.book(world, payout, type, payout["amount"], account=payout["_account"])
    new = world.put({**payout, **fields, "failure_balance_transaction": entry["id"]})
    kind = "payout.canceled" if new["status"] == "canceled" else "payout.failed"
    world.publish(kind, new, old=payout, account=payout["_account"])
    return new


def _find(call: Call) -> Document:
    """Each account sees its own payouts only. Raises Problem."""
    payout = call.world.find(KIND, call.id)
    if payout["_account"] != call.account:
        raise Problem(f"No such payout: '{call.id}'", code="resource_missing", param="payout", status=404)
    return payout


def retrieve(call: Call) -> Document:
    return _find(call)


def update(call: Call) -> Document:
    old = _find(call)
    new = call.world.put(changed(old, call.given, "metadata"))
    call.world.publish("payout.updated", new, old=old, account=old["_account"])
    return new


def settle_due(world: World) -> None:
    """What the time has brought to the banks."""
    at = world.now()
    for payout in world.of(KIND, status="pending"):
        if payout["arrival_date"] <= at:
            settle(world, payout)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/payouts",
        create,
        fields(
            required="amount currency",
            amount=positive,
            currency=currency,
            description=text,
            metadata=metadata,
            statement_descriptor=text,
        ),
    ),
    Endpoint("GET", "/v1/payouts/{id}", retrieve),
    Endpoint("POST", "/v1/payouts/{id}", update, fields(metadata=metadata)),
    Endpoint("POST", "/v1/payouts/{id}/cancel", cancel),
    lister("/v1/payouts", KIND, status=one_of("pending", "paid", "failed", "canceled", "in_transit")),
)
