"""The first month of a plan that PayPal renews: agreed to, with the payer's bank, paid; or it never begins."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from billing import plans, reconcile
from billing.collected import sync
from billing.lifecycle import PaymentStatus, SubscriptionStatus
from billing.models import Payment, Subscription
from billing.payments import checkout
from billing.payments.services import renewals as remote
from billing.payments.services import service
from lib.errors import Conflict
from tests.billing.paypal import PayPalClock, agree, ask, own_clock
from tests.people import Person


@pytest.fixture(autouse=True)
def _clearing_balances() -> Iterator[None]:
    yield
    assert reconcile.check_clearing() == []


@pytest.fixture
def clock(paypal: str) -> Iterator[PayPalClock]:
    yield from own_clock(paypal)


def day(of_month: int) -> datetime:
    return datetime(2027, 1, of_month, 12, tzinfo=UTC)


def paid() -> list[int]:
    return [int(row.amount) for row in Payment.objects.filter(status=PaymentStatus.CAPTURED)]


def plan_of(person: Person) -> str:
    assert person.organisation is not None
    return plans.current_plan(person.organisation).slug


def test_nothing_is_collected_before_the_customer_agrees_and_we_begin(owner: Person, clock: PayPalClock) -> None:
    payment = ask(owner)
    assert (payment.status, payment.approve_url.startswith(clock.url)) == (PaymentStatus.CREATED, True)
    assert checkout.complete(payment.pk).status == PaymentStatus.CREATED
    assert "cancelled=1" in agree(payment.approve_url, "cancel")
    assert f"/{payment.public_id}/" in agree(payment.approve_url)
    assert remote("paypal").invoices(Subscription.objects.get().service_ref) == []
    assert checkout.complete(payment.pk).status == PaymentStatus.CAPTURED
    assert (checkout.complete(payment.pk).status, plan_of(owner), paid()) == (PaymentStatus.CAPTURED, "pro", [49])


def test_a_first_month_that_is_with_the_payers_bank_is_not_dropped(owner: Person, clock: PayPalClock) -> None:
    payment = ask(owner)
    row = Subscription.objects.get()
    clock.payer(row, waits=True)
    agree(payment.approve_url)
    assert checkout.complete(payment.pk).status == PaymentStatus.APPROVED
    with pytest.raises(Conflict) as refusal:
        ask(owner, "team")
    assert refusal.value.code == "in_progress"
    clock.payer(row, waits=False)
    clock.look()
    assert (paid(), plan_of(owner)) == ([49], "pro")
    assert set(Subscription.objects.exclude(pk=row.pk).values_list("status", flat=True)) == {SubscriptionStatus.ENDED}


def test_cancelled_at_paypal_while_the_payers_bank_takes_days(owner: Person, clock: PayPalClock) -> None:
    payment = ask(owner)
    row = Subscription.objects.get()
    clock.payer(row, waits=True)
    agree(payment.approve_url)
    checkout.complete(payment.pk)
    clock.payer(row, cancel=True)
    clock.look()
    assert checkout.complete(payment.pk).status == PaymentStatus.APPROVED
    clock.payer(row, waits=False)
    clock.look()
    row.refresh_from_db()
    assert (paid(), plan_of(owner), row.cancel_at_period_end) == ([49], "pro", True)


def test_money_for_a_payment_that_had_failed_is_told(
    owner: Person, clock: PayPalClock, caplog: pytest.LogCaptureFixture
) -> None:
    payment = ask(owner)
    row = Subscription.objects.get()
    agree(payment.approve_url)
    service("paypal").capture(payment.order_ref, request_id="x")
    Payment.objects.update(status=PaymentStatus.FAILED)
    sync(row)
    assert f"payment {payment.public_id} has failed" in caplog.text
    assert paid() == []


def test_nobody_comes_back(owner: Person, clock: PayPalClock) -> None:
    with clock.at(day(15)):
        payment = ask(owner)
        row = Subscription.objects.get()
        Subscription.objects.update(created_at=day(15))
    with clock.at(day(17)):
        row.refresh_from_db()
        assert row.status == SubscriptionStatus.ENDED
        agree(payment.approve_url)  # late
        assert checkout.complete(payment.pk).status == PaymentStatus.CREATED
        assert (paid(), plan_of(owner)) == ([], "free")


def test_a_first_month_that_cannot_be_collected_begins_nothing(owner: Person, clock: PayPalClock) -> None:
    payment = ask(owner)
    row = Subscription.objects.get()
    clock.payer(row, pays=False)
    agree(payment.approve_url)
    payment = checkout.complete(payment.pk)
    assert (payment.status, payment.reason) == (PaymentStatus.FAILED, "PAYER_CANNOT_PAY")
    clock.look()
    row.refresh_from_db()
    assert (row.status, plan_of(owner)) == (SubscriptionStatus.ENDED, "free")
    assert remote("paypal").fetch_subscription(row.service_ref).state == "ended"
