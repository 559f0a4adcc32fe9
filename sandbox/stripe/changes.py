"""Changes of a subscription within its period: prorations by the second, invoices at once or with the next period."""

from __future__ import annotations

from typing import Any

from sandbox.store import Document
from sandbox.stripe import collection, invoices, payment_methods, periods, products, subscriptions
from sandbox.stripe.documents import changed
from sandbox.stripe.errors import Problem
from sandbox.stripe.subscriptions import ENDED, KIND
from sandbox.stripe.world import World


def change(world: World, subscription: Document, given: dict[str, Any]) -> tuple[Document, Document | None]:
    """Apply an update. Returns the new state and the invoice that it made, if any: finalized, not yet collected."""
    if subscription["status"] in ENDED and set(given) - {"metadata", "cancellation_details"}:
        message = "A canceled subscription can only update its cancellation_details and metadata."
        raise Problem(message, code="resource_missing" if subscription["status"] == "canceled" else "")
    at = world.now(subscription["test_clock"])
    new = _plain(world, subscription, given)
    old_rows, rows = subscription["items"]["data"], _rows(world, subscription, given.get("items") or [], at)
    new["items"] = {**new["items"], "data": rows}
    moved = _new_cycle(subscription, new, given, at)
    when = given.get("proration_date", at)
    start, end = subscriptions.period(subscription)
    if not start <= when <= end:
        message = "The subscription update preview you provided has a proration date outside of the current period."
        raise Problem(message, param="proration_date")
    new = _ends(moved or new, given, at)
    world.put(new)
    behaviour = given.get("proration_behavior") or "create_prorations"
    if behaviour != "none" and subscription["status"] != "trialing":
        prorate(world, new, old_rows, [] if moved else rows, when)
    invoice = None
    if moved or (behaviour == "always_invoice" and _differ(old_rows, rows)):
        lines = subscriptions.item_lines(world, new) if moved else []
        invoice = subscriptions.make_invoice(world, new, reason="subscription_update", lines=lines)
        invoice = collection.open_invoice(world, invoice)
    return _told(world, subscription, new["id"]), invoice


def _told(world: World, old: Document, id: str) -> Document:
    new = world.find(KIND, id)
    if new != old:
        world.publish("customer.subscription.updated", new, old=old)
    return new


def _plain(world: World, subscription: Document, given: dict[str, Any]) -> Document:
    """The fields that mean nothing for money."""
    new = changed(subscription, given, "description default_payment_method")
    if given.get("default_payment_method"):
        method = payment_methods.usable(world, given["default_payment_method"], subscription["customer"])
        new["default_payment_method"] = method["id"]
    for name in ("cancellation_details", "payment_settings"):
        new[name] = subscription[name] | (given.get(name) or {})
    return new


def _ends(subscription: Document, given: dict[str, Any], at: int) -> Document:
    """`cancel_at_period_end` and `cancel_at`: set, moved with the period, or taken back."""
    ends = given.get("cancel_at_period_end", subscription["cancel_at_period_end"])
    if "cancel_at_period_end" in given and "cancel_at" in given:
        raise Problem("You cannot set both `cancel_at` and `cancel_at_period_end`.", param="cancel_at")
    if ends:
        fields = subscriptions.ending(subscription, at)
        before = subscription["canceled_at"] if subscription["cancel_at_period_end"] else None
        return {**subscription, **fields, "canceled_at": before or at}
    when = given.get("cancel_at", None if "cancel_at_period_end" in given else subscription["cancel_at"])
    if when is None:
        kept = {**subscription["cancellation_details"], "reason": None}
        return {
            **subscription,
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "cancellation_details": kept,
        }
    if when <= at:
        raise Problem("The cancellation must be in the future.", param="cancel_at")
    details = {**subscription["cancellation_details"], "reason": "cancellation_requested"}
    return {**subscription, "cancel_at": when, "canceled_at": at, "cancellation_details": details}


def _rows(world: World, subscription: Document, wanted: list[dict[str, Any]], at: int) -> list[Document]:
    """The items after the change. Raises Problem."""
    rows = list(subscription["items"]["data"])
    for index, each in enumerate(wanted):
        if not each.get("id"):
            price = products.find_recurring(world, each.get("price") or "", f"items[{index}][price]")
            start, end = subscriptions.period(subscription)
            made = subscriptions.item_of(price, each, at)
            span = {"current_period_start": start, "current_period_end": end}
            rows.append({**made, "subscription": subscription["id"], **span})
            continue
        place = next((place for place, row in enumerate(rows) if row["id"] == each["id"]), None)
        if place is None:
            subscriptions.find_item(world, each["id"], param=f"items[{index}][id]")
            raise Problem("This item belongs to another subscription.", param=f"items[{index}][id]")
        if each.get("deleted"):
            rows.pop(place)
            continue
        rows[place] = _changed_row(world, rows[place], each, index)
    subscriptions.check_items(rows)
    return rows


