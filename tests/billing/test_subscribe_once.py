"""A plan that renews itself, and whatever else happens to it at the same time: paid once, and never for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import connections, transaction

from billing import collected, dunning, payment_methods, plans, reconcile, refunds, renewals
from billing.lifecycle import PaymentStatus, SubscriptionStatus
from billing.models import Payment, PaymentMethod, Plan, Subscription
from billing.payments import checkout
from billing.payments.base import ServiceDown
from billing.payments.checkout import Wanted
from billing.payments.services import renewals as remote
from billing.payments.services import service
from billing.subscriptions import a_month_after, continue_paid, end_lapsed
from lib.clock import now
from lib.errors import Conflict
from tests.billing.money import approve, faulty, pay_month, plan_of
from tests.billing.stripe import ASKS, FAILS_LATER, Clock, answer_bank, save_card
from tests.people import Person


@pytest.fixture(autouse=True)
def _clearing_balances() -> Iterator[None]:
    yield
    assert reconcile.check_clearing() == []


def day(month: int, of_month: int = 15, hour: int = 14) -> datetime:
    return datetime(2026, month, of_month, hour, tzinfo=UTC)


def begin(person: Person, plan: str = "pro", card: PaymentMethod | None = None, key: str = "") -> Payment:
    assert person.organisation is not None
    return renewals.start(
        organisation=person.organisation,
        plan=plans.find_plan(plan),
        card=card or save_card(person),
        actor=person.actor,
        idempotency_key=key or uuid4().hex,
    )


def begin_row(person: Person, plan: str = "pro") -> Subscription:
    row = begin(person, plan).subscription
    assert row is not None
    row.refresh_from_db()
    return row


def agreed_to(offer: renewals.Offer) -> tuple[Decimal, Decimal]:
    return offer.now.amount, offer.next_amount


def captured() -> list[int]:
    return [int(row.amount) for row in Payment.objects.filter(status=PaymentStatus.CAPTURED).order_by("pk")]


def test_no_month_is_sold_beside_a_plan_that_renews(owner: Person, stripe: str) -> None:
    row = begin_row(owner)
    with pytest.raises(Conflict) as refusal:
        pay_month(owner, card=row.method)
    assert refusal.value.code == "renews_already"
    assert captured() == [49]


def test_a_month_follows_a_renewed_one(owner: Person, stripe: str, paypal: str) -> None:
    """An order of PayPal's, captured before the plan was begun with a card, and booked after it."""
    left = pay_month(owner)
    approve(left.approve_url)
    service("paypal").capture(left.order_ref, request_id="x")  # and we have not heard of it
    old = begin_row(owner)
    left = checkout.complete(left.pk)
    assert (left.status, left.paid_from) == (PaymentStatus.CAPTURED, old.period_end)
    assert left.subscription is not None
    assert (left.subscription.period_start, left.subscription.period_end) == (old.period_end, left.paid_until)
    assert (left.subscription.service, plan_of(owner)) == ("", "pro")
    old.refresh_from_db()
    assert old.status == SubscriptionStatus.ENDED
    dunning.reconcile_subscriptions()
    assert remote("stripe").fetch_subscription(old.service_ref).state == "ended"


def test_what_was_paid_meanwhile_is_not_dropped(owner: Person, stripe: str) -> None:
    waiting = begin(owner, card=save_card(owner, ASKS))
    answer_bank(waiting.approve_url)  # and nobody has come back to us
    card = save_card(owner)
    with pytest.raises(Conflict) as refusal:
        begin(owner, "team", card)
    assert refusal.value.code == "already_subscribed"
    card.refresh_from_db()
    assert (captured(), plan_of(owner), card.is_default) == ([49], "pro", False)


def test_two_begun_at_once(owner: Person, stripe: str) -> None:
    """The answer to the first one is not there yet."""
    card = save_card(owner)
    with faulty(stripe, "drop_answer_after_create", "/v1/subscriptions"), pytest.raises(ServiceDown):
        begin(owner, card=card, key="first")
    with pytest.raises(Conflict) as refusal:
        begin(owner, "team", card, key="second")
    assert refusal.value.code == "in_progress"
    assert begin(owner, card=card, key="first").status == PaymentStatus.CAPTURED
    assert captured() == [49]


