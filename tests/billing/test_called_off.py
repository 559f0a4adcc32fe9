"""Of several pages at which a plan can be paid, a bank's may be answered late: nobody pays twice, and no plan is ended."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from billing import plans, reconcile, refunds, renewals
from billing.collected import sync
from billing.lifecycle import PaymentStatus, SubscriptionStatus
from billing.models import Payment, PaymentMethod, Refund, Subscription
from billing.payments import checkout, turns
from billing.payments.services import renewals as remote
from billing.payments.services import service
from billing.subscriptions import end_at_once
from lib.errors import Conflict
from tests.billing.money import approve, pay_month, plan_of
from tests.billing.paypal import agree, ask
from tests.billing.stripe import ASKS, answer_bank, save_card
from tests.people import Person


@pytest.fixture(autouse=True)
def _clearing_balances() -> Iterator[None]:
    yield
    assert reconcile.check_clearing() == []


def begin(person: Person, plan: str, card: PaymentMethod) -> Payment:
    assert person.organisation is not None
    return renewals.start(
        organisation=person.organisation,
        plan=plans.find_plan(plan),
        card=card,
        actor=person.actor,
        idempotency_key=uuid4().hex,
    )


def kept() -> list[int]:
    """What was paid and is not on its way back."""
    rows = Payment.objects.filter(status=PaymentStatus.CAPTURED, refunded=0).order_by("pk")
    return [int(row.amount) for row in rows]


def give_back_all() -> None:
    """What the worker does."""
    for refund in Refund.objects.all():
        assert refunds.bring_up(refund.pk).status == "completed"


def test_a_page_of_a_bank_is_called_off_at_the_service_too(owner: Person, stripe: str, paypal: str) -> None:
    at_bank, wanted = pay_month(owner, "pro", save_card(owner, ASKS)), pay_month(owner, "team")
    approve(wanted.approve_url)
    assert checkout.complete(wanted.pk).status == PaymentStatus.CAPTURED
    at_bank = checkout.complete(at_bank.pk)
    assert (at_bank.status, at_bank.reason) == (PaymentStatus.CANCELLED, "called_off")
    assert service("stripe").fetch(at_bank.order_ref).status == "voided"
    answer_bank(at_bank.approve_url)  # in the other window
    assert checkout.complete(at_bank.pk).status == PaymentStatus.CANCELLED
    assert (kept(), plan_of(owner)) == ([299], "team")


def test_what_came_in_all_the_same_goes_back(owner: Person, stripe: str, paypal: str) -> None:
    """They said yes at their bank before we could call it off."""
    at_bank, wanted = pay_month(owner, "pro", save_card(owner, ASKS)), pay_month(owner, "team")
    approve(wanted.approve_url)
    checkout.complete(wanted.pk)
    answer_bank(at_bank.approve_url)
    at_bank = checkout.complete(at_bank.pk)
    assert (at_bank.status, int(at_bank.refunded), at_bank.subscription_id) == (PaymentStatus.CAPTURED, 49, None)
    give_back_all()
    assert (kept(), plan_of(owner)) == ([299], "team")
    assert owner.client.get(f"/billing/receipts/{at_bank.public_id}/").status_code == 200


def test_of_the_same_plan_it_is_another_month(owner: Person, stripe: str, paypal: str) -> None:
    at_bank, wanted = pay_month(owner, "pro", save_card(owner, ASKS)), pay_month(owner, "pro")
    approve(wanted.approve_url)
    until = checkout.complete(wanted.pk).paid_until
    answer_bank(at_bank.approve_url)
    assert (checkout.complete(at_bank.pk).paid_from, kept()) == (until, [49, 49])


def test_a_plan_that_is_charged_right_now_holds_up_another(owner: Person, stripe: str, paypal: str) -> None:
    """Its card is being charged while a month is agreed to at PayPal."""
    month, renewed = pay_month(owner, "pro"), begin(owner, "team", save_card(owner, ASKS))
    assert turns.take(renewed)
    approve(month.approve_url)
    assert checkout.complete(month.pk).status == PaymentStatus.CREATED
    with pytest.raises(Conflict) as refusal:
        ask(owner)
    assert refusal.value.code == "in_progress"
    answer_bank(renewed.approve_url)
    assert checkout.complete(renewed.pk).status == PaymentStatus.CAPTURED
    assert checkout.complete(month.pk).reason == "called_off"
    assert (kept(), plan_of(owner)) == ([299], "team")


def test_a_bank_that_asks_holds_up_nobody(owner: Person, stripe: str, paypal: str) -> None:
    """The answer in which the bank asks was lost: `approved` until the next look."""
    renewed, month = begin(owner, "team", save_card(owner, ASKS)), pay_month(owner, "pro")
    assert turns.take(renewed)
    assert checkout.complete(renewed.pk).status == PaymentStatus.CREATED
    approve(month.approve_url)
    assert checkout.complete(month.pk).status == PaymentStatus.CAPTURED
    assert (kept(), plan_of(owner)) == ([49], "pro")


def test_a_plan_that_was_ended_before_its_bank_said_yes_is_paid_back(owner: Person, stripe: str, paypal: str) -> None:
    renewed, month = begin(owner, "team", save_card(owner, ASKS)), pay_month(owner, "pro")
    approve(month.approve_url)
    checkout.complete(month.pk)
    answer_bank(renewed.approve_url)  # before Stripe was told that it has ended
    row = Subscription.objects.get(service="stripe")
    sync(row)
    assert (row.status, remote("stripe").fetch_subscription(row.service_ref).state) == ("ended", "ended")
    give_back_all()
    assert (kept(), plan_of(owner)) == ([49], "pro")
    assert row.status == SubscriptionStatus.ENDED


def test_a_plan_that_was_ended_is_called_off_at_its_bank(owner: Person, stripe: str, paypal: str) -> None:
    renewed, month = begin(owner, "team", save_card(owner, ASKS)), pay_month(owner, "pro")
    approve(month.approve_url)
    checkout.complete(month.pk)
    sync(Subscription.objects.get(service="stripe"))
    answer_bank(renewed.approve_url)
    assert (checkout.complete(renewed.pk).reason, kept()) == ("called_off", [49])


def test_a_plan_that_paypal_is_told_to_begin_right_now_is_not_dropped(owner: Person, paypal: str) -> None:
    """Another worker has taken its turn, and PayPal has not heard of it yet."""
    first = ask(owner, "team")
    agree(first.approve_url)
    assert turns.take(first)
    with pytest.raises(Conflict) as refusal:
        ask(owner)
    assert refusal.value.code == "in_progress"
    assert checkout.complete(first.pk).status == PaymentStatus.CAPTURED
    assert (kept(), plan_of(owner)) == ([299], "team")


def test_a_plan_that_is_paid_while_it_is_dropped_goes_back(owner: Person, stripe: str) -> None:
    """We have ended it, and Stripe has not heard of that yet."""
    card = save_card(owner)
    left = begin(owner, "pro", save_card(owner, ASKS))
    assert left.subscription is not None
    assert end_at_once(left.subscription)
    answer_bank(left.approve_url)
    assert begin(owner, "team", card).status == PaymentStatus.CAPTURED
    sync(left.subscription)
    give_back_all()
    assert (kept(), plan_of(owner)) == ([299], "team")
