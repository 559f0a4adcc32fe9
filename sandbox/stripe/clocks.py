"""Time: test clocks that are moved by hand, and what falls due when time passes, in its order."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import timedelta

from sandbox.store import Document
from sandbox.stripe import collection, periods, subscriptions
from sandbox.stripe.documents import new_id
from sandbox.stripe.errors import Problem
from sandbox.stripe.forms import fields, text, timestamp
from sandbox.stripe.lists import lister
from sandbox.stripe.subscriptions import LIVE
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import CLOCK, Call, World

KEPT_S = 30 * periods.DAY_S
WARNING_S = 3 * periods.DAY_S
INCOMPLETE_S = int(timedelta(hours=23).total_seconds())
MOST_INTERVALS = 2
Due = tuple[int, str, str]  # when, the kind of the object, its id


def create(call: Call) -> Document:
    clock: Document = {
        "id": new_id("clock"),
        "object": CLOCK,
        "created": call.world.now(),
        "deletes_after": call.world.now() + KEPT_S,
        "frozen_time": call.given["frozen_time"],
        "livemode": False,
        "name": call.given.get("name"),
        "status": "ready",
        "status_details": {},
    }
    call.world.put(clock)
    call.world.publish("test_helpers.test_clock.created", clock)
    return clock


def advance(call: Call) -> Document:
    """The answer says `advancing`, as Stripe's, though all is done by then: callers wait for `ready`."""
    world = call.world
    clock = world.find(CLOCK, call.id)
    until = call.given["frozen_time"]
    if until <= clock["frozen_time"]:
        raise Problem("The time to advance to must be after the clock's present time.", param="frozen_time")
    _check_step(world, clock, until)
    advancing = {**clock, "status": "advancing"}
    world.publish("test_helpers.test_clock.advancing", world.put(advancing))
    run(world, clock["id"], until)
    ready = world.put({**clock, "frozen_time": until})
    world.publish("test_helpers.test_clock.ready", ready)
    return advancing


def _check_step(world: World, clock: Document, until: int) -> None:
    """Stripe moves a clock by two intervals of its shortest subscription at most."""
    now = clock["frozen_time"]
    for subscription in _of(world, "subscription", clock["id"]):
        if subscription["status"] in LIVE:
            recurring = subscriptions.recurring(subscription["items"]["data"])
            furthest = now
            for _ in range(MOST_INTERVALS):
                furthest = periods.following(now, furthest, recurring)
            if until > furthest:
                message = (
                    f"A test clock advances at most {MOST_INTERVALS} intervals of its shortest subscription at once"
                )
                raise Problem(f"{message}: here to {furthest}.", param="frozen_time")


def _of(world: World, kind: str, clock: str | None) -> list[Document]:
    return world.of(kind, test_clock=clock)


def run(world: World, clock: str | None, until: int) -> None:
    """Let happen what falls due until then, oldest first; each thing at its own time when there is a clock."""
    agenda = [due for kind in ("subscription", "invoice") for each in _of(world, kind, clock) for due in dues(each)]
    heapq.heapify(agenda)
    while agenda and agenda[0][0] <= until:
        at, kind, id = heapq.heappop(agenda)
        document = world.get(kind, id)
        if document is None or (at, kind, id) not in set(dues(document)):
            continue  # it has changed since
        frozen = world.get(CLOCK, clock)
        if frozen and at > frozen["frozen_time"]:
            world.put({**frozen, "frozen_time": at})
        for touched in happen(world, document, at):
            for due in dues(touched):
                heapq.heappush(agenda, due)


def dues(document: Document) -> Iterator[Due]:
    """When something happens to it by itself."""
    kind, id, status = document["object"], document["id"], document["status"]
    if kind == "invoice":
        if status == "draft" and document["auto_advance"] and document["automatically_finalizes_at"]:
            yield document["automatically_finalizes_at"], kind, id
        return
    if status == "incomplete":
        yield document["created"] + INCOMPLETE_S, kind, id
    if status in LIVE:
        yield subscriptions.period(document)[1], kind, id
        if document["cancel_at"]:
            yield document["cancel_at"], kind, id
    if status == "trialing" and not document["_warned"]:
        yield max(document["created"], document["trial_end"] - WARNING_S), kind, id


def happen(world: World, document: Document, at: int) -> list[Document]:
    """Returns what may have something due again."""
    if document["object"] == "invoice":
        collection.collect(world, document)
        return []
    if document["status"] == "incomplete":
        for invoice in world.of("invoice", _subscription=document["id"], status="open"):
            collection.void_invoice(world, invoice)
        return [subscriptions.end(world, world.find("subscription", document["id"]), reason="expired")]
    if document["cancel_at"] and document["cancel_at"] <= at:
        return [subscriptions.end(world, document)]
    if subscriptions.period(document)[1] <= at:
        return renew(world, document)
    warned = world.put({**document, "_warned": True})
    world.publish("customer.subscription.trial_will_end", warned)
    return [warned]


def renew(world: World, subscription: Document) -> list[Document]:
    """The next period begins. Its invoice is a draft for an hour, then it is collected."""
    start = subscriptions.period(subscription)[1]
    if subscription["status"] == "trialing":
        ended = _without_method(world, subscription)
        if ended:
            return [ended]
    rows = subscription["items"]["data"]
    end = periods.following(subscription["billing_cycle_anchor"], start, subscriptions.recurring(rows))
    status = "active" if subscription["status"] == "trialing" else subscription["status"]
    new = subscriptions.with_period({**subscription, "status": status}, start, end)
    world.put(new)
    invoice = subscriptions.make_invoice(
        world,
        new,
        reason="subscription_cycle",
        lines=subscriptions.item_lines(world, new),
        auto_advance=True,
    )
    new = world.find("subscription", new["id"])
    world.publish("customer.subscription.updated", new, old=subscription)
    return [new, invoice]


def _without_method(world: World, subscription: Document) -> Document | None:
    """The end of a trial for which nobody left a card, where the subscription says what to do then."""
    customer = world.find("customer", subscription["customer"])
    known = subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    wanted = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if known or wanted == "create_invoice":
        return None
    if wanted == "cancel":
        return subscriptions.end(world, subscription)
    paused = world.change(subscription, "customer.subscription.updated", status="paused")
    world.publish("customer.subscription.paused", paused)
    return paused


def retrieve(call: Call) -> Document:
    return call.world.find(CLOCK, call.id)


def delete(call: Call) -> Document:
    """With all its customers and their subscriptions."""
    clock = call.world.find(CLOCK, call.id)
    for subscription in _of(call.world, "subscription", clock["id"]):
        call.world.delete(subscription)
    for customer in _of(call.world, "customer", clock["id"]):
        call.world.store.put("deleted_customer", customer["id"], call.world.delete(customer))
    call.world.publish("test_helpers.test_clock.deleted", clock)
    return call.world.delete(clock)


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/test_helpers/test_clocks",
        create,
        fields(required="frozen_time", frozen_time=timestamp, name=text),
    ),
    Endpoint("GET", "/v1/test_helpers/test_clocks/{id}", retrieve),
    Endpoint(
        "POST",
        "/v1/test_helpers/test_clocks/{id}/advance",
        advance,
        fields(required="frozen_time", frozen_time=timestamp),
    ),
    Endpoint("DELETE", "/v1/test_helpers/test_clocks/{id}", delete),
    lister("/v1/test_helpers/test_clocks", CLOCK, by_time=False),
)
