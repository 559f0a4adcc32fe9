"""What a customer has agreed to pay each month stays, whatever the plan is sold for by then; another sum is not booked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.urls import reverse

from billing import payment_methods, plans, reconcile, reconciliation, renewals
from billing.lifecycle import PaymentStatus
from billing.models import Payment, Plan, ReconciliationCase, Subscription
from billing.payments.services import renewals as remote
from billing.payments.services import stripe as adapter
from billing.refunds import give_back
from lib.errors import Conflict
from tests.billing.stripe import FAILS_LATER, Clock, save_card
from tests.people import Person


@pytest.fixture(autouse=True)
def _clearing_balances(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    assert reconcile.check_clearing() == []


def day(month: int, of_month: int = 15, hour: int = 14) -> datetime:
    return datetime(2026, month, of_month, hour, tzinfo=UTC)


def begin(person: Person, plan: str = "pro") -> Subscription:
    assert person.organisation is not None
    payment = renewals.start(
        organisation=person.organisation,
        plan=plans.find_plan(plan),
        card=save_card(person),
        actor=person.actor,
        idempotency_key=uuid4().hex,
    )
    assert payment.subscription is not None
    payment.subscription.refresh_from_db()
    return payment.subscription


def change(person: Person, row: Subscription, offer: renewals.Offer) -> Payment | None:
    agreed = (offer.now.amount, offer.next_amount)
    made = renewals.change(
        row, plans.find_plan(offer.plan.pk), agreed=agreed, at=offer.at, actor=person.actor, idempotency_key=uuid4().hex
    )
    row.refresh_from_db()
    return made.payment


def sell(plan: str, price: int) -> None:
    """Staff change what a plan is sold for."""
    Plan.objects.filter(pk=plan).update(price_per_month=price)


def paid() -> list[int]:
    rows = Payment.objects.filter(status=PaymentStatus.CAPTURED).order_by("pk")
    return [int(row.amount) for row in rows]


def at_stripe(row: Subscription) -> tuple[str, int]:
    running = remote("stripe").fetch_subscription(row.service_ref)
    return running.plan, int(running.amount)


def agreed(row: Subscription) -> list[int]:
    """What comes next, before what runs."""
    row.refresh_from_db()
    return [int(price) for _plan, price in row.agreed]


def charge_by_hand(row: Subscription, cents: int, **more: Any) -> None:
    """Somebody changes the price of a subscription in Stripe's dashboard."""
    price = remote("stripe").price(row.plan_id, row.plan.name, Decimal(cents) / 100, "USD")
    body: Any = {"items": [{"id": row.item_ref, "price": price}], "proration_behavior": "none", **more}
    adapter()._api.subscriptions.update(row.service_ref, body)


def test_who_has_a_plan_keeps_its_price(owner: Person, stripe: str) -> None:
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin(owner)
        sell("pro", 59)
    with clock.at(day(2, hour=16)):
        assert (paid(), at_stripe(row), agreed(row)) == ([49, 49], ("pro", 49), [49])


def test_a_price_that_was_agreed_to_for_later_holds(owner: Person, stripe: str) -> None:
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin(owner, "team")
        change(owner, row, renewals.offer(row, plans.find_plan("pro")))
        sell("pro", 59)
        charge_by_hand(row, 29900)  # as if our call had been lost
        clock.look()
        assert (at_stripe(row), agreed(row)) == (("pro", 49), [49, 299])
        offers = [renewals.offer(row, plans.find_plan(slug)) for slug in ("team", "pro")]
        assert [offer.next_amount for offer in offers] == [299, 49]
        assert (at_stripe(row), agreed(row)) == (("pro", 49), [49, 299])  # looking has changed nothing
    with clock.at(day(2, hour=16)):
        assert (paid(), agreed(row)) == ([299, 49], [49])


def test_a_change_is_agreed_to_at_the_price_of_that_day(owner: Person, stripe: str) -> None:
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin(owner)
        sell("team", 399)
    with clock.at(day(1, 20)):
        assert change(owner, row, renewals.offer(row, plans.find_plan("team"))) is not None
        assert (row.plan_id, agreed(row)) == ("team", [399])
        sell("team", 499)
    with clock.at(day(2, hour=16)):
        assert (paid()[-1], at_stripe(row)) == (399, ("team", 399))


