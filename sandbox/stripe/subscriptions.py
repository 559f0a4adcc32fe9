"""Subscriptions: their items and periods, how they begin, end and are resumed. Changes stand in `changes`."""

from __future__ import annotations

from typing import Any

from sandbox.store import Document
from sandbox.stripe import collection, invoices, payment_methods, periods, products
from sandbox.stripe.documents import dollars, listed, new_id, shown
from sandbox.stripe.errors import Declined, Problem, missing
from sandbox.stripe.expand import PARTS
from sandbox.stripe.forms import CURRENCY
from sandbox.stripe.world import Call, World

KIND = "subscription"
MOST_ITEMS = 20
MOST_TRIAL_DAYS = 730
LIVE = ("trialing", "active", "past_due")
ENDED = ("canceled", "incomplete_expired")
NO_METHOD = (
    "This customer has no attached payment source or default payment method. Please consider adding a default payment "
    "method. For more information, visit https://stripe.com/docs/billing/subscriptions/payment-methods-setting."
)


def create(call: Call) -> Document:
    given, world = call.given, call.world
    subscription, invoice = begin(world, given)
    if given.get("payment_behavior") != "default_incomplete" and invoice["status"] == "open":
        if collection.default_method(world, invoice) is None:
            raise Problem(NO_METHOD, code="resource_missing")
        invoice = collection.collect(world, invoice, off_session=given.get("off_session", False))
        if given.get("payment_behavior") == "error_if_incomplete":
            insist(world, invoice)
    subscription = world.put({**world.find(KIND, subscription["id"]), "_new": False})
    world.publish("customer.subscription.created", subscription)
    return subscription


def insist(world: World, invoice: Document) -> None:
    """`error_if_incomplete`: without the money nothing has happened. Raises Problem."""
    try:
        collection.check_collected(world, invoice)
    except Declined as declined:
        error = {name: value for name, value in declined.error.items() if name in ("code", "decline_code")}
        raise Problem(declined.error["message"], status=402, type="card_error", **error) from None


def begin(world: World, given: dict[str, Any]) -> tuple[Document, Document]:
    """A new subscription with its first invoice, which is open or paid, not yet collected."""
    customer = world.find("customer", given["customer"], param="customer")
    at = world.now(customer["test_clock"])
    trial = read_trial_end(given, at)
    if given.get("default_payment_method"):
        method = payment_methods.usable(world, given["default_payment_method"], customer["id"])
        given = {**given, "default_payment_method": method["id"]}
    items = [_new_item(world, wanted, index, at) for index, wanted in enumerate(given["items"])]
    check_items(items)
    subscription = _draft(customer, given, items, at, trial)
    subscription = with_period(subscription, at, trial or periods.following(at, at, recurring(items)))
    if given.get("cancel_at_period_end"):
        subscription = {**subscription, **ending(subscription, at)}
    world.put(subscription)
    if not trial and customer["currency"] is None:
        world.put({**customer, "currency": CURRENCY})
    invoice = make_invoice(world, subscription, reason="subscription_create", lines=item_lines(world, subscription))
    return subscription, collection.open_invoice(world, invoice)


def read_trial_end(given: dict[str, Any], at: int) -> int | None:
    end = given.get("trial_end")
    if end == "now":
        return None
    if isinstance(end, int):
        if end <= at:
            raise Problem("The trial end must be in the future.", param="trial_end")
        return end
    days = given.get("trial_period_days")
    if days and days > MOST_TRIAL_DAYS:
        raise Problem(f"A trial has at most {MOST_TRIAL_DAYS} days.", param="trial_period_days")
    return at + int(days) * periods.DAY_S if days else None


def _new_item(world: World, wanted: dict[str, Any], index: int, at: int) -> Document:
    if not wanted.get("price"):
        raise Problem("Missing required param: items[price].", code="parameter_missing", param=f"items[{index}][price]")
    price = products.find_recurring(world, wanted["price"], f"items[{index}][price]")
    return item_of(price, wanted, at)


