"""Plans, what they allow, and a month of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from freezegun import freeze_time

from accounts.models import Organisation
from billing import plans, seeds, subscriptions
from billing.lifecycle import (
    PaymentStatus,
    SubscriptionStatus,
    WrongTransition,
    switch_payment,
    switch_subscription,
)
from billing.models import Account, Payment, Plan, Subscription
from billing.payments import checkout
from billing.states import PAYMENT_TRANSITIONS, SUBSCRIPTION_TRANSITIONS
from tests.billing.money import approve, sole_payment
from tests.people import Person


def test_seeding_again_keeps_what_staff_changed(db: None) -> None:
    Plan.objects.filter(pk="pro").update(price_per_month=Decimal(59))
    seeds.seed()
    assert Plan.objects.get(pk="pro").price_per_month == 59
    assert Plan.objects.count() == 4
    assert all(set(plan.entitlements) == set(plans.ENTITLEMENTS) for plan in Plan.objects.all())


def test_everybody_reads_the_plans(anonymous: Any) -> None:
    answer = anonymous.api("get", "billing/plans").json()
    prices = {plan["slug"]: plan["price_per_month"] and plan["price_per_month"]["amount"] for plan in answer["items"]}
    assert prices == {"free": "0.000000", "pro": "49.000000", "team": "299.000000", "enterprise": None}


def test_limits_come_from_the_plan(organisation: Organisation) -> None:
    assert plans.current_plan(organisation).slug == "free"
    plans.require_entitlement(organisation, "max_running_pods", used=1)
    with pytest.raises(plans.PlanLimit, match="running pods: 2"):
        plans.require_entitlement(organisation, "max_running_pods", used=2)
    with pytest.raises(plans.PlanLimit, match="automation"):
        plans.require_entitlement(organisation, "automation")
    with pytest.raises(KeyError):
        plans.entitlement(organisation, "unicorns")
    subscriptions.begin_month(organisation, Plan.objects.get(pk="team"))
    plans.require_entitlement(organisation, "automation")
    plans.require_entitlement(organisation, "max_providers", used=1000)


def test_a_plan_is_bought_by_page(owner: Person, paypal: str) -> None:
    page = owner.client.get("/billing/plan/")
    assert page.status_code == 200
    sent = owner.client.post("/billing/plan/choose/", {"plan": "pro", "token": uuid4().hex + "pro"})
    assert sent.status_code == 302
    approve(sent["Location"])
    payment = sole_payment(owner.organisation)
    assert owner.client.get(f"/billing/return/{payment.public_id}/").status_code == 302
    subscription = Subscription.objects.get()
    assert (subscription.plan_id, subscription.status) == ("pro", SubscriptionStatus.ACTIVE)
    revenue = Account.objects.filter(kind="revenue", label="plans")
    assert sum(account.credits_posted for account in revenue) == 49
    assert owner.api("get", "billing/subscription").json()["plan"]["slug"] == "pro"


def test_a_plan_is_bought_by_api(owner: Person, viewer: Person, paypal: str) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    payment = owner.api("post", "billing/subscription", {"plan": "team"}, key).json()
    assert payment["amount"]["amount"] == "299.000000"
    approve(payment["approve_url"])
    assert checkout.complete(sole_payment(owner.organisation).pk).status == PaymentStatus.CAPTURED
    assert owner.api("get", "billing/subscription").json()["status"] == "active"
    assert viewer.api("get", "billing/subscription").status_code == 403


@pytest.mark.parametrize(
    ("plan", "status"), [("free", 422), ("enterprise", 422), ("gold", 404), ("", 404), ("x" * 99, 422)]
)
def test_plans_that_cannot_be_bought(owner: Person, plan: str, status: int) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    assert owner.api("post", "billing/subscription", {"plan": plan}, key).status_code == status
    form = {"plan": plan, "token": uuid4().hex}
    assert owner.client.post("/billing/plan/choose/", form).status_code in {404, 422}
    assert not Payment.objects.exists()


def test_months_follow_each_other(organisation: Organisation) -> None:
    pro, team = Plan.objects.get(pk="pro"), Plan.objects.get(pk="team")
    with freeze_time("2026-01-31 12:00:00"):
        first = subscriptions.begin_month(organisation, pro)
        assert first.period_end == datetime(2026, 2, 28, 12, tzinfo=UTC)
        second = subscriptions.begin_month(organisation, pro)
        assert (second.pk, second.period_end) == (first.pk, datetime(2026, 3, 28, 12, tzinfo=UTC))
        assert subscriptions.end_lapsed() == 0
    with freeze_time("2026-02-10 12:00:00"):
        subscriptions.begin_month(organisation, team)
        assert plans.current_plan(organisation) == team
    with freeze_time("2026-03-10 12:00:01"):
        assert plans.current_plan(organisation).slug == "free"  # at once, whoever sweeps when
        assert subscriptions.end_lapsed() == 1
    assert set(Subscription.objects.values_list("status", flat=True)) == {SubscriptionStatus.ENDED}


@pytest.mark.parametrize(
    ("start", "end"), [("2026-12-31", "2027-01-31"), ("2028-01-30", "2028-02-29"), ("2026-11-15", "2026-12-15")]
)
def test_a_month_later(start: str, end: str) -> None:
    moment = datetime.fromisoformat(start).replace(tzinfo=UTC)
    assert subscriptions.a_month_after(moment) == datetime.fromisoformat(end).replace(tzinfo=UTC)


@pytest.mark.parametrize("old", PaymentStatus.values)
@pytest.mark.parametrize("new", PaymentStatus.values)
def test_every_change_of_a_payment(organisation: Organisation, old: str, new: str) -> None:
    payment = Payment.objects.create(organisation=organisation, purpose="top_up", amount=5, status=old)
    if new not in PAYMENT_TRANSITIONS[old]:
        with pytest.raises(WrongTransition):
            switch_payment(payment, new)
        return
    stale = Payment.objects.get(pk=payment.pk)
    assert switch_payment(payment, new, reason="test")
    assert (payment.status, payment.reason) == (new, "test")
    assert not switch_payment(stale, new)  # whoever read the old status comes too late


@pytest.mark.parametrize("old", SubscriptionStatus.values)
@pytest.mark.parametrize("new", SubscriptionStatus.values)
def test_every_change_of_a_subscription(organisation: Organisation, old: str, new: str) -> None:
    row = Subscription.objects.create(organisation=organisation, plan_id="pro", status=old)
    if new not in SUBSCRIPTION_TRANSITIONS[old]:
        with pytest.raises(WrongTransition):
            switch_subscription(row, new)
        return
    stale = Subscription.objects.get(pk=row.pk)
    assert switch_subscription(row, new, period_end=datetime.now(UTC) + timedelta(days=1))
    assert not switch_subscription(stale, new)
