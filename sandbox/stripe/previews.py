"""`invoices/create_preview`: the change is really made, its invoice shown, and everything taken back."""

from __future__ import annotations

from typing import Any

from sandbox.store import Document
from sandbox.stripe import changes, clocks, subscriptions
from sandbox.stripe.documents import new_id, shown
from sandbox.stripe.errors import Problem
from sandbox.stripe.forms import Kind, currency, fields, flag, group, integer, many, moment, one_of, text, timestamp
from sandbox.stripe.invoices import add_item
from sandbox.stripe.subscription_routes import CHANGED_ITEMS, PRORATION
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import CLOCK, Call, World


class Shown(Exception):
    """The answer of a request that leaves nothing behind."""

    def __init__(self, answer: Document) -> None:
        super().__init__(answer["id"])
        self.answer = answer


def create(call: Call) -> Document:
    """Raises Shown, so that the transaction around it is rolled back."""
    given, world = call.given, call.world
    wanted = given.get("subscription_details") or {}
    if given.get("subscription"):
        subscription = subscriptions.find(world, given["subscription"], param="subscription")
        _add_items(world, subscription["customer"], given.get("invoice_items") or [], subscription["id"])
        invoice = _of_change(world, subscription, wanted)
    elif given.get("customer") and wanted.get("items"):
        _add_items(world, given["customer"], given.get("invoice_items") or [], None)
        _, invoice = subscriptions.begin(world, {**wanted, "customer": given["customer"]})
    else:
        raise Problem(
            "You must provide a subscription, or a customer with subscription_details[items].",
            code="parameter_missing",
            param="subscription",
        )
    raise Shown(_as_preview(world.find("invoice", invoice["id"])))


def _add_items(world: World, customer: str, items: list[dict[str, Any]], subscription: str | None) -> None:
    owner = world.find("customer", customer, param="customer")
    for item in items:
        add_item(world, owner, {**item, "subscription": subscription})


def _of_change(world: World, subscription: Document, wanted: dict[str, Any]) -> Document:
    """The invoice that the change makes at once, else that of the next period."""
    if wanted.get("cancel_now"):
        changes.cancel(world, subscription, {"prorate": True})
        return subscriptions.make_invoice(world, subscription, reason="upcoming", lines=[])
    given = {name: value for name, value in wanted.items() if name != "cancel_now"}
    subscription, invoice = changes.change(world, subscription, given)
    if invoice:
        return invoice
    if subscription["status"] not in subscriptions.LIVE or subscription["cancel_at_period_end"]:
        message = f"No upcoming invoices for customer: {subscription['customer']}"
        raise Problem(message, code="invoice_upcoming_none", status=404)
    frozen = world.get(CLOCK, subscription["test_clock"])
    if frozen:
        world.put({**frozen, "frozen_time": subscriptions.period(subscription)[1]})
    return clocks.renew(world, subscription)[-1]


def _as_preview(invoice: Document) -> Document:
    due = invoice["amount_due"]
    moments = dict.fromkeys(invoice["status_transitions"])
    fields = {
        "id": f"upcoming_{new_id('in')}",
        "amount_paid": 0,
        "amount_remaining": due,
        "attempt_count": 0,
        "attempted": False,
        "billing_reason": "upcoming",
        "effective_at": None,
        "number": None,
        "status": "draft",
        "status_transitions": moments,
    }
    return shown({**invoice, **fields})


DETAILS: dict[str, Kind] = {
    "billing_cycle_anchor": one_of("now", "unchanged"),
    "cancel_at": timestamp,
    "cancel_at_period_end": flag,
    "cancel_now": flag,
    "items": CHANGED_ITEMS,
    "proration_behavior": PRORATION,
    "proration_date": timestamp,
    "trial_end": moment,
}
ITEM = group(required="amount", amount=integer, currency=currency, description=text)
ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/invoices/create_preview",
        create,
        fields(
            currency=currency,
            customer=text,
            invoice_items=many(ITEM),
            subscription=text,
            subscription_details=group(DETAILS),
        ),
    ),
)
