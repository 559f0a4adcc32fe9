"""Customers."""

from __future__ import annotations

import secrets

from sandbox.store import Document
from sandbox.stripe import payment_methods, subscriptions
from sandbox.stripe.documents import changed, new_id
from sandbox.stripe.errors import missing
from sandbox.stripe.forms import ADDRESS, Kind, fields, group, integer, metadata, one_of, text
from sandbox.stripe.lists import lister
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import CLOCK, Call

TEXTS = "name email phone description"
SETTINGS = group(default_payment_method=text, footer=text)
WRITABLE: dict[str, Kind] = {
    "name": text,
    "email": text,
    "phone": text,
    "description": text,
    "address": ADDRESS,
    "balance": integer,
    "invoice_settings": SETTINGS,
    "metadata": metadata,
    "tax_exempt": one_of("none", "exempt", "reverse"),
}


def create(call: Call) -> Document:
    given, world = call.given, call.world
    clock = given.get("test_clock")
    if clock:
        world.find(CLOCK, clock, param="test_clock")
    customer: Document = {
        "id": new_id("cus", 14),
        "object": "customer",
        "address": given.get("address") or None,
        "balance": given.get("balance", 0),
        "created": world.now(clock),
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "discount": None,
        "invoice_prefix": secrets.token_hex(4).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "next_invoice_sequence": 1,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": given.get("tax_exempt") or "none",
        "test_clock": clock,
        **{name: given.get(name) for name in TEXTS.split()},
    }
    world.put(customer)
    if given.get("payment_method"):
        method = payment_methods.usable(world, given["payment_method"], customer["id"])
        payment_methods.bind(world, method, customer["id"])
    customer = world.put(_with_settings(call, customer))
    world.publish("customer.created", customer)
    return customer


def _with_settings(call: Call, customer: Document) -> Document:
    """`invoice_settings[default_payment_method]` must be a method of this customer."""
    settings = dict(call.given.get("invoice_settings") or {})
    method = settings.get("default_payment_method")
    if method:
        found = payment_methods.usable(call.world, method, customer["id"])
        if found["customer"] != customer["id"]:
            raise missing("PaymentMethod", method, param="invoice_settings[default_payment_method]")
        settings["default_payment_method"] = found["id"]
    return {**customer, "invoice_settings": customer["invoice_settings"] | settings}


def update(call: Call) -> Document:
    old = call.world.find("customer", call.id)
    new = _with_settings(call, changed(old, call.given, f"{TEXTS} address balance tax_exempt"))
    return call.world.change(old, "customer.updated", **new)


def retrieve(call: Call) -> Document:
    deleted = call.world.get("deleted_customer", call.id)
    return deleted or call.world.find("customer", call.id)


def delete(call: Call) -> Document:
    """Its subscriptions end and its methods are let go; payments stay."""
    customer = call.world.find("customer", call.id)
    for subscription in call.world.of("subscription", customer=customer["id"]):
        subscriptions.end(call.world, subscription)
    for method in call.world.of("payment_method", customer=customer["id"]):
        call.world.put({**method, "customer": None, "_used": True})
    call.world.publish("customer.deleted", customer)
    gone = call.world.delete(customer)
    call.world.store.put("deleted_customer", customer["id"], gone)
    return gone


ENDPOINTS = (
    Endpoint("POST", "/v1/customers", create, fields(WRITABLE, payment_method=text, test_clock=text)),
    Endpoint("GET", "/v1/customers/{id}", retrieve),
    Endpoint("POST", "/v1/customers/{id}", update, fields(WRITABLE)),
    Endpoint("DELETE", "/v1/customers/{id}", delete),
    lister("/v1/customers", "customer", email=text, test_clock=text),
)
