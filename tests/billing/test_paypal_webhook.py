"""PayPal's notifications, really signed by the peer: stored once, worked on by asking again."""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.test import Client

from billing import reconcile, wallet
from billing.lifecycle import PaymentStatus
from billing.models import Payment, WebhookEvent
from billing.payments import checkout
from billing.payments.services import service
from billing.tasks import process_webhook, reconcile_payments
from lib.local.ports import LOOPBACK, free_port
from lib.local.process import Program, spawn, stop_all
from tests.billing.invoicing import return_at_paypal
from tests.billing.money import approve, faulty
from tests.people import Person
from tests.servers import wait_until

ROUTE = "/api/v2/billing/paypal/webhook"
Notification = tuple[dict[str, str], bytes]


class Post:
    """Where the peer delivers; tests take the letters out and carry them to the door themselves."""

    def __init__(self) -> None:
        self.letters: queue.Queue[Notification] = queue.Queue()
        letters = self.letters

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                signed = {name: text for name, text in self.headers.items() if name.startswith(("PAYPAL-", "Stripe-"))}
                letters.put((signed, raw))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.server.server_port}/"

    def next(self, kind: str) -> Notification:
        """The next notification of this kind; others are dropped."""
        while True:
            headers, raw = self.letters.get(timeout=10)
            told = json.loads(raw)
            if kind in {told.get("event_type"), told.get("type")}:
                return headers, raw


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Post, str]]:
    """A peer of its own that delivers its notifications to us."""
    office, folder, port = Post(), tmp_path_factory.mktemp("paypal"), free_port()
    url = f"http://{LOOPBACK}:{port}"
    argv = [sys.executable, "-m", "sandbox", "paypal", "--host", LOOPBACK, "--port", str(port), "--tick-s", "0"]
    argv += ["--state", str(folder / "state.sqlite3"), "--webhook-url", office.url]
    program = Program("paypal-with-post", tuple(argv))
    log = Path(folder / "log")
    child = spawn(program, log)
    wait_until(lambda: _healthy(url), child, log)
    yield office, url
    stop_all([(child, program.stop_signal)], limit_s=5.0)
    office.server.shutdown()
    office.server.server_close()


def _healthy(url: str) -> bool:
    try:
        return requests.get(f"{url}/sandbox/health", timeout=2).ok
    except requests.RequestException:
        return False


@pytest.fixture
def office(post: tuple[Post, str], settings: Any) -> Iterator[Post]:
    settings.PAYPAL_URL = post[1]
    service.cache_clear()
    yield post[0]
    service.cache_clear()


@pytest.fixture
def payment(owner: Person, office: Post) -> Payment:
    assert owner.organisation is not None
    started = checkout.start(
        organisation=owner.organisation,
        purpose=Payment.Purpose.TOP_UP,
        amount="25.00",
        actor=owner.actor,
        idempotency_key=uuid4().hex,
        **checkout.own_pages(),
    )
    approve(started.approve_url)
    return started


def deliver(headers: dict[str, str], raw: bytes) -> int:
    return Client().post(ROUTE, raw, content_type="application/json", headers=headers).status_code


def test_an_approval_is_captured_and_booked_once(payment: Payment, office: Post) -> None:
    headers, raw = office.next("CHECKOUT.ORDER.APPROVED")
    assert [deliver(headers, raw) for _ in range(3)] == [200, 200, 200]
    event = WebhookEvent.objects.get()
    for _ in range(2):
        process_webhook(event.pk)
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.CAPTURED
    headers, raw = office.next("PAYMENT.CAPTURE.COMPLETED")
    assert deliver(headers, raw) == 200
    process_webhook(WebhookEvent.objects.get(kind="PAYMENT.CAPTURE.COMPLETED").pk)
    assert wallet.balances(payment.organisation)["USD"] == 25
    assert not WebhookEvent.objects.filter(processed_at=None).exists()


def test_what_was_changed_on_the_way_is_refused(payment: Payment, office: Post) -> None:
    headers, raw = office.next("CHECKOUT.ORDER.APPROVED")
    for changed_headers, changed in (
        (headers, raw.replace(b'"25.00"', b'"99.00"')),
        ({**headers, "PAYPAL-TRANSMISSION-SIG": "AAAA"}, raw),
        ({**headers, "PAYPAL-TRANSMISSION-ID": str(uuid4())}, raw),
        ({}, raw),
        (headers, b""),
        (headers, b"\xff\xfe"),
        (headers, b'{"id": "WH-1", "event_type": "X"'),
    ):
        assert deliver(changed_headers, changed) == 400
    assert deliver(headers, b"[" + b"1," * 200_000 + b"1]") == 413
    assert not WebhookEvent.objects.exists()


def test_paypal_cannot_be_asked(payment: Payment, office: Post, post: tuple[Post, str], settings: Any) -> None:
    """The door answers 503, so that PayPal delivers again; a stored event waits for a better moment."""
    headers, raw = office.next("CHECKOUT.ORDER.APPROVED")
    settings.PAYPAL_URL = "http://127.0.0.1:9"
    service.cache_clear()
    assert deliver(headers, raw) == 503
    settings.PAYPAL_URL = post[1]
    service.cache_clear()
    assert deliver(headers, raw) == 200
    event = WebhookEvent.objects.get()
    with faulty(post[1], "http_500"):
        process_webhook(event.pk)
    event.refresh_from_db()
    assert event.processed_at is None
    WebhookEvent.objects.update(received_at="2026-01-01T00:00:00Z")
    assert reconcile.waiting_events() == [event.pk]
    reconcile_payments()
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.CAPTURED


def test_an_order_that_nobody_here_made(payment: Payment, office: Post) -> None:
    headers, raw = office.next("CHECKOUT.ORDER.APPROVED")
    Payment.objects.filter(pk=payment.pk).update(order_ref="OTHER")
    assert deliver(headers, raw) == 200
    event = WebhookEvent.objects.get()
    process_webhook(event.pk)
    event.refresh_from_db()
    assert event.error == "no payment with this order"


def test_a_webhook_of_another_account_is_refused(payment: Payment, office: Post, settings: Any) -> None:
    """Really signed by PayPal, for somebody else's webhook."""
    headers, raw = office.next("CHECKOUT.ORDER.APPROVED")
    settings.PAYPAL_WEBHOOK_ID = "WH-OF-SOMEBODY-ELSE"
    service.cache_clear()
    assert deliver(headers, raw) == 400
    assert not WebhookEvent.objects.exists()


@pytest.mark.parametrize("kind", ["PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED"])
def test_money_that_went_back_at_paypal_is_booked_once(
    payment: Payment, office: Post, post: tuple[Post, str], kind: str
) -> None:
    captured = checkout.complete(payment.pk)
    return_at_paypal(post[1], captured, "10.00", reversed=kind.endswith("REVERSED"))
    headers, raw = office.next(kind)
    assert [deliver(headers, raw) for _ in range(2)] == [200, 200]
    event = WebhookEvent.objects.get()
    for _ in range(2):
        process_webhook(event.pk)
    event.refresh_from_db()
    assert event.error == ""
    assert wallet.balances(payment.organisation)["USD"] == 15
    assert reconcile.check_clearing() == []