def item_of(price: Document, wanted: dict[str, Any], at: int) -> Document:
    return {
        "id": new_id("si", 14),
        "object": "subscription_item",
        "created": at,
        "current_period_end": at,
        "current_period_start": at,
        "discounts": [],
        "metadata": wanted.get("metadata", {}),
        "plan": products.plan_of(price),
        "price": price,
        "quantity": wanted.get("quantity", 1),
        "subscription": None,
        "tax_rates": [],
    }


def check_items(items: list[Document]) -> None:
    """Raises Problem: none, too many, the same price twice, or intervals that differ."""
    prices = [item["price"]["id"] for item in items]
    if not items:
        raise Problem("A subscription must have at least one active plan.", param="items")
    if len(items) > MOST_ITEMS:
        raise Problem(f"A subscription has at most {MOST_ITEMS} items.", param="items")
    if len(set(prices)) < len(prices):
        raise Problem("Cannot add multiple subscription items with the same price.", param="items")
    spans = {(item["price"]["recurring"]["interval"], item["price"]["recurring"]["interval_count"]) for item in items}
    if len(spans) > 1:
        raise Problem("All prices of a subscription must have the same billing interval in the sandbox.", param="items")


def recurring(items: list[Document]) -> Document:
    found: Document = items[0]["price"]["recurring"]
    return found


# What is the same in each new subscription of the sandbox.
USUAL: Document = {
    "application": None,
    "application_fee_percent": None,
    "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
    "billing_cycle_anchor_config": None,
    "billing_mode": {"type": "flexible", "flexible": {"proration_discounts": "included"}},
    "billing_schedules": [],
    "billing_thresholds": None,
    "cancel_at": None,
    "cancel_at_period_end": False,
    "canceled_at": None,
    "cancellation_details": {"comment": None, "feedback": None, "reason": None},
    "collection_method": "charge_automatically",
    "currency": CURRENCY,
    "customer_account": None,
    "days_until_due": None,
    "default_source": None,
    "default_tax_rates": [],
    "discounts": [],
    "ended_at": None,
    "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}},
    "latest_invoice": None,
    "livemode": False,
    "next_pending_invoice_item_invoice": None,
    "on_behalf_of": None,
    "pause_collection": None,
    "pending_invoice_item_interval": None,
    "pending_setup_intent": None,
    "pending_update": None,
    "schedule": None,
    "transfer_data": None,
}


def _draft(customer: Document, given: dict[str, Any], items: list[Document], at: int, trial: int | None) -> Document:
    id = new_id("sub")
    rows = [{**item, "subscription": id} for item in items]
    settings = given.get("payment_settings") or {}
    missing_method = ((given.get("trial_settings") or {}).get("end_behavior") or {}).get("missing_payment_method")
    return {
        "id": id,
        "object": KIND,
        **USUAL,
        "billing_cycle_anchor": trial or at,
        "created": at,
        "customer": customer["id"],
        "default_payment_method": given.get("default_payment_method"),
        "description": given.get("description"),
        "items": listed(rows, f"/v1/subscription_items?subscription={id}"),
        "metadata": given.get("metadata", {}),
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": settings.get("payment_method_types"),
            "save_default_payment_method": settings.get("save_default_payment_method") or "off",
        },
        "start_date": at,
        "status": "trialing" if trial else "incomplete",
        "test_clock": customer["test_clock"],
        "trial_end": trial,
        "trial_settings": {"end_behavior": {"missing_payment_method": missing_method or "create_invoice"}},
        "trial_start": at if trial else None,
        "_new": True,
        "_warned": False,
    }


def with_period(subscription: Document, start: int, end: int) -> Document:
    """The period stands on each item."""
    rows = [
        {**item, "current_period_start": start, "current_period_end": end} for item in subscription["items"]["data"]
    ]
    return {**subscription, "items": {**subscription["items"], "data": rows}}


def period(subscription: Document) -> tuple[int, int]:
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


