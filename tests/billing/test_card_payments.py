"""Top-ups and a month of a plan by a saved card: at once, after the bank's question, or not at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from billing import plans, reconcile, wallet
from billing.lifecycle import PaymentStatus
from billing.models import Invoice, Payment, PaymentMethod, Transfer
from billing.payments import checkout
from billing.payments.base import ServiceDown
from billing.payments.services import stripe as adapter
from billing.refunds import give_back
from tests.billing.money import faulty, sole_payment
from tests.billing.stripe import ASKS, FAILS_LATER, answer_bank, save_card
from tests.people import Person


def pay(person: Person, card: PaymentMethod, amount: str = "25.00", **more: Any) -> Payment:
    assert person.organisation is not None
    return checkout.start(
        organisation=person.organisation,
        purpose=Payment.Purpose.TOP_UP,
        amount=amount,
        card=card,
        actor=person.actor,
        idempotency_key=more.pop("key", uuid4().hex),
        **checkout.own_pages(),
        **more,
    )


def usd(person: Person) -> int:
    assert person.organisation is not None
    return int(wallet.balances(person.organisation)["USD"])


def test_by_page_at_once(owner: Person, stripe: str) -> None:
    card = save_card(owner)
    page = owner.client.get("/billing/top-up/").content.decode()
    assert "Visa ···· 4242" in page
    form = {"preset": "25", "amount": "", "token": uuid4().hex, "pay_with": card.public_id}
    for _ in range(2):  # sent twice
        sent = owner.client.post("/billing/top-up/", form)
        payment = sole_payment(owner.organisation)
        assert sent["Location"] == f"/billing/return/{payment.public_id}/"
    assert owner.client.get(sent["Location"])["Location"] == f"/billing/receipts/{payment.public_id}/"
    assert (payment.status, payment.service, usd(owner)) == (PaymentStatus.CAPTURED, "stripe", 25)
    assert Invoice.objects.get(payment=payment).gross == 25
    assert "Stripe" in owner.client.get(f"/billing/receipts/{payment.public_id}/").content.decode()
    assert reconcile.check_clearing() == []


def test_a_month_of_a_plan_by_api(owner: Person, stripe: str) -> None:
    card = save_card(owner)
    key = {"Idempotency-Key": uuid4().hex}
    body = {"plan": "pro", "card": card.public_id}
    answers = [owner.api("post", "billing/subscription", body, key) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert answers[0].json()["status"] == "captured"
    assert plans.current_plan(card.organisation).slug == "pro"
    assert Transfer.objects.count() == 1


def test_the_bank_asks(owner: Person, stripe: str) -> None:
    payment = pay(owner, save_card(owner, ASKS))
    assert (payment.status, usd(owner)) == (PaymentStatus.CREATED, 0)
    assert payment.approve_url.startswith(stripe)
    waiting = owner.client.get(f"/billing/return/{payment.public_id}/")
    assert "Go to your bank" in waiting.content.decode()
    back = urlsplit(answer_bank(payment.approve_url).headers["Location"])
    assert owner.client.get(f"{back.path}?{back.query}").status_code == 302
    assert usd(owner) == 25


def test_the_bank_is_not_convinced(owner: Person, stripe: str) -> None:
    payment = pay(owner, save_card(owner, ASKS))
    back = urlsplit(answer_bank(payment.approve_url, "fail").headers["Location"])
    page = owner.client.get(f"{back.path}?{back.query}").content.decode()
    assert "did not get the confirmation" in page
    payment.refresh_from_db()
    assert (payment.status, usd(owner)) == (PaymentStatus.FAILED, 0)


def test_a_declined_card_says_why(owner: Person, stripe: str) -> None:
    payment = pay(owner, save_card(owner, FAILS_LATER))
    assert (payment.status, payment.reason) == (PaymentStatus.FAILED, "generic_decline")
    page = owner.client.get(f"/billing/return/{payment.public_id}/").content.decode()
    assert "The bank declined the card" in page
    assert not Transfer.objects.exists()


def test_nobody_is_there_to_be_asked(owner: Person, stripe: str) -> None:
    payment = pay(owner, save_card(owner, ASKS), off_session=True)
    assert (payment.status, payment.reason) == (PaymentStatus.FAILED, "authentication_required")


def test_a_lost_answer_is_found_again(owner: Person, stripe: str) -> None:
    card, key = save_card(owner), uuid4().hex
    with faulty(stripe, "drop_answer_after_create", "/v1/payment_intents"), pytest.raises(ServiceDown):
        pay(owner, card, key=key)
    assert sole_payment(owner.organisation).status == PaymentStatus.NEW
    assert pay(owner, card, key=key).status == PaymentStatus.CAPTURED
    assert usd(owner) == 25


def test_a_crash_before_the_charge_ends_with_one(owner: Person, stripe: str) -> None:
    """We know the intent, and died before it was confirmed: the reconciler goes on."""
    card = save_card(owner)
    payment = pay(owner, card)
    order = adapter().fetch(payment.order_ref)
    assert len(order.captures) == 1
    with faulty(stripe, "http_500", "/v1/payment_intents/"):
        late = pay(owner, card, "7.00", key="late")
    assert late.status == PaymentStatus.CREATED
    for _ in range(3):
        assert checkout.complete(late.pk).status == PaymentStatus.CAPTURED
    assert usd(owner) == 32


def test_nobody_is_told_to_try_again_what_may_be_charged(owner: Person, stripe: str) -> None:
    """From the intent on the reconciler goes on: a second try would be a second payment."""
    card = save_card(owner)
    form = {"preset": "25", "amount": "", "token": uuid4().hex, "pay_with": card.public_id}
    with faulty(stripe, "http_500", "/v1/payment_intents/"):
        sent = owner.client.post("/billing/top-up/", form)
        assert sent.status_code == 302
        assert owner.client.get(sent["Location"]).status_code == 200  # the page that waits
        body = {"amount": "7.00", "card": card.public_id}
        answer = owner.api("post", "wallets/deposit", body, {"Idempotency-Key": uuid4().hex})
        assert (answer.status_code, answer.json()["status"]) == (201, "created")
    assert "/receipts/" in owner.client.get(sent["Location"])["Location"]
    assert usd(owner) == 25


def test_an_intent_of_somebody_else_moves_nothing(owner: Person, outsider: Person, stripe: str) -> None:
    mine, theirs = pay(owner, save_card(owner, ASKS)), pay(outsider, save_card(outsider, ASKS))
    answer_bank(theirs.approve_url)
    Payment.objects.filter(pk=theirs.pk).update(order_ref="")
    Payment.objects.filter(pk=mine.pk).update(order_ref=theirs.order_ref)
    assert checkout.complete(mine.pk).reason == "mismatch"
    assert not Transfer.objects.exists()


def test_refunds_of_a_card_payment(owner: Person, staff: Person, stripe: str) -> None:
    payment = pay(owner, save_card(owner))
    refund = give_back(payment=payment, amount="10", reason="asked", actor=staff.actor, idempotency_key="r1")
    assert (refund.status, usd(owner)) == ("completed", 15)
    assert reconcile.check_clearing() == []


def test_a_refund_that_is_asked_for_again_after_a_day(owner: Person, stripe: str) -> None:
    """Its key means nothing to Stripe any more by then: as another key."""
    charge = pay(owner, save_card(owner)).capture_ref
    asked: Any = {"amount": Decimal(10), "currency": "USD", "reference": "rfd_1"}
    first, again = (adapter().refund(charge, **asked, request_id=uuid4().hex) for _ in range(2))
    assert first == again
    assert adapter()._api.charges.retrieve(charge).amount_refunded == 1000
