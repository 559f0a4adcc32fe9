"""Setup intents: a card is checked and kept for later payments, without taking money."""

from __future__ import annotations

from typing import Any

from sandbox.store import Document
from sandbox.stripe import cards, intents, payment_methods
from sandbox.stripe.documents import changed, new_id
from sandbox.stripe.errors import Declined, Problem
from sandbox.stripe.forms import fields, one_of, text
from sandbox.stripe.lists import lister
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call, World

KIND = "setup_intent"
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
USAGE = one_of("off_session", "on_session")


def create(call: Call) -> Document:
    given, world = call.given, call.world
    if given.get("customer"):
        world.find("customer", given["customer"], param="customer")
    intents.check_return_url(given.get("return_url"))
    intent = world.put(_draft(world, given))
    method = intents.method_of(call, intent, given)
    if method:
        intent = world.put({**intent, "payment_method": method["id"], "status": "requires_confirmation"})
    world.publish("setup_intent.created", intent)
    return _confirmed(call, intent, method) if given.get("confirm") else intent


def _draft(world: World, given: dict[str, Any]) -> Document:
    id = new_id("seti")
    return {
        "id": id,
        "object": KIND,
        "application": None,
        "automatic_payment_methods": intents.automatic(given),
        "cancellation_reason": None,
        "client_secret": intents.secret(id),
        "created": world.time_of(given.get("customer")),
        "customer": given.get("customer"),
        "description": given.get("description"),
        "excluded_payment_method_types": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": given.get("metadata", {}),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": given.get("usage") or "off_session",
        "_return_url": given.get("return_url"),
    }


def confirm(call: Call) -> Document:
    intent = intents.find(call, KIND)
    if intent["status"] not in OPEN:
        raise intents.unexpected(KIND, "confirm", intent)
    intents.check_return_url(call.given.get("return_url"))
    intent["_return_url"] = call.given.get("return_url") or intent["_return_url"]
    method = intents.method_of(call, intent, call.given)
    return intents.for_browser(call, _confirmed(call, intent, method))


def _confirmed(call: Call, intent: Document, method: Document | None) -> Document:
    if method is None:
        message = "You cannot confirm this SetupIntent because it's missing a payment method."
        raise Problem(message, code="setup_intent_unexpected_state", setup_intent=intent)
    intent = _attempt(call.world, intent, method)
    error = intent["last_setup_error"]
    if intent["status"] == "requires_payment_method":
        decline_code = error.get("decline_code", "")
        raise Declined(
            error["message"], code=error["code"], decline_code=decline_code, object=intents.for_browser(call, intent)
        )
    return intent


def _attempt(world: World, intent: Document, method: Document, *, authenticated: bool = False) -> Document:
    intent = {**intent, "payment_method": method["id"], "next_action": None, "last_setup_error": None}
    card = cards.of(method)
    if card.authenticate and not authenticated:
        intent = world.put({**intent, "status": "requires_action", "next_action": intents.ask_payer(world, intent)})
        world.publish("setup_intent.requires_action", intent)
        return intent
    if card.refusal and not card.attachable:
        return _fail(world, intent, intents.failed(intent, method, card.refusal))
    intent = world.put({**intent, "status": "succeeded"})
    method = world.put({**method, "_set_up": True})
    if intent["customer"]:
        payment_methods.bind(world, method, intent["customer"])
    world.publish("setup_intent.succeeded", intent)
    return intent


def _fail(world: World, intent: Document, error: Document) -> Document:
    refused = {"status": "requires_payment_method", "payment_method": None, "next_action": None}
    intent = world.put({**intent, **refused, "last_setup_error": error})
    world.publish("setup_intent.setup_failed", intent)
    return intent


def answer_payer(world: World, intent: Document, *, passed: bool) -> Document:
    """The payer comes back from the 3-D Secure page. Another answer than the first changes nothing."""
    if intent["status"] != "requires_action":
        return intent
    method = world.find("payment_method", intent["payment_method"])
    if passed:
        return _attempt(world, intent, method, authenticated=True)
    refusal = cards.Refusal("setup_intent_authentication_failure", "", cards.NOT_AUTHENTICATED)
    return _fail(world, intent, {**intents.failed(intent, method, refusal), "type": "invalid_request_error"})


def update(call: Call) -> Document:
    old = intents.find(call, KIND)
    if old["status"] not in OPEN:
        raise intents.unexpected(KIND, "update", old)
    if call.given.get("customer"):
        call.world.find("customer", call.given["customer"], param="customer")
    new = changed(old, call.given, "customer description")
    method = intents.method_of(call, new, call.given)
    if method and method["id"] != old["payment_method"]:
        new |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}
    return call.world.put(new)


def cancel(call: Call) -> Document:
    intent = call.world.find(KIND, call.id)
    if intent["status"] not in OPEN:
        raise intents.unexpected(KIND, "cancel", intent)
    reason = call.given.get("cancellation_reason")
    intent = call.world.put({**intent, "status": "canceled", "cancellation_reason": reason, "next_action": None})
    call.world.publish("setup_intent.canceled", intent)
    return intent


def retrieve(call: Call) -> Document:
    return intents.for_browser(call, intents.find(call, KIND))


ENDPOINTS = (
    Endpoint("POST", "/v1/setup_intents", create, fields(intents.SHARED, usage=USAGE)),
    Endpoint("GET", "/v1/setup_intents/{id}", retrieve, fields(client_secret=text), public=True),
    Endpoint("POST", "/v1/setup_intents/{id}", update, fields(intents.CHANGEABLE)),
    Endpoint("POST", "/v1/setup_intents/{id}/confirm", confirm, intents.WITH_SECRET, public=True),
    Endpoint("POST", "/v1/setup_intents/{id}/cancel", cancel, intents.CANCEL),
    lister("/v1/setup_intents", KIND, customer=text, payment_method=text),
)
