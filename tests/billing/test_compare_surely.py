"""The nightly comparison: it finds what went back without a word, raises no false alarm, and says what it left out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from django.db import connections
from django.db.models import F

from accounts.models import Organisation
from billing import book_checks, reconciliation
from billing.models import CreditLot, Payment
from billing.payments import checkout
from billing.payments.base import Refused
from billing.payments.services import PAYPAL
from tests.billing.invoicing import return_at_paypal
from tests.billing.money import approve, fund
from tests.people import Person


@pytest.fixture
def payment(organisation: Organisation, owner: Person, paypal: str) -> Payment:
    return _paid(organisation, owner)


def _paid(organisation: Organisation, person: Person) -> Payment:
    payment = checkout.start(
        organisation=organisation,
        purpose=Payment.Purpose.TOP_UP,
        amount="25",
        actor=person.actor,
        idempotency_key=uuid4().hex,
        **checkout.own_pages(),
    )
    approve(payment.approve_url)
    Payment.objects.filter(pk=payment.pk).update(created_at=F("created_at") - timedelta(hours=1))
    return checkout.complete(payment.pk)


def test_a_refund_that_nobody_told_us_of(payment: Payment, paypal: str) -> None:
    return_at_paypal(paypal, payment, "10.00")
    assert reconciliation.run(PAYPAL).differences == 1
    [case] = reconciliation.open_cases()
    assert (case.kind, case.subject) == ("refund_not_booked", payment.public_id)
    Payment.objects.filter(pk=payment.pk).update(refunded=10)  # as a notification that came late has it booked
    assert reconciliation.run(PAYPAL).differences == 0
    assert reconciliation.open_cases() == []


def test_more_than_are_compared(
    payment: Payment, organisation: Organisation, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    _paid(organisation, owner)
    monkeypatch.setattr(reconciliation, "MOST", 1)
    run = reconciliation.run(PAYPAL)
    assert (run.compared, run.differences) == (1, 0)
    assert "Only the newest 1" in run.error
    state = next(state for state in reconciliation.states() if state.source == PAYPAL)
    assert state.last_clean_at is None


def test_a_row_that_cannot_be_compared(payment: Payment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run says so, and other sources are compared all the same."""

    def refuse(_payment: Payment) -> None:
        raise Refused("NOT_AUTHORIZED")

    monkeypatch.setattr(reconciliation, "_compare_payment", refuse)
    monkeypatch.setattr(reconciliation, "sources", lambda: [PAYPAL, reconciliation.BOOKS])
    first, second = reconciliation.run_all()
    assert "NOT_AUTHORIZED" in first.error
    assert first.finished_at
    assert second.error == ""


def test_booked_while_we_asked_is_no_difference(payment: Payment) -> None:
    stale = Payment.objects.get(pk=payment.pk)
    stale.amount = Decimal(5)  # as it was before
    assert reconciliation._compare_payment(stale) is not None
    assert reconciliation._surely(reconciliation._compare_payment, stale) is None


@pytest.mark.django_db(transaction=True)
def test_the_books_are_those_of_one_moment(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credits are granted between two queries of the check."""
    fund(organisation, "1", "CREDIT")

    def grant() -> None:
        try:
            fund(organisation, "5", "CREDIT")
        finally:
            connections.close_all()

    def check() -> list[str]:
        before = CreditLot.objects.count()
        with ThreadPoolExecutor(1) as thread:
            thread.submit(grant).result(timeout=30)
        return [] if CreditLot.objects.count() == before else ["it moved"]

    monkeypatch.setitem(book_checks.CHECKS, "credits", check)
    assert book_checks.check_books()["credits"] == []
