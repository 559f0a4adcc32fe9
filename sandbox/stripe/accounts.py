"""Connected accounts of owners, and the links by which they give their details."""

from __future__ import annotations

from typing import Any

from sandbox.store import Document
from sandbox.stripe.documents import changed, listed, new_id
from sandbox.stripe.errors import Problem
from sandbox.stripe.forms import CURRENCY, fields, flag, group, metadata, one_of, text
from sandbox.stripe.intents import check_return_url
from sandbox.stripe.lists import lister
from sandbox.stripe.table import Endpoint
from sandbox.stripe.world import ACCOUNT, Call, World

KIND = "account"
LINK_S = 300
DUE = ["external_account", "individual.dob", "individual.first_name", "individual.last_name", "tos_acceptance.date"]
# Stripe pays out in these (https://stripe.com/global); an owner elsewhere needs another way.
COUNTRIES = (
    "AE AT AU BE BG BR CA CH CY CZ DE DK EE ES FI FR GB GI GR HK HR HU IE IT JP LI LT LU LV MT MX MY NL NO NZ PL PT RO SE "
    "SG SI SK TH US"
)
REQUIREMENTS: Document = {
    "alternatives": [],
    "current_deadline": None,
    "currently_due": [],
    "disabled_reason": None,
    "errors": [],
    "eventually_due": [],
    "past_due": [],
    "pending_verification": [],
}
SETTINGS: Document = {
    "branding": dict.fromkeys(("icon", "logo", "primary_color", "secondary_color")),
    "card_payments": dict.fromkeys(
        ("statement_descriptor_prefix", "statement_descriptor_prefix_kana", "statement_descriptor_prefix_kanji")
    ),
    "dashboard": {"display_name": None, "timezone": "Etc/UTC"},
    "payments": dict.fromkeys(("statement_descriptor", "statement_descriptor_kana", "statement_descriptor_kanji")),
    "payouts": {
        "debit_negative_balances": True,
        "schedule": {"delay_days": 2, "interval": "manual"},
        "statement_descriptor": None,
    },
}


def create(call: Call) -> Document:
    given, world = call.given, call.world
    country = (given.get("country") or "US").upper()
    if country not in COUNTRIES.split():
        raise Problem(
            f"Country '{country}' is unknown. Try using a 2-character alphanumeric country code.", param="country"
        )
    id = new_id("acct", 16)
    wanted = given.get("capabilities") or {}
    account: Document = {
        "id": id,
        "object": KIND,
        "business_profile": dict.fromkeys(
            ("mcc", "name", "product_description", "support_email", "support_phone", "url")
        ),
        "business_type": given.get("business_type"),
        "capabilities": {name: "inactive" for name, value in wanted.items() if value.get("requested")},
        "charges_enabled": False,
        "controller": {"type": "application"},
        "country": country,
        "created": world.now(),
        "default_currency": CURRENCY,
        "details_submitted": False,
        "email": given.get("email"),
        "external_accounts": listed([], f"/v1/accounts/{id}/external_accounts"),
        "future_requirements": REQUIREMENTS,
        "metadata": given.get("metadata", {}),
        "payouts_enabled": False,
        "requirements": {
            **REQUIREMENTS,
            "currently_due": DUE,
            "eventually_due": DUE,
            "disabled_reason": "requirements.past_due",
        },
        "settings": SETTINGS,
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
        "type": given.get("type") or "express",
    }
    return world.put(account)