def test_a_refused_one_does_not_hold_up_the_next(owner: Person, stripe: str) -> None:
    good, bad = save_card(owner), save_card(owner)
    PaymentMethod.objects.filter(pk=bad.pk).update(ref="pm_nobody")
    bad.refresh_from_db()
    with pytest.raises(Conflict) as refusal:
        begin(owner, card=bad)
    assert refusal.value.code == "card_gone"
    assert begin(owner, card=good).status == PaymentStatus.CAPTURED


def test_a_downgrade_whose_call_was_lost(owner: Person, stripe: str) -> None:
    """What Stripe has collected meanwhile is booked as what it was, and the next month is the cheaper one."""
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin_row(owner, "team")
        Subscription.objects.filter(pk=row.pk).update(next_plan="pro", next_price_per_month=49)
    with clock.at(day(2, hour=16)):
        row.refresh_from_db()
        assert (captured(), row.plan_id, row.next_plan_id) == ([299, 299], "team", "pro")
        assert remote("stripe").fetch_subscription(row.service_ref).plan == "pro"
    with clock.at(day(3, hour=18)):
        row.refresh_from_db()
        assert (captured(), row.plan_id, row.next_plan_id) == ([299, 299, 49], "pro", None)


def test_a_downgrade_whose_answer_was_lost(owner: Person, stripe: str) -> None:
    row = begin_row(owner, "team")
    offer = renewals.offer(row, plans.find_plan("pro"))
    agreed: Any = {"agreed": agreed_to(offer), "at": offer.at, "actor": owner.actor, "idempotency_key": "down"}
    with faulty(stripe, "drop_answer_after_create", "/v1/subscriptions/"), pytest.raises(ServiceDown):
        renewals.change(row, offer.plan, **agreed)
    row.refresh_from_db()
    assert (row.plan_id, row.next_plan_id) == ("team", "pro")


def test_an_upgrade_that_is_given_back_leaves_the_month_that_was_paid(
    owner: Person, staff: Person, stripe: str
) -> None:
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin_row(owner, "pro")
    with clock.at(day(1, hour=20)):
        upgrade = renewals.offer(row, plans.find_plan("team"))
        agreed: Any = {"agreed": agreed_to(upgrade), "at": upgrade.at, "actor": owner.actor, "idempotency_key": "up"}
        payment = renewals.change(row, upgrade.plan, **agreed).payment
        assert payment is not None
        row.refresh_from_db()
        until = row.period_end
        refund: Any = {"amount": payment.amount, "reason": "by mistake", "actor": staff.actor, "idempotency_key": "r"}
        assert refunds.give_back(payment=payment, **refund).status == "completed"
        clock.look()
        row.refresh_from_db()
        assert (row.status, row.plan_id, row.period_end) == (SubscriptionStatus.ACTIVE, "pro", until)
        assert remote("stripe").fetch_subscription(row.service_ref).plan == "pro"
    with clock.at(day(2, hour=18)):
        assert captured() == [49, int(payment.amount), 49]


def test_looking_at_a_dearer_plan_takes_no_change_back(owner: Person, stripe: str) -> None:
    """The cheaper price that waits is at Stripe already: nothing can be prorated from it."""
    row = begin_row(owner, "team")
    cheaper = renewals.offer(row, plans.find_plan("pro"))
    agreed: Any = {"agreed": agreed_to(cheaper), "at": cheaper.at, "actor": owner.actor, "idempotency_key": "down"}
    renewals.change(row, cheaper.plan, **agreed)
    row.refresh_from_db()
    dearer = Plan.objects.create(slug="studio", name="Studio", price_per_month=500)
    with pytest.raises(Conflict) as refusal:
        renewals.offer(row, dearer)
    assert refusal.value.code == "change_waiting"
    row.refresh_from_db()
    assert row.next_plan_id == "pro"
    assert remote("stripe").fetch_subscription(row.service_ref).plan == "pro"


def test_a_month_that_is_paid_is_used_up_first(owner: Person, stripe: str) -> None:
    card = save_card(owner)
    until = pay_month(owner, card=card).paid_until
    with pytest.raises(Conflict) as refusal:
        begin(owner, card=card)
    assert refusal.value.code == "still_paid"
    assert until is not None
    assert str(until.year) in refusal.value.message
    assert begin(owner, "team", card).status == PaymentStatus.CAPTURED


