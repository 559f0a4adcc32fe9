"""Payment methods: cards, made of test ids by a server or of numbers by a browser, attached to one customer."""

from __future__ import annotations

import time
from typing import Any

from sandbox.store import Document
from sandbox.stripe import cards
from sandbox.stripe.documents import ADDRESS, changed, new_id
from sandbox.stripe.errors import Declined, Problem, missing
from sandbox.stripe.forms import ADDRESS as ADDRESS_FIELDS
from sandbox.stripe.forms import fields, group, integer, metadata, one_of, text
from sandbox.stripe.lists import lister
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call, World

BILLING = group(address=ADDRESS_FIELDS, email=text, name=text, phone=text)
CARD = group(number=text, exp_month=integer, exp_year=integer, cvc=text, token=text)
METHOD_DATA = group(required="type", type=one_of("card"), card=CARD, billing_details=BILLING)
USED = (
    "This PaymentMethod was previously used without being attached to a Customer or was detached from a Customer, and "
    "may not be used again."
)
RAW_NUMBER = (
    "Sending credit card numbers directly to the Stripe API is generally unsafe. We suggest you use test tokens that "
    "map to the test card you are using, see https://stripe.com/docs/testing."
)


def create(call: Call) -> Document:
    return make(call.world, call.given, public=call.public)


def make(world: World, given: dict[str, Any], *, public: bool) -> Document:
    """A new method from `card[number]` (browsers only) or `card[token]`."""
    wanted = given.get("card") or {}
    if wanted.get("token"):
        card = cards.named(wanted["token"])
        if card is None:
            raise missing("token", wanted["token"], param="card[token]")
        return new(world, card, given)
    if not wanted.get("number"):
        raise Problem("Missing required param: card.", code="parameter_missing", param="card")
    if not public:
        raise Problem(RAW_NUMBER, status=402)
    card = cards.read_number(wanted["number"])
    _check_dates(card, wanted)
    return new(world, card, given, month=wanted["exp_month"], year=wanted["exp_year"])


def _check_dates(card: cards.Card, wanted: dict[str, Any]) -> None:
    month, year, cvc = wanted.get("exp_month", 0), wanted.get("exp_year", 0), wanted.get("cvc") or ""
    if not 1 <= month <= 12:
        raise Declined("Your card's expiration month is invalid.", code="invalid_expiry_month", param="exp_month")
    now = time.gmtime()
    if not now.tm_year <= year <= now.tm_year + 50 or (year, month) < (now.tm_year, now.tm_mon):
        raise Declined("Your card's expiration year is invalid.", code="invalid_expiry_year", param="exp_year")
    if not cvc.isdigit() or len(cvc) != (4 if card.brand == "amex" else 3):
        raise Declined("Your card's security code is invalid.", code="invalid_cvc", param="cvc")


def new(world: World, card: cards.Card, given: dict[str, Any], *, month: int = 12, year: int | None = None) -> Document:
    billing = given.get("billing_details") or {}
    document: Document = {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": ADDRESS | (billing.get("address") or {}),
            **{name: billing.get(name) for name in ("email", "name", "phone", "tax_id")},
        },
        "card": _shown_card(card, month, year or time.gmtime().tm_year + 4),
        "created": world.now(),
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "type": "card",
        "_number": card.number,
        "_set_up": False,
        "_used": False,
    }
    return world.put(document)