def onboard(world: World, account: Document) -> Document:
    """The owner has given all details: money may come and go."""
    id = account["id"]
    bank: Document = {
        "id": new_id("ba"),
        "object": "bank_account",
        "account": id,
        "account_holder_name": "Sandbox Owner",
        "account_holder_type": "individual",
        "account_type": None,
        "available_payout_methods": ["standard"],
        "bank_name": "STRIPE TEST BANK",
        "country": account["country"],
        "currency": CURRENCY,
        "default_for_currency": True,
        "fingerprint": f"bank{id[-12:]}",
        "last4": "6789",
        "metadata": {},
        "routing_number": "110000000",
        "status": "new",
    }
    fields: dict[str, Any] = {
        "capabilities": dict.fromkeys(account["capabilities"], "active"),
        "charges_enabled": True,
        "details_submitted": True,
        "external_accounts": listed([bank], f"/v1/accounts/{id}/external_accounts"),
        "payouts_enabled": True,
        "requirements": REQUIREMENTS,
    }
    new = {**account, **fields}
    if new != account:
        world.put(new)
        world.publish("account.updated", new, old=account, account=id)
    return new


def create_link(call: Call) -> Document:
    """The link works once, and for five minutes."""
    account = call.world.find(KIND, call.given["account"], param="account")
    for name in ("return_url", "refresh_url"):
        check_return_url(call.given[name])
    at = call.world.now()
    token = new_id("link", 20)
    url = f"{call.world.url}/connect/onboarding/{token}"
    link: Document = {"object": "account_link", "created": at, "expires_at": at + LINK_S, "url": url}
    back = {"_return_url": call.given["return_url"], "_refresh_url": call.given["refresh_url"]}
    call.world.store.put("account_link", token, {**link, **back, "_account": account["id"], "_used": False})
    return link


def retrieve(call: Call) -> Document:
    return call.world.find(KIND, call.id)


def retrieve_own(call: Call) -> Document:
    """Of the key, or of `Stripe-Account`."""
    if call.account:
        return call.world.find(KIND, call.account)
    return {"id": ACCOUNT, "object": KIND, "country": "US", "default_currency": CURRENCY, "type": "standard"}


def update(call: Call) -> Document:
    old = call.world.find(KIND, call.id)
    new = changed(old, call.given, "business_type email")
    for name, value in (call.given.get("capabilities") or {}).items():
        state = "active" if old["details_submitted"] else "inactive"
        new["capabilities"] = {**new["capabilities"], name: state if value.get("requested") else "unrequested"}
    if new != old:
        call.world.put(new)
        call.world.publish("account.updated", new, old=old, account=new["id"])
    return new


def delete(call: Call) -> Document:
    return call.world.delete(call.world.find(KIND, call.id))


def find_payable(world: World, id: str) -> Document:
    """Raises Problem for an account that may not be sent money yet."""
    account = world.find(KIND, id, param="destination")
    if account["capabilities"].get("transfers") != "active":
        message = (
            "Your destination account needs to have at least one of the following capabilities enabled: transfers, "
            "crypto_transfers, legacy_payments"
        )
        raise Problem(message, code="insufficient_capabilities_for_transfer")
    return account


def use_link(world: World, token: str) -> Document | None:
    """The link, when it is still good."""
    link = world.store.get("account_link", token)
    return link if link and not link["_used"] and link["expires_at"] > world.now() else None


CAPABILITY = group(requested=flag)
WRITABLE = {
    "business_type": one_of("company", "individual", "non_profit", "government_entity"),
    "capabilities": group(card_payments=CAPABILITY, transfers=CAPABILITY),
    "email": text,
    "metadata": metadata,
}
ENDPOINTS = (
    Endpoint(
        "POST", "/v1/accounts", create, fields(WRITABLE, country=text, type=one_of("express", "custom", "standard"))
    ),
    Endpoint("GET", "/v1/account", retrieve_own),
    Endpoint("GET", "/v1/accounts/{id}", retrieve),
    Endpoint("POST", "/v1/accounts/{id}", update, fields(WRITABLE)),
    Endpoint("DELETE", "/v1/accounts/{id}", delete),
    lister("/v1/accounts", KIND),
    Endpoint(
        "POST",
        "/v1/account_links",
        create_link,
        fields(
            required="account type refresh_url return_url",
            account=text,
            type=one_of("account_onboarding", "account_update"),
            refresh_url=text,
            return_url=text,
            collect=one_of("currently_due", "eventually_due"),
        ),
    ),
)
