"""Stripe's notifications: signed, stored once, worked on by asking again; whatever else comes changes nothing."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.conf import settings
from django.test import Client
from stripe import WebhookSignature

from billing import inbox, reconcile, wallet
from billing.lifecycle import PaymentStatus
from billing.models import Payment, PaymentMethod, Refund, ServiceCustomer, WebhookEvent
from billing.payments import checkout
from billing.payments.services import STRIPE, service
from billing.payments.services import stripe as adapter
from billing.tasks import process_webhook
from lib.local.ports import LOOPBACK, free_port
from lib.local.process import Program, spawn, stop_all
from tests.billing.stripe import ASKS, add_card, answer_bank, save_card
from tests.billing.test_paypal_webhook import Post
from tests.people import Person
from tests.servers import wait_until
from tests.tenancy.rows import state

ROUTE = "/api/v2/billing/webhook"
UNTOUCHED = frozenset({"django_session", "billing_webhookevent"})


def notification(kind: str, about: dict[str, Any], **more: Any) -> bytes:
    body = {"id": f"evt_{uuid4().hex}", "object": "event", "type": kind, "data": {"object": about}, **more}
    return json.dumps({"api_version": "2026-01-01", "livemode": False, **body}).encode()


def signed(raw: bytes, *, secret: str | None = None, age_s: int = 0) -> str:
    header: str = WebhookSignature.generate_signature_header(
        raw.decode(), secret or settings.STRIPE_WEBHOOK_SECRET, int(time.time()) - age_s
    )
    return header


def deliver(raw: bytes, signature: str) -> int:
    headers = {"Stripe-Signature": signature}
    return Client().post(ROUTE, raw, content_type="application/json", headers=headers).status_code


def receive(raw: bytes) -> WebhookEvent:
    """Delivered and worked on, twice."""
    assert [deliver(raw, signed(raw)) for _ in range(2)] == [200, 200]
    event = WebhookEvent.objects.get(event_ref=json.loads(raw)["id"])
    for _ in range(2):
        process_webhook(event.pk)
    event.refresh_from_db()
    return event


def begun(person: Person) -> Payment:
    """A payment whose bank asks."""
    assert person.organisation is not None
    return checkout.start(
        organisation=person.organisation,
        purpose=Payment.Purpose.TOP_UP,
        amount="25.00",
        card=save_card(person, ASKS),
        actor=person.actor,
        idempotency_key=uuid4().hex,
        **checkout.own_pages(),
    )


@pytest.fixture
def payment(owner: Person, stripe: str) -> Payment:
    """Paid at the bank, and nobody came back."""
    started = begun(owner)
    answer_bank(started.approve_url)
    return started


def intent(payment: Payment) -> dict[str, Any]:
    """What a notification says of it: more than is true."""
    about = adapter()._api.payment_intents.retrieve(payment.order_ref).to_dict()
    return {**about, "amount": 99_900, "amount_received": 99_900}


def test_a_success_is_booked_once_and_as_stripe_has_it(payment: Payment) -> None:
    event = receive(notification("payment_intent.succeeded", intent(payment)))
    assert event.error == ""
    assert event.processed_at
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.CAPTURED
    assert wallet.balances(payment.organisation)["USD"] == 25
    assert reconcile.check_clearing() == []


def test_what_stripe_did_not_sign_is_refused(payment: Payment) -> None:
    raw = notification("payment_intent.succeeded", intent(payment))
    good = signed(raw)
    for body, signature in (
        (raw.replace(b"99900", b"99901"), good),
        (raw, signed(raw, secret="whsec_of_another_account")),
        (raw, signed(raw, age_s=7 * 86400)),  # really Stripe's, a week ago
        (raw, good.replace("v1=", "v0=")),
        (raw, "t=,v1="),
        (raw, "nonsense"),
        (raw, ""),
        (b"{", signed(b"{")),
        (b"[]", signed(b"[]")),
        (b'{"id": "evt_1"}', signed(b'{"id": "evt_1"}')),
    ):
        assert deliver(body, signature) == 400
    assert not WebhookEvent.objects.exists()
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.CREATED


def test_without_a_secret_nothing_is_taken(settings: Any, stripe: str) -> None:
    raw = notification("payment_intent.succeeded", {"id": "pi_1"})
    signature = signed(raw, secret="x")
    settings.STRIPE_WEBHOOK_SECRET = ""
    service.cache_clear()
    assert deliver(raw, signature) == 400
    service.cache_clear()


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        ("payment_intent.succeeded", {"id": "pi_unknown", "metadata": {"payment": "pay_unknown"}}),
        ("payment_intent.succeeded", {"id": "pi_1", "metadata": None}),
        ("refund.created", {"id": "re_unknown", "object": "refund"}),
        ("refund.updated", {"id": "../../customers"}),
        ("payment_method.attached", {"object": "payment_method", "customer": "cus_unknown"}),
        ("customer.updated", {"object": "customer", "id": "cus_unknown"}),
        ("setup_intent.succeeded", {"object": "setup_intent", "customer": None}),
        ("charge.succeeded", {"id": "ch_1"}),
        ("charge.dispute.created", {"id": "du_unknown", "object": "dispute"}),
        ("transfer.reversed", {"id": "tr_unknown", "object": "transfer"}),
        ("account.updated", {"id": "acct_unknown", "object": "account"}),
        ("some.thing.new", {}),
    ],
)
def test_events_of_another_account_change_nothing(stripe: str, db: None, kind: str, about: dict[str, Any]) -> None:
    before = state(without=UNTOUCHED)
    event = receive(notification(kind, about))
    assert event.processed_at
    assert state(without=UNTOUCHED) == before


def test_a_thousand_at_once_are_one(payment: Payment) -> None:
    raw = notification("payment_intent.succeeded", intent(payment))
    signature = signed(raw)
    assert {inbox.receive(STRIPE, {"Stripe-Signature": signature}, raw).pk for _ in range(1000)}
    event = WebhookEvent.objects.get()
    process_webhook(event.pk)
    after = state(without=UNTOUCHED)
    process_webhook(event.pk)
    assert state(without=UNTOUCHED) == after
    assert wallet.balances(payment.organisation)["USD"] == 25


def test_a_refund_at_stripe_comes_back_once(payment: Payment) -> None:
    """Begun there, and told before we knew of the payment."""
    charge = adapter().fetch(payment.order_ref).captures[0].ref
    body: Any = {"charge": charge, "amount": 1000}
    refund = adapter()._api.refunds.create(body).to_dict()
    assert receive(notification("refund.created", refund)).error == ""
    assert wallet.balances(payment.organisation)["USD"] == 15
    assert Refund.objects.get().amount == 10
    assert reconcile.check_clearing() == []


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Post, str]]:
    """A peer of its own that delivers its notifications to us."""
    office, folder, port = Post(), tmp_path_factory.mktemp("stripe"), free_port()
    url = f"http://{LOOPBACK}:{port}"
    argv = [sys.executable, "-m", "sandbox", "stripe", "--host", LOOPBACK, "--port", str(port), "--tick-s", "0"]
    argv += ["--state", str(folder / "state.sqlite3"), "--webhook-url", office.url]
    log = folder / "log"
    child = spawn(Program("stripe-with-post", tuple(argv)), log)
    wait_until(lambda: _healthy(url), child, log)
    yield office, url
    stop_all([(child, signal.SIGTERM)], limit_s=5.0)
    office.server.shutdown()
    office.server.server_close()


def _healthy(url: str) -> bool:
    try:
        return requests.get(f"{url}/sandbox/health", timeout=2).ok
    except requests.RequestException:
        return False


def test_what_the_peer_really_sends(owner: Person, post: tuple[Post, str], settings: Any) -> None:
    """Twice each and the newest first: a card, then a payment at the bank, of which nobody came back."""
    office, settings.STRIPE_URL = post
    service.cache_clear()
    knobs = {"copies": 2, "disorder": True}
    assert requests.post(f"{post[1]}/sandbox/webhooks", json=knobs, timeout=5).ok
    payment = begun(owner)
    answer_bank(payment.approve_url)
    for kind in ("payment_intent.succeeded", "payment_intent.requires_action"):
        headers, raw = office.next(kind)
        assert [deliver(raw, headers["Stripe-Signature"]) for _ in range(2)] == [200, 200]
    for event in WebhookEvent.objects.all():
        process_webhook(event.pk)
    service.cache_clear()
    assert WebhookEvent.objects.filter(error="").exclude(processed_at=None).count() == 2
    assert wallet.balances(payment.organisation)["USD"] == 25


def test_a_card_comes_and_goes(owner: Person, stripe: str) -> None:
    save_card(owner)
    customer = ServiceCustomer.objects.get().ref
    ref = add_card(customer, "pm_card_mastercard")
    receive(notification("setup_intent.succeeded", {"object": "setup_intent", "customer": customer}))
    card = PaymentMethod.objects.get(ref=ref)
    adapter().forget(ref)
    gone = {"object": "payment_method", "id": ref, "customer": None}
    raw = json.loads(notification("payment_method.detached", gone))
    raw["data"]["previous_attributes"] = {"customer": customer}
    receive(json.dumps(raw).encode())
    card.refresh_from_db()
    assert card.removed_at
