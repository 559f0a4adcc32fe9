"""Transfers from the platform's balance to an owner's, and back."""

from __future__ import annotations

from sandbox.store import Document
from sandbox.stripe import accounts, balance
from sandbox.stripe.documents import changed, dollars, listed, new_id, shown
from sandbox.stripe.errors import Problem, missing
from sandbox.stripe.forms import currency, fields, metadata, positive, text
from sandbox.stripe.lists import lister
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call

KIND = "transfer"


def create(call: Call) -> Document:
    given, world = call.given, call.world
    destination = accounts.find_payable(world, given["destination"])
    if given["amount"] < 1:
        raise Problem("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    source = given.get("source_transaction")
    if source:
        charge = world.find("charge", source, param="source_transaction")
        used = sum(each["amount"] for each in world.of(KIND, source_transaction=source))
        if given["amount"] > charge["amount"] - used:
            raise Problem("Transfers from this charge would exceed its amount.", param="amount")
    balance.check_available(world, given["amount"])
    id = new_id("tr")
    transfer: Document = {
        "id": id,
        "object": KIND,
        "amount": given["amount"],
        "amount_reversed": 0,
        "balance_transaction": None,
        "created": world.now(),
        "currency": given["currency"],
        "description": given.get("description"),
        "destination": destination["id"],
        "destination_payment": new_id("py"),
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "reversals": listed([], f"/v1/transfers/{id}/reversals"),
        "reversed": False,
        "source_transaction": source,
        "source_type": "card",
        "transfer_group": given.get("transfer_group"),
    }
    entry = balance.book(world, transfer, "transfer", -given["amount"], description=given.get("description"))
    arrived = {"id": transfer["destination_payment"]}
    balance.book(world, arrived, "payment", given["amount"], account=destination["id"])
    transfer = world.put({**transfer, "balance_transaction": entry["id"]})
    world.publish("transfer.created", transfer)
    return transfer


def reverse(call: Call) -> Document:
    """In parts, never more than was sent, and only what the owner's balance still has."""
    given, world = call.given, call.world
    transfer = world.find(KIND, call.path["transfer"])
    left = transfer["amount"] - transfer["amount_reversed"]
    amount = given.get("amount", left)
    if left == 0:
        raise Problem(f"Transfer {transfer['id']} is already fully reversed.", code="transfer_already_reversed")
    if not 0 < amount <= left:
        message = f"Reversal amount ({dollars(amount)}) is greater than unreversed amount on transfer ({dollars(left)})"
        raise Problem(message, param="amount")
    balance.check_available(world, amount, transfer["destination"])
    reversal: Document = {
        "id": new_id("trr"),
        "object": "transfer_reversal",
        "amount": amount,
        "balance_transaction": None,
        "created": world.now(),
        "currency": transfer["currency"],
        "destination_payment_refund": new_id("pyr"),
        "metadata": given.get("metadata", {}),
        "source_refund": None,
        "transfer": transfer["id"],
    }
    entry = balance.book(world, reversal, "transfer_refund", amount, description=given.get("description"))
    returned = {"id": reversal["destination_payment_refund"]}
    balance.book(world, returned, "payment_refund", -amount, account=transfer["destination"])
    reversal = world.put({**reversal, "balance_transaction": entry["id"]})
    rows = [shown(reversal), *transfer["reversals"]["data"]]
    world.change(
        transfer,
        "transfer.reversed",
        amount_reversed=transfer["amount_reversed"] + amount,
        reversed=amount == left,
        reversals={**transfer["reversals"], "data": rows},
    )
    return reversal


def retrieve_reversal(call: Call) -> Document:
    reversal = call.world.find("transfer_reversal", call.id)
    if reversal["transfer"] != call.path["transfer"]:
        raise missing("transfer_reversal", call.id)
    return reversal


def retrieve(call: Call) -> Document:
    return call.world.find(KIND, call.id)


def update(call: Call) -> Document:
    old = retrieve(call)
    return call.world.change(old, "transfer.updated", **changed(old, call.given, "description metadata"))


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/transfers",
        create,
        fields(
            required="amount currency destination",
            amount=positive,
            currency=currency,
            description=text,
            destination=text,
            metadata=metadata,
            source_transaction=text,
            transfer_group=text,
        ),
    ),
    Endpoint("GET", "/v1/transfers/{id}", retrieve),
    Endpoint("POST", "/v1/transfers/{id}", update, fields(description=text, metadata=metadata)),
    lister("/v1/transfers", KIND, destination=text, transfer_group=text),
    Endpoint(
        "POST",
        "/v1/transfers/{transfer}/reversals",
        reverse,
        fields(amount=positive, description=text, metadata=metadata),
    ),
    lister("/v1/transfers/{transfer}/reversals", "transfer_reversal", by_time=False),
    Endpoint("GET", "/v1/transfers/{transfer}/reversals/{id}", retrieve_reversal),
)
