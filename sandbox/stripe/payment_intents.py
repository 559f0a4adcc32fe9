"""Payment intents: requires_payment_method → requires_confirmation → (requires_action →) succeeded, or canceled."""

from __future__ import annotations

from typing import Any

from sandbox.store import Document
from sandbox.stripe import cards, charges, disputes, intents, payment_methods, settlement
from sandbox.stripe.documents import changed, new_id
from sandbox.stripe.errors import Declined, Problem
from sandbox.stripe.forms import Kind, currency, fields, flag, one_of, positive, text
from sandbox.stripe.lists import lister
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call, World

KIND = "payment_intent"
LEAST, MOST = 50, 99_999_999
OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
TEXTS = "description receipt_email statement_descriptor statement_descriptor_suffix transfer_group"
WRITABLE: dict[str, Kind] = {
    **dict.fromkeys(TEXTS.split(), text),
    "capture_method": one_of("automatic", "automatic_async"),
    "setup_future_usage": one_of("off_session", "on_session"),
}


def create(call: Call) -> Document:
    given, world = call.given, call.world
    check_amount(given["amount"])
    if given.get("customer"):
        world.find("customer", given["customer"], param="customer")
    if given.get("off_session") and not given.get("confirm"):
        raise Problem("You cannot use `off_session` without `confirm=true`.", param="off_session")
    intents.check_return_url(given.get("return_url"))
    intent = world.put(draft(world, given))
    method = intents.method_of(call, intent, given)
    if method:
        intent = world.put({**intent, "payment_method": method["id"], "status": "requires_confirmation"})
    world.publish("payment_intent.created", intent)
    if not given.get("confirm"):
        return intent
    return _confirmed(call, intent, method)


def check_amount(amount: int) -> None:
    if amount < LEAST:
        message = "Amount must be at least $0.50 usd"
        raise Problem(message, code="amount_too_small", param="amount")
    if amount > MOST:
        raise Problem("Amount must be no more than $999,999.99", code="amount_too_large", param="amount")


# What is the same in each new payment intent of the sandbox.
USUAL: Document = {
    "amount_capturable": 0,
    "amount_details": {"tip": {}},
    "amount_received": 0,
    "application": None,
    "application_fee_amount": None,
    "canceled_at": None,
    "cancellation_reason": None,
    "confirmation_method": "automatic",
    "customer_account": None,
    "excluded_payment_method_types": None,
    "last_payment_error": None,
    "latest_charge": None,
    "livemode": False,
    "next_action": None,
    "on_behalf_of": None,
    "payment_method": None,
    "payment_method_configuration_details": None,
    "payment_method_options": {},
    "payment_method_types": ["card"],
    "processing": None,
    "review": None,
    "shipping": None,
    "source": None,
    "status": "requires_payment_method",
    "transfer_data": None,
}


def draft(world: World, given: dict[str, Any]) -> Document:
    id = new_id("pi")
    return {
        "id": id,
        "object": KIND,
        **USUAL,
        "amount": given["amount"],
        "automatic_payment_methods": intents.automatic(given),
        "capture_method": given.get("capture_method") or "automatic_async",
        "client_secret": intents.secret(id),
        "created": world.time_of(given.get("customer")),
        "currency": given["currency"],
        "customer": given.get("customer"),
        "metadata": given.get("metadata", {}),
        "setup_future_usage": given.get("setup_future_usage"),
        **{name: given.get(name) for name in TEXTS.split()},
        "_return_url": given.get("return_url"),
        "_invoice": given.get("invoice"),
    }


def confirm(call: Call) -> Document:
    intent = intents.find(call, KIND)
    if intent["status"] not in OPEN:
        raise intents.unexpected(KIND, "confirm", intent)
    intents.check_return_url(call.given.get("return_url"))
    future = call.given.get("setup_future_usage") or intent["setup_future_usage"]
    back = call.given.get("return_url") or intent["_return_url"]
    intent = {**intent, "setup_future_usage": future, "_return_url": back}
    method = intents.method_of(call, intent, call.given)
    return intents.for_browser(call, _confirmed(call, intent, method))


def _confirmed(call: Call, intent: Document, method: Document | None) -> Document:
    if method is None:
        message = (
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a "
            "payment method or ConfirmationToken."
        )
        raise Problem(message, code="payment_intent_unexpected_state", payment_intent=intent)
    absent = bool(call.given.get("off_session") or call.given.get("error_on_requires_action"))
    intent = attempt(call.world, intent, method, off_session=absent)
    error = intent["last_payment_error"]
    if intent["status"] == "requires_payment_method":
        raise as_declined(error, intents.for_browser(call, intent))
    return intent


def as_declined(error: Document, intent: Document) -> Declined:
    more = {name: error[name] for name in ("charge", "payment_method") if name in error}
    decline_code = error.get("decline_code", "")
    return Declined(error["message"], code=error["code"], decline_code=decline_code, object=intent, **more)


