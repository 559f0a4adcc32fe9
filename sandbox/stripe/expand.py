"""`expand[]`: an id in an answer is replaced by the object that it names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sandbox.store import Document
from sandbox.stripe.documents import shown
from sandbox.stripe.errors import WrongParameter
from sandbox.stripe.world import World

# The field, and the kind of what it names.
KINDS = {
    "balance_transaction": "balance_transaction",
    "charge": "charge",
    "customer": "customer",
    "default_payment_method": "payment_method",
    "default_price": "price",
    "destination": "account",
    "failure_balance_transaction": "balance_transaction",
    "invoice": "invoice",
    "latest_charge": "charge",
    "latest_invoice": "invoice",
    "payment_intent": "payment_intent",
    "payment_method": "payment_method",
    "pending_setup_intent": "setup_intent",
    "product": "product",
    "setup_intent": "setup_intent",
    "subscription": "subscription",
    "test_clock": "test_helpers.test_clock",
    "transfer": "transfer",
}
DEEPEST = 4
# Parts that an object shows only when they are asked for: (kind, field) → how they are made.
PARTS: dict[tuple[str, str], Callable[[World, Document], Any]] = {}


def expanded(world: World, body: Document, paths: list[str]) -> Document:
    """`body` with these paths expanded. Raises WrongParameter for what cannot be."""
    for path in paths:
        parts = path.split(".")
        if len(parts) > DEEPEST:
            message = f"You cannot expand more than {DEEPEST} levels of a property. Property: {path}."
            raise WrongParameter(message, code="property_expansion_max_depth", param="expand")
        body = _walk(world, body, parts, path)
    return body


def _walk(world: World, value: Any, parts: list[str], path: str) -> Any:
    if isinstance(value, list):
        return [_walk(world, each, parts, path) for each in value]
    if not isinstance(value, dict):
        return value
    name, *rest = parts
    make = PARTS.get((str(value.get("object")), name))
    if name not in value and make is None:
        message = f"This property cannot be expanded ({path})."
        raise WrongParameter(message, code="property_expansion_invalid", param="expand")
    inner = make(world, value) if make and not isinstance(value.get(name), dict) else value.get(name)
    if isinstance(inner, str):
        inner = _named(world, name, inner, path)
    return {**value, name: _walk(world, inner, rest, path) if rest else inner}


def _named(world: World, name: str, id: str, path: str) -> Any:
    if name not in KINDS:
        message = f"This property cannot be expanded ({path})."
        raise WrongParameter(message, code="property_expansion_invalid", param="expand")
    found = world.get(KINDS[name], id) or world.get(f"deleted_{KINDS[name]}", id)
    return shown(found) if found else id
