"""The books against the payment services: clean after a day's work, a case for each difference, closed when it is gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import F

from accounts.models import Organisation
from billing import reconciliation
from billing.models import Payment, ReconciliationCase, ReconciliationRun
from billing.payments import checkout
from billing.payments.services import PAYPAL, STRIPE, service
from billing.payments.services import stripe as stripe_client
from billing.states import PaymentStatus
from lib.clock import now
from lib.errors import AppError
from tests.billing.money import approve, faulty
from tests.billing.stripe import add_card, new_customer
from tests.people import Person

Pay = Callable[..., Payment]


@pytest.fixture
def pay(organisation: Organisation, owner: Person, paypal: str) -> Pay:
    def make(key: str = "one", *, book: bool = True) -> Payment:
        payment = checkout.start(
            organisation=organisation,
            purpose=Payment.Purpose.TOP_UP,
            amount="25",
            actor=owner.actor,
            idempotency_key=key,
            **checkout.own_pages(),
        )
        approve(payment.approve_url)
        if book:
            payment = checkout.complete(payment.pk)
        Payment.objects.filter(pk=payment.pk).update(created_at=F("created_at") - timedelta(hours=1))
        return payment

    return make


def kinds() -> dict[str, str]:
    return {case.subject: case.kind for case in reconciliation.open_cases()}


def test_a_clean_day(pay: Pay) -> None:
    pay()
    run = reconciliation.run(PAYPAL)
    assert (run.compared, run.differences, run.error) == (1, 0, "")
    assert reconciliation.run(reconciliation.BOOKS).differences == 0
    state = next(state for state in reconciliation.states() if state.source == PAYPAL)
    assert state.last_clean_at == run.finished_at


def test_what_paypal_took_and_we_did_not_book(pay: Pay) -> None:
    payment = pay(book=False)
    service(PAYPAL).capture(payment.order_ref, request_id=f"lost-{payment.pk.hex}")
    assert reconciliation.run(PAYPAL).differences == 1
    assert reconciliation.run(PAYPAL).differences == 1
    assert kinds() == {payment.public_id: "not_booked"}
    case = reconciliation.open_cases()[0]
    assert (case.ours, case.theirs) == ("0 USD", "25 USD")
    checkout.complete(payment.pk)
    assert reconciliation.run(PAYPAL).differences == 0
    case.refresh_from_db()
    assert case.resolved_at


def test_what_we_booked_and_paypal_does_not_know(pay: Pay, paypal: str) -> None:
    payment = pay()
    Payment.objects.filter(pk=payment.pk).update(order_ref="5O190127TN364715T")
    reconciliation.run(PAYPAL)
    assert kinds() == {payment.public_id: "missing"}


def test_another_sum(pay: Pay) -> None:
    payment = pay()
    Payment.objects.filter(pk=payment.pk).update(amount=Decimal(30))
    reconciliation.run(PAYPAL)
    assert kinds() == {payment.public_id: "amount"}
    assert reconciliation.run(reconciliation.BOOKS).differences == 1
    Payment.objects.filter(pk=payment.pk).update(amount=Decimal(25))
    assert reconciliation.run(reconciliation.BOOKS).differences == 0


def test_a_service_that_is_away_closes_no_case(pay: Pay, paypal: str) -> None:
    payment = pay(book=False)
    service(PAYPAL).capture(payment.order_ref, request_id=f"lost-{payment.pk.hex}")
    reconciliation.run(PAYPAL)
    with faulty(paypal, "http_500"):
        run = reconciliation.run(PAYPAL)
    assert run.error
    assert run.finished_at
    assert len(reconciliation.open_cases()) == 1


def test_a_person_explains_it(pay: Pay, staff: Person) -> None:
    payment = pay(book=False)
    service(PAYPAL).capture(payment.order_ref, request_id=f"lost-{payment.pk.hex}")
    reconciliation.run(PAYPAL)
    case = reconciliation.open_cases()[0]
    with pytest.raises(AppError):
        reconciliation.resolve(case, person=staff.user, note=" ")
    reconciliation.resolve(case, person=staff.user, note="Booked by hand on Friday.")
    with pytest.raises(AppError):
        reconciliation.resolve(case, person=staff.user, note="Again.")
    assert reconciliation.open_cases() == []


def test_the_page(pay: Pay, staff: Person, owner: Person) -> None:
    payment = pay(book=False)
    service(PAYPAL).capture(payment.order_ref, request_id=f"lost-{payment.pk.hex}")
    reconciliation.run(PAYPAL)
    page = staff.client.get("/staff/reconciliation/").content.decode()
    assert payment.public_id in page
    assert "not compared yet" in page
    case = reconciliation.open_cases()[0]
    address = f"/staff/reconciliation/{case.pk}/resolve/"
    assert owner.client.post(address, {"note": "mine"}).status_code == 404
    assert staff.client.post(address, {"note": ""}).status_code == 302
    assert ReconciliationCase.objects.filter(resolved_at=None).exists()
    assert staff.client.post(address, {"note": "A lost answer."}).status_code == 302
    assert not ReconciliationCase.objects.filter(resolved_at=None).exists()


def test_money_that_only_stripe_knows_of(
    organisation: Organisation, stripe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "SETTLED_AFTER", timedelta(seconds=-5))  # our clock and Stripe's differ
    body: Any = {
        "amount": 1234,
        "currency": "usd",
        "customer": (customer := new_customer()),
        "payment_method": add_card(customer),
        "confirm": True,
        "return_url": "https://gpubroker.example/",
    }
    ref = str(stripe_client()._api.payment_intents.create(body).id)
    reconciliation.run(STRIPE)
    case = ReconciliationCase.objects.get(subject=ref)
    assert (case.kind, case.ours, case.theirs) == ("unknown", reconciliation.NOTHING, "12.34 USD")
    Payment.objects.create(
        organisation=organisation,
        service=STRIPE,
        purpose=Payment.Purpose.TOP_UP,
        amount=Decimal("12.34"),
        order_ref=ref,
        status=PaymentStatus.CAPTURED,
        created_at=now() - timedelta(hours=1),
    )
    reconciliation.run(STRIPE)
    case.refresh_from_db()
    assert case.resolved_at


def test_the_nightly_task(pay: Pay) -> None:
    from billing.tasks import reconcile_everything

    pay()
    reconcile_everything()
    done: Any = ReconciliationRun.objects.values_list("source", "error")
    assert (reconciliation.BOOKS, "") in done
    assert (PAYPAL, "") in done
    assert Payment.objects.get().status == PaymentStatus.CAPTURED
