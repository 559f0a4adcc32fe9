"""The endpoints of subscriptions and their items."""

from __future__ import annotations

from sandbox.store import Document
from sandbox.stripe import changes, collection, subscriptions
from sandbox.stripe.documents import shown
from sandbox.stripe.forms import (
    Fields,
    Kind,
    currency,
    fields,
    flag,
    group,
    many,
    metadata,
    moment,
    one_of,
    positive,
    text,
    timestamp,
)
from sandbox.stripe.lists import BY_TIME, PAGING, page
from sandbox.stripe.subscriptions import ENDED, KIND
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call, World

FEEDBACK = (
    "customer_service",
    "low_quality",
    "missing_features",
    "other",
    "switched_service",
    "too_complex",
    "too_expensive",
    "unused",
)
DETAILS = group(comment=text, feedback=one_of(*FEEDBACK))
PRORATION = one_of("create_prorations", "always_invoice", "none")
ITEM: dict[str, Kind] = {"price": text, "quantity": positive, "metadata": metadata}
CHANGED_ITEMS = many(group(ITEM, id=text, deleted=flag))
STATUS = one_of(
    "active", "past_due", "canceled", "incomplete", "incomplete_expired", "trialing", "paused", "unpaid", "all", "ended"
)
BOTH: dict[str, Kind] = {
    "cancel_at_period_end": flag,
    "default_payment_method": text,
    "description": text,
    "metadata": metadata,
    "off_session": flag,
    "payment_settings": group(
        payment_method_types=many(one_of("card")), save_default_payment_method=one_of("off", "on_subscription")
    ),
    "proration_behavior": PRORATION,
    "trial_end": moment,
}


def update(call: Call) -> Document:
    return apply(call.world, subscriptions.find(call.world, call.id), call.given)


def apply(world: World, subscription: Document, given: Document) -> Document:
    """The change, and the money of the invoice that it made."""
    subscription, invoice = changes.change(world, subscription, given)
    if invoice and invoice["status"] == "open" and given.get("payment_behavior") != "default_incomplete":
        invoice = collection.collect(world, invoice, off_session=given.get("off_session", False))
        if given.get("payment_behavior") == "error_if_incomplete":
            subscriptions.insist(world, invoice)
    return world.find(KIND, subscription["id"])


def cancel(call: Call) -> Document:
    return changes.cancel(call.world, subscriptions.find(call.world, call.id), call.given)


def retrieve(call: Call) -> Document:
    return subscriptions.find(call.world, call.id)


def list_all(call: Call) -> Document:
    """Those that have ended only when they are asked for."""
    given = call.given
    names = ("customer", "collection_method", "test_clock")
    found = call.world.of(KIND, **{name: given[name] for name in names if name in given})
    status = given.get("status")
    if status == "ended":
        found = [each for each in found if each["status"] in ENDED]
    elif status is None:
        found = [each for each in found if each["status"] not in ENDED]
    elif status != "all":
        found = [each for each in found if each["status"] == status]
    price = given.get("price")
    found = [each for each in found if not price or price in [row["price"]["id"] for row in each["items"]["data"]]]
    return page(call, found, "/v1/subscriptions", KIND)


def create_item(call: Call) -> Document:
    given = call.given
    subscription = subscriptions.find(call.world, given["subscription"], param="subscription")
    wanted = {name: given[name] for name in ITEM if name in given}
    rest = {name: value for name, value in given.items() if name not in (*ITEM, "subscription")}
    new = apply(call.world, subscription, {**rest, "items": [wanted]})
    return shown(new["items"]["data"][-1])


def retrieve_item(call: Call) -> Document:
    return subscriptions.find_item(call.world, call.id)[1]


def update_item(call: Call) -> Document:
    subscription, item = subscriptions.find_item(call.world, call.id)
    wanted = {name: call.given[name] for name in ITEM if name in call.given}
    rest = {name: value for name, value in call.given.items() if name not in ITEM}
    apply(call.world, subscription, {**rest, "items": [{**wanted, "id": item["id"]}]})
    return subscriptions.find_item(call.world, call.id)[1]


def delete_item(call: Call) -> Document:
    subscription, item = subscriptions.find_item(call.world, call.id)
    apply(call.world, subscription, {**call.given, "items": [{"id": item["id"], "deleted": True}]})
    return {"id": item["id"], "object": "subscription_item", "deleted": True}


def list_items(call: Call) -> Document:
    subscription = subscriptions.find(call.world, call.given["subscription"], param="subscription")
    url = f"/v1/subscription_items?subscription={subscription['id']}"
    return page(call, subscription["items"]["data"][::-1], url, "subscription_item")


BEHAVIOUR = one_of("allow_incomplete", "default_incomplete", "error_if_incomplete")
PRORATED: dict[str, Kind] = {"proration_behavior": PRORATION, "proration_date": timestamp}
CHANGE: dict[str, Kind] = {**PRORATED, "payment_behavior": BEHAVIOUR}
ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/subscriptions",
        subscriptions.create,
        fields(
            BOTH,
            required="customer items",
            currency=currency,
            customer=text,
            items=many(group(ITEM)),
            payment_behavior=BEHAVIOUR,
            trial_period_days=positive,
            trial_settings=group(
                end_behavior=group(missing_payment_method=one_of("create_invoice", "cancel", "pause"))
            ),
        ),
    ),
    Endpoint("GET", "/v1/subscriptions/{id}", retrieve),
    Endpoint(
        "POST",
        "/v1/subscriptions/{id}",
        update,
        fields(
            {**BOTH, **CHANGE},
            billing_cycle_anchor=one_of("now", "unchanged"),
            cancel_at=lambda value, name: None if value == "" else timestamp(value, name),
            cancellation_details=DETAILS,
            items=CHANGED_ITEMS,
        ),
    ),
    Endpoint(
        "DELETE",
        "/v1/subscriptions/{id}",
        cancel,
        fields(cancellation_details=DETAILS, invoice_now=flag, prorate=flag),
    ),
    Endpoint("POST", "/v1/subscriptions/{id}/resume", subscriptions.resume, fields(billing_cycle_anchor=one_of("now"))),
    Endpoint(
        "GET",
        "/v1/subscriptions",
        list_all,
        Fields(
            {
                **BY_TIME,
                "collection_method": text,
                "customer": text,
                "price": text,
                "status": STATUS,
                "test_clock": text,
            }
        ),
    ),
    Endpoint(
        "POST",
        "/v1/subscription_items",
        create_item,
        fields({**ITEM, **CHANGE}, required="subscription price", subscription=text),
    ),
    Endpoint("GET", "/v1/subscription_items/{id}", retrieve_item),
    Endpoint("POST", "/v1/subscription_items/{id}", update_item, fields({**ITEM, **CHANGE}, off_session=flag)),
    Endpoint("DELETE", "/v1/subscription_items/{id}", delete_item, fields(PRORATED)),
    Endpoint(
        "GET",
        "/v1/subscription_items",
        list_items,
        Fields({**PAGING, "subscription": text}, ("subscription",)),
    ),
)