def test_money_for_an_ended_plan_is_told(owner: Person, stripe: str, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin_row(owner)
        Subscription.objects.filter(pk=row.pk).update(status=SubscriptionStatus.ENDED, ended_at=day(1))
    with clock.at(day(2, hour=16)):
        newest = Payment.objects.latest("pk")
        assert f"payment {newest.public_id} was collected for a plan that had ended" in caplog.text
        assert remote("stripe").fetch_subscription(row.service_ref).state == "ended"


@pytest.mark.parametrize("read", [SubscriptionStatus.ACTIVE, SubscriptionStatus.PAST_DUE])
def test_money_for_a_plan_that_ends_meanwhile_is_told(
    owner: Person, stripe: str, caplog: pytest.LogCaptureFixture, read: SubscriptionStatus
) -> None:
    """It was read while it ran, and ended before the month was booked."""
    payment = begin(owner)
    Subscription.objects.update(status=read)
    stale = Subscription.objects.get()
    Subscription.objects.update(status=SubscriptionStatus.ENDED, period_end=day(1))
    with transaction.atomic():
        continue_paid(payment, stale)
    assert f"payment {payment.public_id} was collected for a plan that had ended" in caplog.text
    assert Subscription.objects.get().period_end == day(1)


@pytest.mark.django_db(transaction=True)
def test_a_month_that_is_prolonged_just_now_is_not_ended(owner: Person, stripe: str) -> None:
    card = save_card(owner)
    pay_month(owner, card=card)
    over = now()
    Subscription.objects.update(period_end=over)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Subscription.objects.update(period_end=a_month_after(over))
            # Ends at once where it does not wait for the row, else when that is free again.
            ending = pool.submit(_end_lapsed)
            wait([ending], timeout=2)
        assert ending.result(timeout=10) == 0
    assert Subscription.objects.get().status == SubscriptionStatus.ACTIVE


def _end_lapsed() -> int:
    try:
        return end_lapsed()
    finally:
        connections.close_all()


def test_cancelled_when_it_was_paid_after_all(owner: Person, stripe: str) -> None:
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin_row(owner)
        good = row.method
        assert good is not None
        payment_methods.choose_default(save_card(owner, FAILS_LATER), owner.actor)
    with clock.at(day(2, hour=16)):
        row.refresh_from_db()
        assert row.status == SubscriptionStatus.PAST_DUE
        invoice = remote("stripe").invoices(row.service_ref)[0]
        remote("stripe").collect(invoice, card_ref=good.ref, request_id="by-hand")
        renewals.cancel(row, reason="unused", comment="", actor=owner.actor)
        row.refresh_from_db()
        assert (row.status, row.cancel_at_period_end, captured()) == (SubscriptionStatus.ACTIVE, True, [49, 49])
        assert remote("stripe").fetch_subscription(row.service_ref).state == "active"


def test_cancelled_while_it_is_not_paid(owner: Person, stripe: str) -> None:
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin_row(owner)
        payment_methods.choose_default(save_card(owner, FAILS_LATER), owner.actor)
    with clock.at(day(2, hour=16)):
        row.refresh_from_db()
        for _ in range(2):  # the page was open in two windows
            renewals.cancel(row, reason="unused", comment="", actor=owner.actor)
        row.refresh_from_db()
        assert (row.status, row.cancel_reason, captured()) == (SubscriptionStatus.ENDED, "unused", [49])
        assert remote("stripe").fetch_subscription(row.service_ref).state == "ended"


def test_an_invoice_without_an_order_is_nobodys(
    owner: Person, outsider: Person, stripe: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A payment that is being started has no order for a moment either."""
    row = begin_row(owner)
    assert outsider.organisation is not None
    card = save_card(outsider)
    stranger = checkout.find_or_make(
        outsider.organisation, Wanted("top_up", Decimal(5), card=card), outsider.actor, "k"
    )
    service = remote("stripe")
    running, [invoice] = service.fetch_subscription(row.service_ref), service.invoices(row.service_ref)
    collected._book(row, running, replace(invoice, order_ref=""), by_card=True)
    stranger.refresh_from_db()
    assert stranger.status == PaymentStatus.NEW
    assert f"{invoice.ref} was paid without an order" in caplog.text
