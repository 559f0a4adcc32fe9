"""Money into the wallet through PayPal: by page and by API, once, for its owner, of the right sum."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests
from django.core import mail
from django.db import connections

from accounts.models import Organisation
from billing import ledger, reconcile, wallet
from billing.lifecycle import PaymentStatus
from billing.models import Payment, Transfer
from billing.payments import booking, checkout
from billing.payments.base import ServiceDown
from billing.payments.services import service
from lib.clock import now
from lib.errors import Conflict
from tests.billing.invoicing import deliver_invoices
from tests.billing.money import approve, faulty, sole_payment
from tests.people import Person


@pytest.fixture(autouse=True)
def _outbox(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"


def start(person: Person, amount: str = "25.00", key: str | None = None) -> Payment:
    assert person.organisation is not None
    return checkout.start(
        organisation=person.organisation,
        purpose=Payment.Purpose.TOP_UP,
        amount=amount,
        actor=person.actor,
        idempotency_key=key or uuid4().hex,
        **checkout.own_pages(),
    )


def usd(organisation: Organisation | None) -> Decimal:
    assert organisation is not None
    return wallet.balances(organisation)["USD"]


def token_of(page: bytes) -> str:
    found = re.search(rb'name="token" value="([0-9a-f]+)"', page)
    assert found
    return found[1].decode()


def test_by_page_from_form_to_receipt(
    owner: Person, billing_member: Person, paypal: str, django_capture_on_commit_callbacks: Any
) -> None:
    client = owner.client
    token = token_of(client.get("/billing/top-up/").content)
    sent = client.post("/billing/top-up/", {"preset": "25", "amount": "", "token": token})
    assert sent.status_code == 302
    assert sent["Location"].startswith(f"{paypal}/checkoutnow?token=")
    again = client.post("/billing/top-up/", {"preset": "25", "amount": "", "token": token})  # sent twice
    assert again["Location"] == sent["Location"]
    back = urlsplit(approve(sent["Location"]).headers["Location"])
    with django_capture_on_commit_callbacks(execute=True):
        returned = client.get(f"{back.path}?{back.query}")
    payment = sole_payment(owner.organisation)
    assert returned["Location"] == f"/billing/receipts/{payment.public_id}/"
    receipt = client.get(returned["Location"]).content.decode()
    assert "R-000001" in receipt
    assert "$25.00" in receipt
    assert usd(owner.organisation) == 25
    deliver_invoices()
    assert sorted(message.to[0] for message in mail.outbox) == sorted([owner.user.email, billing_member.user.email])
    assert "R-000001" in mail.outbox[0].subject
    assert "25.00" in str(mail.outbox[0].body)
    home = client.get("/billing/").content.decode()
    assert "$25.00" in home


def test_by_api(owner: Person, paypal: str) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    answers = [owner.api("post", "wallets/deposit", {"amount": "30.50"}, key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    payment = answers[0].json()
    assert answers[1].json() == payment
    assert payment["status"] == "created"
    assert payment["amount"] == {"amount": "30.500000", "currency": "USD"}
    assert owner.api("get", f"billing/receipts/{payment['id']}").status_code == 409
    approve(payment["approve_url"])
    assert checkout.complete(sole_payment(owner.organisation).pk).status == PaymentStatus.CAPTURED
    receipt = owner.api("get", f"billing/receipts/{payment['id']}").json()
    assert receipt["number"] == "R-000001"
    assert receipt["amount"]["amount"] == "30.500000"
    assert owner.api("get", "wallets/balance").json()["items"][0]["available"]["amount"] == "30.500000"
    moved = owner.api("get", "wallets/transactions").json()["items"]
    assert [(row["amount"]["amount"], row["source_type"]) for row in moved] == [("30.500000", "payment")]
    assert owner.api("get", "billing/payments").json()["items"][0]["receipt"] == "R-000001"


AMOUNTS = ["0", "-5", "0.99", "10.001", "10000.01", "1e30", "9" * 40, "NaN", "Infinity", "ten", "", " ", "1,000"]


@pytest.mark.parametrize("amount", AMOUNTS)
def test_a_wrong_amount_stands_beside_its_field(owner: Person, amount: str) -> None:
    form = {"preset": "", "amount": amount, "token": uuid4().hex}
    page = owner.client.post("/billing/top-up/", form)
    assert page.status_code == 422
    assert b'aria-invalid="true"' in page.content
    answer = owner.api("post", "wallets/deposit", {"amount": amount}, {"Idempotency-Key": uuid4().hex})
    assert answer.status_code == 422
    assert "amount" in json.dumps(answer.json()["error"]["fields"])
    assert not Payment.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"amount": None},
        {"amount": ["1"]},
        {"amount": "5", "currency": "EUR"},
        {"amount": "5", "currency": "CREDIT"},
    ],
)
def test_a_wrong_body(owner: Person, body: dict[str, Any]) -> None:
    assert owner.api("post", "wallets/deposit", body, {"Idempotency-Key": uuid4().hex}).status_code == 422


def test_bad_forms_are_no_accident(owner: Person) -> None:
    for form in ({}, {"amount": "5"}, {"amount": "5", "token": "x"}, {"preset": "7", "token": uuid4().hex}):
        assert owner.client.post("/billing/top-up/", form).status_code == 422
    assert owner.api("post", "wallets/deposit", {"amount": "5"}).status_code == 422  # no key
    assert not Payment.objects.exists()


def test_completing_again_and_again_books_once(owner: Person, paypal: str) -> None:
    payment = start(owner)
    assert checkout.complete(payment.pk).status == PaymentStatus.CREATED  # not approved yet
    approve(payment.approve_url)
    for _ in range(3):
        assert checkout.complete(payment.pk).status == PaymentStatus.CAPTURED
    assert usd(owner.organisation) == 25
    assert reconcile.check_clearing() == []


def test_a_key_is_for_one_payment(owner: Person, outsider: Person, paypal: str) -> None:
    first = start(owner, key="once")
    assert start(owner, key="once") == first
    with pytest.raises(Conflict):
        start(owner, amount="26.00", key="once")
    assert start(outsider, key="once") != first  # each organisation has keys of its own


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_one_payment(organisation: Organisation, owner: Person, paypal: str) -> None:
    payment = start(owner)
    approve(payment.approve_url)

    def run(_number: int) -> str:
        try:
            return checkout.complete(payment.pk).status
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as threads:
        statuses = list(threads.map(run, range(3)))
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.CAPTURED
    assert PaymentStatus.CAPTURED in statuses
    assert usd(organisation) == 25
    assert payment.receipt_number == 1


@pytest.mark.parametrize("wrong", ["amount", "reference"])
def test_an_order_that_is_not_this_payments_moves_nothing(
    owner: Person, outsider: Person, paypal: str, wrong: str
) -> None:
    """Somebody puts another order of ours, paid, under a payment of theirs."""
    mine, theirs = start(owner, "900.00"), start(outsider, "900.00" if wrong == "reference" else "1.00")
    approve(theirs.approve_url)
    Payment.objects.filter(pk=theirs.pk).update(order_ref="")
    Payment.objects.filter(pk=mine.pk).update(order_ref=theirs.order_ref)
    assert checkout.complete(mine.pk).status == PaymentStatus.FAILED
    mine.refresh_from_db()
    assert mine.reason == "mismatch"
    assert service("paypal").fetch(theirs.order_ref).status == "approved"  # and nothing was taken
    assert not Transfer.objects.exists()


def test_another_currency_is_not_ours(owner: Person, paypal: str) -> None:
    payment = start(owner)
    approve(payment.approve_url)
    order = service("paypal").capture(payment.order_ref, request_id=uuid4().hex)
    assert checkout._is_ours(payment, order)
    other = replace(order.captures[0], currency="CLP")
    assert not checkout._is_ours(payment, replace(order, captures=(other,)))
    assert not checkout._is_ours(payment, replace(order, currency="CLP"))


def test_nobody_else_sees_or_completes_a_payment(
    owner: Person, outsider: Person, member: Person, anonymous: Any, paypal: str
) -> None:
    payment = start(owner)
    for path in (f"/billing/return/{payment.public_id}/", f"/billing/receipts/{payment.public_id}/"):
        assert outsider.client.get(path).status_code == 404
        assert member.client.get(path).status_code == 403
        assert anonymous.client.get(path).status_code == 302  # to sign in
        assert owner.client.get(path.replace(payment.public_id, "pay_zzz")).status_code == 404
    assert outsider.api("get", f"billing/receipts/{payment.public_id}").status_code == 404
    assert outsider.api("get", "billing/payments").json()["items"] == []
    key = {"Idempotency-Key": uuid4().hex}
    assert member.api("post", "wallets/deposit", {"amount": "5"}, key).status_code == 403
    assert anonymous.api("post", "wallets/deposit", {"amount": "5"}, key).status_code == 401
    assert member.client.post("/billing/top-up/", {"amount": "5", "token": uuid4().hex}).status_code == 403


def test_turning_back_and_coming_again(owner: Person, paypal: str) -> None:
    payment = start(owner)
    back = urlsplit(approve(payment.approve_url, "cancel").headers["Location"])
    assert owner.client.get(f"{back.path}?{back.query}").status_code == 200
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.CANCELLED
    approve(payment.approve_url)  # PayPal's page was still open
    assert checkout.complete(payment.pk).status == PaymentStatus.CAPTURED
    assert usd(owner.organisation) == 25


def test_paypal_is_away(owner: Person, paypal: str) -> None:
    key = uuid4().hex
    with faulty(paypal, "http_500"):
        with pytest.raises(ServiceDown):
            start(owner, key=key)
        answer = owner.api("post", "wallets/deposit", {"amount": "5"}, {"Idempotency-Key": uuid4().hex})
        assert answer.status_code == 503
    payment = start(owner, key=key)  # the same payment, now with an order
    assert payment.status == PaymentStatus.CREATED
    approve(payment.approve_url)
    with faulty(paypal, "http_500"):
        page = owner.client.get(f"/billing/return/{payment.public_id}/")
        assert page.status_code == 200
    assert usd(owner.organisation) == 0
    assert owner.client.get(f"/billing/return/{payment.public_id}/").status_code == 302
    assert usd(owner.organisation) == 25


def test_a_lost_answer_to_the_capture_is_found_again(owner: Person, paypal: str) -> None:
    payment = start(owner)
    approve(payment.approve_url)
    with faulty(paypal, "drop_answer_after_create"), pytest.raises(ServiceDown):
        checkout.complete(payment.pk)
    payment.refresh_from_db()
    assert payment.status == PaymentStatus.APPROVED
    assert checkout.complete(payment.pk).status == PaymentStatus.CAPTURED
    assert usd(owner.organisation) == 25


def age(payment: Payment, span: timedelta) -> None:
    moment = now() - span
    Payment.objects.filter(pk=payment.pk).update(created_at=moment, checked_at=moment)


def test_the_reconciler_finds_who_never_came_back(owner: Person, paypal: str) -> None:
    payment, forgotten = start(owner), start(owner, "7.00")
    approve(payment.approve_url)
    assert reconcile.reconcile_payments() == 0  # only just begun
    age(payment, timedelta(minutes=5))
    age(forgotten, timedelta(days=2))
    assert reconcile.reconcile_payments() == 2
    assert reconcile.reconcile_payments() == 0
    payment.refresh_from_db()
    forgotten.refresh_from_db()
    assert (payment.status, forgotten.status) == (PaymentStatus.CAPTURED, PaymentStatus.CANCELLED)
    assert usd(owner.organisation) == 25


@pytest.mark.parametrize(("paid", "status"), [(True, "captured"), (False, "failed")])
def test_a_bank_that_takes_days(owner: Person, paypal: str, paid: bool, status: str) -> None:
    """Approved, and pending at PayPal: an electronic cheque. It is waited for, however long it takes."""
    knob = f"{paypal}/sandbox/captures"
    payment = start(owner)
    approve(payment.approve_url)
    requests.post(knob, json={"pending": True}, timeout=5).raise_for_status()
    try:
        assert checkout.complete(payment.pk).status == PaymentStatus.APPROVED
    finally:
        requests.post(knob, json={"pending": False}, timeout=5).raise_for_status()
    age(payment, timedelta(days=6))
    assert reconcile.reconcile_payments() == 1
    payment.refresh_from_db()
    assert (payment.status, usd(owner.organisation)) == (PaymentStatus.APPROVED, Decimal(0))
    capture = service("paypal").fetch(payment.order_ref).captures[0].ref
    requests.post(f"{knob}/{capture}/settle", json={"paid": paid}, timeout=5).raise_for_status()
    age(payment, timedelta(days=7))
    assert reconcile.reconcile_payments() == 1
    payment.refresh_from_db()
    assert (payment.status, usd(owner.organisation)) == (status, Decimal(25 if paid else 0))


def test_an_order_that_paypal_forgot_is_cancelled(owner: Person, paypal: str) -> None:
    payment = start(owner)
    Payment.objects.filter(pk=payment.pk).update(order_ref="7XY12345AB678901C")
    assert checkout.complete(payment.pk).status == PaymentStatus.CANCELLED


def test_receipts_have_no_gaps(owner: Person, outsider: Person, paypal: str) -> None:
    numbers = []
    for person in (owner, outsider, owner):
        payment = start(person)
        approve(payment.approve_url)
        numbers.append(checkout.complete(payment.pk).receipt_number)
    assert numbers == [1, 2, 3]


def test_a_ledger_that_refuses_leaves_no_receipt(owner: Person, paypal: str) -> None:
    """Another body under the id of the booking: nothing of the payment is kept, not even its number."""
    payment = start(owner)
    approve(payment.approve_url)
    order = service("paypal").capture(payment.order_ref, request_id=f"capture-{payment.pk.hex}")
    leg = booking.leg_of(payment, payment.organisation)
    ledger.post([replace(leg, amount=Decimal(1), source_id="other")])
    with pytest.raises(ledger.DifferentBody):
        booking.book(payment.pk, order, order.captures[0])
    payment.refresh_from_db()
    assert (payment.status, payment.receipt_number) == (PaymentStatus.CREATED, None)
