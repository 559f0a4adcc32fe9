"""What the Stripe stand-in answers and takes, against Stripe's public description, its samples and its SDK."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from sandbox.stripe.peer import NOUNS
from tests.sandbox.conftest import ROOT, RunningPeer
from tests.sandbox.merchant import RETURN, Merchant

FOLDER = next(
    (folder for parent in ROOT.parents if (folder := parent / "shared" / "contracts" / "stripe").is_dir()), None
)
ABSENT = "the public API descriptions (../shared/contracts) are not here"
SHAPES = ("fixtures3.json", "spec3-2023-08-16.json.gz")
# Of the description of 2023: what the present shape no longer has, or calls differently, below the first level.
MOVED = {"plan", "price", "proration", "tax_amounts", "unique_id", "amount_excluding_tax", "usage_type", "networks"}


@pytest.fixture(scope="module")
def samples() -> dict[str, Any]:
    """One sample of each resource in the present shape."""
    if FOLDER is None:
        pytest.skip(ABSENT)
    found: dict[str, Any] = json.loads((FOLDER / SHAPES[0]).read_text())["resources"]
    return found


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    """The schemas and paths of 2023-08-16."""
    if FOLDER is None:
        pytest.skip(ABSENT)
    found: dict[str, Any] = json.loads(gzip.decompress((FOLDER / SHAPES[1]).read_bytes()))
    return {"schemas": with_null(found["components"]["schemas"]), "paths": found["paths"]}


def with_null(schema: Any) -> Any:
    """`nullable` of OpenAPI 3.0 in the words of JSON Schema: it is meant for `anyOf` and `enum` too."""
    if isinstance(schema, list):
        return [with_null(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: with_null(value) for name, value in schema.items() if name != "nullable"}
    return {"anyOf": [{"type": "null"}, inner]} if schema.get("nullable") is True else inner


@pytest.fixture(scope="module")
def answers(shared_peer: Callable[[str], RunningPeer]) -> dict[str, dict[str, Any]]:
    """One object of each kind, as the peer gives it."""
    # The SDK turns decimal texts into numbers: here they become texts again.
    plain = [json.loads(json.dumps(each.to_dict(), default=str)) for each in make_all(Merchant(shared_peer("stripe")))]
    return {made["object"]: made for made in plain}


def make_all(merchant: Merchant) -> Iterator[Any]:
    api = merchant.api
    merchant.start_clock(2026, 1, 31)
    yield api.test_helpers.test_clocks.retrieve(merchant.clock.id)
    customer = merchant.customer()
    yield api.customers.retrieve(customer.id)
    yield api.customers.payment_methods.list(customer.id).data[0]
    yield api.setup_intents.create({"customer": customer.id})
    paid = merchant.pay("pm_card_createDispute", return_url=RETURN)
    yield paid
    yield api.charges.retrieve(paid.latest_charge, {"expand": ["refunds"]})
    yield api.disputes.list({"charge": paid.latest_charge}).data[0]
    yield api.refunds.create({"payment_intent": merchant.pay().id, "amount": 100})
    yield api.balance_transactions.list().data[0]
    yield api.balance.retrieve()
    price = api.prices.retrieve(merchant.price())
    yield from (price, api.products.retrieve(price.product))
    subscription = merchant.subscribe(customer.id, price.id)
    yield from (subscription, subscription["items"].data[0])
    invoice = api.invoices.retrieve(subscription.latest_invoice)
    yield from (invoice, invoice.lines.data[0], api.invoice_payments.list().data[0])
    yield api.invoice_items.create({"customer": customer.id, "amount": 100, "currency": "usd"})
    account = api.accounts.create({"type": "express", "capabilities": {"transfers": {"requested": True}}})
    yield account
    urls = {"refresh_url": RETURN, "return_url": RETURN}
    link = api.account_links.create({"account": account.id, "type": "account_onboarding", **urls})
    yield link
    merchant.peer.post(link.url.removeprefix(merchant.peer.url), data={"action": "complete"}, headers={})
    for _ in range(2):
        merchant.pay(amount=10_000)
    transfer = api.transfers.create({"amount": 500, "currency": "usd", "destination": account.id})
    yield from (transfer, api.transfers.reversals.create(transfer.id, {"amount": 100}))
    yield api.payouts.create({"amount": 100, "currency": "usd"})
    yield api.events.list().data[0]


KINDS = (
    "account account_link balance balance_transaction charge customer dispute event invoice invoice_payment invoiceitem "
    "line_item payment_intent payment_method payout price product refund setup_intent subscription subscription_item "
    "test_helpers.test_clock transfer transfer_reversal"
)
# Samples show these although answers have them on request only, or for other kinds of payment.
NOT_ALWAYS = {
    "charge": {"refunds", "source"},
    "subscription_item": {"billing_thresholds"},
    "payment_intent": {"managed_payments"},
    "subscription": {"managed_payments"},
    "invoice": {"subscription"},
}


@pytest.mark.parametrize("kind", KINDS.split())
def test_has_the_fields_of_the_present_shape(kind: str, answers: Any, samples: dict[str, Any]) -> None:
    ours, theirs = set(answers[kind]), set(samples[kind])
    assert ours - theirs == set(), "fields that Stripe's sample does not have"
    assert theirs - ours - NOT_ALWAYS.get(kind, set()) == set(), "fields that Stripe's sample has"


@pytest.mark.parametrize("kind", KINDS.split())
def test_has_values_of_the_described_types(
    kind: str, answers: Any, samples: dict[str, Any], description: dict[str, Any]
) -> None:
    if kind not in description["schemas"]:
        pytest.skip(f"{kind} is younger than the description")
    schema = dict(description["schemas"][kind])
    schema["required"] = sorted(set(schema.get("required", ())) & set(samples[kind]))
    schema["properties"] = {
        field: shape
        for field, shape in schema["properties"].items()
        if field in samples[kind] and field not in {"lines", "items"}
    }
    validator = OAS31Validator({**schema, "components": {"schemas": description["schemas"]}})
    errors = [
        f"{list(error.absolute_path)}: {error.message[:200]}"
        for error in validator.iter_errors(answers[kind])
        if not MOVED & {*map(str, error.absolute_path), *re.findall(r"'(\w+)' is a required", error.message)}
    ]
    assert errors == []


# Younger than the description, by Stripe's changelog and the parameters of its SDK.
YOUNGER = {
    "/v1/invoices/create_preview": {"currency", "customer", "invoice_items", "subscription", "subscription_details"},
    "/v1/invoice_payments": {"ending_before", "invoice", "limit", "payment", "starting_after", "status", "created"},
    "/v1/invoiceitems": {"pricing"},
}
ENDPOINTS = [each for noun in NOUNS for each in noun.ENDPOINTS]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: f"{each.method} {each.path}")
def test_takes_what_stripe_takes(endpoint: Any, description: dict[str, Any]) -> None:
    paths = {re.sub(r"{\w+}", "{}", path): methods for path, methods in description["paths"].items()}
    known = paths.get(re.sub(r"{\w+}", "{}", endpoint.path), {}).get(endpoint.method.lower())
    allowed = YOUNGER.get(endpoint.path, set())
    if known is None:
        assert allowed, "Stripe has no such endpoint"
    else:
        body = known.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded", {})
        allowed = allowed | {field["name"] for field in known.get("parameters", ())}
        allowed |= set(body.get("schema", {}).get("properties", {}))
    assert set(endpoint.takes.kinds) - allowed == set()
