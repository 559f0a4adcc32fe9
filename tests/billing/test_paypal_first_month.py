"""The first month of a plan that PayPal renews: agreed to, with the payer's bank, paid; or it never begins."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from django.db import connections

from billing import reconcile
from billing.collected import sync
from billing.lifecycle import PaymentStatus, SubscriptionStatus
from billing.models import Payment, Subscription
from billing.payments import checkout
from billing.payments.base import ServiceDown
from billing.payments.services import renewals as remote
from billing.payments.services import service
from lib.errors import Conflict
from tests.billing.money import approve, faulty, pay_month, plan_of
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
    with pytest.raises(Conflict) as refusal:
        pay_month(owner)
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
        payment = checkout.complete(payment.pk)
        assert (payment.status, payment.reason) == (PaymentStatus.CANCELLED, "called_off")
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


def test_of_two_pages_for_a_month_one_is_paid(owner: Person, clock: PayPalClock) -> None:
    """In two windows: approved in both, and the later one is not captured."""
    first, second = pay_month(owner, "team"), pay_month(owner)
    approve(first.approve_url)
    approve(second.approve_url)
    assert checkout.complete(first.pk).status == PaymentStatus.CAPTURED
    second = checkout.complete(second.pk)
    assert (second.status, second.reason) == (PaymentStatus.CANCELLED, "called_off")
    assert service("paypal").fetch(second.order_ref).captures == ()
    page = owner.client.get(f"/billing/return/{second.public_id}/").content.decode()
    assert "you have chosen a plan at another page since" in page
    assert (paid(), plan_of(owner)) == ([299], "team")
    another = pay_month(owner, "team")  # asked for after it, and wanted
    approve(another.approve_url)
    assert checkout.complete(another.pk).status == PaymentStatus.CAPTURED


def test_a_page_that_was_left_is_called_off_too(owner: Person, clock: PayPalClock) -> None:
    left, wanted = pay_month(owner), pay_month(owner, "team")
    checkout.cancel(left.pk)
    approve(wanted.approve_url)
    checkout.complete(wanted.pk)
    approve(left.approve_url)  # its window was still open
    assert checkout.complete(left.pk).status == PaymentStatus.CANCELLED
    assert (paid(), plan_of(owner)) == ([299], "team")


def test_a_month_calls_off_a_plan_that_was_to_renew(owner: Person, clock: PayPalClock) -> None:
    renewed, month = ask(owner, "team"), pay_month(owner)
    approve(month.approve_url)
    checkout.complete(month.pk)
    agree(renewed.approve_url)
    assert checkout.complete(renewed.pk).reason == "called_off"
    clock.look()
    row = Subscription.objects.get(service="paypal")
    assert (row.status, remote("paypal").invoices(row.service_ref)) == (SubscriptionStatus.ENDED, [])
    assert (paid(), plan_of(owner)) == ([49], "pro")


def test_a_plan_that_renews_calls_off_a_month(owner: Person, clock: PayPalClock) -> None:
    month, renewed = pay_month(owner), ask(owner, "team")
    agree(renewed.approve_url)
    checkout.complete(renewed.pk)
    approve(month.approve_url)
    assert checkout.complete(month.pk).reason == "called_off"
    assert (paid(), plan_of(owner)) == ([299], "team")


def test_one_is_captured_at_a_time(owner: Person, clock: PayPalClock) -> None:
    """The answer to the first one's capture is lost: until we know, the second one waits."""
    first, second = pay_month(owner, "team"), pay_month(owner)
    for payment in (first, second):
        approve(payment.approve_url)
    with faulty(clock.url, "drop_answer_after_create"), pytest.raises(ServiceDown):
        checkout.complete(first.pk)
    assert checkout.complete(second.pk).status == PaymentStatus.CREATED
    assert checkout.complete(first.pk).status == PaymentStatus.CAPTURED
    assert checkout.complete(second.pk).status == PaymentStatus.CANCELLED
    assert paid() == [299]


@pytest.mark.django_db(transaction=True)
def test_two_that_are_approved_at_once(owner: Person, clock: PayPalClock) -> None:
    payments = [pay_month(owner, plan) for plan in ("team", "pro")]
    for payment in payments:
        approve(payment.approve_url)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_complete, payments))
    states = {checkout.complete(payment.pk).status for payment in payments}
    assert (states, len(paid())) == ({PaymentStatus.CAPTURED, PaymentStatus.CANCELLED}, 1)


def _complete(payment: Payment) -> None:
    try:
        checkout.complete(payment.pk)
    finally:
        connections.close_all()
