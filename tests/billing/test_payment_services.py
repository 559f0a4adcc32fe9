"""One suite for every payment adapter, over real HTTP; and PayPal's requests against its public description."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
import requests
from django.conf import settings
from django.db import transaction
from openapi_core import Config, OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest

from billing.payments.base import (
    BadSignature,
    Capture,
    Gone,
    NewOrder,
    NewPayout,
    NewSubscription,
    Order,
    Refund,
    Refused,
    Service,
    ServiceDown,
)
from billing.payments.paypal.adapter import PayPal
from billing.payments.paypal.client import PayPalApi
from billing.payments.services import payouts, renewals, service
from billing.payments.stripe.adapter import Stripe
from billing.payments.stripe.client import connect
from lib import http
from lib.http import CalledInTransaction
from tests.billing.money import approve, faulty
from tests.billing.paypal import agree
from tests.billing.stripe import ASKS, add_card, answer_bank, new_customer

CONTRACTS = Path(__file__).parents[3] / "shared" / "contracts" / "paypal"
SERVICES = ["paypal", "stripe"]
UNKNOWN = "7XY12345AB678901C"
PATHS = {"paypal": "/v2/", "stripe": "/v1/"}  # all but the token


@pytest.fixture(params=SERVICES)
def remote(request: pytest.FixtureRequest) -> Service:
    request.getfixturevalue(request.param)
    return service(request.param)


@pytest.fixture
def url(remote: Service, request: pytest.FixtureRequest) -> str:
    """Where the peer of this service is."""
    found: str = request.getfixturevalue(remote.slug)
    return found


def new_order(remote: Service, amount: str = "25.00", currency: str = "USD") -> NewOrder:
    back = "http://127.0.0.1/back"
    order = NewOrder(f"pay_{uuid4().hex}", Decimal(amount), currency, "A top-up", back, f"{back}?cancelled=1")
    if remote.slug == "paypal":
        return order
    customer = new_customer()
    return replace(order, customer_ref=customer, card_ref=add_card(customer, ASKS))


def payer(remote: Service, order: Order, action: str = "approve") -> requests.Response:
    """What the payer does on the page to which the service sends them."""
    if remote.slug == "paypal":
        return approve(order.approve_url, action)
    asked = remote.capture(order.ref, request_id=uuid4().hex)
    return answer_bank(asked.approve_url, {"approve": "complete", "cancel": "fail"}[action])


def paid(remote: Service, amount: str = "25.00") -> tuple[Order, Capture]:
    made = remote.create(new_order(remote, amount), request_id=uuid4().hex)
    payer(remote, made)
    order = remote.capture(made.ref, request_id=uuid4().hex)
    return order, order.captures[0]


def test_an_order_from_creation_to_capture(remote: Service) -> None:
    """PayPal's is approved on its page, and captured by us; Stripe's by the choice of a card, and then by the bank."""
    wanted = new_order(remote, "25.10")
    made = remote.create(wanted, request_id=uuid4().hex)
    assert (made.reference, made.amount, made.currency) == (wanted.reference, Decimal("25.1"), "USD")
    assert (made.status == "approved") == (remote.slug == "stripe")
    assert made.approve_url.startswith("http") == (remote.slug == "paypal")
    back = payer(remote, made)
    assert back.status_code in {302, 303}
    assert back.headers["Location"].startswith(wanted.return_url)
    assert remote.fetch(made.ref).status in {"approved", "completed"}
    order = remote.capture(made.ref, request_id=uuid4().hex)
    assert order.status == "completed"
    assert order.payer_email or remote.slug == "stripe"
    assert [(capture.status, capture.amount, capture.currency) for capture in order.captures] == [
        ("completed", Decimal("25.1"), "USD")
    ]


def test_a_repetition_makes_nothing_new(remote: Service) -> None:
    wanted, create_id = new_order(remote), uuid4().hex
    first = remote.create(wanted, request_id=create_id)
    assert remote.create(wanted, request_id=create_id).ref == first.ref
    payer(remote, first)
    capture_id = uuid4().hex
    captures = {remote.capture(first.ref, request_id=capture_id).captures[0].ref for _ in range(2)}
    captures.add(remote.capture(first.ref, request_id=uuid4().hex).captures[0].ref)  # another worker
    assert len(captures) == 1


def test_capturing_before_approval_takes_nothing(remote: Service) -> None:
    made = remote.create(new_order(remote), request_id=uuid4().hex)
    assert remote.capture(made.ref, request_id=uuid4().hex).captures == ()
    payer(remote, made, "cancel")
    after = remote.fetch(made.ref)
    assert after.status == "open"
    assert {capture.status for capture in after.captures} <= {"declined"}


def test_an_unknown_order(remote: Service) -> None:
    with pytest.raises(Gone):
        remote.fetch(UNKNOWN)
    with pytest.raises(Gone):
        remote.fetch("../../v1/oauth2/token?x=")
    with pytest.raises(Gone):
        remote.capture(UNKNOWN, request_id=uuid4().hex)


@pytest.mark.parametrize(("amount", "currency"), [("0", "USD"), ("-5", "USD"), ("1", "USDC")])
def test_an_order_that_makes_no_sense_is_refused(remote: Service, amount: str, currency: str) -> None:
    with pytest.raises(Refused):
        remote.create(new_order(remote, amount, currency), request_id=uuid4().hex)


def give_back(remote: Service, capture_ref: str, amount: str, request_id: str | None = None) -> Refund:
    return remote.refund(
        capture_ref, Decimal(amount), "USD", reference="rfd_1", request_id=request_id or f"r{uuid4().hex}"
    )


def test_refunds_up_to_what_was_paid(remote: Service) -> None:
    order, capture = paid(remote, "10.00")
    part = give_back(remote, capture.ref, "4")
    assert part == Refund(part.ref, capture.ref, "completed", Decimal(4), "USD", "rfd_1")
    assert remote.fetch_refund(part.ref) == part
    assert remote.find_order(capture.ref) == order.ref
    for wrong in ("6.01", "0"):
        with pytest.raises(Refused):
            give_back(remote, capture.ref, wrong)
    rest = uuid4().hex
    assert len({give_back(remote, capture.ref, "6", rest).ref for _ in range(2)}) == 1
    with pytest.raises(Refused):
        give_back(remote, capture.ref, "0.01")
    assert remote.fetch(order.ref).captures[0].status == "refunded"
    for ask in (lambda ref: give_back(remote, ref, "1"), remote.fetch_refund, remote.find_order):
        with pytest.raises(Gone):
            ask("NOCAPTURE12345678")


@pytest.mark.django_db(transaction=True)
def test_no_call_inside_a_transaction(remote: Service) -> None:
    with transaction.atomic(), pytest.raises(CalledInTransaction):
        remote.fetch("X")


@pytest.mark.parametrize("fault", ["http_500", "html", "huge", "missing_fields", "auth", "rate_limit"])
def test_nonsense_is_an_outage_and_nothing_else(remote: Service, url: str, fault: str) -> None:
    made = remote.create(new_order(remote), request_id=uuid4().hex)
    with faulty(url, fault, PATHS[remote.slug]), pytest.raises(ServiceDown):
        remote.fetch(made.ref)
    assert remote.fetch(made.ref).ref == made.ref


def test_an_answer_that_is_lost_costs_nothing(remote: Service, url: str) -> None:
    wanted, id = new_order(remote), uuid4().hex
    with faulty(url, "drop_answer_after_create", PATHS[remote.slug]), pytest.raises(ServiceDown):
        remote.create(wanted, request_id=id)
    again = remote.create(wanted, request_id=id)
    assert again.ref == remote.create(wanted, request_id=id).ref


def test_wrong_keys_and_a_dead_service_are_outages(paypal: str) -> None:
    for url, secret in ((paypal, "wrong"), ("http://127.0.0.1:9", settings.PAYPAL_CLIENT_SECRET)):
        api = PayPalApi(url=url, client_id=settings.PAYPAL_CLIENT_ID, client_secret=secret)
        with pytest.raises(ServiceDown) as failure:
            PayPal(api, webhook_id="x").fetch("X")
        assert secret not in str(failure.value.detail)


def test_wrong_keys_and_a_dead_stripe_are_outages(stripe: str) -> None:
    for url, secret in ((stripe, "sk_test_wrong"), ("http://127.0.0.1:9", settings.STRIPE_SECRET_KEY)):
        with pytest.raises(ServiceDown) as failure:
            Stripe(connect(url=url, secret_key=secret), webhook_secret="x").fetch("pi_1")
        assert secret not in str(failure.value.detail)


def test_a_token_that_was_revoked_is_renewed(paypal: str) -> None:
    api = PayPalApi(url=paypal, client_id=settings.PAYPAL_CLIENT_ID, client_secret=settings.PAYPAL_CLIENT_SECRET)
    remote = PayPal(api, webhook_id="x")
    made = remote.create(new_order(remote), request_id=uuid4().hex)
    api.get_token_hash()["access_token"] = "A21AArevoked"
    assert remote.fetch(made.ref).ref == made.ref


def test_an_unsigned_event_is_refused(remote: Service) -> None:
    event = json.dumps({"id": "WH-1", "event_type": "PAYMENT.CAPTURE.COMPLETED", "resource": {}}).encode()
    headers = {
        "PAYPAL-AUTH-ALGO": "SHA256withRSA",
        "PAYPAL-CERT-URL": "https://example.com/cert",
        "PAYPAL-TRANSMISSION-ID": str(uuid4()),
        "PAYPAL-TRANSMISSION-SIG": "bm90IGEgc2lnbmF0dXJl",
        "PAYPAL-TRANSMISSION-TIME": "2026-01-01T00:00:00Z",
        "Stripe-Signature": "t=1767225600,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
    }
    for given, raw in (
        (headers, event),
        ({}, event),
        (headers, b"{"),
        (headers, b"[]"),
        ({**headers, "PAYPAL-CERT-URL": "x" * 501}, event),
    ):
        with pytest.raises(BadSignature):
            remote.parse_event(given, raw)


@pytest.fixture
def sent() -> Iterator[list[requests.Response]]:
    """What goes out while the test runs."""
    seen: list[requests.Response] = []

    def keep(response: requests.Response, *args: object, **kwargs: object) -> None:
        seen.append(response)

    http._session.hooks["response"].append(keep)
    yield seen
    http._session.hooks["response"].remove(keep)


@pytest.mark.skipif(not CONTRACTS.is_dir(), reason="the public API descriptions are not beside this checkout")
def test_paypals_requests_are_as_described(paypal: str, sent: list[requests.Response]) -> None:
    remote = service("paypal")
    order, capture = paid(remote)
    remote.fetch(order.ref)
    refund = give_back(remote, capture.ref, "1")
    remote.fetch_refund(refund.ref)
    remote.find_order(capture.ref)
    checks = {"/v2/checkout": _checker("checkout_orders_v2.json"), "/v2/payments": _checker("payments_payment_v2.json")}
    seen = 0
    for response in sent:
        prepared = response.request
        path = (prepared.url or "").removeprefix(paypal)
        for start, check in checks.items():
            if path.startswith(start):
                assert prepared.method == "GET" or prepared.headers["PayPal-Request-Id"]
                assert prepared.headers["Authorization"].startswith("Bearer ")
                check(prepared, path)
                seen += 1
    assert seen == 6


@pytest.mark.skipif(not CONTRACTS.is_dir(), reason="the public API descriptions are not beside this checkout")
def test_paypals_requests_of_plans_and_payouts_are_as_described(paypal: str, sent: list[requests.Response]) -> None:
    owner = NewPayout(f"pyt_{uuid4().hex}", "owner@example.com", Decimal("85.00"), "USD", "Week 47")
    payouts("paypal").fetch_payout(payouts("paypal").send_payout(owner).ref)
    plans, back = renewals("paypal"), "http://127.0.0.1/back"
    price = plans.price("pro", "Pro", Decimal(49), "USD")
    begun = plans.subscribe(NewSubscription("sub_1", "pay_1", price, back, back), request_id=uuid4().hex)
    agree(begun.approve_url)
    order = service("paypal").capture(begun.intent_ref, request_id=uuid4().hex)
    service("paypal").find_order(order.captures[0].ref)
    plans.change_next(begun, plans.price("team", "Team", Decimal(299), "USD"), return_url=back)
    for ends in (True, False):
        plans.end_with_period(begun.ref, ends, feedback="unused")
    plans.invoices(begun.ref)
    plans.end(begun.ref)
    checks = {
        "/v1/payments/payouts": _checker("payments_payouts_batch_v1.json"),
        "/v1/billing": _checker("billing_subscriptions_v1.json"),
    }
    paths = [(response.request, (response.request.url or "").removeprefix(paypal)) for response in sent]
    checked = [
        check(request, path) for request, path in paths for start, check in checks.items() if path.startswith(start)
    ]
    assert len(checked) > 15


def _checker(file: str) -> Callable[[requests.PreparedRequest, str], None]:
    content = json.loads((CONTRACTS / file).read_text())
    content["servers"] = [{"url": "https://api-m.paypal.com"}]
    content.pop("security", None)
    for operation in (operation for path in content["paths"].values() for operation in path.values()):
        if isinstance(operation, dict):
            operation.pop("security", None)  # the token's scheme is one that the checker does not know
    api = OpenAPI.from_dict(content, config=Config(spec_validator_cls=None))

    def check(prepared: requests.PreparedRequest, path: str) -> None:
        again = requests.Request(
            prepared.method, f"https://api-m.paypal.com{path}", headers=dict(prepared.headers), data=prepared.body
        )
        api.validate_request(RequestsOpenAPIRequest(again))

    return check