def test_a_price_that_changes_while_somebody_thinks_is_not_agreed_to(owner: Person, stripe: str) -> None:
    row = begin(owner, "team")
    offer = renewals.offer(row, plans.find_plan("pro"))
    sell("pro", 59)
    with pytest.raises(Conflict) as refusal:
        change(owner, row, offer)
    assert refusal.value.code == "offer_changed"
    row.refresh_from_db()
    assert row.next_plan is None


def test_an_upgrade_that_is_given_back_leaves_the_price_of_before(owner: Person, staff: Person, stripe: str) -> None:
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin(owner)  # and in the same second:
        upgrade = change(owner, row, renewals.offer(row, plans.find_plan("team")))
        change(owner, row, renewals.offer(row, plans.find_plan("pro")))
        sell("pro", 59)
    with clock.at(day(1, 20)):
        assert upgrade is not None
        give_back(payment=upgrade, amount=upgrade.amount, reason="asked", actor=staff.actor, idempotency_key="r")
        clock.look()
        row.refresh_from_db()
        assert (row.status, row.plan_id, agreed(row)) == ("active", "pro", [49])
        assert at_stripe(row) == ("pro", 49)
    with clock.at(day(2, hour=16)):
        assert paid() == [49, 250, 49]


def test_an_upgrade_beneath_another_is_given_back(owner: Person, staff: Person, stripe: str) -> None:
    clock = Clock(owner, day(1))
    studio = Plan.objects.create(slug="studio", name="Studio", price_per_month=Decimal(500))
    with clock.at(day(1)):
        row = begin(owner)
    with clock.at(day(1, 20)):
        first = change(owner, row, renewals.offer(row, plans.find_plan("team")))
    with clock.at(day(1, 25)):
        change(owner, row, renewals.offer(row, studio))
        assert first is not None
        give_back(payment=first, amount=first.amount, reason="asked", actor=staff.actor, idempotency_key="r")
        row.refresh_from_db()
        assert (row.status, row.plan_id, agreed(row)) == ("active", "studio", [500])


