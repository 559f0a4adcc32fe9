"""What the outcome of an invoice's payment does to the invoice, its subscription and the customer."""

from __future__ import annotations

from sandbox.store import Document
from sandbox.stripe.documents import new_id
from sandbox.stripe.world import World

FINISHED = ("canceled", "incomplete_expired", "paused")


def succeeded(world: World, intent: Document) -> None:
    """The payment intent of an invoice has succeeded."""
    invoice = world.get("invoice", intent["_invoice"])
    if invoice is None:
        return
    payment = payment_of(world, invoice)
    if payment:
        moments = {**payment["status_transitions"], "paid_at": world.now(invoice["test_clock"])}
        paid = {"status": "paid", "amount_paid": intent["amount_received"], "status_transitions": moments}
        world.change(payment, "invoice_payment.paid", **paid)
    _keep_method(world, invoice, intent)
    mark_paid(world, invoice, intent["amount_received"])


def _keep_method(world: World, invoice: Document, intent: Document) -> None:
    """`payment_settings[save_default_payment_method]=on_subscription`."""
    subscription = world.get("subscription", invoice["_subscription"])
    if subscription and subscription["payment_settings"]["save_default_payment_method"] == "on_subscription":
        world.put({**subscription, "default_payment_method": intent["payment_method"]})


def mark_paid(world: World, invoice: Document, amount: int) -> Document:
    """`amount` in cents: what came in; nothing for an invoice that asks for nothing."""
    at = world.now(invoice["test_clock"])
    invoice = world.put(
        {
            **invoice,
            "status": "paid",
            "attempted": True,
            "attempt_count": invoice["attempt_count"] or (1 if amount else 0),
            "amount_paid": amount,
            "amount_remaining": 0,
            "auto_advance": False,
            "next_payment_attempt": None,
            "status_transitions": {**invoice["status_transitions"], "paid_at": at},
        }
    )
    world.publish("invoice.paid", invoice)
    world.publish("invoice.payment_succeeded", invoice)
    reflect(world, invoice)
    return invoice


def failed(world: World, intent: Document) -> None:
    invoice = world.get("invoice", intent["_invoice"])
    if invoice:
        mark_failed(world, invoice)


def mark_failed(world: World, invoice: Document) -> Document:
    """It stays open. There is no retry of Stripe's own: who wants one calls `pay`."""
    invoice = world.put({**invoice, "attempted": True, "attempt_count": invoice["attempt_count"] or 1})
    world.publish("invoice.payment_failed", invoice)
    reflect(world, invoice)
    return invoice


def waits(world: World, intent: Document) -> None:
    """The bank asks the payer first."""
    invoice = world.get("invoice", intent["_invoice"])
    if invoice:
        world.publish("invoice.payment_action_required", mark_failed(world, invoice))


def payment_of(world: World, invoice: Document) -> Document | None:
    """The record by which an invoice knows its payment intent."""
    return world.get("invoice_payment", invoice["_payment"])


def bind(world: World, invoice: Document, intent: Document) -> Document:
    payment: Document = {
        "id": new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": invoice["amount_due"],
        "created": intent["created"],
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"type": "payment_intent", "payment_intent": intent["id"]},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
        "_customer": invoice["customer"],
    }
    return world.put(payment)


def reflect(world: World, invoice: Document) -> None:
    """A subscription is as good as its latest invoice."""
    subscription = world.get("subscription", invoice["_subscription"])
    if subscription is None or subscription["latest_invoice"] != invoice["id"] or subscription["status"] in FINISHED:
        return
    settled = invoice["status"] in ("paid", "void", "uncollectible")
    status = subscription["status"]
    if settled:
        trial = subscription["trial_end"] and subscription["trial_end"] > world.now(subscription["test_clock"])
        status = "trialing" if trial else "active"
    elif status != "incomplete":
        status = "past_due"
    customer = world.find("customer", invoice["customer"])
    world.change(customer, "customer.updated", delinquent=not settled)
    if subscription["_new"]:
        world.put({**subscription, "status": status})
    else:
        world.change(subscription, "customer.subscription.updated", status=status)
