"""Products and their prices."""

from __future__ import annotations

from typing import Any

from sandbox.store import Document
from sandbox.stripe.documents import changed, new_id
from sandbox.stripe.errors import Problem
from sandbox.stripe.forms import (
    Fields,
    currency,
    fields,
    flag,
    group,
    integer,
    many,
    metadata,
    one_of,
    positive,
    text,
)
from sandbox.stripe.lists import BY_TIME, lister, matches, page
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import Call, World

TEXTS = "description url statement_descriptor unit_label tax_code"
PRODUCT = {**dict.fromkeys(TEXTS.split(), text), "name": text, "active": flag, "metadata": metadata}
INTERVAL = one_of("day", "week", "month", "year")
LONGEST_YEARS = 3


def create(call: Call) -> Document:
    id = call.given.get("id")
    if id and call.world.get("product", id):
        raise Problem("Product already exists.", code="resource_already_exists", param="id")
    return make(call.world, call.given)


def make(world: World, given: dict[str, Any]) -> Document:
    at = world.now()
    product: Document = {
        "id": given.get("id") or new_id("prod", 14),
        "object": "product",
        "active": given.get("active", True),
        "created": at,
        "default_price": None,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": given.get("metadata", {}),
        "name": given["name"],
        "package_dimensions": None,
        "shippable": None,
        "type": "service",
        "updated": at,
        **{name: given.get(name) for name in TEXTS.split()},
    }
    world.put(product)
    world.publish("product.created", product)
    return product


def update(call: Call) -> Document:
    old = call.world.find("product", call.id)
    new = changed(old, call.given, f"{TEXTS} name active default_price")
    if new["default_price"]:
        call.world.find("price", new["default_price"], param="default_price")
    return call.world.change(old, "product.updated", **{**new, "updated": call.world.now()})


def retrieve(call: Call) -> Document:
    return call.world.find("product", call.id)


def delete(call: Call) -> Document:
    product = call.world.find("product", call.id)
    if call.world.of("price", product=product["id"]):
        raise Problem("This product cannot be deleted because it has one or more user-created prices.")
    call.world.publish("product.deleted", product)
    return call.world.delete(product)


def create_price(call: Call) -> Document:
    given, world = call.given, call.world
    product = _product_of(world, given)
    _take_lookup_key(world, given)
    recurring = given.get("recurring")
    price: Document = {
        "id": new_id("price"),
        "object": "price",
        "active": given.get("active", True),
        "billing_scheme": "per_unit",
        "created": world.now(),
        "currency": given["currency"],
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": given.get("lookup_key"),
        "metadata": given.get("metadata", {}),
        "nickname": given.get("nickname"),
        "product": product["id"],
        "recurring": _read_recurring(recurring) if recurring else None,
        "tax_behavior": given.get("tax_behavior") or "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": given["unit_amount"],
        "unit_amount_decimal": str(given["unit_amount"]),
    }
    world.put(price)
    world.publish("price.created", price)
    return price


def _product_of(world: World, given: dict[str, Any]) -> Document:
    if given.get("product_data"):
        return make(world, given["product_data"])
    if not given.get("product"):
        raise Problem("You must specify either `product` or `product_data`.", code="parameter_missing", param="product")
    return world.find("product", given["product"], param="product")


def _take_lookup_key(world: World, given: dict[str, Any]) -> None:
    key = given.get("lookup_key")
    for other in world.of("price", lookup_key=key) if key else []:
        if not given.get("transfer_lookup_key"):
            message = f"A price (`{other['id']}`) already uses that lookup key."
            raise Problem(message, param="lookup_key")
        world.change(other, "price.updated", lookup_key=None)


def _read_recurring(given: dict[str, Any]) -> Document:
    count = given.get("interval_count", 1)
    years = {"day": 365, "week": 52, "month": 12, "year": 1}[given["interval"]] * LONGEST_YEARS
    if not 1 <= count <= years:
        message = f"A period is at most {LONGEST_YEARS} years long."
        raise Problem(message, param="recurring[interval_count]")
    usual = {"meter": None, "trial_period_days": None, "usage_type": "licensed"}
    return {"interval": given["interval"], "interval_count": count, **usual}


def update_price(call: Call) -> Document:
    old = call.world.find("price", call.id)
    if call.given.get("lookup_key") != old["lookup_key"]:
        _take_lookup_key(call.world, call.given)
    new = changed(old, call.given, "active nickname lookup_key tax_behavior")
    return call.world.change(old, "price.updated", **new)


def retrieve_price(call: Call) -> Document:
    return call.world.find("price", call.id)


def list_prices(call: Call) -> Document:
    names = ["active", "product", "type", "currency"]
    wanted = {name: call.given[name] for name in names if name in call.given}
    keys = call.given.get("lookup_keys")
    found = [price for price in call.world.of("price") if matches(price, wanted)]
    found = [price for price in found if not keys or price["lookup_key"] in keys]
    return page(call, found, "/v1/prices", "price")


def plan_of(price: Document) -> Document:
    """The older name of a price, which subscription items still carry."""
    names = ("active", "billing_scheme", "created", "currency", "id", "livemode", "metadata", "nickname", "product")
    return {
        **{name: price[name] for name in names},
        "object": "plan",
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "interval": price["recurring"]["interval"],
        "interval_count": price["recurring"]["interval_count"],
        "meter": None,
        "tiers_mode": None,
        "transform_usage": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }


def find_recurring(world: World, id: str, param: str) -> Document:
    """Raises Problem: unknown, no longer sold, or not for subscriptions."""
    price = world.find("price", id, param=param)
    if not price["active"]:
        raise Problem(f"The price specified is inactive. This field only accepts active prices: {id}", param=param)
    if not price["recurring"]:
        message = f"The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`: {id}"
        raise Problem(message, param=param)
    return price


def product_name(world: World, price: Document) -> str:
    return str(world.find("product", price["product"])["name"])


ENDPOINTS = (
    Endpoint("POST", "/v1/products", create, fields(PRODUCT, required="name", id=text)),
    Endpoint("GET", "/v1/products/{id}", retrieve),
    Endpoint("POST", "/v1/products/{id}", update, fields(PRODUCT, default_price=text)),
    Endpoint("DELETE", "/v1/products/{id}", delete),
    lister("/v1/products", "product", active=flag),
    Endpoint(
        "POST",
        "/v1/prices",
        create_price,
        fields(
            required="currency unit_amount",
            active=flag,
            currency=currency,
            lookup_key=text,
            metadata=metadata,
            nickname=text,
            product=text,
            product_data=group(required="name", name=text, metadata=metadata, id=text),
            recurring=group(required="interval", interval=INTERVAL, interval_count=integer),
            tax_behavior=one_of("inclusive", "exclusive", "unspecified"),
            transfer_lookup_key=flag,
            unit_amount=positive,
        ),
    ),
    Endpoint("GET", "/v1/prices/{id}", retrieve_price),
    Endpoint(
        "POST",
        "/v1/prices/{id}",
        update_price,
        fields(
            active=flag,
            lookup_key=text,
            metadata=metadata,
            nickname=text,
            tax_behavior=one_of("inclusive", "exclusive"),
            transfer_lookup_key=flag,
        ),
    ),
    Endpoint(
        "GET",
        "/v1/prices",
        list_prices,
        Fields(
            {
                **BY_TIME,
                "active": flag,
                "currency": currency,
                "lookup_keys": many(text),
                "product": text,
                "type": one_of("recurring", "one_time"),
            }
        ),
    ),
)
