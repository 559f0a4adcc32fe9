"""Invoices: draft → open → paid, void or uncollectible. How they are collected stands in `collection`."""

from __future__ import annotations

from typing import Any

from sandbox.store import Document
from sandbox.stripe.documents import ADDRESS, listed, new_id
from sandbox.stripe.errors import Problem
from sandbox.stripe.forms import CURRENCY
from sandbox.stripe.world import World

DRAFT_S = 3600
NO_SETTINGS: Document = {"default_mandate": None, "payment_method_options": None, "payment_method_types": None}


# What is the same in each new invoice of the sandbox.
USUAL: Document = {
    "account_country": "US",
    "account_name": "GPUBroker sandbox",
    "account_tax_ids": None,
    "amount_due": 0,
    "amount_overpaid": 0,
    "amount_paid": 0,
    "amount_remaining": 0,
    "amount_shipping": 0,
    "application": None,
    "attempt_count": 0,
    "attempted": False,
    "automatic_tax": {
        "disabled_reason": None,
        "enabled": False,
        "liability": None,
        "provider": None,
        "status": None,
    },
    "collection_method": "charge_automatically",
    "currency": CURRENCY,
    "custom_fields": None,
    "customer_account": None,
    "customer_shipping": None,
    "customer_tax_ids": [],
    "default_payment_method": None,
    "default_source": None,
    "default_tax_rates": [],
    "description": None,
    "discounts": [],
    "due_date": None,
    "effective_at": None,
    "ending_balance": None,
    "footer": None,
    "from_invoice": None,
    "hosted_invoice_url": None,
    "invoice_pdf": None,
    "issuer": {"type": "self"},
    "last_finalization_error": None,
    "latest_revision": None,
    "livemode": False,
    "metadata": {},
    "next_payment_attempt": None,
    "number": None,
    "on_behalf_of": None,
    "payment_settings": NO_SETTINGS,
    "post_payment_credit_notes_amount": 0,
    "pre_payment_credit_notes_amount": 0,
    "receipt_number": None,
    "rendering": None,
    "shipping_cost": None,
    "shipping_details": None,
    "starting_balance": 0,
    "statement_descriptor": None,
    "status": "draft",
    "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
    "subtotal": 0,
    "subtotal_excluding_tax": 0,
    "total": 0,
    "total_discount_amounts": [],
    "total_excluding_tax": 0,
    "total_pretax_credit_amounts": [],
    "total_taxes": [],
}


def draft(
    world: World,
    customer: Document,
    *,
    reason: str,
    subscription: Document | None = None,
    period: tuple[int, int] | None = None,
    auto_advance: bool = False,
    **more: Any,
) -> Document:
    """A new invoice without lines."""
    at = world.now(customer["test_clock"])
    id = new_id("in")
    start, end = period or (at, at)
    invoice: Document = {
        "id": id,
        "object": "invoice",
        **USUAL,
        "auto_advance": auto_advance,
        "automatically_finalizes_at": at + DRAFT_S if auto_advance else None,
        "billing_reason": reason,
        "created": at,
        "customer": customer["id"],
        "customer_address": ADDRESS | customer["address"] if customer["address"] else None,
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_tax_exempt": customer["tax_exempt"],
        "lines": listed([], f"/v1/invoices/{id}/lines"),
        "parent": _parent(subscription),
        "period_end": end,
        "period_start": start,
        "test_clock": customer["test_clock"],
        "webhooks_delivered_at": at,
        **more,
        "_subscription": subscription["id"] if subscription else None,
        "_intent": None,
        "_payment": None,
        "_applied": 0,
    }
    return world.put(invoice)


def _parent(subscription: Document | None) -> Document | None:
    if subscription is None:
        return None
    details = {"metadata": subscription["metadata"], "subscription": subscription["id"]}
    return {"type": "subscription_details", "quote_details": None, "subscription_details": details}


def add_lines(world: World, invoice: Document, lines: list[Document]) -> Document:
    """Put the lines onto a draft, and count again."""
    data = [*invoice["lines"]["data"], *({**line, "invoice": invoice["id"]} for line in lines)]
    return world.put(counted(world, {**invoice, "lines": {**invoice["lines"], "data": data}}))


def counted(world: World, invoice: Document) -> Document:
    """The sums of a draft. What the customer's balance owes (above zero) or is owed (below) is counted in."""
    total = sum(line["amount"] for line in invoice["lines"]["data"])
    balance = world.find("customer", invoice["customer"])["balance"]
    due = max(0, total + balance)
    sums = dict.fromkeys(("subtotal", "subtotal_excluding_tax", "total", "total_excluding_tax"), total)
    return {**invoice, **sums, "starting_balance": balance, "amount_due": due, "amount_remaining": due}


