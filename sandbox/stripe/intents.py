"""What setup and payment intents share: secrets, what the payer is asked for, where the payer goes back to."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlencode, urlsplit

from sandbox.store import Document
from sandbox.stripe import cards, payment_methods
from sandbox.stripe.documents import shown
from sandbox.stripe.errors import Problem, WrongParameter, missing
from sandbox.stripe.forms import Kind, fields, flag, group, many, metadata, one_of, text
from sandbox.stripe.world import Call, World

CONFIRM: dict[str, Kind] = {
    "payment_method": text,
    "payment_method_data": payment_methods.METHOD_DATA,
    "return_url": text,
    "use_stripe_sdk": flag,
}
CHANGEABLE: dict[str, Kind] = {
    "customer": text,
    "description": text,
    "metadata": metadata,
    "payment_method": text,
    "payment_method_data": payment_methods.METHOD_DATA,
    "payment_method_types": many(one_of("card")),
}
SHARED: dict[str, Kind] = {
    **CONFIRM,
    **CHANGEABLE,
    "automatic_payment_methods": group(required="enabled", enabled=flag, allow_redirects=one_of("always", "never")),
    "confirm": flag,
}
REASONS = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
CANCEL = fields(cancellation_reason=one_of(*REASONS))
WITH_SECRET = fields(CONFIRM, client_secret=text)
# What the publishable key is shown.
HIDDEN = {"customer", "metadata", "latest_charge", "transfer_group", "application", "on_behalf_of", "review"}


def secret(id: str) -> str:
    return f"{id}_secret_{secrets.token_urlsafe(18).replace('-', 'x').replace('_', 'y')}"


def find(call: Call, kind: str) -> Document:
    """The intent of the path; a browser must know its secret. Raises Problem."""
    found = call.world.find(kind, call.id)
    given = call.given.get("client_secret") or ""
    if (call.public or given) and not secrets.compare_digest(given.encode(), found["client_secret"].encode()):
        if not given:
            raise WrongParameter(
                "Missing required param: client_secret.", code="parameter_missing", param="client_secret"
            )
        raise missing(kind, call.id)
    return found


def for_browser(call: Call, intent: Document) -> Document:
    if not call.public:
        return intent
    return {name: value for name, value in intent.items() if name not in HIDDEN}


def method_of(call: Call, intent: Document, given: dict[str, Any]) -> Document | None:
    """The payment method that a request gives, else the one that the intent has. Raises Problem."""
    if given.get("payment_method_data"):
        return payment_methods.make(call.world, given["payment_method_data"], public=call.public)
    id = given.get("payment_method") or intent["payment_method"]
    return payment_methods.usable(call.world, id, intent["customer"]) if id else None


def check_return_url(url: str | None) -> None:
    parts = urlsplit(url or "https://example.com")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise WrongParameter("Not a valid URL", code="url_invalid", param="return_url")


def ask_payer(world: World, intent: Document) -> Document:
    """`next_action`: the payer goes to the peer's own 3-D Secure page and comes back to `return_url`."""
    query = urlencode({"client_secret": intent["client_secret"]})
    url = f"{world.url}/redirect/authenticate/{intent['id']}?{query}"
    redirect = {"return_url": intent["_return_url"], "url": url}
    return {"type": "redirect_to_url", "redirect_to_url": redirect}


def automatic(given: dict[str, Any]) -> Document | None:
    """`automatic_payment_methods` is on unless the types are named."""
    if "payment_method_types" in given:
        return None
    wanted = given.get("automatic_payment_methods") or {"enabled": True}
    return {"enabled": wanted["enabled"], "allow_redirects": wanted.get("allow_redirects") or "always"}


def unexpected(kind: str, verb: str, intent: Document) -> Problem:
    name = "PaymentIntent" if kind == "payment_intent" else "SetupIntent"
    status = intent["status"]
    message = f"You cannot {verb} this {name} because it has a status of {status}."
    return Problem(message, code=f"{kind}_unexpected_state", object=intent)


def failed(intent: Document, method: Document, refusal: cards.Refusal) -> Document:
    """`last_payment_error` and `last_setup_error`."""
    return {**refusal.as_error(), "payment_method": shown(method)}