def _shown_card(card: cards.Card, month: int, year: int) -> Document:
    return {
        "brand": card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "display_brand": card.brand,
        "exp_month": month,
        "exp_year": year,
        "fingerprint": cards.fingerprint(card.number),
        "funding": "debit" if "visa_debit" in card.ids else "credit",
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def resolve(world: World, id: str, *, param: str = "payment_method") -> Document:
    """The method with this id; `pm_card_visa` and its like make a new one at each use. Raises Problem."""
    card = cards.named(id)
    return new(world, card, {}) if card else world.find("payment_method", id, param=param)


def usable(world: World, id: str, customer: str | None) -> Document:
    """The method, if a payment of this customer may use it. Raises Problem."""
    method = resolve(world, id)
    if method["customer"] not in (None, customer):
        whose = f"customer {customer} does" if customer else "PaymentIntent has no customer, so it does"
        message = f"The {whose} not have a payment method with the ID {id}. The payment method must be attached to the customer."
        raise Problem(message, code="resource_missing", param="payment_method")
    if method["_used"] and method["customer"] is None:
        raise Problem(USED, code="payment_method_unexpected_state")
    return method


def attach(call: Call) -> Document:
    customer = call.world.find("customer", call.given["customer"], param="customer")
    method = resolve(call.world, call.id, param="id")
    if method["customer"] == customer["id"]:
        return method
    if method["customer"]:
        raise Problem(
            "The payment method you provided has already been attached to a customer.",
            code="payment_method_unexpected_state",
        )
    if method["_used"]:
        raise Problem(USED, code="payment_method_unexpected_state")
    card = cards.of(method)
    if card.refusal and not card.attachable:
        raise card.refusal.problem()
    return bind(call.world, method, customer["id"])


def bind(world: World, method: Document, customer: str) -> Document:
    """Attach without questions, as a successful setup does."""
    if method["customer"] == customer:
        return method
    method = world.put({**method, "customer": customer})
    world.publish("payment_method.attached", method)
    return method


def detach(call: Call) -> Document:
    method = call.world.find("payment_method", call.id)
    if not method["customer"]:
        raise Problem(
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            code="payment_method_unexpected_state",
        )
    customer = call.world.find("customer", method["customer"])
    settings = customer["invoice_settings"]
    if settings["default_payment_method"] == method["id"]:
        settings = {**settings, "default_payment_method": None}
        call.world.change(customer, "customer.updated", invoice_settings=settings)
    for subscription in call.world.of("subscription", default_payment_method=method["id"]):
        call.world.change(subscription, "customer.subscription.updated", default_payment_method=None)
    detached = call.world.put({**method, "customer": None, "_used": True})
    call.world.publish("payment_method.detached", detached, old=method)
    return detached


def update(call: Call) -> Document:
    method = call.world.find("payment_method", call.id)
    if not method["customer"]:
        raise Problem(
            "You must attach this PaymentMethod to a customer before you can update it.",
            code="payment_method_unexpected_state",
        )
    new = changed(method, call.given, "metadata")
    if "billing_details" in call.given:
        given = call.given["billing_details"]
        address = method["billing_details"]["address"] | (given.get("address") or {})
        new["billing_details"] = method["billing_details"] | given | {"address": address}
    if "card" in call.given:
        new["card"] = method["card"] | call.given["card"]
    return call.world.change(method, "payment_method.updated", **new)


def retrieve(call: Call) -> Document:
    return call.world.find("payment_method", call.id)


def retrieve_of_customer(call: Call) -> Document:
    method = call.world.find("payment_method", call.id)
    if method["customer"] != call.path["customer"]:
        raise missing("payment_method", call.id)
    return method


ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/payment_methods",
        create,
        fields(required="type", type=one_of("card"), card=CARD, billing_details=BILLING, metadata=metadata),
        public=True,
    ),
    Endpoint("GET", "/v1/payment_methods/{id}", retrieve),
    Endpoint(
        "POST",
        "/v1/payment_methods/{id}",
        update,
        fields(billing_details=BILLING, metadata=metadata, card=group(exp_month=integer, exp_year=integer)),
    ),
    Endpoint("POST", "/v1/payment_methods/{id}/attach", attach, fields(required="customer", customer=text)),
    Endpoint("POST", "/v1/payment_methods/{id}/detach", detach),
    lister("/v1/payment_methods", "payment_method", by_time=False, customer=text, type=one_of("card")),
    lister("/v1/customers/{customer}/payment_methods", "payment_method", by_time=False, type=one_of("card")),
    Endpoint("GET", "/v1/customers/{customer}/payment_methods/{id}", retrieve_of_customer),
)