def line(
    subscription: str | None,
    *,
    amount: int,
    description: str | None,
    period: tuple[int, int],
    price: Document | None,
    quantity: int,
    item: str | None = None,
    invoice_item: str | None = None,
    proration: bool = False,
    metadata: dict[str, str] | None = None,
) -> Document:
    """One line: of a subscription's item, or of an invoice item."""
    kind = "subscription_item_details" if item and not invoice_item else "invoice_item_details"
    details: Document = {
        "invoice_item": invoice_item,
        "proration": proration,
        "proration_details": {"credited_items": None},
        "subscription": subscription,
    }
    if kind == "subscription_item_details":
        details["subscription_item"] = item
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": CURRENCY,
        "description": description,
        "discount_amounts": [],
        "discountable": not proration,
        "discounts": [],
        "invoice": None,
        "livemode": False,
        "metadata": metadata or {},
        "parent": {
            "type": kind,
            **dict.fromkeys(("invoice_item_details", "subscription_item_details")),
            kind: details,
        },
        "period": {"start": period[0], "end": period[1]},
        "pretax_credit_amounts": [],
        "pricing": pricing(price) if price else None,
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subscription": subscription,
        "subtotal": amount,
        "taxes": [],
    }


def pricing(price: Document) -> Document:
    details = {"price": price["id"], "product": price["product"]}
    return {"type": "price_details", "price_details": details, "unit_amount_decimal": price["unit_amount_decimal"]}


def add_item(world: World, customer: Document, given: dict[str, Any]) -> Document:
    """A sum that waits for the next invoice, or stands on the draft that it names."""
    at = world.now(customer["test_clock"])
    subscription = given.get("subscription")
    details = {"subscription": subscription, "subscription_item": given.get("subscription_item")}
    item: Document = {
        "id": new_id("ii"),
        "object": "invoiceitem",
        "amount": given["amount"],
        "currency": CURRENCY,
        "customer": customer["id"],
        "customer_account": None,
        "date": at,
        "description": given.get("description"),
        "discountable": not given.get("proration", False),
        "discounts": [],
        "invoice": given.get("invoice"),
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "net_amount": given["amount"],
        "parent": {"type": "subscription_details", "subscription_details": details} if subscription else None,
        "period": given.get("period") or {"start": at, "end": at},
        "pricing": pricing(given["price"]) if given.get("price") else None,
        "proration": given.get("proration", False),
        "quantity": given.get("quantity", 1),
        "quantity_decimal": str(given.get("quantity", 1)),
        "tax_rates": [],
        "test_clock": customer["test_clock"],
        "_subscription": subscription,
        "_item": given.get("subscription_item"),
        "_price": given.get("price"),
    }
    world.put(item)
    world.publish("invoiceitem.created", item)
    return item


def line_of(item: Document) -> Document:
    return line(
        item["_subscription"],
        amount=item["amount"],
        description=item["description"],
        period=(item["period"]["start"], item["period"]["end"]),
        price=item["_price"],
        quantity=item["quantity"],
        item=item["_item"],
        invoice_item=item["id"],
        proration=item["proration"],
        metadata=item["metadata"],
    )


def take_pending(world: World, invoice: Document, subscription: str | None) -> Document:
    """The items that wait for this invoice come onto it."""
    waiting = world.of("invoiceitem", customer=invoice["customer"], invoice=None)
    taken = [item for item in waiting if item["_subscription"] in (None, subscription)]
    for item in taken:
        world.put({**item, "invoice": invoice["id"]})
    return add_lines(world, invoice, [line_of(item) for item in taken])


def finalize(world: World, invoice: Document) -> Document:
    """Open, with its number; the customer's balance takes what it can. Raises Problem."""
    if invoice["status"] != "draft":
        raise Problem("This invoice is already finalized, you can't re-finalize it.", code="invoice_not_editable")
    invoice = counted(world, invoice)
    customer = world.find("customer", invoice["customer"])
    at = world.now(invoice["test_clock"])
    applied = invoice["amount_due"] - invoice["total"]
    number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    ending = customer["balance"] - applied
    fields = {"balance": ending, "next_invoice_sequence": customer["next_invoice_sequence"] + 1}
    if ending != customer["balance"]:
        world.change(customer, "customer.updated", **fields)
    else:
        world.put({**customer, **fields})
    invoice = world.put(
        {
            **invoice,
            "status": "open",
            "number": number,
            "effective_at": at,
            "ending_balance": ending,
            "automatically_finalizes_at": None,
            "status_transitions": {**invoice["status_transitions"], "finalized_at": at},
            "_applied": applied,
        }
    )
    world.publish("invoice.finalized", invoice)
    return invoice