def attempt(
    world: World,
    intent: Document,
    method: Document,
    *,
    off_session: bool,
    may_ask: bool | None = None,
    authenticated: bool = False,
) -> Document:
    """Charge the method for the intent. It then is succeeded, waits for the payer, or has a last error.

    Where nobody is there to ask (`off_session`), a bank's question is a refusal, unless it `may_ask` all the same.
    """
    intent = {**intent, "payment_method": method["id"], "next_action": None, "last_payment_error": None}
    asked = not authenticated and cards.needs_payer(method, off_session=off_session)
    if asked and (may_ask if may_ask is not None else not off_session):
        intent = world.put({**intent, "status": "requires_action", "next_action": intents.ask_payer(world, intent)})
        world.publish("payment_intent.requires_action", intent)
        settlement.waits(world, intent)
        return intent
    refusal = cards.NEEDS_PAYER if asked else cards.of(method).refusal
    made = charges.charge(world, intent, method, refusal, authenticated=authenticated)
    intent["latest_charge"] = made["id"]
    if refusal:
        return fail(world, intent, {**intents.failed(intent, method, refusal), "charge": made["id"]})
    intent = world.put({**intent, "status": "succeeded", "amount_received": intent["amount"]})
    _keep_method(world, intent, method, authenticated)
    world.publish("payment_intent.succeeded", intent)
    settlement.succeeded(world, intent)
    if cards.of(method).dispute:
        disputes.open_dispute(world, made, reason=cards.of(method).dispute)
    return intent


def fail(world: World, intent: Document, error: Document) -> Document:
    refused = {"status": "requires_payment_method", "payment_method": None, "next_action": None}
    intent = world.put({**intent, **refused, "last_payment_error": error})
    world.publish("payment_intent.payment_failed", intent)
    settlement.failed(world, intent)
    return intent


def _keep_method(world: World, intent: Document, method: Document, authenticated: bool) -> None:
    """With `setup_future_usage` the customer keeps the card; without a customer a card serves once."""
    method = world.put({**method, "_used": True})
    if intent["setup_future_usage"] and intent["customer"]:
        method = world.put({**method, "_set_up": method["_set_up"] or authenticated})
        payment_methods.bind(world, method, intent["customer"])


def answer_payer(world: World, intent: Document, *, passed: bool) -> Document:
    """The payer comes back from the 3-D Secure page. Another answer than the first changes nothing."""
    if intent["status"] != "requires_action":
        return intent
    method = world.find("payment_method", intent["payment_method"])
    if passed:
        return attempt(world, intent, method, off_session=False, authenticated=True)
    refusal = cards.Refusal("payment_intent_authentication_failure", "", cards.NOT_AUTHENTICATED)
    return fail(world, intent, {**intents.failed(intent, method, refusal), "type": "invalid_request_error"})


def update(call: Call) -> Document:
    old = intents.find(call, KIND)
    if old["status"] not in OPEN:
        raise intents.unexpected(KIND, "update", old)
    if "amount" in call.given:
        check_amount(call.given["amount"])
    if call.given.get("customer"):
        call.world.find("customer", call.given["customer"], param="customer")
    new = changed(old, call.given, f"{TEXTS} amount customer setup_future_usage")
    method = intents.method_of(call, new, call.given)
    if method and method["id"] != old["payment_method"]:
        new |= {"payment_method": method["id"], "status": "requires_confirmation", "next_action": None}
    return call.world.put(new)


def cancel(call: Call) -> Document:
    intent = call.world.find(KIND, call.id)
    if intent["status"] not in OPEN:
        raise intents.unexpected(KIND, "cancel", intent)
    if intent["_invoice"]:
        raise Problem("You cannot cancel the PaymentIntent of an invoice. Void the invoice instead.")
    return end(call.world, intent, call.given.get("cancellation_reason"))


def end(world: World, intent: Document, reason: str | None) -> Document:
    at = world.time_of(intent["customer"])
    fields = {"status": "canceled", "canceled_at": at, "cancellation_reason": reason, "next_action": None}
    intent = world.put({**intent, **fields})
    world.publish("payment_intent.canceled", intent)
    return intent


def retrieve(call: Call) -> Document:
    return intents.for_browser(call, intents.find(call, KIND))


CHANGEABLE: dict[str, Kind] = {**intents.CHANGEABLE, **WRITABLE, "amount": positive, "currency": currency}
ABSENT: dict[str, Kind] = {"error_on_requires_action": flag, "off_session": flag}
CONFIRMABLE: dict[str, Kind] = {
    **intents.CONFIRM,
    "client_secret": text,
    **ABSENT,
    "setup_future_usage": WRITABLE["setup_future_usage"],
}
ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/payment_intents",
        create,
        fields({**intents.SHARED, **CHANGEABLE, **ABSENT}, required="amount currency"),
    ),
    Endpoint("GET", "/v1/payment_intents/{id}", retrieve, fields(client_secret=text), public=True),
    Endpoint("POST", "/v1/payment_intents/{id}", update, fields(CHANGEABLE)),
    Endpoint("POST", "/v1/payment_intents/{id}/confirm", confirm, fields(CONFIRMABLE), public=True),
    Endpoint("POST", "/v1/payment_intents/{id}/cancel", cancel, intents.CANCEL),
    lister("/v1/payment_intents", KIND, customer=text),
)
