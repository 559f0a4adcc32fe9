"""Plans that renew themselves: begun, changed for a dearer one, and a month that Stripe has collected."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from billing import payment_methods, plans, renewals, tasks
from billing.lifecycle import PaymentStatus, SubscriptionStatus
from billing.models import Payment, Plan, ServiceCustomer, Subscription
from billing.payments.services import stripe as adapter
from lib.clock import now
from lib.leases import hint
from tests.crash.flow import Facts, Flow, ask, charges_of, customer, customer_with_card, organisation_of, save_card


def begin(facts: Facts, key: str = "") -> None:
    ask(facts, "billing/subscription", {"plan": "pro", "card": facts["card"], "renew": True}, key)


class SomePlan(Flow):
    peers = ("stripe",)
    plan: str
    sums: tuple[int, ...]  # which Stripe has taken in the end, in dollars

    def check(self, facts: Facts) -> None:
        organisation = organisation_of(facts)
        row = Subscription.objects.get(organisation=organisation, status=SubscriptionStatus.ACTIVE)
        assert (row.plan_id, row.next_plan_id) == (self.plan, None)
        customer: Any = {"customer": payment_methods.customer_of(organisation)}
        assert [found.id for found in adapter()._api.subscriptions.list(customer).data] == [row.service_ref]
        taken = sorted(charge.amount for charge in charges_of(organisation))
        paid = Payment.objects.filter(organisation=organisation, status=PaymentStatus.CAPTURED)
        assert sorted(int(payment.amount * 100) for payment in paid) == taken
        assert [charge // 100 for charge in taken] == sorted(self.sums)


class Begin(SomePlan):
    name, plan, sums = "plan begun", "pro", (49,)

    def prepare(self) -> Facts:
        return customer_with_card()[1]

    def act(self, facts: Facts) -> None:
        begin(facts)


class Upgrade(SomePlan):
    name, plan = "plan changed for a dearer one", "team"

    def prepare(self) -> Facts:
        facts = customer_with_card()[1]
        begin(facts, key="before")
        row = Subscription.objects.get(organisation=facts["organisation"])
        offer = renewals.offer(row, Plan.objects.get(pk="team"))
        return {**facts, "at": offer.at.isoformat(), "amount": str(offer.now.amount)}

    def act(self, facts: Facts) -> None:
        agreed = {"plan": "team", "at": facts["at"], "amount": facts["amount"], "next_amount": "299"}
        ask(facts, "billing/subscription/change", agreed)

    def check(self, facts: Facts) -> None:
        self.sums = (49, int(Decimal(facts["amount"])))
        super().check(facts)


class Renewal(SomePlan):
    """Begun more than a month ago by Stripe's clock: one renewal is due by ours."""

    name, plan, sums, is_asked_for = "plan renewed", "pro", (49, 49), False

    def prepare(self) -> Facts:
        person, facts = customer()
        clocks: Any = adapter()._api.test_helpers.test_clocks
        began = now() - timedelta(days=32)
        clock = clocks.create({"frozen_time": int(began.timestamp())}).id
        ref = adapter()._api.customers.create({"test_clock": clock}).id
        ServiceCustomer.objects.create(organisation=organisation_of(facts), service="stripe", ref=ref)
        facts["card"] = save_card(person).public_id
        begin(facts)
        clocks.advance(clock, {"frozen_time": int(now().timestamp())})
        hint(Subscription, Subscription.objects.get(organisation=facts["organisation"]).pk)
        return facts

    def act(self, facts: Facts) -> None:
        tasks.reconcile_subscriptions()

    def check(self, facts: Facts) -> None:
        super().check(facts)
        assert plans.current_plan(organisation_of(facts)).slug == "pro"


FLOWS: tuple[Flow, ...] = (Begin(), Upgrade(), Renewal())
