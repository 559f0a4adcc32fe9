"""Plans that Stripe renews: begun, changed, cancelled, resumed, and what comes when their month is over."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

from billing import payment_methods, plans, renewals, tasks
from billing.collected import running
from billing.lifecycle import PaymentStatus, SubscriptionStatus
from billing.models import Payment, Plan, ServiceCustomer, Subscription
from billing.payments.base import RemoteSubscription
from billing.payments.services import stripe as adapter
from lib.clock import now
from lib.leases import hint
from tests.crash.flow import Facts, Flow, ask, charges_of, customer, customer_with_card, organisation_of, save_card
from tests.people import Person


def begin(facts: Facts, plan: str = "pro", key: str = "") -> None:
    ask(facts, "billing/subscription", {"plan": plan, "card": facts["card"], "renew": True}, key)


class SomePlan(Flow):
    peers = ("stripe",)
    plan: str = "pro"
    next_plan: str | None = None
    sums: tuple[int, ...]  # which Stripe has taken in the end, in dollars

    def check(self, facts: Facts) -> None:
        organisation = organisation_of(facts)
        row = Subscription.objects.get(organisation=organisation, status=SubscriptionStatus.ACTIVE)
        assert (row.plan_id, row.next_plan_id) == (self.plan, self.next_plan)
        customer: Any = {"customer": payment_methods.customer_of(organisation)}
        assert [found.id for found in adapter()._api.subscriptions.list(customer).data] == [row.service_ref]
        taken = sorted(charge.amount for charge in charges_of(organisation))
        paid = Payment.objects.filter(organisation=organisation, status=PaymentStatus.CAPTURED)
        assert sorted(int(payment.amount * 100) for payment in paid) == taken
        assert [charge // 100 for charge in taken] == sorted(self.sums)


class Begin(SomePlan):
    name, sums = "plan begun", (49,)

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


class Running(SomePlan):
    """Begun by our clock just now."""

    plan, sums = "pro", (49,)

    def prepare(self) -> Facts:
        facts = customer_with_card()[1]
        begin(facts, self.plan, key="before")
        return facts


class Cheaper(Running):
    """Chosen today, for the next renewal."""

    name, plan, next_plan, sums = "plan changed for a cheaper one", "team", "pro", (299,)

    def prepare(self) -> Facts:
        return {**super().prepare(), "at": now().isoformat()}

    def act(self, facts: Facts) -> None:
        change_for_cheaper(facts, facts["at"])

    def check(self, facts: Facts) -> None:
        super().check(facts)
        assert remote_of(facts).plan == "pro"


class Cancel(Running):
    name = "plan cancelled"

    def act(self, facts: Facts) -> None:
        cancel(facts)

    def check(self, facts: Facts) -> None:
        super().check(facts)
        assert Subscription.objects.get(organisation=facts["organisation"]).cancel_at_period_end
        assert remote_of(facts).ends_with_period


class Resume(Running):
    name = "plan resumed"

    def prepare(self) -> Facts:
        facts = super().prepare()
        cancel(facts)
        return facts

    def act(self, facts: Facts) -> None:
        with suppress(AssertionError):  # a worker has seen that it does not end
            ask(facts, "billing/subscription/resume", None)

    def check(self, facts: Facts) -> None:
        super().check(facts)
        assert not Subscription.objects.get(organisation=facts["organisation"]).cancel_at_period_end
        assert not remote_of(facts).ends_with_period


class MonthOver(SomePlan):
    """Begun more than a month ago by Stripe's clock: what comes then is due by ours."""

    is_asked_for = False
    begun_as: ClassVar[str] = "pro"

    def prepare(self) -> Facts:
        person, facts = customer()
        clocks: Any = adapter()._api.test_helpers.test_clocks
        began = now() - timedelta(days=32)
        clock = clocks.create({"frozen_time": int(began.timestamp())}).id
        ref = adapter()._api.customers.create({"test_clock": clock}).id
        ServiceCustomer.objects.create(organisation=organisation_of(facts), service="stripe", ref=ref)
        facts["card"] = save_card(person).public_id
        begin(facts, self.begun_as, key="before")
        self.within_month(person, facts)
        clocks.advance(clock, {"frozen_time": int(now().timestamp())})
        hint(Subscription, Subscription.objects.get(organisation=facts["organisation"]).pk)
        return facts

    def within_month(self, person: Person, facts: Facts) -> None:
        """What the customer does before it is over."""

    def act(self, facts: Facts) -> None:
        tasks.reconcile_subscriptions()


class Renewal(MonthOver):
    name, plan, sums = "plan renewed", "pro", (49, 49)

    def check(self, facts: Facts) -> None:
        super().check(facts)
        assert plans.current_plan(organisation_of(facts)).slug == "pro"


class CheaperBegins(Renewal):
    name, begun_as, sums = "cheaper plan begins", "team", (299, 49)

    def within_month(self, person: Person, facts: Facts) -> None:
        change_for_cheaper(facts, now().isoformat())


class Ended(MonthOver):
    name, sums = "cancelled plan ends", (49,)

    def within_month(self, person: Person, facts: Facts) -> None:
        cancel(facts)

    def act(self, facts: Facts) -> None:
        tasks.reconcile_payments()
        super().act(facts)

    def check(self, facts: Facts) -> None:
        check_ended(facts)


def change_for_cheaper(facts: Facts, at: str) -> None:
    ask(facts, "billing/subscription/change", {"plan": "pro", "at": at, "amount": "0", "next_amount": "49"})


def cancel(facts: Facts) -> None:
    ask(facts, "billing/subscription/cancel", {"reason": "unused"})


def remote_of(facts: Facts) -> RemoteSubscription:
    """As the service has it."""
    return running(Subscription.objects.get(organisation=facts["organisation"]))


def check_ended(facts: Facts) -> None:
    """Here and at Stripe, after one month."""
    row = Subscription.objects.get(organisation=facts["organisation"])
    assert (row.status, remote_of(facts).state) == (SubscriptionStatus.ENDED, "ended")
    assert plans.current_plan(row.organisation).slug == "free"
    assert [charge.amount for charge in charges_of(row.organisation)] == [4900]


FLOWS: tuple[Flow, ...] = (
    Begin(),
    Upgrade(),
    Cheaper(),
    Cancel(),
    Resume(),
    Renewal(),
    CheaperBegins(),
    Ended(),
)
