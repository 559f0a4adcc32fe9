"""A thousand notifications at once at the real server: doubled, out of order, a week old, forged; each thing once."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.db import connections

from billing import reconcile, wallet
from billing.lifecycle import PaymentStatus
from billing.models import Invoice, Payment, PaymentMethod, WebhookEvent
from billing.payments import checkout
from billing.tasks import process_webhook
from lib.local.ports import LOOPBACK, free_port
from lib.local.process import Program, spawn, stop_all
from tests.billing.stripe import ASKS, answer_bank, save_card
from tests.billing.test_stripe_webhook import ROUTE, notification, signed
from tests.people import Person
from tests.servers import wait_until

PAYMENTS, KINDS = 8, ("payment_intent.succeeded", "payment_intent.requires_action", "charge.succeeded")
GENUINE, WEEK_OLD, FORGED = 800, 100, 100
SENDERS, WORKERS = 16, 4
# Stripe hangs up later than this.
PATIENCE_S = 10
Letter = tuple[bytes, str, int]  # the body, its signature, and the answer that it has to get


@pytest.fixture
def server(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """Ours, as an installation runs it, on the database of the test."""
    port = free_port()
    argv = (sys.executable, "-m", "daphne", "-b", LOOPBACK, "-p", str(port), "-v", "0", "config.asgi:application")
    program, log, url = Program("daphne", argv), tmp_path / "daphne.log", f"http://{LOOPBACK}:{port}"
    child = spawn(program, log)
    try:
        wait_until(lambda: _answers(f"{url}/health"), child, log)
        yield url
    finally:
        stop_all([(child, program.stop_signal)], limit_s=5.0)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 200
    except requests.RequestException:
        return False


def paid_at_the_bank(person: Person, card: PaymentMethod) -> Payment:
    """Nobody came back: only notifications tell of it."""
    assert person.organisation is not None
    payment = checkout.start(
        organisation=person.organisation,
        purpose=Payment.Purpose.TOP_UP,
        amount="25.00",
        card=card,
        actor=person.actor,
        idempotency_key=uuid4().hex,
        **checkout.own_pages(),
    )
    answer_bank(payment.approve_url)
    return payment


def letters(payments: list[Payment], chance: random.Random) -> list[Letter]:
    about = [
        ({"id": payment.order_ref, "object": "payment_intent", "metadata": {"payment": payment.public_id}}, kind)
        for payment in payments
        for kind in KINDS
    ]
    bodies = [notification(kind, resource) for resource, kind in about]
    genuine = [(raw, signed(raw), 200) for raw in bodies]
    old = [(raw, signed(raw, age_s=7 * 86_400), 400) for raw in bodies]
    forged = [(raw.replace(b'"livemode": false', b'"livemode": true'), signed(raw), 400) for raw in bodies]
    chosen = genuine + chance.choices(genuine, k=GENUINE - len(genuine))
    chosen += chance.choices(old, k=WEEK_OLD) + chance.choices(forged, k=FORGED)
    chance.shuffle(chosen)
    return chosen


class Senders:
    """Each with a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url, self._own = url, threading.local()

    def send(self, letter: Letter) -> tuple[bool, float]:
        """Whether it was answered as it should be, and after how long."""
        raw, signature, wanted = letter
        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = requests.Session()
        headers = {"Stripe-Signature": signature, "Content-Type": "application/json"}
        began = time.monotonic()
        answer = session.post(self._url, raw, headers=headers, timeout=PATIENCE_S)
        return answer.status_code == wanted, time.monotonic() - began


def work(event_id: int) -> None:
    try:
        process_webhook(event_id)
    finally:
        connections.close_all()


def test_a_thousand_at_once(server: str, stripe: str, owner: Person, record_property: Any) -> None:
    chance = random.Random(7)
    card = save_card(owner, ASKS)
    payments = [paid_at_the_bank(owner, card) for _ in range(PAYMENTS)]
    sent, senders = letters(payments, chance), Senders(server + ROUTE)
    began = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as threads:
        answers = list(threads.map(senders.send, sent))
    record_property("webhooks_per_second", len(sent) / (time.monotonic() - began))
    assert len(answers) == 1000
    assert Counter(fits for fits, _spent in answers) == {True: 1000}

    genuine = {json.loads(raw)["id"] for raw, _signature, wanted in sent if wanted == 200}
    events = list(WebhookEvent.objects.all())
    assert sorted(event.event_ref for event in events) == sorted(genuine)
    assert len(events) == PAYMENTS * len(KINDS)
    twice = [event.pk for event in events] * 2
    chance.shuffle(twice)
    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(work, twice))

    assert not WebhookEvent.objects.filter(processed_at=None).exists()
    assert set(WebhookEvent.objects.values_list("error", flat=True)) == {""}
    assert Payment.objects.filter(status=PaymentStatus.CAPTURED).count() == PAYMENTS
    assert Payment.objects.values("capture_ref").distinct().count() == PAYMENTS
    assert Invoice.objects.count() == PAYMENTS
    assert owner.organisation is not None
    assert wallet.balances(owner.organisation)["USD"] == 25 * PAYMENTS
    assert reconcile.check_clearing() == []