def test_a_month_beneath_an_upgrade_is_given_back(
    owner: Person, staff: Person, stripe: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The plan ends; staff are told of what was paid on top of it."""
    row = begin(owner)
    month = row.payments.get()
    upgrade = change(owner, row, renewals.offer(row, plans.find_plan("team")))
    assert upgrade is not None
    form = {"amount": "49", "reason": "asked", "token": uuid4().hex, "_form_submitted": "True"}
    staff.client.post(reverse("admin:billing_payment_refund", args=[month.pk]), form)
    page = staff.client.get(reverse("admin:billing_payment_change", args=[month.pk])).content.decode()
    assert f"Paid on top of this month, and not given back yet: {upgrade.public_id}." in page
    assert f"payment {month.public_id} has gone back: upgrade {upgrade.public_id}" in caplog.text
    row.refresh_from_db()
    assert row.status == "ended"


def test_another_sum_is_a_case_and_is_not_booked(owner: Person, stripe: str, caplog: pytest.LogCaptureFixture) -> None:
    """A dearer price at Stripe that nobody has agreed to."""
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin(owner)
        until = row.period_end
        charge_by_hand(row, 5900)
    with clock.at(day(2, hour=16)):
        row.refresh_from_db()
        failed = Payment.objects.latest("pk")
        assert (paid(), failed.status, failed.reason, row.period_end) == ([49], "failed", "mismatch", until)
        assert f"payment {failed.public_id} failed: mismatch" in caplog.text
        assert at_stripe(row) == ("pro", 49)  # as agreed, from now on
        Payment.objects.update(created_at=day(2, 1))
        assert reconciliation.run("stripe").error == ""
        case = ReconciliationCase.objects.get(subject=failed.public_id)
        assert (case.kind, case.theirs) == ("not_booked", "59 USD")


def test_another_sum_that_was_not_paid_is_not_asked_for(
    owner: Person, stripe: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Collected it would be booked nowhere: no other card is tried for it, and the next month is as agreed."""
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin(owner)
        charge_by_hand(row, 5900)
        payment_methods.choose_default(save_card(owner, FAILS_LATER), owner.actor)
    with clock.at(day(2, hour=16)):
        clock.look()
        row.refresh_from_db()
        assert (row.status, at_stripe(row)) == ("past_due", ("pro", 49))
        payment_methods.choose_default(save_card(owner), owner.actor)
    with clock.at(day(2, 17)):
        [invoice, _first] = remote("stripe").invoices(row.service_ref)
        assert f"{invoice.ref} asks for what nobody agreed to" in caplog.text
        assert (invoice.state, paid()) == ("open", [49])


def test_what_was_charged_at_stripe_in_between_is_a_case(
    owner: Person, stripe: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A proration that we did not ask for: there is no row of it here."""
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin(owner)
    with clock.at(day(1, 20), look=False):
        charge_by_hand(row, 9900, proration_behavior="always_invoice")
        clock.look()
        assert "an invoice that nobody expects" in caplog.text
        assert (paid(), at_stripe(row)) == ([49], ("pro", 49))
    with clock.at(day(1, 21)):
        assert reconciliation.run("stripe").error == ""
        order = remote("stripe").invoices(row.service_ref)[0].order_ref
        assert ReconciliationCase.objects.get(subject=order).kind == "unknown"


def test_prices_of_before_are_those_that_were_paid(owner: Person, stripe: str) -> None:
    """The migration, over an upgrade and a downgrade that waits."""
    clock = Clock(owner, day(1))
    with clock.at(day(1)):
        row = begin(owner)
    with clock.at(day(1, 20)):
        change(owner, row, renewals.offer(row, plans.find_plan("team")))
        change(owner, row, renewals.offer(row, plans.find_plan("pro")))
    Payment.objects.update(price_per_month=None)
    Subscription.objects.update(price_per_month=1, next_price_per_month=1)
    import_module("billing.migrations.0018_agreed_prices").fill(apps, None)
    assert [each.price_per_month for each in Payment.objects.order_by("pk")] == [49, 299]
    assert agreed(row) == [49, 299]


@pytest.mark.parametrize("renew", [{}, {"renew": "on"}])
def test_another_price_than_the_page_showed_is_not_charged(owner: Person, stripe: str, renew: dict[str, str]) -> None:
    owner.user.locale = "es"  # whose numbers have commas
    owner.user.save()
    card = save_card(owner)
    page = owner.client.get("/billing/plan/").content.decode()
    [shown] = re.findall(r'name="plan" value="pro"><input type="hidden" name="amount" value="([^"]+)"', page)
    form = {"plan": "pro", "amount": shown, "token": uuid4().hex, "pay_with": card.public_id, **renew}
    sell("pro", 59)
    answer = owner.client.post("/billing/plan/choose/", form, follow=True)
    assert "El precio ha cambiado" in answer.content.decode()
    body = {"plan": "pro", "amount": "49.00", "card": card.public_id, "renew": bool(renew)}
    refused = owner.api("post", "billing/subscription", body, {"Idempotency-Key": uuid4().hex})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "offer_changed")
    assert not Payment.objects.exists()
    sell("pro", 49)
    owner.client.post("/billing/plan/choose/", form)
    assert paid() == [49]


def test_the_page_shows_what_was_agreed(owner: Person, stripe: str) -> None:
    begin(owner)
    assert "New customers pay" not in owner.client.get("/billing/plan/").content.decode()
    sell("pro", 59)
    page = owner.client.get("/billing/plan/").content.decode()
    assert "The price that you agreed to stays yours. New customers pay $59.00." in page
    assert "<dd>$49.00</dd>" in page
    shown = owner.api("get", "billing/subscription").json()
    assert (shown["price_per_month"]["amount"], shown["next_amount"]["amount"]) == ("49.000000", "49.000000")
    assert shown["plan"]["price_per_month"]["amount"] == "59.000000"