def _changed_row(world: World, row: Document, wanted: dict[str, Any], index: int) -> Document:
    row = changed(row, wanted, "quantity")
    if wanted.get("price"):
        price = products.find_recurring(world, wanted["price"], f"items[{index}][price]")
        row |= {"price": price, "plan": products.plan_of(price)}
    return row


def _new_cycle(old: Document, new: Document, given: dict[str, Any], at: int) -> Document | None:
    """Another interval, `billing_cycle_anchor=now` or the end of a trial start a new period at once."""
    before, after = (subscriptions.recurring(each["items"]["data"]) for each in (old, new))
    ends_trial = old["status"] == "trialing" and given.get("trial_end") == "now"
    if "trial_end" in given and not ends_trial:
        return _new_trial(new, given["trial_end"], at)
    reset = given.get("billing_cycle_anchor") == "now"
    if before == after and not reset and not ends_trial:
        return None
    if old["status"] == "trialing" and not ends_trial:
        return None
    status = "active" if ends_trial else new["status"]
    moved = {**new, "billing_cycle_anchor": at, "status": status, "trial_end": at if ends_trial else new["trial_end"]}
    return subscriptions.with_period(moved, at, periods.following(at, at, after))


def _new_trial(subscription: Document, end: Any, at: int) -> Document | None:
    if end == "now":
        return None
    if end <= at:
        raise Problem("The trial end must be in the future.", param="trial_end")
    trial = {"trial_end": end, "trial_start": at, "status": "trialing", "billing_cycle_anchor": end, "_warned": False}
    return subscriptions.with_period({**subscription, **trial}, at, end)


def _differ(old: list[Document], new: list[Document]) -> bool:
    return _sold(old) != _sold(new)


def _sold(rows: list[Document]) -> dict[str, tuple[str, int]]:
    return {row["id"]: (row["price"]["id"], row["quantity"]) for row in rows}


def prorate(world: World, subscription: Document, old: list[Document], new: list[Document], at: int) -> None:
    """Items that give back the rest of the period at the old price and ask for it at the new one."""
    sold, wanted = _sold(old), _sold(new)
    for row in old:
        if wanted.get(row["id"]) != sold[row["id"]]:
            _add(world, subscription, row, at, back=True)
    for row in new:
        if sold.get(row["id"]) != wanted[row["id"]]:
            _add(world, subscription, row, at, back=False)


def _add(world: World, subscription: Document, row: Document, at: int, *, back: bool) -> None:
    start, end = row["current_period_start"], row["current_period_end"]
    amount = periods.share(row["price"]["unit_amount"] * row["quantity"], end - at, end - start)
    name = products.product_name(world, row["price"])
    what = f"{row['quantity']} × {name}" if row["quantity"] > 1 else name
    words = "Unused time on" if back else "Remaining time on"
    customer = world.find("customer", subscription["customer"])
    invoices.add_item(
        world,
        customer,
        {
            "amount": -amount if back else amount,
            "description": f"{words} {what} after {periods.day_of(at)}",
            "period": {"start": at, "end": end},
            "price": row["price"],
            "proration": True,
            "quantity": row["quantity"],
            "subscription": subscription["id"],
            "subscription_item": row["id"],
        },
    )


def cancel(world: World, subscription: Document, given: dict[str, Any]) -> Document:
    """At once. `prorate` gives back the rest of the period, `invoice_now` bills what waits."""
    if subscription["status"] in ENDED:
        raise Problem(f"No such subscription: '{subscription['id']}'", code="resource_missing", param="id", status=404)
    at = world.now(subscription["test_clock"])
    if given.get("prorate") and subscription["status"] in ("active", "past_due"):
        prorate(world, subscription, subscription["items"]["data"], [], at)
    details = {name: value for name, value in (given.get("cancellation_details") or {}).items() if value}
    ended = subscriptions.end(world, subscription, **details)
    waiting = world.of("invoiceitem", customer=subscription["customer"], invoice=None, _subscription=ended["id"])
    if given.get("invoice_now") and waiting:
        invoice = subscriptions.make_invoice(world, ended, reason="subscription_update", lines=[])
        collection.collect(world, invoice)
    return world.find(KIND, ended["id"])