def make_invoice(
    world: World, subscription: Document, *, reason: str, lines: list[Document], auto_advance: bool = False
) -> Document:
    """A draft with what waits for it and these lines; it becomes the latest invoice."""
    customer = world.find("customer", subscription["customer"])
    invoice = invoices.draft(
        world,
        customer,
        reason=reason,
        subscription=subscription,
        period=period(subscription),
        auto_advance=auto_advance,
    )
    invoice = invoices.take_pending(world, invoice, subscription["id"])
    invoice = invoices.add_lines(world, invoice, lines)
    world.publish("invoice.created", invoice)
    world.put({**subscription, "latest_invoice": invoice["id"]})
    return invoice


def item_lines(world: World, subscription: Document) -> list[Document]:
    """The whole price of the present period; nothing while it is tried out."""
    trial = subscription["status"] == "trialing"
    lines = []
    for item in subscription["items"]["data"]:
        price, quantity = item["price"], item["quantity"]
        name = products.product_name(world, price)
        amount = price["unit_amount"]
        every = f"{dollars(amount)} / {price['recurring']['interval']}"
        lines.append(
            invoices.line(
                subscription["id"],
                amount=0 if trial else amount * quantity,
                description=f"Trial period for {name}" if trial else f"{quantity} × {name} (at {every})",
                period=(item["current_period_start"], item["current_period_end"]),
                price=price,
                quantity=quantity,
                item=item["id"],
            )
        )
    return lines


def ending(subscription: Document, at: int) -> dict[str, Any]:
    """What `cancel_at_period_end` sets."""
    details = {**subscription["cancellation_details"], "reason": "cancellation_requested"}
    return {
        "cancel_at_period_end": True,
        "cancel_at": period(subscription)[1],
        "canceled_at": at,
        "cancellation_details": details,
    }


def end(world: World, subscription: Document, *, reason: str = "cancellation_requested", **details: Any) -> Document:
    """It is over at once. Drafts that wait are not collected any more."""
    if subscription["status"] in ENDED:
        return subscription
    at = world.now(subscription["test_clock"])
    for draft in world.of("invoice", _subscription=subscription["id"], status="draft"):
        world.put({**draft, "auto_advance": False, "automatically_finalizes_at": None})
    status = "incomplete_expired" if reason == "expired" else "canceled"
    why = None if reason == "expired" else reason
    ended = {
        **subscription,
        "status": status,
        "canceled_at": subscription["canceled_at"] or at,
        "cancel_at_period_end": subscription["cancel_at_period_end"],
        "ended_at": at,
        "cancellation_details": {**subscription["cancellation_details"], **details, "reason": why},
    }
    world.put(ended)
    kind = "customer.subscription.updated" if reason == "expired" else "customer.subscription.deleted"
    world.publish(kind, ended, old=subscription if reason == "expired" else None)
    return ended


def resume(call: Call) -> Document:
    """A paused subscription goes on with a new period, once its invoice is paid."""
    world = call.world
    subscription = find(world, call.id)
    if subscription["status"] != "paused":
        message = f"You can only resume a paused subscription; this one is {subscription['status']}."
        raise Problem(message, code="subscription_not_paused")
    at = world.now(subscription["test_clock"])
    new = {**subscription, "status": "active", "billing_cycle_anchor": at}
    new = with_period(new, at, periods.following(at, at, recurring(new["items"]["data"])))
    world.put(new)
    invoice = make_invoice(world, new, reason="subscription_cycle", lines=item_lines(world, new))
    collection.collect(world, invoice)
    new = world.find(KIND, new["id"])
    world.publish("customer.subscription.resumed", new)
    world.publish("customer.subscription.updated", new, old=subscription)
    return new


def find(world: World, id: str, *, param: str = "id") -> Document:
    return world.find(KIND, id, param=param)


def find_item(world: World, id: str, *, param: str = "id") -> tuple[Document, Document]:
    """The subscription and its item. Raises Problem."""
    for subscription in world.of(KIND):
        for item in subscription["items"]["data"]:
            if item["id"] == id:
                return subscription, item
    raise missing("subscription_item", id, param=param)


def _of_customer(world: World, customer: Document) -> Document:
    rows = [shown(each) for each in world.of(KIND, customer=customer["id"]) if each["status"] not in ENDED]
    return listed(rows, f"/v1/customers/{customer['id']}/subscriptions")


PARTS["customer", "subscriptions"] = _of_customer
